// cartpole.c -- pole on a cart, MuJoCo's: swing it up from hanging and stay near the middle of the track
//
//   x = (s, h, s', h')   slide, m; hinge, rad, 0 upright; their velocities
//   u                    force on the cart / 10 N, clamped to [-1, 1] by MuJoCo
//   (s'', h'') = qacc of mj_forward for cartpole.xml beside this file, which is compiled into the program
//   w = -(cos h - 0.01 s^2),  o = x
// Derivatives of qacc are central differences of the engine (mujoco_plant.h), those of w and o exact. Beyond |s| = 4.8
// MuJoCo's soft joint limit (solreflimit .08 1, as in the original) pushes back and damps: f jumps there, and no
// estimator, nor the reference, accounts for the jump. Random policies of full scale (the default) often get there
// within 3 s; the reference then says how far its two methods differ.
// What makes it hard: the pole must be swung up with a bounded force, and no product is better than the differences.
// Witness: cartpole-analytic, the same equations by hand.
// Source: Ainsworth et al. 2021 (bibtex below), cart pole.

#include "problems/mujoco/plant.h"
#include "ctpgbench/problem.h"
#include <math.h>

#define OFF_CENTRE ((PetscReal)0.01) // weight of s^2 in w, 1/m^2

#ifdef CTPG_HAVE_MUJOCO
enum { NX = 4, NU = 1 };

static const PetscInt ACTUATED[] = {2, 3};

typedef struct {
  MujocoPlant plant;
  PetscReal rail[2], rods[1]; // m, of the model
  CtpgConstant constants[2];
} CartPole;

static MujocoPlant PlantOf(void *ctx) {
  return ((CartPole *)ctx)->plant;
}

// The rail is the range of the slide, the rod twice the half length of the pole's capsule.
static void ReadModel(CartPole *p) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  const int slide = mj_name2id(m, mjOBJ_JOINT, "slide"), pole = mj_name2id(m, mjOBJ_GEOM, "pole");
  p->rail[0] = m->jnt_range[2 * slide];
  p->rail[1] = m->jnt_range[2 * slide + 1];
  p->rods[0] = 2 * m->geom_size[3 * pole + 1];
  p->constants[0] = (CtpgConstant){.name = "rail", .unit = "m", .rows = 2, .values = p->rail};
  p->constants[1] = (CtpgConstant){.name = "rods", .unit = "m", .rows = 1, .values = p->rods};
}

static PetscErrorCode CartPoleCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  CartPole *p;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&p));
  *ctx = p;
  PetscCall(MujocoPlantCreate("-problem", "cartpole", NULL, &p->plant));
  PetscCall(CtpgOptionsContent(options, "model_hash", MujocoPlantGetHash(p->plant)));
  ReadModel(p);
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NX,
                     .nq = 2,
                     .T = 3,
                     .policy = "mlp",
                     .widths = "64,64",
                     .activations = "elu,elu,tanh",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 2,
                     .state_names = "cart,pole,cart',pole'",
                     .state_units = "m,rad,m/s,rad/s",
                     .control_names = "force",
                     .control_units = "10 N",
                     .constants = p->constants,
                     .nconstants = 2};
  PetscFunctionReturn(0);
}

static void CartPoleDestroy(void **ctx) {
  CartPole *p = *ctx;
  if (p) (void)MujocoPlantDestroy(&p->plant);
  (void)PetscFree(*ctx);
}

static int64_t CartPolePlantCalls(void *ctx) {
  const MujocoCalls calls = MujocoPlantGetCalls(PlantOf(ctx));
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
    status = MujocoPlantEval(PlantOf(ctx), t[i], x, u, f);
    w[i] = OFF_CENTRE * x[0] * x[0] - CtpgCos(x[1]);
  }
  return status;
}

static CtpgStatus CartPoleEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                  PetscReal *gu) {
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    status = MujocoPlantVJP(PlantOf(ctx), t[i], x, u, v, gx, gu);
    gx[0] += c[i] * 2 * OFF_CENTRE * x[0];
    gx[1] += c[i] * CtpgSin(x[1]);
  }
  return status;
}

static CtpgStatus CartPoleJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                   PetscReal *fx, PetscReal *fu) {
  (void)task;
  return MujocoPlantJacobian(PlantOf(ctx), t, x, u, fx, fu);
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
    .version = 3,
    .flags = CTPG_IS_DIFFERENCED | CTPG_IS_NONSMOOTH,
#ifdef CTPG_HAVE_MUJOCO
    .create = CartPoleCreate,
    .draw = CartPoleDraw,
    .eval = CartPoleEval,
    .eval_vjp = CartPoleEvalVJP,
    .jacobian = CartPoleJacobian,
    .destroy = CartPoleDestroy,
    .plant_calls = CartPolePlantCalls,
#endif
    .unavailable = CTPG_MUJOCO_UNAVAILABLE,
};
