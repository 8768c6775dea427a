// train_takeover.h -- what an older training file brings along
#ifndef CTPG_TRAIN_TAKEOVER_H
#define CTPG_TRAIN_TAKEOVER_H

#include "store/train_contents.h"

// Fills the training tables of a new skeleton: identity columns of the layout, and the runs of `old` (NULL: none), by
// key. 0, or -1: see hdf5.h.
int TrainTakeOver(hid_t file, const TrainLayout *layout, TrainContents old);

#endif
