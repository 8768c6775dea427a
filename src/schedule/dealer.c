// dealer.c -- which item goes to which rank next (dealer.h)
//
// Ready items lie in a heap, the one with the longest chain behind it on top. Costs are asked for anew now and then,
// since the model behind them learns; chains and the heap are then made again, while dealt items keep the cost that
// they were dealt at. Each rank has a seat with its grants: one that is under way, and one ahead so that it need not
// wait for a message. Dealing serves idle ranks first, then those without a grant ahead; a rank is passed over when the
// item would bring its load near an even share of what is at hand. Grants of short items hold several.

#include "schedule/dealer_private.h"

#define BATCH                                                                                                          \
  2e-2 // s of items that come in one grant: in hand they outlast a coordinator that lost its core for a moment
#define EARLY   1e15 // s by which items that show the cost of others come first
#define RESERVE 0.5  // part of the others' remaining work that a rank may hold, its item in work included

// ---- order ----

static void ListThoseBehind(Dealer d) {
  for (PetscInt i = 0; i < d->plan.n; i++) d->first_behind[i] = -1;
  for (PetscInt i = d->plan.n - 1; i >= 0; i--) {
    const PetscInt before = DealerPredecessor(d, i);
    if (before < 0) continue;
    d->next_behind[i] = d->first_behind[before];
    d->first_behind[before] = i;
    if (d->state[i] != FINISHED) d->waiting[before]++;
  }
}

// Breadth first from those that wait for nobody, written from the back.
static PetscErrorCode OrderInwards(Dealer d) {
  const PetscInt n = d->plan.n;
  PetscInt left = n, next = n;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++)
    if (DealerPredecessor(d, i) < 0) d->inwards[--left] = i;
  while (next > left) {
    const PetscInt item = d->inwards[--next];
    for (PetscInt i = d->first_behind[item]; i >= 0; i = d->next_behind[i]) d->inwards[--left] = i;
  }
  PetscCheck(left == 0, PETSC_COMM_SELF, PETSC_ERR_PLIB, "%d items wait for each other in a circle", (int)left);
  PetscFunctionReturn(0);
}

static double Priority(Dealer d, PetscInt item) {
  const double early = d->plan.early && d->plan.early[item] ? EARLY : 0;
  return early + d->cost[item] + PetscMax(d->chain[item], d->behind[item] / (d->plan.last - d->plan.first));
}

// chain and behind leave out the item's own cost until it is passed on to its predecessor.
static void PriceChains(Dealer d) {
  for (PetscInt i = 0; i < d->plan.n; i++) d->chain[i] = d->behind[i] = 0;
  for (PetscInt k = 0; k < d->plan.n; k++) {
    const PetscInt item = d->inwards[k], before = DealerPredecessor(d, item);
    if (before < 0 || d->state[item] == FINISHED) continue;
    d->chain[before] = PetscMax(d->chain[before], d->cost[item] + d->chain[item]);
    d->behind[before] += d->cost[item] + d->behind[item];
  }
}

// Asks for every cost again; dealt items keep theirs, which the loads of their ranks are made of.
static PetscErrorCode Price(Dealer d) {
  const PetscInt nready = d->ready.n;
  PetscInt *ready;

  PetscFunctionBeginUser;
  d->undealt = d->at_hand = 0;
  for (PetscInt i = 0; i < d->plan.n; i++) {
    if (d->state[i] > READY) continue;
    d->cost[i] = d->plan.cost ? d->plan.cost(d->plan.context, i) : 1;
    d->undealt += d->cost[i];
    if (d->state[i] == READY) d->at_hand += d->cost[i];
  }
  PriceChains(d);
  PetscCall(PetscMalloc1(nready, &ready));
  for (PetscInt k = 0; k < nready; k++) ready[k] = d->ready.entry[k].number;
  d->ready.n = 0;
  for (PetscInt k = 0; k < nready; k++) PetscCall(HeapPush(&d->ready, Priority(d, ready[k]), ready[k]));
  PetscCall(PetscFree(ready));
  d->next_pricing = d->finished + d->finished / 2 + 32;
  PetscFunctionReturn(0);
}

static PetscErrorCode MakeReady(Dealer d, PetscInt item) {
  PetscFunctionBeginUser;
  if (d->state[item] != WAITING) PetscFunctionReturn(0);
  d->state[item] = READY;
  d->at_hand += d->cost[item];
  PetscCall(HeapPush(&d->ready, Priority(d, item), item));
  PetscFunctionReturn(0);
}

// ---- life cycle ----

static PetscErrorCode Allocate(Dealer d) {
  const PetscInt n = d->plan.n;
  const int ranks = d->plan.last;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc5(n, &d->first_behind, n, &d->next_behind, n, &d->waiting, n, &d->inwards, n, &d->state));
  PetscCall(PetscCalloc3(n, &d->cost, n, &d->chain, n, &d->behind));
  PetscCall(PetscCalloc3(ranks, &d->seat, ranks, &d->idle, ranks, &d->ahead));
  PetscFunctionReturn(0);
}

PetscErrorCode DealerCreate(const DealerPlan *plan, Dealer *dealer) {
  Dealer d;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&d));
  *dealer = d;
  d->plan = *plan;
  PetscCall(Allocate(d));
  for (PetscInt i = 0; i < plan->n; i++) d->state[i] = plan->done && plan->done[i] ? FINISHED : WAITING;
  for (PetscInt i = 0; i < plan->n; i++) d->total += d->state[i] != FINISHED;
  ListThoseBehind(d);
  PetscCall(OrderInwards(d));
  PetscCall(Price(d));
  for (PetscInt i = 0; i < plan->n; i++)
    if (DealerPredecessor(d, i) < 0 || d->state[DealerPredecessor(d, i)] == FINISHED) PetscCall(MakeReady(d, i));
  for (int rank = plan->last - 1; rank >= plan->first; rank--) d->idle[d->nidle++] = rank;
  PetscFunctionReturn(0);
}

PetscErrorCode DealerDestroy(Dealer *dealer) {
  Dealer d = *dealer;
  PetscFunctionBeginUser;
  if (!d) PetscFunctionReturn(0);
  PetscCall(PetscFree5(d->first_behind, d->next_behind, d->waiting, d->inwards, d->state));
  PetscCall(PetscFree3(d->cost, d->chain, d->behind));
  PetscCall(PetscFree3(d->seat, d->idle, d->ahead));
  PetscCall(HeapDestroy(&d->ready));
  PetscCall(PetscFree(*dealer));
  PetscFunctionReturn(0);
}

// ---- dealing ----

static void Take(Dealer d, DealerGrant *grant) {
  const PetscInt item = HeapPop(&d->ready).number, before = DealerPredecessor(d, item);
  grant->item[grant->n++] = item;
  d->state[item] = DEALT;
  d->undealt -= d->cost[item];
  d->at_hand -= d->cost[item];
  d->ongoing += d->cost[item];
  if (before >= 0) d->waiting[before]--;
}

// What every rank has before it. What still waits does not count: it may wait for the very item that is held back.
static double Share(Dealer d) {
  return d->at_hand / (d->plan.last - d->plan.first);
}

static double TopCost(Dealer d) {
  return d->cost[d->ready.entry[0].number];
}

// More items behind the first while they are short, and few of what is left.
static void Fill(Dealer d, Seat *seat, DealerGrant *grant) {
  double cost = d->cost[grant->item[0]];
  while (d->ready.n && grant->n < DEALER_BATCH && cost + TopCost(d) <= PetscMin(BATCH, RESERVE * Share(d))) {
    cost += TopCost(d);
    Take(d, grant);
  }
  seat->load += cost;
}

static void ListAhead(Dealer d, int rank) {
  if (d->seat[rank].listed) return;
  d->seat[rank].listed = PETSC_TRUE;
  d->ahead[d->nahead++] = rank;
}

// The rank to be served, -1: none. One that was passed over is listed again when it returns a grant.
static int Choose(Dealer d) {
  if (!d->ready.n) return -1;
  if (d->nidle) return d->idle[--d->nidle];
  while (d->nahead) {
    const int rank = d->ahead[--d->nahead];
    Seat *seat = d->seat + rank;
    seat->listed = PETSC_FALSE;
    if (seat->grants == 1 && seat->load + Priority(d, d->ready.entry[0].number) <= RESERVE * Share(d)) return rank;
  }
  return -1;
}

PetscErrorCode DealerDeal(Dealer d, DealerGrant *grant, PetscBool *any) {
  PetscFunctionBeginUser;
  if (d->finished >= d->next_pricing) PetscCall(Price(d));
  const int rank = Choose(d);
  *any = rank < 0 ? PETSC_FALSE : PETSC_TRUE;
  if (rank < 0) PetscFunctionReturn(0);
  Seat *seat = d->seat + rank;
  *grant = (DealerGrant){.rank = rank};
  Take(d, grant);
  Fill(d, seat, grant);
  seat->grant[seat->grants++] = *grant;
  if (seat->grants == 1) ListAhead(d, rank);
  PetscFunctionReturn(0);
}

PetscErrorCode DealerReturn(Dealer d, int rank, DealerGrant *grant) {
  Seat *seat = d->seat + rank;
  PetscFunctionBeginUser;
  PetscCheck(seat->grants > 0, PETSC_COMM_SELF, PETSC_ERR_PLIB, "Rank %d returns a grant that it did not get", rank);
  *grant = seat->grant[0];
  seat->grant[0] = seat->grant[1];
  seat->grants--;
  for (int i = 0; i < grant->n; i++) seat->load -= d->cost[grant->item[i]];
  if (seat->grants)
    ListAhead(d, rank);
  else {
    seat->load = 0;
    d->idle[d->nidle++] = rank;
  }
  PetscFunctionReturn(0);
}

PetscErrorCode DealerFinish(Dealer d, PetscInt item) {
  PetscFunctionBeginUser;
  d->state[item] = FINISHED;
  d->finished++;
  d->ongoing -= d->cost[item];
  for (PetscInt i = d->first_behind[item]; i >= 0; i = d->next_behind[i]) PetscCall(MakeReady(d, i));
  PetscFunctionReturn(0);
}

// ---- what others ask ----

PetscInt DealerGetFinished(Dealer d) {
  return d->finished;
}

PetscInt DealerGetTotal(Dealer d) {
  return d->total;
}

double DealerGetCost(Dealer d, PetscInt item) {
  return d->cost[item];
}

double DealerGetUnfinished(Dealer d) {
  return d->undealt + d->ongoing;
}

PetscInt DealerGetWaiting(Dealer d, PetscInt item) {
  return d->waiting[item];
}

PetscInt DealerGetOutstanding(Dealer d, int rank) {
  return d->seat[rank].grants;
}
