// fixed.h -- what does not change after creation (labels, options, scales, starts of tests) carries its own sum
//
// The sum (sum.h) of all bytes of a dataset, as they lie in the file, is its attribute `checksum` [2]. The attribute,
// like all that HDF5 keeps beside the data, is under a checksum of HDF5's own: files are made in the format of HDF5
// 1.8, whose object headers, heaps and trees have them. Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_FIXED_H
#define CTPG_STORE_FIXED_H

#include "store/hdf5.h"

// To be called when the dataset is filled.
int StoreFixedWrite(hid_t place, const char *name);
// Name of the first dataset of the file whose bytes do not have the sum that it carries; "" where there is none.
int StoreFixedCheck(hid_t file, char *damaged, size_t size);

#endif
