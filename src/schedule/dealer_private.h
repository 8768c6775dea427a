// dealer_private.h -- a dealer, shared by what deals (dealer.c) and what tells the time left (left.c)
#ifndef CTPG_DEALER_PRIVATE_H
#define CTPG_DEALER_PRIVATE_H

#include "schedule/dealer.h"
#include "base/heap.h"
#include <stdint.h>

typedef enum { WAITING, READY, DEALT, FINISHED } ItemState;

// Items of one kind, early or not, that have the same behind them: none is to be dealt before another.
typedef struct {
  PetscInt kind, model; // model: one of the items
  PetscBool early;
  uint64_t signature;      // of the classes of those behind an item
  PetscInt next;           // class of the same kind, -1: none
  PetscInt undealt, ready; // items that are not dealt, and of them those that are ready,
  PetscInt first, last;    // which are a queue
  double cost;
  double chain, behind; // longest chain behind an item, and all that is behind it
} Class;

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
  PetscInt *class_of;                   // [n] -1: it was done before
  PetscInt *next_ready;                 // [n] behind it in the queue of its class, -1: none
  unsigned char *state;                 // [n] an ItemState
  PetscInt nclasses, room;
  Class *classes;          // those of the items behind one come before its own
  double undealt, ongoing; // cost of what is not dealt, and of what is dealt and not returned
  double at_hand;          // that part of undealt that is ready
  Heap ready;              // classes with ready items
  Seat *seat;              // [last]
  int *idle;               // [nidle] ranks without a grant, as a stack
  int *ahead;              // [nahead] ranks with one grant, likewise
  int nidle, nahead;
};

// The item to be finished before this one, -1: none.
static inline PetscInt DealerPredecessor(Dealer d, PetscInt item) {
  return d->plan.predecessor ? d->plan.predecessor(d->plan.context, item) : -1;
}

// Of every item of the class, as it is expected now.
static inline double DealerCost(Dealer d, PetscInt class) {
  return d->plan.cost ? d->plan.cost(d->plan.context, d->classes[class].kind) : 1;
}

#endif
