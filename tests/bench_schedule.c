// bench_schedule.c -- what messages cost the coordinator: bench_schedule [items], or mpirun -n 8 bench_schedule [items]
//
// Items take no time, and each comes in a grant of its own, so that there is nothing but messages. Alone, a rank deals
// to itself and never waits: its CPU time is that of both ends of a report and a grant, more than a coordinator pays.
// With several ranks rank 0 only deals; how many messages a second it takes up is then told by the clock.

#include "base/system.h"
#include "schedule/scheduler.h"
#include <stdlib.h>

static PetscErrorCode DoNothing(void *context, CtpgItem *item) {
  (void)context, (void)item;
  return 0;
}

static PetscErrorCode Bench(PetscInt n) {
  volatile int stop = 0;
  const CtpgWork work = {.n = n, .noun = "items", .work = DoNothing};
  CtpgScheduler scheduler;
  int rank, size;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCall(SchedulerCreate(PETSC_COMM_WORLD, size > 1 ? CTPG_COORDINATOR_DEDICATED : CTPG_COORDINATOR_WORKING, &stop,
                            &scheduler));
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  const double start = CtpgSeconds(), cpu = CtpgThreadSeconds();
  PetscCall(SchedulerRun(scheduler, &work));
  const double seconds = CtpgSeconds() - start, cpu_seconds = CtpgThreadSeconds() - cpu;
  PetscCall(SchedulerDestroy(&scheduler));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                        "%d ranks, %d items: %.2f us of CPU time of rank 0 for a message, %.0f messages/s\n", size,
                        (int)n, 1e6 * cpu_seconds / (2.0 * n), 2.0 * n / seconds));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscFunctionBeginUser;
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(Bench(argc > 1 ? (PetscInt)atoi(argv[1]) : 100000));
  PetscCall(PetscFinalize());
  return 0;
}
