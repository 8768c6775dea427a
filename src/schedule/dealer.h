// dealer.h -- who gets which item next: policy without messages or clocks, shared by scheduler and simulator
//
// Items whose predecessor is finished are ready, in the order of the time that is needed from their start on: own cost
// plus the longest chain behind them, or what is behind them shared by all ranks where that is longer (critical path
// list scheduling). Idle ranks are served first; then a rank that works gets one grant ahead of its need, unless it
// could be what the others wait for in the end. Items of milliseconds come several at a time.
#ifndef CTPG_DEALER_H
#define CTPG_DEALER_H

#include <petscsys.h>

#define DEALER_BATCH 16 // most items of one grant

typedef struct Dealer_s *Dealer;

// Items of one kind cost the same. Of an item nothing but its predecessor is asked after the dealer is made.
typedef struct {
  PetscInt n;
  PetscInt (*predecessor)(void *context, PetscInt item); // -1: none; NULL: none at all
  PetscBool (*early)(void *context, PetscInt item);      // dealt before all others, to show what those cost; NULL: none
  const PetscBool *done;                                 // [n] or NULL
  int first, last;                                       // ranks first .. last - 1 work
  PetscInt nkinds;
  PetscInt (*kind)(void *context, PetscInt item); // below nkinds; NULL: each item is a kind of its own
  double (*cost)(void *context, PetscInt kind);   // NULL: 1 each
  // For the time left: an item that takes longer than expected is supposed to take `seconds` in the end, which tells of
  // others of its kind; weight 1, and -1 to take it back. NULL: nobody learns from that.
  void (*suppose)(void *context, PetscInt item, double seconds, int weight);
  void *context;
} DealerPlan;

typedef struct {
  int rank, n;
  PetscInt item[DEALER_BATCH];
  double cost[DEALER_BATCH]; // as expected when it was dealt
} DealerGrant;

// Predecessors in a circle are an error.
PetscErrorCode DealerCreate(const DealerPlan *plan, Dealer *dealer);
PetscErrorCode DealerDestroy(Dealer *dealer);
// The next grant; FALSE: nothing can be dealt before another item is finished or returned.
PetscErrorCode DealerDeal(Dealer dealer, DealerGrant *grant, PetscBool *any);
// The rank is through with the oldest of its grants, which is handed back here.
PetscErrorCode DealerReturn(Dealer dealer, int rank, DealerGrant *grant);
// The item is finished and its product at hand: what waits for it is ready. Costs of kinds are asked again each time
// the number of finished items has grown by half.
PetscErrorCode DealerFinish(Dealer dealer, PetscInt item);

PetscInt DealerGetFinished(Dealer dealer);               // items finished now, not those done before
PetscInt DealerGetTotal(Dealer dealer);                  // items that were to be done
double DealerGetUnfinished(Dealer dealer);               // cost of all that is not dealt or not returned
PetscInt DealerGetWaiting(Dealer dealer, PetscInt item); // items behind this one that are not dealt yet
PetscInt DealerGetOutstanding(Dealer dealer, int rank);  // grants dealt to the rank and not returned

#endif
