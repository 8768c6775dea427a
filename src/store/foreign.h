// foreign.h -- what people have added to a results file: kept when the file is laid out anew
#ifndef CTPG_STORE_FOREIGN_H
#define CTPG_STORE_FOREIGN_H

#include "store/hdf5.h"

// What the file at path has in its root and the new file `to` has not (groups, datasets, attributes) is copied; what it
// has added elsewhere is named as not kept, on stderr. 0, or -1: see hdf5.h.
int StoreForeignCopy(const char *path, hid_t to);

#endif
