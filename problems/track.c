// track.c -- the discontinuous track: the differential drive with clipped controls and a heading that wraps
//
//   f(x, u) and w(x, u) are diffdrive's at clip(u), clip(u) = max(-u_max, min(u, u_max)), u_max = -track_u_max, rad/s^2
//   o is diffdrive's with the heading's remainder by 2 pi, truncated towards zero, unless -track_wrap 0
// State, cost, starts and policy are those of diffdrive.c, to which everything is delegated; the random stream is keyed
// by the problem's own name, so its starts differ.
//
// What makes it hard: what robots do and theory forbids, kept on purpose.
//   clip  kinks f where a control meets its limit; beyond it the control has no gradient at all (products take 0 there,
//         1 on the limit itself), so a policy that saturates learns nothing from those times.
//   wrap  makes o, and with it the control, jump where the heading passes +-2 pi, +-4 pi, ...; the products take the
//         derivative 1. A path's dependence on *when* it meets the jump enters no product: every estimator here misses
//         that part of the gradient, the reference included; differences of the loss along theta tell by how much.
// For whom: who handles events, jumps and saturation, or wants to know what ignoring them costs.
// Source: diffdrive.c; the wrapped heading is that of Ainsworth et al. 2021 (bibtex below), the clipping is ours.

#include "ctpgbench/problem.h"
#include <math.h>

extern const CtpgProblemType CtpgProblem_diffdrive;
#define DRIVE CtpgProblem_diffdrive

enum { NX = 5, NU = 2, NO = 7, HEADING = 2 };

typedef struct {
  void *drive; // instance of diffdrive
  PetscReal u_max;
  PetscBool wrap;
  CtpgConstant constants[3]; // diffdrive's and u_max
} Track;

static PetscErrorCode TrackCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Track *track;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&track));
  *ctx = track;
  track->u_max = 1;
  track->wrap = PETSC_TRUE;
  PetscCall(CtpgOptionsReal(options, "u_max", "limit of the wheel accelerations, rad/s^2", 0, 1e100, &track->u_max));
  PetscCall(CtpgOptionsBool(options, "wrap", "observe the heading modulo 2 pi; the control jumps there", &track->wrap));
  PetscCall(DRIVE.create(comm, options, dims, &track->drive)); // reads wrap again, with another default: ours decides
  PetscCheck(dims->nx == NX && dims->nu == NU && dims->no == NO, PETSC_COMM_SELF, PETSC_ERR_PLIB,
             "diffdrive changed its sizes, track did not");
  PetscCheck(dims->nconstants == 2, PETSC_COMM_SELF, PETSC_ERR_PLIB, "diffdrive changed its constants, track did not");
  for (PetscInt k = 0; k < 2; k++) track->constants[k] = dims->constants[k];
  track->constants[2] = (CtpgConstant){.name = "u_max", .unit = "rad/s^2", .rows = 1, .values = &track->u_max};
  dims->constants = track->constants;
  dims->nconstants = 3;
  PetscFunctionReturn(0);
}

static void TrackDestroy(void **ctx) {
  Track *track = *ctx;
  if (track && track->drive) DRIVE.destroy(&track->drive);
  (void)PetscFree(*ctx);
}

static PetscErrorCode TrackDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                PetscReal *task) {
  PetscFunctionBeginUser;
  PetscCall(DRIVE.draw(((Track *)ctx)->drive, x0_stream, task_stream, x0, task));
  PetscFunctionReturn(0);
}

// Not a number stays one: a plant must not hide it.
static void Clip(PetscReal limit, const PetscReal *u, PetscReal clipped[NU]) {
  for (PetscInt j = 0; j < NU; j++) clipped[j] = u[j] > limit ? limit : u[j] < -limit ? -limit : u[j];
}

// One point at a time: the clipped controls of n points would need memory.
static CtpgStatus TrackEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                            const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Track *track = ctx;
  CtpgStatus status = CTPG_OK;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += NX, u += NU, f += NX) {
    PetscReal clipped[NU];
    Clip(track->u_max, u, clipped);
    status = DRIVE.eval(track->drive, task, 1, t + i, x, clipped, f, w + i);
  }
  return status;
}

static CtpgStatus TrackEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                               PetscReal *gu) {
  const Track *track = ctx;
  CtpgStatus status = CTPG_OK;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    PetscReal clipped[NU], g_clipped[NU] = {0};
    Clip(track->u_max, u, clipped);
    status = DRIVE.eval_vjp(track->drive, task, 1, t + i, x, clipped, v, c + i, gx, g_clipped);
    for (PetscInt j = 0; j < NU; j++)
      if (fabs(u[j]) <= track->u_max) gu[j] += g_clipped[j];
  }
  return status;
}

static CtpgStatus TrackEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                               PetscReal *dw) {
  const Track *track = ctx;
  CtpgStatus status = CTPG_OK;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += NX, u += NU, dx += NX, du += NU, df += NX) {
    PetscReal clipped[NU], d_clipped[NU];
    Clip(track->u_max, u, clipped);
    for (PetscInt j = 0; j < NU; j++) d_clipped[j] = fabs(u[j]) <= track->u_max ? du[j] : 0;
    status = DRIVE.eval_jvp(track->drive, task, 1, t + i, x, clipped, dx, d_clipped, df, dw + i);
  }
  return status;
}

static CtpgStatus TrackJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                PetscReal *fx, PetscReal *fu) {
  const Track *track = ctx;
  PetscReal clipped[NU];
  Clip(track->u_max, u, clipped);
  const CtpgStatus status = DRIVE.jacobian(track->drive, task, t, x, clipped, fx, fu);
  for (PetscInt i = 0; i < NX; i++)
    for (PetscInt j = 0; j < NU; j++)
      if (!(fabs(u[j]) <= track->u_max)) fu[i * NU + j] = 0;
  return status;
}

static CtpgStatus TrackObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               PetscReal *o) {
  const Track *track = ctx;
  const CtpgStatus status = DRIVE.observe(track->drive, task, n, t, x, o);
  if (track->wrap)
    for (PetscInt i = 0; i < n; i++) o[i * NO + HEADING] = fmod(x[i * NX + HEADING], 2 * PETSC_PI);
  return status;
}

static CtpgStatus TrackObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *go, PetscReal *gx) {
  return DRIVE.observe_vjp(((Track *)ctx)->drive, task, n, t, x, go, gx);
}

static CtpgStatus TrackObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *dx, PetscReal *d_o) {
  return DRIVE.observe_jvp(((Track *)ctx)->drive, task, n, t, x, dx, d_o);
}

const CtpgProblemType CtpgProblem_track = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "track",
    .bibtex =
        "@inproceedings{ainsworth2021ctpg,\n"
        "  title = {Faster Policy Learning with Continuous-Time Gradients},\n"
        "  author = {Ainsworth, Samuel and Lowrey, Kendall and Thickstun, John and Harchaoui, Zaid and "
        "Srinivasa, Siddhartha},\n"
        "  booktitle = {Proceedings of the 3rd Conference on Learning for Dynamics and Control},\n"
        "  series = {Proceedings of Machine Learning Research}, volume = {144}, pages = {1054--1067}, year = {2021}\n"
        "}",
    .version = 2,
    .flags = CTPG_IS_NONSMOOTH | CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = TrackCreate,
    .draw = TrackDraw,
    .eval = TrackEval,
    .observe = TrackObserve,
    .eval_vjp = TrackEvalVJP,
    .observe_vjp = TrackObserveVJP,
    .eval_jvp = TrackEvalJVP,
    .observe_jvp = TrackObserveJVP,
    .jacobian = TrackJacobian,
    .destroy = TrackDestroy,
};
