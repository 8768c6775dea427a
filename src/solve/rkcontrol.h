// rkcontrol.h -- the step that follows from an error estimate: PETSc's controllers, with the same bits on every CPU
//
// i (elementary, TSAdaptBasic): accepted where norm <= 1, factor safety norm^(-1/p), half of that where the attempt
//   before was rejected, too
// pi42, h211b (TSAdaptDSP's filters): with e = norm^(-1/p), e1 that of the accepted step before and r1 its factor,
//   rho = e^(3/5) e1^(-1/5), or e^(1/4) e1^(1/4) r1^(-1/4); factor 1 + atan(rho - 1), accepted where it is at least
//   0.9 safety
// Factors stay within 0.1 and 10. Filters: G. Soderlind, "Digital filters in adaptive time-stepping", ACM Trans. Math.
// Softw. 29 (2003).
#ifndef CTPG_RKCONTROL_H
#define CTPG_RKCONTROL_H

#include "ctpgbench/toolkit/rksolver.h"

typedef struct {
  PetscReal error, factor; // e1 and r1
} RKControlMemory;

static inline RKControlMemory RKControlForget(void) {
  return (RKControlMemory){1, 1};
}

// Of an attempt of this norm, the last one's fate: is it accepted, and h after it over h?
PetscBool RKControl(const CtpgRKOptions *rk, PetscReal norm, PetscBool retry, RKControlMemory *memory,
                    PetscReal *factor);

#endif
