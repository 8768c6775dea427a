// plugin.h -- problems and estimators built outside the tree, loaded with -problem_library and -estimator_library
//
// A plug-in is a shared library with one descriptor: the file ends in CTPG_PLUGIN_PROBLEM(descriptor) or
// CTPG_PLUGIN_ESTIMATOR(descriptor). Beside the descriptor's ABI, what it was built with is compared at load: PETSc's
// version and integers, MPI's kind.
#ifndef CTPG_PLUGIN_H
#define CTPG_PLUGIN_H

#include "ctpgbench/estimator.h"

#pragma GCC visibility push(default)

// What a plug-in and the program must share in binary.
typedef struct {
  uint32_t size;                     // sizeof(CtpgBuild)
  uint32_t petsc_major, petsc_minor; // of the headers
  uint32_t integer_bytes, scalar_bytes;
  char mpi[32]; // "Open MPI 4", "MPICH"
} CtpgBuild;

#if defined(OMPI_MAJOR_VERSION)
#define CTPG_STRINGIZE_(x) #x
#define CTPG_STRINGIZE(x)  CTPG_STRINGIZE_(x)
#define CTPG_MPI_KIND      "Open MPI " CTPG_STRINGIZE(OMPI_MAJOR_VERSION)
#elif defined(MPICH_VERSION)
#define CTPG_MPI_KIND "MPICH" // and its relatives: one binary interface
#else
#define CTPG_MPI_KIND "another MPI"
#endif

#define CTPG_THIS_BUILD                                                                                                \
  { sizeof(CtpgBuild), PETSC_VERSION_MAJOR, PETSC_VERSION_MINOR, sizeof(PetscInt), sizeof(PetscScalar), CTPG_MPI_KIND }

// Compiled into the library itself, where CMake's list leads to the descriptors, the macros mean nothing: a file moves
// between a plug-in's folder and problems/ or estimators/ as it is.
#if defined(CTPG_IN_TREE)
#define CTPG_PLUGIN_PROBLEM(descriptor)
#define CTPG_PLUGIN_ESTIMATOR(descriptor)
#else
#define CTPG_PLUGIN_PROBLEM(descriptor)                                                                                \
  const CtpgBuild ctpgbench_build = CTPG_THIS_BUILD;                                                                   \
  const CtpgProblemType *const ctpgbench_problem = &(descriptor);
#define CTPG_PLUGIN_ESTIMATOR(descriptor)                                                                              \
  const CtpgBuild ctpgbench_build = CTPG_THIS_BUILD;                                                                   \
  const CtpgEstimatorType *const ctpgbench_estimator = &(descriptor);
#endif

#pragma GCC visibility pop

#endif
