// post.h -- messages between the coordinator (rank 0) and the workers (all ranks; rank 0 too, unless it only
// coordinates: it writes to itself)
//
//   grant       coordinator to worker: items and where to find what they need; products that are new to the rank follow
//   report      worker to coordinator: how the items of a grant ended; their products follow
//   dismissal   coordinator to worker, once: nothing is left, or everybody stops; how many grants it was sent in all
//   farewell    worker to coordinator: a report of no items, its last message
// Headers have a fixed size, far below any eager limit. Products can be large: nobody waits inside a call for one.
#ifndef CTPG_SCHEDULE_POST_H
#define CTPG_SCHEDULE_POST_H

#include "ctpgbench/base.h"
#include "schedule/dealer.h"

enum { TAG_GRANT = 1, TAG_GRANT_PRODUCTS, TAG_REPORT, TAG_REPORT_PRODUCTS, TAG_DISMISSAL };

#define SLOTS DEALER_BATCH // products that a rank keeps: those of one grant at least

typedef struct {
  int n;
  PetscInt item[DEALER_BATCH];
  int slot[DEALER_BATCH];  // where the rank keeps the product that the item needs; -1: it needs none
  int fresh[DEALER_BATCH]; // 1: it comes with this grant
  size_t bytes;            // of all fresh ones, in order, each padded
} Grant;

typedef struct {
  int n, stop; // stop: this rank was told to
  CtpgStatus status[DEALER_BATCH];
  double seconds[DEALER_BATCH], busy; // of each item, and of all that the rank has worked on
  size_t bytes;                       // of the products of those that were not interrupted, in order, each padded
} Report;

typedef struct {
  int stop;
  PetscInt64 grants;
} Dismissal;

#endif
