// electric.c -- charged particle steered by eight electrodes, that is to follow a goal moving along two line segments
//
//   x = (vx, vy, px, py)    velocity and position, in this order
//   u [8]                   charges of the electrodes at e_i, see ELECTRODE
//   v' = sum_i K u_i r_i / len_i^3 - d v,  p' = v,  r_i = p - e_i,  len_i = max(|r_i|, 0.1)
//   w = |p - goal(t)|^2
//   o = (p, v, goal(t), goal_v(t))
//   task = (g0, g1, g2)     goal points, all of them ~ 0.2 + 0.6 U(0,1); x0 = (0, g0)
//   goal(t) = (1 - s) g_k + s g_{k+1},  s = (t - k T/2) / (T/2),  goal_v = g_{k+1} - g_k,  segment k = 0 before T/2, 1
//   from there on; goal_v is the way, not divided by the time it takes, as in the original
// grad_x0 holds the goals fixed, although x0 is drawn as the first of them.
//
// What makes it hard
//   break  goal_v and with it the control jump at T/2, the one entry of dims.breaks. An integrator that steps over it
//          falls to order one there. Within one piece (the piece given) f is smooth, also a little beyond T/2.
//   kink   Inside the disc |r_i| < 0.1 the force is linear, K u_i r_i / 0.1^3; it is continuous, its derivative is not:
//          outside, d force = K u_i (I / len^3 - 3 r r'/ len^5) dp, inside the second term is missing. The products use
//          the inner derivative on the circle itself. A path crosses the circle in an instant and f does not jump, so
//          the gradient of the loss stays right; a fixed-step method loses its order at each crossing. The circles are
//          no break times: when a path meets them depends on theta.
// For whom: tasks that differ from case to case, time in the observation, breaks. DiffTaichi's figure in the paper.
// Source: Hu et al. 2020 (bibtex below), example electric.py; constants as in Ainsworth, Lowrey, Thickstun, Harchaoui,
// Srinivasa, "Faster Policy Learning with Continuous-Time Gradients", L4DC 2021, PMLR 144, where d is a rate.

#include "ctpgbench/problem.h"
#include <math.h>
#include <string.h>

#define COULOMB ((PetscReal)1e-3)                 // K
#define DAMPING ((PetscReal)0.029910179730323616) // d, 1/s: (1 - exp(-0.006)) / 0.2
#define CORE    ((PetscReal)0.1)                  // least len

enum { NX = 4, NU = 8, NO = 8, NTASK = 6 };

static const PetscReal ELECTRODE[NU][2] = {{0.1, 0.1}, {0.1, 0.9}, {0.9, 0.9}, {0.9, 0.1},
                                           {0.5, 0.9}, {0.5, 0.1}, {0.1, 0.5}, {0.9, 0.5}};

typedef struct {
  PetscReal breaks[1]; // as fractions of T
} Electric;

static const PetscInt ACTUATED[] = {0, 1};
static const PetscReal STRENGTH[] = {COULOMB}, CIRCLE[] = {CORE};
static const CtpgConstant CONSTANTS[] = {
    {.name = "electrodes", .unit = "1", .rows = NU, .columns = 2, .values = ELECTRODE[0]},
    {.name = "coulomb", .unit = "1", .rows = 1, .values = STRENGTH},
    {.name = "core", .unit = "1", .rows = 1, .values = CIRCLE}};

static PetscErrorCode ElectricCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Electric *electric;

  PetscFunctionBeginUser;
  (void)comm, (void)options;
  PetscCall(PetscNew(&electric));
  *ctx = electric;
  electric->breaks[0] = 0.5;
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NO,
                     .nq = 2,
                     .velocity_first = PETSC_TRUE,
                     .ntask = NTASK,
                     .nbreak = 1,
                     .T = 15.36,
                     .breaks = electric->breaks,
                     .policy = "mlp",
                     .widths = "64",
                     .activations = "tanh,tanh",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 2,
                     .state_names = "vx,vy,px,py",
                     .state_units = "1,1,1,1",
                     .control_names = "charge 1,charge 2,charge 3,charge 4,charge 5,charge 6,charge 7,charge 8",
                     .control_units = "1,1,1,1,1,1,1,1",
                     .constants = CONSTANTS,
                     .nconstants = 3};
  PetscFunctionReturn(0);
}

static void ElectricDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode ElectricDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                   PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)x0_stream;
  for (PetscInt j = 0; j < NTASK; j++) task[j] = 0.2 + 0.6 * CtpgStreamUniform(task_stream);
  x0[0] = x0[1] = 0;
  x0[2] = task[0];
  x0[3] = task[1];
  PetscFunctionReturn(0);
}

// ---- the goal ----

typedef struct {
  PetscReal at[2], way[2]; // goal, goal_v
} Goal;

// Of point p of a call, at its time t.
static Goal GoalAt(const CtpgTask *task, PetscInt p, PetscReal t) {
  const PetscReal half = task->T / 2;
  const PetscInt piece = CtpgTaskPiece(task, p), k = piece >= 0 ? piece : t < half ? 0 : 1;
  const PetscReal s = (t - k * half) / half, *from = CtpgTaskValues(task, NTASK, p) + 2 * k, *to = from + 2;
  return (Goal){{(1 - s) * from[0] + s * to[0], (1 - s) * from[1] + s * to[1]}, {to[0] - from[0], to[1] - from[1]}};
}

// ---- the field ----

// What force and derivative share for one electrode: the force on the particle is u field r.
typedef struct {
  PetscReal r[2];
  PetscReal field;  // K / len^3
  PetscReal spread; // 3 K / len^5 outside the disc, 0 inside: d(field) = -spread r . dp
} Pull;

static Pull PullOf(const PetscReal electrode[2], const PetscReal *position) {
  const PetscReal r[2] = {position[0] - electrode[0], position[1] - electrode[1]};
  const PetscReal square = r[0] * r[0] + r[1] * r[1];
  if (square <= CORE * CORE) return (Pull){{r[0], r[1]}, COULOMB / (CORE * CORE * CORE), 0};
  const PetscReal field = COULOMB / (square * sqrt(square));
  return (Pull){{r[0], r[1]}, field, 3 * field / square};
}

static CtpgStatus ElectricEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, f += NX) {
    const Goal goal = GoalAt(task, i, t[i]);
    const PetscReal off[2] = {x[2] - goal.at[0], x[3] - goal.at[1]};
    f[0] = -DAMPING * x[0];
    f[1] = -DAMPING * x[1];
    for (PetscInt j = 0; j < NU; j++) {
      const Pull pull = PullOf(ELECTRODE[j], x + 2);
      f[0] += u[j] * pull.field * pull.r[0];
      f[1] += u[j] * pull.field * pull.r[1];
    }
    f[2] = x[0];
    f[3] = x[1];
    w[i] = off[0] * off[0] + off[1] * off[1];
  }
  return CTPG_OK;
}

// gp += (u field r)_p' v, gu += field r . v; with a = r . v: (u field r)_p' v = u (field v - spread a r)
static void AddFieldVJP(const PetscReal *position, const PetscReal *u, const PetscReal *v, PetscReal *gp,
                        PetscReal *gu) {
  for (PetscInt j = 0; j < NU; j++) {
    const Pull pull = PullOf(ELECTRODE[j], position);
    const PetscReal along = pull.r[0] * v[0] + pull.r[1] * v[1];
    gp[0] += u[j] * (pull.field * v[0] - pull.spread * along * pull.r[0]);
    gp[1] += u[j] * (pull.field * v[1] - pull.spread * along * pull.r[1]);
    gu[j] += pull.field * along;
  }
}

static CtpgStatus ElectricEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                  PetscReal *gu) {
  (void)ctx;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    const Goal goal = GoalAt(task, i, t[i]);
    AddFieldVJP(x + 2, u, v, gx + 2, gu);
    for (PetscInt j = 0; j < 2; j++) {
      gx[j] += v[2 + j] - DAMPING * v[j];
      gx[2 + j] += c[i] * 2 * (x[2 + j] - goal.at[j]);
    }
  }
  return CTPG_OK;
}

static CtpgStatus ElectricEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                  PetscReal *dw) {
  (void)ctx;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, dx += NX, du += NU, df += NX) {
    const Goal goal = GoalAt(task, i, t[i]);
    const PetscReal *dp = dx + 2;
    df[0] = -DAMPING * dx[0];
    df[1] = -DAMPING * dx[1];
    for (PetscInt j = 0; j < NU; j++) {
      const Pull pull = PullOf(ELECTRODE[j], x + 2);
      const PetscReal along = pull.r[0] * dp[0] + pull.r[1] * dp[1];
      const PetscReal stretch = du[j] * pull.field - u[j] * pull.spread * along;
      df[0] += stretch * pull.r[0] + u[j] * pull.field * dp[0];
      df[1] += stretch * pull.r[1] + u[j] * pull.field * dp[1];
    }
    df[2] = dx[0];
    df[3] = dx[1];
    dw[i] = 2 * ((x[2] - goal.at[0]) * dp[0] + (x[3] - goal.at[1]) * dp[1]);
  }
  return CTPG_OK;
}

static CtpgStatus ElectricJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                   PetscReal *fx, PetscReal *fu) {
  (void)ctx, (void)task, (void)t;
  memset(fx, 0, NX * NX * sizeof *fx);
  memset(fu, 0, NX * NU * sizeof *fu);
  fx[0 * NX + 0] = fx[1 * NX + 1] = -DAMPING;
  fx[2 * NX + 0] = fx[3 * NX + 1] = 1;
  for (PetscInt j = 0; j < NU; j++) {
    const Pull pull = PullOf(ELECTRODE[j], x + 2);
    for (PetscInt k = 0; k < 2; k++) {
      fu[k * NU + j] = pull.field * pull.r[k];
      fx[k * NX + 2 + k] += u[j] * pull.field;
      for (PetscInt l = 0; l < 2; l++) fx[k * NX + 2 + l] -= u[j] * pull.spread * pull.r[k] * pull.r[l];
    }
  }
  return CTPG_OK;
}

static CtpgStatus ElectricObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  PetscReal *o) {
  (void)ctx;
  for (PetscInt i = 0; i < n; i++, x += NX, o += NO) {
    const Goal goal = GoalAt(task, i, t[i]);
    for (PetscInt j = 0; j < 2; j++) {
      o[j] = x[2 + j];
      o[2 + j] = x[j];
      o[4 + j] = goal.at[j];
      o[6 + j] = goal.way[j];
    }
  }
  return CTPG_OK;
}

static CtpgStatus ElectricObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < n; i++, go += NO, gx += NX)
    for (PetscInt j = 0; j < 2; j++) {
      gx[j] += go[2 + j];
      gx[2 + j] += go[j];
    }
  return CTPG_OK;
}

static CtpgStatus ElectricObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < n; i++, dx += NX, d_o += NO)
    for (PetscInt j = 0; j < 2; j++) {
      d_o[j] = dx[2 + j];
      d_o[2 + j] = dx[j];
      d_o[4 + j] = d_o[6 + j] = 0; // the goal
    }
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_electric = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "electric",
    .bibtex = "@inproceedings{hu2020difftaichi,\n"
              "  title = {{DiffTaichi}: Differentiable Programming for Physical Simulation},\n"
              "  author = {Hu, Yuanming and Anderson, Luke and Li, Tzu-Mao and Sun, Qi and Carr, Nathan and "
              "Ragan-Kelley, Jonathan and Durand, Fr{\\'e}do},\n"
              "  booktitle = {International Conference on Learning Representations}, year = {2020}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_NONSMOOTH | CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = ElectricCreate,
    .draw = ElectricDraw,
    .eval = ElectricEval,
    .observe = ElectricObserve,
    .eval_vjp = ElectricEvalVJP,
    .observe_vjp = ElectricObserveVJP,
    .eval_jvp = ElectricEvalJVP,
    .observe_jvp = ElectricObserveJVP,
    .jacobian = ElectricJacobian,
    .destroy = ElectricDestroy,
};
