// napper.c -- a plug-in for cluster.sh: x' = -x + u, w = (x^2 + u^2) / 2, whose every call takes a nap of 1 ms
//
// Its sweeps last as long on any machine, whatever else goes on there, and leave the cores to the others.

#include <ctpgbench/ctpgbench.h>
#include <time.h>

static PetscErrorCode Create(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  PetscFunctionBeginUser;
  (void)comm, (void)options;
  *ctx = NULL;
  *dims = (CtpgDims){.nx = 1,
                     .nu = 1,
                     .no = 1,
                     .T = 1,
                     .policy = "linear",
                     .init_scale = 1,
                     .state_names = "position",
                     .state_units = "m",
                     .control_names = "velocity",
                     .control_units = "m/s"};
  PetscFunctionReturn(0);
}

static void Destroy(void **ctx) {
  (void)ctx;
}

static PetscErrorCode Draw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0, PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, 0.5, 1.5);
  PetscFunctionReturn(0);
}

static void Nap(void) {
  nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static CtpgStatus Eval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                       const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx, (void)task, (void)t;
  Nap();
  for (PetscInt p = 0; p < n; p++) {
    f[p] = u[p] - x[p];
    w[p] = (x[p] * x[p] + u[p] * u[p]) / 2;
  }
  return CTPG_OK;
}

static CtpgStatus EvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                          const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  (void)ctx, (void)task, (void)t;
  Nap();
  for (PetscInt p = 0; p < n; p++) {
    gx[p] += c[p] * x[p] - v[p];
    gu[p] += c[p] * u[p] + v[p];
  }
  return CTPG_OK;
}

static const CtpgProblemType napper = {.abi = CTPG_ABI,
                                       .size = sizeof(CtpgProblemType),
                                       .name = "napper",
                                       .bibtex = "@misc{napper, title={A plant that sleeps}}",
                                       .version = 1,
                                       .create = Create,
                                       .destroy = Destroy,
                                       .draw = Draw,
                                       .eval = Eval,
                                       .eval_vjp = EvalVJP};

CTPG_PLUGIN_PROBLEM(napper)
