// launch.h -- was the program started as one job of N ranks, or N times by a launcher that its MPI does not know?
#ifndef CTPG_LAUNCH_H
#define CTPG_LAUNCH_H

#include <petscsys.h>

// Before MPI_Init. Tasks of `srun` without PMIx: Open MPI ends them inside MPI_Init, with advice of its own that
// misleads.
PetscBool CtpgLaunchIsRefused(void);
// Before MPI_Init. A process that no launcher started would wait for a daemon of Open MPI's, which only serves
// processes that it might start later; where files may not grow (ulimit -f) that daemon takes all memory, and MPICH's
// shared memory ends the process. It starts without, and without the networks to others: a third of the time. What the
// user has set stays.
void CtpgLaunchAlone(void);
// Collective. srun without the MPI's own plug-in, or the mpirun of another MPI, starts N programs of one rank each, all
// of which would write the same file: an error that says how to start them.
PetscErrorCode CtpgRefuseSeparateTasks(void);

#endif
