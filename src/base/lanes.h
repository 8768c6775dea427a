// lanes.h -- four components at a time, for the compiler's vectors
#ifndef CTPG_LANES_H
#define CTPG_LANES_H

#include <petscsys.h>

// Within a function that is CTPG_WIDE (loop/combine.h) they are one vector of the CPU, elsewhere two. Where n is no
// multiple the last lanes of a vector may begin at n - CTPG_LANES, and overlap those before.
#define CTPG_LANES 4
typedef PetscReal CtpgLanes __attribute__((vector_size(CTPG_LANES * sizeof(PetscReal)), aligned(8), may_alias));
#define CTPG_LANES_AT(p) (*(CtpgLanes *)(p))

#endif
