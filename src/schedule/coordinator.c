// coordinator.c -- rank 0's side of the scheduler: reports and products in, grants and products out

#include "schedule/left.h"
#include "schedule/progress.h"
#include "base/system.h"
#include "schedule/scheduler_private.h"
#include <string.h>

// What a rank keeps, as rank 0 knows it.
typedef struct {
  PetscInt item[SLOTS];   // whose product; -1: none
  PetscInt64 used[SLOTS]; // number of the last grant that needs it
  PetscInt64 grants;      // sent to the rank
  double busy, heard;     // s reported, and when
  PetscBool has_left;
} Place;

// A message with products that is coming in.
typedef struct {
  MPI_Request request;
  char *buffer;
  int n;
  PetscInt item[DEALER_BATCH];
} Arrival;

struct Coordinator_s {
  Dealer dealer;
  int first;      // rank that works
  Place *place;   // [size]
  void **product; // [n] those at hand that somebody waits for
  int narrivals, room;
  Arrival *arrival;
  PetscBool dismissed;
  int farewells;
  double next_silence; // when to look for it again
  double end;          // when the last item was finished; 0: not yet
  Progress progress;
  double *load;               // [size - first]
  double *elapsed;            // [size]
  double measured, predicted; // s and cost of the finished items
};

// ---- life cycle ----

static void StartProgress(CtpgScheduler s) {
  const CtpgWork *w = s->work;
  Progress *p = &s->coordinator->progress;
  p->noun = w->noun;
  p->first_noun = w->first_noun;
  for (PetscInt i = 0; i < w->n; i++) {
    if (w->done && w->done[i]) continue;
    *(i < w->nfirst ? &p->first_total : &p->total) += 1;
  }
  p->nranks = s->size - s->first;
  p->load = s->coordinator->load;
  ProgressStart(p);
}

PetscErrorCode CoordinatorCreate(CtpgScheduler s) {
  const CtpgWork *w = s->work;
  const DealerPlan plan = {.n = w->n,
                           .predecessor = w->predecessor,
                           .done = w->done,
                           .early = w->early,
                           .first = s->first,
                           .last = s->size,
                           .nkinds = w->nkinds,
                           .kind = w->kind,
                           .cost = w->cost,
                           .suppose = w->suppose,
                           .context = w->context};
  Coordinator c;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&c));
  s->coordinator = c;
  c->first = s->first;
  PetscCall(DealerCreate(&plan, &c->dealer));
  PetscCall(PetscCalloc4(s->size, &c->place, w->n, &c->product, s->size, &c->load, s->size, &c->elapsed));
  StartProgress(s);
  for (int rank = 0; rank < s->size; rank++) {
    c->place[rank].heard = c->progress.start;
    for (int k = 0; k < SLOTS; k++) c->place[rank].item[k] = -1;
  }
  PetscFunctionReturn(0);
}

PetscErrorCode CoordinatorDestroy(CtpgScheduler s) {
  Coordinator c = s->coordinator;
  PetscFunctionBeginUser;
  if (!c) PetscFunctionReturn(0);
  PetscCall(DealerDestroy(&c->dealer));
  for (PetscInt i = 0; i < s->work->n; i++) PetscCall(PetscFree(c->product[i]));
  PetscCall(PetscFree4(c->place, c->product, c->load, c->elapsed));
  PetscCall(PetscFree(c->arrival));
  PetscCall(PetscFree(s->coordinator));
  PetscFunctionReturn(0);
}

PetscBool CoordinatorIsDone(CtpgScheduler s) {
  return s->coordinator->farewells == s->size && !s->coordinator->narrivals ? PETSC_TRUE : PETSC_FALSE;
}

// ---- progress ----

// elapsed [size]: s that ranks have worked on what they hold.
static const double *Elapsed(const Coordinator c, double now) {
  for (int rank = c->first; rank < c->first + c->progress.nranks; rank++)
    c->elapsed[rank] = DealerGetOutstanding(c->dealer, rank) ? now - c->place[rank].heard : 0;
  return c->elapsed;
}

// Costs of a caller that learns are seconds; others are scaled by what was measured. Negative: not known yet.
static PetscErrorCode SecondsLeft(CtpgScheduler s, double now, double mean_load, double *left) {
  const Coordinator c = s->coordinator;
  PetscFunctionBeginUser;
  *left = -1;
  if (s->work->finished) {
    const PetscBool known = c->measured > 0 || !s->work->is_known || s->work->is_known(s->work->context);
    if (!known) PetscFunctionReturn(0);
    PetscCall(DealerSecondsLeft(c->dealer, Elapsed(c, now), left));
    *left /= PetscMax(mean_load, 0.5);
  } else if (c->predicted > 0)
    *left =
        DealerGetUnfinished(c->dealer) / c->progress.nranks / PetscMax(mean_load, 0.05) * c->measured / c->predicted;
  PetscFunctionReturn(0);
}

// A rank with a grant in hand is at work since it was last heard of.
static double Load(CtpgScheduler s, int rank, double now) {
  const Coordinator c = s->coordinator;
  const Place *place = c->place + rank;
  const double since = DealerGetOutstanding(c->dealer, rank) && !c->dismissed ? now - place->heard : 0;
  const double elapsed = now - c->progress.start;
  return elapsed > 0 ? PetscMin(1, (place->busy + since) / elapsed) : 0;
}

static PetscErrorCode UpdateProgress(CtpgScheduler s, double now) {
  Progress *p = &s->coordinator->progress;
  double sum = 0;
  PetscFunctionBeginUser;
  for (int k = 0; k < p->nranks; k++) sum += s->coordinator->load[k] = Load(s, s->first + k, now);
  PetscCall(SecondsLeft(s, now, sum / p->nranks, &p->left));
  PetscFunctionReturn(0);
}

static void CountItem(CtpgScheduler s, PetscInt item, double expected, double seconds, CtpgStatus status) {
  Coordinator c = s->coordinator;
  Progress *p = &c->progress;
  c->measured += seconds;
  c->predicted += expected;
  if (item < s->work->nfirst) {
    p->first_done++;
    p->first_failed += status != CTPG_OK;
  } else {
    p->done++;
    p->by_status[status]++;
  }
}

// ---- products ----

static PetscErrorCode FinishItem(CtpgScheduler s, PetscInt item, const void *bytes) {
  Coordinator c = s->coordinator;
  const size_t size = SchedulerProductBytes(s, item);
  PetscFunctionBeginUser;
  PetscCall(DealerFinish(c->dealer, item));
  if (!size || !DealerGetWaiting(c->dealer, item)) PetscFunctionReturn(0);
  PetscCall(PetscMalloc1(size, (char **)&c->product[item]));
  memcpy(c->product[item], bytes, size);
  PetscFunctionReturn(0);
}

static PetscErrorCode FindProduct(CtpgScheduler s, PetscInt item, const void **product) {
  Coordinator c = s->coordinator;
  PetscFunctionBeginUser;
  if (!c->product[item]) {
    PetscCall(PetscMalloc1(SchedulerProductBytes(s, item), (char **)&c->product[item]));
    PetscCall(s->work->recall(s->work->context, item, c->product[item]));
  }
  *product = c->product[item];
  PetscFunctionReturn(0);
}

static PetscErrorCode ExpectProducts(CtpgScheduler s, int rank, const Report *report, const DealerGrant *grant) {
  Coordinator c = s->coordinator;
  Arrival *a;
  PetscFunctionBeginUser;
  if (c->narrivals == c->room) {
    c->room = 2 * c->room + 16;
    PetscCall(PetscRealloc((size_t)c->room * sizeof *c->arrival, &c->arrival));
  }
  a = c->arrival + c->narrivals++;
  a->n = 0;
  for (int i = 0; i < grant->n; i++)
    if (report->status[i] != CTPG_INTERRUPTED) a->item[a->n++] = grant->item[i];
  PetscCall(PetscMalloc1(report->bytes, &a->buffer));
  PetscCallMPI(MPI_Irecv(a->buffer, (int)report->bytes, MPI_BYTE, rank, TAG_REPORT_PRODUCTS, s->comm, &a->request));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReceiveProducts(CtpgScheduler s) {
  Coordinator c = s->coordinator;
  PetscFunctionBeginUser;
  for (int k = 0; k < c->narrivals; k++) {
    Arrival *a = c->arrival + k;
    size_t offset = 0;
    int here;
    PetscCallMPI(MPI_Test(&a->request, &here, MPI_STATUS_IGNORE));
    if (!here) continue;
    for (int i = 0; i < a->n; i++) {
      PetscCall(FinishItem(s, a->item[i], a->buffer + offset));
      offset += SchedulerPadded(SchedulerProductBytes(s, a->item[i]));
    }
    PetscCall(PetscFree(a->buffer));
    *a = c->arrival[--c->narrivals];
    k--;
  }
  PetscFunctionReturn(0);
}

// ---- reports ----

static PetscErrorCode TakeReport(CtpgScheduler s, int rank, const Report *report) {
  Coordinator c = s->coordinator;
  DealerGrant grant;

  PetscFunctionBeginUser;
  c->place[rank].busy = report->busy;
  c->place[rank].heard = CtpgSeconds();
  if (report->stop) *s->stop = 1;
  if (!report->n) {
    c->farewells++;
    c->place[rank].has_left = PETSC_TRUE;
    PetscFunctionReturn(0);
  }
  PetscCall(DealerReturn(c->dealer, rank, &grant));
  for (int i = 0; i < grant.n; i++) {
    if (report->status[i] == CTPG_INTERRUPTED) continue;
    CountItem(s, grant.item[i], grant.cost[i], report->seconds[i], report->status[i]);
    if (s->work->finished) s->work->finished(s->work->context, grant.item[i], report->seconds[i], report->status[i]);
    if (!report->bytes) PetscCall(FinishItem(s, grant.item[i], NULL));
  }
  if (report->bytes) PetscCall(ExpectProducts(s, rank, report, &grant));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReceiveReports(CtpgScheduler s) {
  MPI_Status status;
  Report report;
  int waiting;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCallMPI(MPI_Iprobe(MPI_ANY_SOURCE, TAG_REPORT, s->comm, &waiting, &status));
    if (!waiting) break;
    PetscCallMPI(MPI_Recv(&report, sizeof report, MPI_BYTE, status.MPI_SOURCE, TAG_REPORT, s->comm, MPI_STATUS_IGNORE));
    PetscCall(TakeReport(s, status.MPI_SOURCE, &report));
    s->stirred = PETSC_TRUE;
  }
  PetscFunctionReturn(0);
}

// ---- grants ----

// Where the rank keeps the product of `item`, or the slot that this grant does not need and that was not needed
// longest.
static int FindSlot(Place *place, PetscInt item, int *fresh) {
  int oldest = 0;
  *fresh = 0;
  for (int k = 0; k < SLOTS; k++) {
    if (place->item[k] == item) return k;
    if (place->used[k] < place->used[oldest]) oldest = k;
  }
  *fresh = 1;
  place->item[oldest] = item;
  return oldest;
}

static void ChooseSlots(CtpgScheduler s, Place *place, Grant *grant) {
  for (int i = 0; i < grant->n; i++) {
    const PetscInt needed = SchedulerNeeds(s, grant->item[i]);
    grant->slot[i] = -1;
    if (needed < 0) continue;
    grant->slot[i] = FindSlot(place, needed, &grant->fresh[i]);
    place->used[grant->slot[i]] = place->grants;
    if (grant->fresh[i]) grant->bytes += SchedulerPadded(SchedulerProductBytes(s, needed));
  }
}

static PetscErrorCode PackProducts(CtpgScheduler s, const Grant *grant, char *buffer) {
  PetscFunctionBeginUser;
  for (int i = 0; i < grant->n; i++) {
    const PetscInt needed = SchedulerNeeds(s, grant->item[i]);
    const void *product = NULL;
    if (!grant->fresh[i]) continue;
    PetscCall(FindProduct(s, needed, &product));
    memcpy(buffer, product, SchedulerProductBytes(s, needed));
    buffer += SchedulerPadded(SchedulerProductBytes(s, needed));
  }
  PetscFunctionReturn(0);
}

// Products that nobody waits for any more.
static PetscErrorCode EvictProducts(CtpgScheduler s, const Grant *grant) {
  Coordinator c = s->coordinator;
  PetscFunctionBeginUser;
  for (int i = 0; i < grant->n; i++) {
    const PetscInt needed = SchedulerNeeds(s, grant->item[i]);
    if (needed >= 0 && !DealerGetWaiting(c->dealer, needed)) PetscCall(PetscFree(c->product[needed]));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode SendGrant(CtpgScheduler s, const DealerGrant *dealt) {
  Place *place = s->coordinator->place + dealt->rank;
  Grant grant = {.n = dealt->n};
  char *buffer;

  PetscFunctionBeginUser;
  memcpy(grant.item, dealt->item, sizeof grant.item);
  place->grants++;
  if (DealerGetOutstanding(s->coordinator->dealer, dealt->rank) == 1) place->heard = CtpgSeconds(); // it was idle
  ChooseSlots(s, place, &grant);
  PetscCall(OutboxSendCopy(&s->outbox, s->comm, &grant, sizeof grant, dealt->rank, TAG_GRANT));
  if (grant.bytes) {
    PetscCall(PetscMalloc1(grant.bytes, &buffer));
    PetscCall(PackProducts(s, &grant, buffer));
    PetscCall(OutboxSend(&s->outbox, s->comm, buffer, grant.bytes, dealt->rank, TAG_GRANT_PRODUCTS));
  }
  PetscCall(EvictProducts(s, &grant));
  PetscFunctionReturn(0);
}

static PetscErrorCode SendGrants(CtpgScheduler s) {
  DealerGrant grant;
  PetscBool any;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCall(DealerDeal(s->coordinator->dealer, &grant, &any));
    if (!any) break;
    PetscCall(SendGrant(s, &grant));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode DismissAll(CtpgScheduler s) {
  PetscFunctionBeginUser;
  for (int rank = 0; rank < s->size; rank++) {
    const Dismissal dismissal = {.stop = *s->stop, .grants = s->coordinator->place[rank].grants};
    PetscCall(OutboxSendCopy(&s->outbox, s->comm, &dismissal, sizeof dismissal, rank, TAG_DISMISSAL));
  }
  s->coordinator->dismissed = PETSC_TRUE;
  if (!*s->stop) s->coordinator->end = CtpgSeconds();
  PetscFunctionReturn(0);
}

// ---- ranks that give no sign of life ----

// Whom rank 0 still waits for: a rank that has something, or once all are dismissed one that has not taken leave.
static PetscBool IsWaitedFor(const Coordinator c, int rank) {
  if (c->dismissed) return c->place[rank].has_left ? PETSC_FALSE : PETSC_TRUE;
  return DealerGetOutstanding(c->dealer, rank) > 0 ? PETSC_TRUE : PETSC_FALSE;
}

// Where rank 0 waits for nobody but silent ranks, the program ends here.
static PetscErrorCode LookForSilence(CtpgScheduler s, double now) {
  Coordinator c = s->coordinator;
  int n = 0, *silent;
  PetscBool others = PETSC_FALSE;

  PetscFunctionBeginUser;
  if (!s->work->is_silent || now < c->next_silence) PetscFunctionReturn(0);
  c->next_silence = now + 1;
  PetscCall(PetscMalloc1(s->size, &silent));
  for (int rank = 0; rank < s->size && !others; rank++) {
    if (!IsWaitedFor(c, rank)) continue;
    if (s->work->is_silent(s->work->context, rank))
      silent[n++] = rank;
    else
      others = PETSC_TRUE;
  }
  if (n && !others) s->work->abandon(s->work->context, n, silent);
  PetscCall(PetscFree(silent));
  PetscFunctionReturn(0);
}

PetscErrorCode CoordinatorLook(CtpgScheduler s) {
  Coordinator c = s->coordinator;
  const double now = CtpgSeconds();

  PetscFunctionBeginUser;
  PetscCall(ReceiveReports(s));
  PetscCall(ReceiveProducts(s));
  if (!c->dismissed) {
    if (*s->stop || DealerGetFinished(c->dealer) == DealerGetTotal(c->dealer))
      PetscCall(DismissAll(s));
    else
      PetscCall(SendGrants(s));
  }
  PetscCall(LookForSilence(s, now));
  if (!c->dismissed && ProgressIsDue(&c->progress, now)) {
    PetscCall(UpdateProgress(s, now));
    ProgressShow(&c->progress, now);
  }
  PetscFunctionReturn(0);
}

PetscErrorCode CoordinatorConclude(CtpgScheduler s) {
  Coordinator c = s->coordinator;
  PetscFunctionBeginUser;
  if (c->end == 0) c->end = CtpgSeconds();
  PetscCall(UpdateProgress(s, c->end));
  if (c->progress.total + c->progress.first_total) ProgressEnd(&c->progress, c->end);
  PetscFunctionReturn(0);
}
