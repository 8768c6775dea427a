// scheduler.c -- see scheduler.h

#include "scheduler.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { TAG_REQUEST = 1, TAG_GRANT = 2 };

struct CtpgScheduler_s {
  MPI_Comm comm;
  int rank, size;
  const char *title;
  const volatile int *stop;
  PetscInt n, next;      // rank 0: items, the next one to be dealt
  const PetscInt *order; // rank 0
  const double *cost;    // rank 0, NULL: all the same
  double dealt, total;   // rank 0: cost of what was dealt, and of all
  int dismissed;         // rank 0: ranks that were told that nothing is left
  PetscInt done, failed; // rank 0: as reported
  double start, last_line;
  PetscBool terminal;
};

PetscErrorCode SchedulerCreate(MPI_Comm comm, const char *title, const volatile int *stop, CtpgScheduler *scheduler) {
  PetscFunctionBeginUser;
  PetscCall(PetscNew(scheduler));
  PetscCallMPI(MPI_Comm_dup(comm, &(*scheduler)->comm));
  PetscCallMPI(MPI_Comm_rank(comm, &(*scheduler)->rank));
  PetscCallMPI(MPI_Comm_size(comm, &(*scheduler)->size));
  (*scheduler)->title = title;
  (*scheduler)->stop = stop;
  (*scheduler)->terminal = isatty(STDERR_FILENO) ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

PetscErrorCode SchedulerDestroy(CtpgScheduler *scheduler) {
  PetscFunctionBeginUser;
  if (!*scheduler) PetscFunctionReturn(0);
  PetscCallMPI(MPI_Comm_free(&(*scheduler)->comm));
  PetscCall(PetscFree(*scheduler));
  PetscFunctionReturn(0);
}

// ---- progress ----

// "runs 120 of 960, 45.2/s, 3 failed, 0:19 left": over itself on a terminal, a line every ten seconds elsewhere.
static void PrintProgress(CtpgScheduler s, PetscBool last) {
  const double now = CtpgSeconds(), elapsed = now - s->start, pause = s->terminal ? 0.5 : 10;
  if (!last && now - s->last_line < pause) return;
  s->last_line = now;
  const double rate = elapsed > 0 ? (double)s->done / elapsed : 0;
  fprintf(stderr, "%s%s %d of %d, %.1f/s, %d failed", s->terminal ? "\r\033[K" : "", s->title, (int)s->done, (int)s->n,
          rate, (int)s->failed);
  if (last)
    fprintf(stderr, ", %.1f s", elapsed);
  else if (s->done > 0) {
    const int left = (int)(elapsed * (s->total - s->dealt) / s->dealt);
    fprintf(stderr, ", about %d:%02d left", left / 60, left % 60);
  }
  fprintf(stderr, s->terminal && !last ? "" : "\n");
}

static void Report(CtpgScheduler s, PetscInt done, PetscInt failed) {
  s->done += done;
  s->failed += failed;
}

// ---- rank 0 ----

static double CostOf(CtpgScheduler s, PetscInt i) {
  return s->cost ? s->cost[i] : 1;
}

static PetscInt Deal(CtpgScheduler s) {
  if (s->next >= s->n || *s->stop) return -1;
  s->dealt += CostOf(s, s->next);
  return s->order[s->next++];
}

// Answers one waiting request, whose message reports what its rank has done since the last; FALSE when there is none.
static PetscBool AnswerRequest(CtpgScheduler s) {
  MPI_Status status;
  int waiting;
  PetscInt report[2];
  MPI_Iprobe(MPI_ANY_SOURCE, TAG_REQUEST, s->comm, &waiting, &status);
  if (!waiting) return PETSC_FALSE;
  (void)MPI_Recv(report, 2, MPIU_INT, status.MPI_SOURCE, TAG_REQUEST, s->comm, MPI_STATUS_IGNORE);
  Report(s, report[0], report[1]);
  const PetscInt item = Deal(s);
  if (item < 0) s->dismissed++;
  (void)MPI_Send(&item, 1, MPIU_INT, status.MPI_SOURCE, TAG_GRANT, s->comm);
  return PETSC_TRUE;
}

void SchedulerPoll(void *scheduler) {
  CtpgScheduler s = scheduler;
  if (s->rank) return;
  while (AnswerRequest(s)) {
  }
  PrintProgress(s, PETSC_FALSE);
}

static PetscErrorCode RunFirstRank(CtpgScheduler s, const CtpgWork *work) {
  const struct timespec nap = {.tv_nsec = 200000}; // an idle coordinator must not steal a core from a worker
  PetscFunctionBeginUser;
  for (PetscInt item = Deal(s); item >= 0; item = Deal(s)) {
    PetscBool failed = PETSC_FALSE;
    PetscCall(work->work(work->context, item, &failed));
    Report(s, 1, failed ? 1 : 0);
    SchedulerPoll(s);
  }
  while (s->dismissed < s->size - 1) {
    SchedulerPoll(s);
    nanosleep(&nap, NULL);
  }
  if (s->n) PrintProgress(s, PETSC_TRUE);
  PetscFunctionReturn(0);
}

// ---- the others ----

static PetscErrorCode RequestItem(CtpgScheduler s, const PetscInt report[2], PetscInt *item) {
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Send(report, 2, MPIU_INT, 0, TAG_REQUEST, s->comm));
  PetscCallMPI(MPI_Recv(item, 1, MPIU_INT, 0, TAG_GRANT, s->comm, MPI_STATUS_IGNORE));
  PetscFunctionReturn(0);
}

static PetscErrorCode RunOtherRank(CtpgScheduler s, const CtpgWork *work) {
  PetscInt report[2] = {0, 0}, item;
  PetscFunctionBeginUser;
  PetscCall(RequestItem(s, report, &item));
  while (item >= 0) {
    PetscBool failed = PETSC_FALSE;
    PetscCall(work->work(work->context, item, &failed));
    report[0] = 1;
    report[1] = failed ? 1 : 0;
    PetscCall(RequestItem(s, report, &item));
  }
  PetscFunctionReturn(0);
}

PetscErrorCode SchedulerRun(CtpgScheduler s, PetscInt n, const PetscInt *order, const double *cost,
                            const CtpgWork *work) {
  PetscFunctionBeginUser;
  s->n = n;
  s->order = order;
  s->cost = cost;
  s->dealt = s->total = 0;
  for (PetscInt i = 0; i < n; i++) s->total += CostOf(s, i);
  s->next = s->done = s->failed = 0;
  s->dismissed = 0;
  s->start = s->last_line = CtpgSeconds();
  if (s->rank)
    PetscCall(RunOtherRank(s, work));
  else
    PetscCall(RunFirstRank(s, work));
  PetscFunctionReturn(0);
}
