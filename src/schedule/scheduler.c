// scheduler.c -- the life of a scheduler (scheduler.h): every rank works (worker.c), rank 0 also deals (coordinator.c)
//
// A rank does its grants one after the other, and looks at its messages between them and within them: a long item calls
// SchedulerPoll from its evaluations. How often it looks adapts to what a look costs. A rank with nothing to do naps,
// and naps longer the longer nothing comes, so that a core with several ranks is left to those that work. An error met
// while polling is kept, and raised once the item is over.

#include "schedule/scheduler_private.h"
#include "base/options_engine.h"
#include "base/system.h"
#include <string.h>
#include <unistd.h>

// Seconds between two looks at the messages during an item: of rank 0, who is waited for, and of the others. With more
// ranks than cores a look that finds nothing gives the core away (Open MPI), for as long as others want it: such looks
// are made rarely enough to cost a worker 5 % and rank 0 20 %, but not more rarely than LATEST_LOOK.
#define COORDINATOR_LOOK 2e-4
#define WORKER_LOOK      1e-3
#define COORDINATOR_PART 0.2
#define WORKER_PART      0.05
#define LATEST_LOOK      0.05
// Seconds of naps of a rank that has nothing to do.
#define SHORTEST_NAP    2e-5
#define COORDINATOR_NAP 2e-4
#define WORKER_NAP      4e-3

// ---- life cycle ----

PetscErrorCode SchedulerReadOptions(CtpgOptions options, CtpgCoordinator *coordinator) {
  const char *const choices[] = {"auto", "working", "dedicated", NULL};
  PetscInt choice = CTPG_COORDINATOR_AUTO;
  PetscFunctionBeginUser;
  PetscCall(OptionsReadChoice(options, OPTION_NOT_IN_KEY, "coordinator",
                              "rank 0 beside dealing; auto: dedicated from 64 ranks on", choices, &choice));
  *coordinator = (CtpgCoordinator)choice;
  PetscFunctionReturn(0);
}

// Does the host of rank 0 have a core for each of its ranks?
static PetscErrorCode HasCores(MPI_Comm comm, int *enough) {
  MPI_Comm host;
  int ranks;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  PetscCallMPI(MPI_Comm_size(host, &ranks));
  PetscCallMPI(MPI_Comm_free(&host));
  *enough = ranks <= sysconf(_SC_NPROCESSORS_ONLN);
  PetscCallMPI(MPI_Bcast(enough, 1, MPI_INT, 0, comm));
  PetscFunctionReturn(0);
}

static PetscErrorCode IsDedicated(CtpgScheduler s, CtpgCoordinator coordinator, int *dedicated) {
  PetscFunctionBeginUser;
  PetscCheck(s->size > 1 || coordinator != CTPG_COORDINATOR_DEDICATED, s->comm, PETSC_ERR_USER_INPUT,
             "-coordinator dedicated leaves no rank to work; expected two ranks or more, or -coordinator auto");
  *dedicated = coordinator == CTPG_COORDINATOR_DEDICATED;
  if (coordinator == CTPG_COORDINATOR_AUTO && s->size >= CTPG_MANY_RANKS) PetscCall(HasCores(s->comm, dedicated));
  PetscFunctionReturn(0);
}

PetscErrorCode SchedulerCreate(MPI_Comm comm, CtpgCoordinator coordinator, volatile int *stop,
                               CtpgScheduler *scheduler) {
  CtpgScheduler s;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&s));
  *scheduler = s;
  PetscCallMPI(MPI_Comm_dup(comm, &s->comm));
  PetscCallMPI(MPI_Comm_rank(s->comm, &s->rank));
  PetscCallMPI(MPI_Comm_size(s->comm, &s->size));
  s->stop = stop;
  PetscCall(IsDedicated(s, coordinator, &s->first));
  PetscFunctionReturn(0);
}

PetscErrorCode SchedulerDestroy(CtpgScheduler *scheduler) {
  PetscFunctionBeginUser;
  if (!*scheduler) PetscFunctionReturn(0);
  PetscCall(OutboxDestroy(&(*scheduler)->outbox));
  PetscCallMPI(MPI_Comm_free(&(*scheduler)->comm));
  PetscCall(PetscFree(*scheduler));
  PetscFunctionReturn(0);
}

// ---- looking at the messages ----

static PetscErrorCode Look(CtpgScheduler s) {
  PetscFunctionBeginUser;
  s->looking = PETSC_TRUE; // the hook may come back here
  if (s->coordinator) PetscCall(CoordinatorLook(s));
  PetscCall(WorkerLook(s));
  if (s->outbox.n) PetscCall(OutboxClear(&s->outbox));
  if (s->work->poll) PetscCall(s->work->poll(s->work->context));
  s->looking = PETSC_FALSE;
  PetscFunctionReturn(0);
}

void SchedulerPoll(void *scheduler) {
  CtpgScheduler s = scheduler;
  const double start = CtpgSeconds();
  if (s->looking || s->error || start < s->next_look) return;
  s->error = Look(s);
  const double end = CtpgSeconds(), took = end - start;
  const double pause =
      s->rank ? PetscMax(WORKER_LOOK, took / WORKER_PART) : PetscMax(COORDINATOR_LOOK, took / COORDINATOR_PART);
  s->next_look = end + PetscMin(pause, LATEST_LOOK);
  s->polled += took;
}

double SchedulerGetPolled(CtpgScheduler s) {
  return s->polled;
}

// ---- the run ----

// Waiting ranks must not steal a core from working ones: the nap doubles while nothing comes.
static void Nap(CtpgScheduler s, double *nap) {
  const double longest = s->rank ? WORKER_NAP : COORDINATOR_NAP;
  if (s->stirred) *nap = SHORTEST_NAP;
  s->stirred = PETSC_FALSE;
  SystemNap(*nap);
  *nap = PetscMin(2 * *nap, longest);
}

static PetscErrorCode WorkUntilDismissed(CtpgScheduler s) {
  double nap = SHORTEST_NAP;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCall(Look(s));
    if (WorkerIsDone(s)) break;
    if (WorkerHasGrant(s))
      PetscCall(WorkerDoGrant(s));
    else
      Nap(s, &nap);
    PetscCall(s->error);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeLeave(CtpgScheduler s) {
  double nap = SHORTEST_NAP;
  PetscFunctionBeginUser;
  PetscCall(WorkerFarewell(s));
  while (s->outbox.n || (s->coordinator && !CoordinatorIsDone(s))) {
    PetscCall(Look(s));
    Nap(s, &nap);
  }
  if (s->coordinator) PetscCall(CoordinatorConclude(s));
  PetscFunctionReturn(0);
}

PetscErrorCode SchedulerRun(CtpgScheduler s, const CtpgWork *work) {
  PetscFunctionBeginUser;
  s->work = work;
  s->polled = s->next_look = 0;
  PetscCall(WorkerCreate(s));
  if (!s->rank) PetscCall(CoordinatorCreate(s));
  PetscCall(WorkUntilDismissed(s));
  PetscCall(TakeLeave(s));
  PetscCall(WorkerDestroy(s));
  PetscCall(CoordinatorDestroy(s));
  PetscFunctionReturn(0);
}
