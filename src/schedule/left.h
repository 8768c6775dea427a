// left.h -- the time left, by what a dealer has not dealt yet and what ranks hold
#ifndef CTPG_LEFT_H
#define CTPG_LEFT_H

#include "schedule/dealer.h"

// Seconds until everything is finished, by what the costs are now (not when items were dealt); elapsed [last]: s that
// each rank has worked on what it holds.
PetscErrorCode DealerSecondsLeft(Dealer dealer, const double *elapsed, double *seconds);

#endif
