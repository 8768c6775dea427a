// adversary.c -- a plug-in for test_adversaries.py: a cart on a rail, and what no mesh can know of
//
//   q' = v,  v' = u - 0.1 v - kink max(0, q - 0.4)        q: position, m; v: velocity, m/s; u: force, N
//   w = (1 + peak B(t)) (q^2 + 0.1 v^2) + 0.01 u^2,        B(t) = exp(1 - 1 / (1 - z^2)), |z| < 1, else 0
//   z = (t - 0.377 T) / (width T / 2)                      horizon T = 5 s; q ~ U(0.5, 1.5), v = 0; o = x
// peak, kink and width are options; declared: the ends of the peak are break times, and everybody sees it.

#include <ctpgbench/ctpgbench.h>
#include <math.h>

#define CENTRE 0.377
#define T_END  5.0

typedef struct {
  PetscReal peak, kink, width, breaks[2];
} Cart;

static PetscErrorCode Create(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Cart *cart;
  PetscBool declared = PETSC_FALSE;
  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&cart));
  *ctx = cart;
  cart->width = 0.002;
  PetscCall(CtpgOptionsReal(options, "peak", "height of the peak of the cost", 0, 1e9, &cart->peak));
  PetscCall(CtpgOptionsReal(options, "kink", "stiffness of a spring beyond q = 0.4, 1/s^2", 0, 1e9, &cart->kink));
  PetscCall(CtpgOptionsReal(options, "width", "of the peak, as a part of the horizon", 1e-9, 0.5, &cart->width));
  PetscCall(CtpgOptionsBool(options, "declared", "the ends of the peak are break times", &declared));
  cart->breaks[0] = CENTRE - cart->width / 2;
  cart->breaks[1] = CENTRE + cart->width / 2;
  *dims = (CtpgDims){.nx = 2,
                     .nu = 1,
                     .no = 2,
                     .nq = 1,
                     .nbreak = declared ? 2 : 0,
                     .breaks = cart->breaks,
                     .T = T_END,
                     .policy = "mlp",
                     .widths = "16",
                     .activations = "tanh,linear",
                     .init_scale = 1,
                     .state_names = "position,velocity",
                     .state_units = "m,m/s",
                     .control_names = "force",
                     .control_units = "N"};
  PetscFunctionReturn(0);
}

static void Destroy(void **ctx) {
  PetscCallVoid(PetscFree(*ctx));
}

static PetscErrorCode Draw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0, PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, 0.5, 1.5);
  x0[1] = 0;
  PetscFunctionReturn(0);
}

static PetscReal Weight(const Cart *cart, PetscReal t) {
  const PetscReal z = (t / T_END - CENTRE) / (cart->width / 2);
  return fabs(z) < 1 ? 1 + cart->peak * exp(1 - 1 / (1 - z * z)) : 1;
}

static CtpgStatus Eval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                       const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Cart *cart = ctx;
  (void)task;
  for (PetscInt p = 0; p < n; p++, x += 2, u++, f += 2) {
    f[0] = x[1];
    f[1] = u[0] - 0.1 * x[1] - cart->kink * fmax(0, x[0] - 0.4);
    w[p] = Weight(cart, t[p]) * (x[0] * x[0] + 0.1 * x[1] * x[1]) + 0.01 * u[0] * u[0];
  }
  return CTPG_OK;
}

static CtpgStatus EvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                          const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  const Cart *cart = ctx;
  (void)task;
  for (PetscInt p = 0; p < n; p++, x += 2, u++, v += 2, gx += 2, gu++) {
    gx[0] += c[p] * Weight(cart, t[p]) * 2 * x[0] - (x[0] > 0.4 ? cart->kink * v[1] : 0);
    gx[1] += v[0] - 0.1 * v[1] + c[p] * Weight(cart, t[p]) * 0.2 * x[1];
    gu[0] += v[1] + c[p] * 0.02 * u[0];
  }
  return CTPG_OK;
}

static const CtpgProblemType adversary = {.abi = CTPG_ABI,
                                          .size = sizeof(CtpgProblemType),
                                          .name = "adversary",
                                          .bibtex = "@misc{adversary, title={What no mesh can know of}}",
                                          .version = 1,
                                          .flags = CTPG_IS_HARD,
                                          .create = Create,
                                          .destroy = Destroy,
                                          .draw = Draw,
                                          .eval = Eval,
                                          .eval_vjp = EvalVJP};

CTPG_PLUGIN_PROBLEM(adversary)
