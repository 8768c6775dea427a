// launch.c -- see launch.h; the launcher leaves its traces in the environment

#include "job/launch.h"
#include "ctpgbench/plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The innermost launcher counts: mpirun -n 1 in a job step of many tasks is a legitimate start.
PetscErrorCode CtpgRefuseSeparateTasks(void) {
  const char *tasks = getenv("OMPI_COMM_WORLD_SIZE"); // of Open MPI's mpirun
  int size;
  PetscFunctionBeginUser;
  if (!tasks) tasks = getenv("PMI_SIZE"); // of MPICH's and Intel MPI's
  if (!tasks) tasks = getenv("SLURM_STEP_NUM_TASKS");
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCheck(size > 1 || !tasks || atoi(tasks) <= 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s of these were started, but MPI sees 1 rank in each; start it with the mpirun of " CTPG_MPI_KIND
             " or with srun --mpi=%s",
             tasks, strncmp(CTPG_MPI_KIND, "Open MPI", 8) ? "pmi2" : "pmix");
  PetscFunctionReturn(0);
}

// Did a launcher that MPI knows start this process?
static PetscBool IsLaunched(void) {
  return getenv("PMIX_RANK") || getenv("PMI_RANK") || getenv("OMPI_COMM_WORLD_SIZE") ? PETSC_TRUE : PETSC_FALSE;
}

void CtpgLaunchAlone(void) {
  if (IsLaunched()) return;
#ifdef OPEN_MPI
  setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  setenv("OMPI_MCA_orte_create_session_dirs", "0", 0); // which others that end at the same time remove under its feet
  setenv("OMPI_MCA_sharedfp", "^sm", 0);               // which looks for that folder, and says so when files are opened
  setenv("OMPI_MCA_mtl", "^psm,psm2,ofi", 0);          // libpsm2 measures the clock for 0.2 s when it is loaded
#else
  setenv("UCX_TLS", "self", 0); // what Debian's MPICH stands on; its shared memory is a file, too, for ulimit -f
#endif
}

PetscBool CtpgLaunchIsRefused(void) {
#ifdef OPEN_MPI
  const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
  if (tasks && atoi(tasks) > 1 && !IsLaunched()) {
    fprintf(stderr,
            "ctpgbench: %s of these were started, but MPI sees 1 rank in each; start it with mpirun or with "
            "srun --mpi=pmix\n",
            tasks);
    return PETSC_TRUE;
  }
#endif
  return PETSC_FALSE;
}
