// cartpole.c -- pole on a cart, MuJoCo's: swing it up from hanging and stay near the middle of the track
//
//   x = (s, h, s', h')   slide, m; hinge, rad, 0 upright; their velocities
//   u                    force on the cart / 10 N, clamped to [-1, 1] by MuJoCo
//   (s'', h'') = qacc of mj_forward for cartpole.xml beside this file, which is compiled into the program
//   w = -(cos h - 0.01 s^2),  o = x
// Derivatives of qacc are central differences of the engine (mujoco_plant.h), those of w and o exact. Beyond |s| = 4.8
// MuJoCo's soft joint limit pushes back and damps: f jumps there, and no estimator, nor the reference, accounts for the
// jump. Random policies of full scale (the default) often get there within 3 s; the reference then says how far its two
// methods differ.
// What makes it hard: the pole must be swung up with a bounded force, and no product is better than the differences.
// Witness: cartpole-analytic, the same equations by hand.
// Source: Ainsworth et al. 2021 (bibtex below), cart pole.

#include "problems/mujoco/plant.h"
#include "ctpgbench/problem.h"
#include <math.h>

#define OFF_CENTRE ((PetscReal)0.01) // weight of s^2 in w, 1/m^2

#ifdef CTPG_HAVE_MUJOCO
enum { NX = 4, NU = 1 };

static PetscErrorCode CartPoleCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  char hash[32];

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(MujocoPlantCreate("-problem", "cartpole", (MujocoPlant *)ctx));
  PetscCall(PetscSNPrintf(hash, sizeof hash, "%016llx", (unsigned long long)MujocoPlantGetHash(*ctx)));
  PetscCall(CtpgOptionsRecord(options, "model_hash", hash));
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NX,
                     .nq = 2,
                     .T = 3,
                     .policy = "mlp",
                     .widths = "64,64",
                     .activations = "elu,elu,tanh",
                     .init_scale = 1};
  PetscFunctionReturn(0);
}

static void CartPoleDestroy(void **ctx) {
  (void)MujocoPlantDestroy((MujocoPlant *)ctx);
}

static int64_t CartPolePlantCalls(void *ctx) {
  const MujocoCalls calls = MujocoPlantGetCalls(ctx);
  return calls.position + calls.velocity + calls.control;
}

static PetscErrorCode CartPoleDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                   PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, -0.1, 0.1);
  x0[1] = PETSC_PI + CtpgStreamUniformIn(x0_stream, -0.1, 0.1);
  x0[2] = x0[3] = 0;
  PetscFunctionReturn(0);
}

static CtpgStatus CartPoleEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, PetscReal *f, PetscReal *w) {
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += NX, u += NU, f += NX) {
    status = MujocoPlantEval(ctx, t[i], x, u, f);
    w[i] = OFF_CENTRE * x[0] * x[0] - cos(x[1]);
  }
  return status;
}

static CtpgStatus CartPoleEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                  PetscReal *gu) {
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    status = MujocoPlantVJP(ctx, t[i], x, u, v, gx, gu);
    gx[0] += c[i] * 2 * OFF_CENTRE * x[0];
    gx[1] += c[i] * sin(x[1]);
  }
  return status;
}

static CtpgStatus CartPoleObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  PetscReal *o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n * NX; i++) o[i] = x[i];
  return CTPG_OK;
}

static CtpgStatus CartPoleObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < n * NX; i++) gx[i] += go[i];
  return CTPG_OK;
}
#endif

const CtpgProblemType CtpgProblem_cartpole = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "cartpole",
    .bibtex =
        "@inproceedings{ainsworth2021ctpg,\n"
        "  title = {Faster Policy Learning with Continuous-Time Gradients},\n"
        "  author = {Ainsworth, Samuel and Lowrey, Kendall and Thickstun, John and Harchaoui, Zaid and "
        "Srinivasa, Siddhartha},\n"
        "  booktitle = {Proceedings of the 3rd Conference on Learning for Dynamics and Control},\n"
        "  series = {Proceedings of Machine Learning Research}, volume = {144}, pages = {1054--1067}, year = {2021}\n"
        "}",
    .version = 1,
    .flags = CTPG_IS_DIFFERENCED | CTPG_IS_NONSMOOTH,
#ifdef CTPG_HAVE_MUJOCO
    .create = CartPoleCreate,
    .draw = CartPoleDraw,
    .eval = CartPoleEval,
    .observe = CartPoleObserve,
    .eval_vjp = CartPoleEvalVJP,
    .observe_vjp = CartPoleObserveVJP,
    .destroy = CartPoleDestroy,
    .plant_calls = CartPolePlantCalls,
#endif
    .unavailable = CTPG_MUJOCO_UNAVAILABLE,
};
