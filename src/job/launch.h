// launch.h -- was the program started as one job of N ranks, or N times by a launcher that its MPI does not know?
#ifndef CTPG_LAUNCH_H
#define CTPG_LAUNCH_H

#include <petscsys.h>

// Before MPI_Init. Tasks of `srun` without PMIx: Open MPI ends them inside MPI_Init, with advice of its own that
// misleads.
PetscBool CtpgLaunchIsRefused(void);
// Collective. srun without the MPI's own plug-in, or the mpirun of another MPI, starts N programs of one rank each, all
// of which would write the same file: an error that says how to start them.
PetscErrorCode CtpgRefuseSeparateTasks(void);

#endif
