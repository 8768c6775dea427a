// TEMPLATE.c -- a cart on a rail with friction, driven to the origin: the smallest problem, to be replaced by yours
//
//   state    x = (position q, m;  velocity v, m/s),  control u (force, N)
//   dynamics q' = v,  v' = u - d v,  d = -TEMPLATE_damping (default 0.1, 1/s)
//   cost     w = q^2 + 0.1 v^2 + 0.01 u^2,  no terminal cost;  horizon 5 s
//   start    q ~ U(-1, 1), v = 0;  observation o = x
//
// What each slot gets and must do: problem.h. What may be left out: eval_vjp and observe_vjp (then products are central
// differences, and the results say so), eval_jvp and observe_jvp (then directional derivatives are), jacobian (then it is
// made of products), terminal and all slots after it. Try it with
//   ctpgbench check -problem_library ./TEMPLATE.so -problems TEMPLATE

#include <ctpgbench/ctpgbench.h>

typedef struct {
  PetscReal damping; // 1/s
} Cart;

static const PetscInt actuated[] = {1}; // rows of f_u that can be nonzero: u enters v' alone

static PetscErrorCode ProblemCreate_TEMPLATE(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Cart *cart;
  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&cart));
  *ctx = cart;
  cart->damping = 0.1;
  PetscCall(CtpgOptionsReal(options, "damping", "friction of the rail, 1/s", 0, 100, &cart->damping));
  *dims = (CtpgDims){.nx = 2,
                     .nu = 1,
                     .no = 2,
                     .nq = 1,
                     .T = 5,
                     .policy = "mlp",
                     .widths = "16",
                     .activations = "tanh,linear",
                     .init_scale = 1,
                     .actuated = actuated,
                     .nactuated = 1,
                     .state_names = "position,velocity",
                     .state_units = "m,m/s",
                     .control_names = "force",
                     .control_units = "N"};
  PetscFunctionReturn(0);
}

static PetscErrorCode ProblemDraw_TEMPLATE(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                           PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, -1, 1);
  x0[1] = 0;
  PetscFunctionReturn(0);
}

static CtpgStatus ProblemEval_TEMPLATE(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                       const PetscReal *x, const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Cart *cart = ctx;
  (void)task, (void)t;
  for (PetscInt p = 0; p < n; p++, x += 2, u++, f += 2) {
    f[0] = x[1];
    f[1] = u[0] - cart->damping * x[1];
    w[p] = x[0] * x[0] + 0.1 * x[1] * x[1] + 0.01 * u[0] * u[0];
  }
  return CTPG_OK;
}

// gx += f_x' v + c w_x,  gu += f_u' v + c w_u
static CtpgStatus ProblemEvalVJP_TEMPLATE(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                          const PetscReal *x, const PetscReal *u, const PetscReal *v,
                                          const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  const Cart *cart = ctx;
  (void)task, (void)t;
  for (PetscInt p = 0; p < n; p++, x += 2, u++, v += 2, gx += 2, gu++) {
    gx[0] += c[p] * 2 * x[0];
    gx[1] += v[0] - cart->damping * v[1] + c[p] * 0.2 * x[1];
    gu[0] += v[1] + c[p] * 0.02 * u[0];
  }
  return CTPG_OK;
}

// df = f_x dx + f_u du,  dw = w_x dx + w_u du
static CtpgStatus ProblemEvalJVP_TEMPLATE(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                          const PetscReal *x, const PetscReal *u, const PetscReal *dx,
                                          const PetscReal *du, PetscReal *df, PetscReal *dw) {
  const Cart *cart = ctx;
  (void)task, (void)t;
  for (PetscInt p = 0; p < n; p++, x += 2, u++, dx += 2, du++, df += 2) {
    df[0] = dx[1];
    df[1] = du[0] - cart->damping * dx[1];
    dw[p] = 2 * x[0] * dx[0] + 0.2 * x[1] * dx[1] + 0.02 * u[0] * du[0];
  }
  return CTPG_OK;
}

// fx [2, 2] and fu [2, 1] at one point
static CtpgStatus ProblemJacobian_TEMPLATE(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x,
                                           const PetscReal *u, PetscReal *fx, PetscReal *fu) {
  const Cart *cart = ctx;
  (void)task, (void)t, (void)x, (void)u;
  fx[0] = 0, fx[1] = 1;
  fx[2] = 0, fx[3] = -cart->damping;
  fu[0] = 0;
  fu[1] = 1;
  return CTPG_OK;
}

static CtpgStatus ProblemObserve_TEMPLATE(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                          const PetscReal *x, PetscReal *o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < 2 * n; i++) o[i] = x[i];
  return CTPG_OK;
}

// gx += o_x' go
static CtpgStatus ProblemObserveVJP_TEMPLATE(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                             const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < 2 * n; i++) gx[i] += go[i];
  return CTPG_OK;
}

// d_o = o_x dx
static CtpgStatus ProblemObserveJVP_TEMPLATE(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                             const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < 2 * n; i++) d_o[i] = dx[i];
  return CTPG_OK;
}

static void ProblemDestroy_TEMPLATE(void **ctx) {
  PetscCallVoid(PetscFree(*ctx));
}

const CtpgProblemType CtpgProblem_TEMPLATE = {.abi = CTPG_ABI,
                                              .size = sizeof(CtpgProblemType),
                                              .name = "TEMPLATE",
                                              .version = 1, // raise it whenever results change
                                              .bibtex = "@misc{TEMPLATE, title={who to cite for this problem}}",
                                              .create = ProblemCreate_TEMPLATE,
                                              .draw = ProblemDraw_TEMPLATE,
                                              .eval = ProblemEval_TEMPLATE,
                                              .observe = ProblemObserve_TEMPLATE,
                                              .eval_vjp = ProblemEvalVJP_TEMPLATE,
                                              .observe_vjp = ProblemObserveVJP_TEMPLATE,
                                              .eval_jvp = ProblemEvalJVP_TEMPLATE,
                                              .observe_jvp = ProblemObserveJVP_TEMPLATE,
                                              .jacobian = ProblemJacobian_TEMPLATE,
                                              .destroy = ProblemDestroy_TEMPLATE};

CTPG_PLUGIN_PROBLEM(CtpgProblem_TEMPLATE)
