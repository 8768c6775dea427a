// dealer_private.h -- a dealer, shared by what deals (dealer.c) and what tells the time left (left.c)
#ifndef CTPG_DEALER_PRIVATE_H
#define CTPG_DEALER_PRIVATE_H

#include "schedule/dealer.h"
#include "base/heap.h"

typedef enum { WAITING, READY, DEALT, FINISHED } ItemState;

// A rank's grants, the oldest first.
typedef struct {
  int grants;
  PetscBool listed; // among those that may get a grant ahead
  double load;      // cost of both
  DealerGrant grant[2];
} Seat;

struct Dealer_s {
  DealerPlan plan;
  PetscInt total, finished, next_pricing;
  PetscInt *first_behind, *next_behind; // [n] items that wait for one: a list
  PetscInt *waiting;                    // [n] how many of them are not dealt
  PetscInt *inwards;                    // [n] items, each before its predecessor
  ItemState *state;
  double *cost;            // [n]
  double *chain, *behind;  // [n] longest chain from the start of an item, and all that is behind it
  double undealt, ongoing; // cost of what is not dealt, and of what is dealt and not finished
  double at_hand;          // that part of undealt that is ready
  Heap ready;
  Seat *seat; // [last]
  int *idle;  // [nidle] ranks without a grant, as a stack
  int *ahead; // [nahead] ranks with one grant, likewise
  int nidle, nahead;
};

// The item to be finished before this one, -1: none.
static inline PetscInt DealerPredecessor(Dealer d, PetscInt item) {
  return d->plan.predecessor ? d->plan.predecessor[item] : -1;
}

#endif
