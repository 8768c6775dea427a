// left.c -- the time left (left.h): the rest of the work played through, with costs as they are expected now
//
// Neither all that is left, shared by the ranks, nor the longest chain in it tells when the last rank is through:
// references keep some ranks while others wait for them, and the last long item is begun late. So the rest is dealt in
// thought: the rank that is free first takes the ready item with the longest chain behind it. Where there are far more
// items than ranks the end hardly counts, and all is shared evenly.

#include "schedule/left.h"
#include "schedule/dealer_private.h"

#define GOES_ON  0.5    // part of the time that a rank has worked on what it holds, which it will work on at least
#define MANY     200000 // items that are not played through, which would take rank 0 longer than 0.1 s,
#define FOR_EACH 100    // where each rank has so many

typedef struct {
  Dealer d;
  double *cost, *chain; // [classes] of an item: own, and with the longest chain behind it
  double sum;           // of those that are not dealt
  PetscInt undealt;
  Heap ready, busy; // items by their chain; ranks by when they are free, the first on top
  PetscInt *item;   // [last] that a rank will have finished then; -1: what it holds
  double end;
} Rest;

static void Price(Rest *rest) {
  const Dealer d = rest->d;
  for (PetscInt k = 0; k < d->nclasses; k++) {
    const Class *class = d->classes + k;
    double chain = 0;
    for (PetscInt i = d->first_behind[class->model]; i >= 0; i = d->next_behind[i])
      if (d->class_of[i] >= 0) chain = PetscMax(chain, rest->chain[d->class_of[i]]);
    rest->cost[k] = DealerCost(d, k);
    rest->chain[k] = rest->cost[k] + chain;
    rest->sum += (double)class->undealt * rest->cost[k];
    rest->undealt += class->undealt;
  }
}

static double CostOf(const Rest *rest, PetscInt item) {
  return rest->cost[rest->d->class_of[item]];
}

static PetscErrorCode PushReady(Rest *rest, PetscInt item) {
  return HeapPush(&rest->ready, rest->chain[rest->d->class_of[item]], item);
}

// Seconds until a rank is through with what it holds. Who has worked on it for long will do so for a while yet.
static double Held(const Rest *rest, int rank, double elapsed) {
  const Seat *seat = rest->d->seat + rank;
  double first = -elapsed, ahead = 0;
  if (!seat->grants) return 0;
  for (int i = 0; i < seat->grant[0].n; i++) first += CostOf(rest, seat->grant[0].item[i]);
  for (int i = 0; i < seat->grant[1].n && seat->grants > 1; i++) ahead += CostOf(rest, seat->grant[1].item[i]);
  return PetscMax(first, GOES_ON * elapsed) + ahead;
}

static PetscErrorCode Unlock(Rest *rest, PetscInt item) {
  const Dealer d = rest->d;
  PetscFunctionBeginUser;
  for (PetscInt i = d->first_behind[item]; i >= 0; i = d->next_behind[i])
    if (d->state[i] == WAITING) PetscCall(PushReady(rest, i));
  PetscFunctionReturn(0);
}

// What a rank was busy with is finished; what waits for it is ready.
static PetscErrorCode Free(Rest *rest, int rank) {
  const Seat *seat = rest->d->seat + rank;
  PetscFunctionBeginUser;
  if (rest->item[rank] >= 0) {
    PetscCall(Unlock(rest, rest->item[rank]));
    PetscFunctionReturn(0);
  }
  for (int k = 0; k < seat->grants; k++)
    for (int i = 0; i < seat->grant[k].n; i++) PetscCall(Unlock(rest, seat->grant[k].item[i]));
  PetscFunctionReturn(0);
}

// Ranks without work wait in `idle` for the next that is through, who may unlock something for them.
static PetscErrorCode PlayThrough(Rest *rest, int *idle) {
  int nidle = 0;
  PetscFunctionBeginUser;
  while (rest->busy.n) {
    const HeapEntry next = HeapPop(&rest->busy);
    const double now = -next.key;
    PetscCall(Free(rest, (int)next.number));
    idle[nidle++] = (int)next.number;
    rest->end = PetscMax(rest->end, now);
    while (nidle && rest->ready.n) {
      const int rank = idle[--nidle];
      rest->item[rank] = HeapPop(&rest->ready).number;
      PetscCall(HeapPush(&rest->busy, -(now + CostOf(rest, rest->item[rank])), rank));
    }
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode Begin(Rest *rest, const double *elapsed) {
  const Dealer d = rest->d;
  PetscFunctionBeginUser;
  for (PetscInt k = 0; k < d->nclasses; k++)
    for (PetscInt i = d->classes[k].ready ? d->classes[k].first : -1; i >= 0; i = d->next_ready[i])
      PetscCall(PushReady(rest, i));
  for (int rank = d->plan.first; rank < d->plan.last; rank++) {
    rest->item[rank] = -1;
    PetscCall(HeapPush(&rest->busy, -Held(rest, rank, elapsed[rank]), rank));
  }
  PetscFunctionReturn(0);
}

// Items that take longer than expected are what is known of those like them: the first to finish are the short ones.
static void Suppose(Rest *rest, const double *elapsed, int weight) {
  const DealerPlan *plan = &rest->d->plan;
  if (!plan->suppose) return;
  for (int rank = plan->first; rank < plan->last; rank++) {
    const Seat *seat = rest->d->seat + rank;
    const PetscInt item = seat->grant[0].item[0];
    if (seat->grants && seat->grant[0].n == 1 && elapsed[rank] > seat->grant[0].cost[0])
      plan->suppose(plan->context, item, (1 + GOES_ON) * elapsed[rank], weight);
  }
}

static double SharedEvenly(const Rest *rest, const double *elapsed) {
  const DealerPlan *plan = &rest->d->plan;
  double sum = rest->sum;
  for (int rank = plan->first; rank < plan->last; rank++) sum += Held(rest, rank, elapsed[rank]);
  return sum / (plan->last - plan->first);
}

PetscErrorCode DealerSecondsLeft(Dealer d, const double *elapsed, double *seconds) {
  Rest rest = {.d = d};
  int *idle;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(d->nclasses, &rest.cost, d->nclasses, &rest.chain));
  PetscCall(PetscMalloc2(d->plan.last, &rest.item, d->plan.last, &idle));
  Suppose(&rest, elapsed, 1);
  Price(&rest);
  Suppose(&rest, elapsed, -1);
  if (rest.undealt > MANY && rest.undealt / (d->plan.last - d->plan.first) > FOR_EACH)
    rest.end = SharedEvenly(&rest, elapsed);
  else {
    PetscCall(Begin(&rest, elapsed));
    PetscCall(PlayThrough(&rest, idle));
  }
  *seconds = rest.end;
  PetscCall(HeapDestroy(&rest.ready));
  PetscCall(HeapDestroy(&rest.busy));
  PetscCall(PetscFree2(rest.item, idle));
  PetscCall(PetscFree2(rest.cost, rest.chain));
  PetscFunctionReturn(0);
}
