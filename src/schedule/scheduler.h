// scheduler.h -- items dealt to ranks while they work: what unlocks most first, costly ones first
//
// An item may wait for one other, its predecessor (a run for the reference gradient of its case), and may need a few
// bytes that this one leaves, its product. Rank 0 keeps the products and sends them along with the first grant that
// needs them on a rank; ranks keep the last ones. Each rank has a grant in hand beyond the items that it works on, so
// that it does not wait for an answer; who gets what is the dealer's policy (dealer.h), which the simulator shares.
//
// Rank 0 works like the others and answers from SchedulerPoll, which the closed loop calls while it computes. With many
// ranks it only coordinates. Two-sided messages only: nothing relies on one-sided progress. Waiting ranks sleep.
#ifndef CTPG_SCHEDULER_H
#define CTPG_SCHEDULER_H

#include "ctpgbench/options.h"

typedef struct CtpgScheduler_s *CtpgScheduler;

// One item, as its rank sees it.
typedef struct {
  PetscInt number;
  const void *needed; // product of its predecessor, read only; NULL: it has none
  void *product;      // [product_bytes] to be filled for those that wait for this item; NULL: it leaves nothing
  CtpgStatus status;  // CTPG_OK on entry; how it ended. CTPG_INTERRUPTED: it did not, and stays pending
} CtpgItem;

// What is to be done: items 0 .. n - 1. Only n, noun and work are needed; independent items need no more. What is true
// of an item follows from its number, so that only rank 0, which deals, needs memory for each.
typedef struct {
  void *context; // of all callbacks
  PetscInt n;
  const char *noun; // "runs": first word of the progress line on stderr
  PetscErrorCode (*work)(void *context, CtpgItem *item);

  // Expected cost of the items of a kind (s, or any unit), on rank 0, asked again now and then; NULL: all the same.
  // kind: of an item, below nkinds; NULL: each is a kind of its own. `finished` tells rank 0 what an item took (s), in
  // any order: with it, `cost` is in seconds and learns.
  PetscInt nkinds;
  PetscInt (*kind)(void *context, PetscInt item);
  double (*cost)(void *context, PetscInt kind);
  void (*finished)(void *context, PetscInt item, double seconds, CtpgStatus status);
  void (*suppose)(void *context, PetscInt item, double seconds, int weight); // dealer.h; NULL: nothing
  // Rank 0: are costs seconds already, though nothing is finished yet? NULL: yes.
  PetscBool (*is_known)(void *context);
  // Every rank, from SchedulerPoll and while it waits; an error ends SchedulerRun. NULL: nothing.
  PetscErrorCode (*poll)(void *context);

  // Rank 0: does this rank give no sign of life any more? NULL: nobody knows. When all that is left is with such ranks,
  // `abandon` [n ranks] ends the program; it does not return.
  PetscBool (*is_silent)(void *context, int rank);
  void (*abandon)(void *context, int n, const int *ranks);

  PetscInt (*predecessor)(void *context, PetscInt item);   // item to be finished before, -1: none; NULL: nobody waits
  PetscInt (*product_bytes)(void *context, PetscInt item); // size of what an item leaves; NULL: 0
  PetscBool (*early)(void *context, PetscInt item);        // rank 0: to be dealt first (dealer.h); NULL: none
  const PetscBool *done;                                   // [n] rank 0: finished before this began; NULL: none
  // Rank 0, at most once per item: the product of one that was `done` before.
  PetscErrorCode (*recall)(void *context, PetscInt item, void *product);

  PetscInt nfirst; // items 0 .. nfirst - 1 are counted apart in the progress line, as `first_noun` ("references")
  const char *first_noun;
} CtpgWork;

// What rank 0 does beside answering.
#define CTPG_MANY_RANKS 64
typedef enum { CTPG_COORDINATOR_AUTO, CTPG_COORDINATOR_WORKING, CTPG_COORDINATOR_DEDICATED } CtpgCoordinator;

// -coordinator auto|working|dedicated. auto: dedicated from 64 ranks on, unless there are more ranks than cores on the
// host of rank 0. One rank of 64 is 1.6 % of the cores; answering 63 others takes as much once items are shorter than
// about 30 ms, and then nobody waits until rank 0 looks up from an item of its own.
PetscErrorCode SchedulerReadOptions(CtpgOptions options, CtpgCoordinator *coordinator);

// Collective. stop: no new items once it is set on any rank; the scheduler sets it on the others.
PetscErrorCode SchedulerCreate(MPI_Comm comm, CtpgCoordinator coordinator, volatile int *stop,
                               CtpgScheduler *scheduler);
PetscErrorCode SchedulerDestroy(CtpgScheduler *scheduler);
// Collective. Returns when every item is finished, or after a stop.
PetscErrorCode SchedulerRun(CtpgScheduler scheduler, const CtpgWork *work);
// Any rank, anywhere during an item: answers, receives, calls work->poll. Cheap: a look every
// 0.2 ms on rank 0, every 1 ms elsewhere, and fewer where looks take long.
void SchedulerPoll(void *scheduler);
// Seconds this rank has spent in SchedulerPoll: not part of what an item costs.
double SchedulerGetPolled(CtpgScheduler scheduler);

#endif
