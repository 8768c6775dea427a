// dealer.c -- which item goes to which rank next (dealer.h)
//
// Items that cost the same and have the same behind them are a class: a sweep of ten million runs has some hundreds.
// Ready items lie in the queues of their classes, and these in a heap, the class with the longest chain behind it on
// top. Costs are asked for anew now and then, since the model behind them learns; chains and the heap are then made
// again, class by class, while dealt items keep the cost that they were dealt at. Each rank has a seat with its grants:
// one that is under way, and one ahead so that it need not wait for a message. Dealing serves idle ranks first, then
// those without a grant ahead; a rank is passed over when the item would bring its load near an even share of what is
// at hand. Grants of short items hold several.

#include "schedule/dealer_private.h"
#include "ctpgbench/base.h"

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

// Breadth first from those that wait for nobody, written from the back: each item before its predecessor. inwards [n].
static PetscErrorCode OrderInwards(Dealer d, PetscInt *inwards) {
  const PetscInt n = d->plan.n;
  PetscInt left = n, next = n;
  PetscFunctionBeginUser;
  for (PetscInt i = n - 1; i >= 0; i--) // so that, of classes with equal priorities, that of the first item is first
    if (DealerPredecessor(d, i) < 0) inwards[--left] = i;
  while (next > left) {
    const PetscInt item = inwards[--next];
    for (PetscInt i = d->first_behind[item]; i >= 0; i = d->next_behind[i]) inwards[--left] = i;
  }
  PetscCheck(left == 0, PETSC_COMM_SELF, PETSC_ERR_PLIB, "%d items wait for each other in a circle", (int)left);
  PetscFunctionReturn(0);
}

// ---- classes ----

static PetscInt KindOf(Dealer d, PetscInt item) {
  if (!d->plan.cost) return 0;
  return d->plan.kind ? d->plan.kind(d->plan.context, item) : item;
}

static PetscInt CountKinds(Dealer d) {
  if (!d->plan.cost) return 1;
  return d->plan.kind ? d->plan.nkinds : d->plan.n;
}

static PetscErrorCode AddClass(Dealer d, Class class, PetscInt *first) {
  PetscFunctionBeginUser;
  if (d->nclasses == d->room) {
    d->room = 2 * d->room + 64;
    PetscCall(PetscRealloc((size_t)d->room * sizeof *d->classes, &d->classes));
  }
  class.next = *first;
  *first = d->nclasses;
  d->classes[d->nclasses++] = class;
  PetscFunctionReturn(0);
}

// first_of_kind [2 kinds]: the last class made for each kind, of late items and of early ones.
static PetscErrorCode ChooseClass(Dealer d, PetscInt item, uint64_t signature, PetscInt *first_of_kind) {
  const PetscInt kind = KindOf(d, item);
  const PetscBool early = d->plan.early ? d->plan.early(d->plan.context, item) : PETSC_FALSE;
  PetscInt *first = first_of_kind + 2 * kind + (early ? 1 : 0), class = *first;
  PetscFunctionBeginUser;
  while (class >= 0 && d->classes[class].signature != signature) class = d->classes[class].next;
  if (class < 0) {
    PetscCall(AddClass(d, (Class){.kind = kind, .model = item, .early = early, .signature = signature}, first));
    class = *first;
  }
  d->class_of[item] = class;
  d->classes[class].undealt++;
  PetscFunctionReturn(0);
}

// signature [n], zeros: sums of hashes of the classes behind, so that their order does not matter.
static PetscErrorCode Classify(Dealer d, const PetscInt *inwards, uint64_t *signature, PetscInt *first_of_kind) {
  PetscFunctionBeginUser;
  for (PetscInt k = 0; k < 2 * CountKinds(d); k++) first_of_kind[k] = -1;
  for (PetscInt k = 0; k < d->plan.n; k++) {
    const PetscInt item = inwards[k], before = DealerPredecessor(d, item);
    d->class_of[item] = -1;
    if (d->state[item] == FINISHED) continue;
    PetscCall(ChooseClass(d, item, signature[item], first_of_kind));
    if (before >= 0) signature[before] += CtpgHash(CTPG_HASH_START, &d->class_of[item], sizeof *d->class_of);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode MakeClasses(Dealer d) {
  PetscInt *inwards, *first_of_kind;
  uint64_t *signature;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(d->plan.n, &inwards, 2 * CountKinds(d), &first_of_kind));
  PetscCall(PetscCalloc1(d->plan.n, &signature));
  PetscCall(OrderInwards(d, inwards));
  PetscCall(Classify(d, inwards, signature, first_of_kind));
  PetscCall(PetscFree(signature));
  PetscCall(PetscFree2(inwards, first_of_kind));
  PetscFunctionReturn(0);
}

static double Priority(Dealer d, PetscInt number) {
  const Class *class = d->classes + number;
  return (class->early ? EARLY : 0) + class->cost +
         PetscMax(class->chain, class->behind / (d->plan.last - d->plan.first));
}

// What is behind an item of the class, whose own classes are priced already.
static void PriceChain(Dealer d, Class *class) {
  class->chain = class->behind = 0;
  for (PetscInt i = d->first_behind[class->model]; i >= 0; i = d->next_behind[i]) {
    if (d->class_of[i] < 0) continue;
    const Class *behind = d->classes + d->class_of[i];
    class->chain = PetscMax(class->chain, behind->cost + behind->chain);
    class->behind += behind->cost + behind->behind;
  }
}

// Asks for every cost again; dealt items keep theirs, which the loads of their ranks are made of.
static PetscErrorCode Price(Dealer d) {
  PetscFunctionBeginUser;
  d->undealt = d->at_hand = 0;
  d->ready.n = 0;
  for (PetscInt k = 0; k < d->nclasses; k++) {
    Class *class = d->classes + k;
    class->cost = DealerCost(d, k);
    PriceChain(d, class);
    d->undealt += (double)class->undealt * class->cost;
    d->at_hand += (double)class->ready * class->cost;
    if (class->ready) PetscCall(HeapPush(&d->ready, Priority(d, k), k));
  }
  d->next_pricing = d->finished + d->finished / 2 + 32;
  PetscFunctionReturn(0);
}

static PetscErrorCode MakeReady(Dealer d, PetscInt item) {
  Class *class;
  PetscFunctionBeginUser;
  if (d->state[item] != WAITING) PetscFunctionReturn(0);
  class = d->classes + d->class_of[item];
  d->state[item] = READY;
  d->next_ready[item] = -1;
  if (class->ready)
    d->next_ready[class->last] = item;
  else {
    class->first = item;
    PetscCall(HeapPush(&d->ready, Priority(d, d->class_of[item]), d->class_of[item]));
  }
  class->last = item;
  class->ready++;
  d->at_hand += class->cost;
  PetscFunctionReturn(0);
}

// ---- life cycle ----

static PetscErrorCode Allocate(Dealer d) {
  const PetscInt n = d->plan.n;
  const int ranks = d->plan.last;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc4(n, &d->first_behind, n, &d->next_behind, n, &d->class_of, n, &d->next_ready));
  PetscCall(PetscCalloc2(n, &d->waiting, n, &d->state));
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
  PetscCall(MakeClasses(d));
  PetscCall(Price(d));
  for (PetscInt i = 0; i < plan->n; i++) {
    const PetscInt before = DealerPredecessor(d, i);
    if (before < 0 || d->state[before] == FINISHED) PetscCall(MakeReady(d, i));
  }
  for (int rank = plan->last - 1; rank >= plan->first; rank--) d->idle[d->nidle++] = rank;
  PetscFunctionReturn(0);
}

PetscErrorCode DealerDestroy(Dealer *dealer) {
  Dealer d = *dealer;
  PetscFunctionBeginUser;
  if (!d) PetscFunctionReturn(0);
  PetscCall(PetscFree4(d->first_behind, d->next_behind, d->class_of, d->next_ready));
  PetscCall(PetscFree2(d->waiting, d->state));
  PetscCall(PetscFree(d->classes));
  PetscCall(PetscFree3(d->seat, d->idle, d->ahead));
  PetscCall(HeapDestroy(&d->ready));
  PetscCall(PetscFree(*dealer));
  PetscFunctionReturn(0);
}

// ---- dealing ----

static void Take(Dealer d, DealerGrant *grant) {
  Class *class = d->classes + d->ready.entry[0].number;
  const PetscInt item = class->first, before = DealerPredecessor(d, item);
  class->first = d->next_ready[item];
  class->undealt--;
  if (!--class->ready) (void)HeapPop(&d->ready);
  grant->cost[grant->n] = class->cost;
  grant->item[grant->n++] = item;
  d->state[item] = DEALT;
  d->undealt -= class->cost;
  d->at_hand -= class->cost;
  d->ongoing += class->cost;
  if (before >= 0) d->waiting[before]--;
}

// What every rank has before it. What still waits does not count: it may wait for the very item that is held back.
static double Share(Dealer d) {
  return d->at_hand / (d->plan.last - d->plan.first);
}

static double TopCost(Dealer d) {
  return d->classes[d->ready.entry[0].number].cost;
}

// More items behind the first while they are short, and few of what is left.
static void Fill(Dealer d, Seat *seat, DealerGrant *grant) {
  double cost = grant->cost[0];
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
  for (int i = 0; i < grant->n; i++) {
    seat->load -= grant->cost[i];
    d->ongoing -= grant->cost[i];
  }
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

double DealerGetUnfinished(Dealer d) {
  return d->undealt + d->ongoing;
}

PetscInt DealerGetWaiting(Dealer d, PetscInt item) {
  return d->waiting[item];
}

PetscInt DealerGetOutstanding(Dealer d, int rank) {
  return d->seat[rank].grants;
}
