// problem.h -- contract of a control problem: the plant x' = f(t, x, u), its running cost w and what is seen of it
//
// For implementers: one file in problems/, which ends in `const CtpgProblemType CtpgProblem_<file stem> = {...}`; CMake
// finds it. A problem knows states and controls, nothing of policies, ranks, files, seeds, clocks or PETSc TS.
//
// Conventions of every slot
//   n           points per call, of one start or of several (see CtpgTask); arrays are row-major [n, .], local, never
//               NULL unless said
//   t [n]       times, s;  x [n, nx];  u [n, nu];  o [n, no]
//   task        what is given beside the state: the horizon, the start's own random numbers, the side of a break
//   products    accumulate (+=), never overwrite
//   ctx         one instance, constant after create apart from scratch memory; no state from one call to the next
//   allocation  only in create
//   failure     CTPG_DOMAIN where the plant is not defined; anything not finite is found by the closed loop
#ifndef CTPG_PROBLEM_H
#define CTPG_PROBLEM_H

#include "ctpgbench/base.h"
#include "ctpgbench/functions.h"
#include "ctpgbench/options.h"
#include "ctpgbench/random.h"

#pragma GCC visibility push(default)

// Flags of a problem.
#define CTPG_IS_NONSMOOTH   UINT64_C(1) // f or o has kinks or jumps: orders above one are not to be expected
#define CTPG_IS_DIFFERENCED UINT64_C(2) // eval_vjp or observe_vjp takes finite differences: marked in the results
#define CTPG_IS_HARD        UINT64_C(4) // stiff or chaotic: not a stage on which `check` tries estimators

// A solid that shows in pictures where a part of the plant is; in axes of its own, its middle in their origin.
typedef enum { CTPG_PLANE, CTPG_SPHERE, CTPG_CAPSULE, CTPG_ELLIPSOID, CTPG_CYLINDER, CTPG_BOX } CtpgSolid;
#define CTPG_NSOLIDS 6
typedef struct {
  CtpgSolid solid;
  // m; plane: half widths along x and y, 0 where it has no end; sphere: radius; capsule, cylinder: radius, half length
  // along z (a capsule's without its caps); ellipsoid: radii; box: half widths
  PetscReal size[3];
} CtpgShape;
enum { CTPG_POSE = 12 }; // numbers of where a solid is: its middle, and its axes as columns of a matrix, row by row

// Sizes and defaults of an instance, filled by create. What it points to is owned by ctx, or static.
typedef struct {
  PetscInt nx, nu, no;
  // Positions q and velocities v = q' in x, nq of each: x = (q, v, rest), see velocity_first; 0: no such split.
  PetscInt nq;
  PetscInt ntask, nbreak;
  PetscReal T;              // horizon, s; the engine replaces it by -horizon or a case file's before the first call
  const PetscReal *breaks;  // [nbreak] times in (0, T) at which f jumps, as fractions of T
  const PetscInt *actuated; // [nactuated] rows of f_u that can be nonzero, ascending; NULL: all nx
  PetscInt nactuated;
  const char *policy;       // default policy: "linear" or "mlp"
  const char *widths;       // hidden widths, "32,32"; "" for linear
  const char *activations;  // one per layer, "tanh,tanh,linear"
  PetscReal init_scale;     // factor of the initial weights
  PetscBool velocity_first; // x = (v, q, rest)
  // For files and figures, comma lists of nx or nu words, ASCII, at most 31 characters each ("px,py,heading" in
  // "m,m,rad"; an empty unit or 1 is none); NULL: unnamed.
  const char *state_names, *state_units, *control_names, *control_units;
  const CtpgConstant *constants; // [nconstants]
  PetscInt nconstants;
  const CtpgShape *shapes; // [nshapes] solids that place puts in their places; for `trace`
  PetscInt nshapes;
} CtpgDims;

// How many rows of f_u can be nonzero.
static inline PetscInt CtpgCountActuated(const CtpgDims *dims) {
  return dims->actuated ? dims->nactuated : dims->nx;
}
// Where positions and velocities begin in x; only with nq > 0.
static inline PetscInt CtpgFirstPosition(const CtpgDims *dims) {
  return dims->velocity_first ? dims->nq : 0;
}
static inline PetscInt CtpgFirstVelocity(const CtpgDims *dims) {
  return dims->velocity_first ? 0 : dims->nq;
}

// What differs between calls beside t, x and u. The points of a call belong to one start (`start` NULL), or each to a
// start of its own: a slot that uses the values or the side of a break asks for them point by point with the two
// functions below.
typedef struct {
  const PetscReal
      *values;    // what was drawn with x0 (electric's goals): [ntask], or [B, ntask] with `start`; NULL: ntask = 0
  PetscReal T;    // horizon, s
  PetscInt piece; // at a break time: k means the side between breaks k - 1 and k; negative: right-continuous
  const PetscInt *start;  // [n] start of each point, NULL: all of one
  const PetscInt *pieces; // [n] side for each point, NULL: `piece` for all
} CtpgTask;

// Of point p: what was drawn with its start [ntask], and its side of a break.
static inline const PetscReal *CtpgTaskValues(const CtpgTask *task, PetscInt ntask, PetscInt p) {
  return task->start ? task->values + task->start[p] * ntask : task->values;
}
static inline PetscInt CtpgTaskPiece(const CtpgTask *task, PetscInt p) {
  return task->pieces ? task->pieces[p] : task->piece;
}

// The policy as a problem may see it: sizes and the parameters of one that is a single linear layer, u = K o + b.
typedef struct {
  PetscInt nu, no;
  const PetscReal *K; // [nu, no]
  const PetscReal *b; // [nu]
} CtpgLinearPolicy;

typedef struct {
  CTPG_HEAD;
  // Why this build cannot run the problem ("built without ..."); all slots may then be NULL. NULL: it can.
  const char *unavailable;

  // ---- needed ----

  // Reads all its options; comm: ranks that share one state, today PETSC_COMM_SELF.
  PetscErrorCode (*create)(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx);
  // Takes a half-built instance, nulls the handle.
  void (*destroy)(void **ctx);
  // One start: x0 [nx] from its stream, task [ntask] from its own; cheap, training draws 100,000.
  PetscErrorCode (*draw)(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0, PetscReal *task);
  // f [n, nx] and running cost w [n].
  CtpgStatus (*eval)(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                     const PetscReal *u, PetscReal *f, PetscReal *w);

  // ---- what the policy sees; all NULL: o = x ----

  // o [n, no]. NULL: o = x, and no = nx.
  CtpgStatus (*observe)(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                        PetscReal *o);
  // gx [n, nx] += o_x' go for go [n, no]. NULL: central differences of observe.
  CtpgStatus (*observe_vjp)(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                            const PetscReal *go, PetscReal *gx);
  // d_o [n, no] = o_x dx, overwritten. NULL: central differences of observe.
  CtpgStatus (*observe_jvp)(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                            const PetscReal *dx, PetscReal *d_o);

  // ---- derivatives; each may be NULL ----

  // gx [n, nx] += f_x' v + c w_x, gu [n, nu] += f_u' v + c w_u for v [n, nx], c [n]. NULL: central differences of eval,
  // marked in the results.
  CtpgStatus (*eval_vjp)(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                         const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu);
  // df [n, nx] = f_x dx + f_u du, dw [n] likewise, overwritten. NULL: central differences of eval.
  CtpgStatus (*eval_jvp)(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                         const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df, PetscReal *dw);
  // fx [nx, nx], fu [nx, nu] at one point, overwritten. NULL: rows of eval_vjp.
  CtpgStatus (*jacobian)(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                         PetscReal *fx, PetscReal *fu);

  // ---- what a problem may have beside; each may be NULL ----

  // Terminal cost J(x(T)) and its gradient Jx [nx], overwritten. NULL: J = 0.
  CtpgStatus (*terminal)(void *ctx, const CtpgTask *task, const PetscReal *x, PetscReal *J, PetscReal *Jx);
  // Initial theta of a linear policy, K [nu, no] and b [nu], where the problem knows a better one than random weights.
  // NULL: the policy's own draw.
  PetscErrorCode (*draw_linear)(void *ctx, CtpgStream *theta_stream, PetscReal *K, PetscReal *b);
  // Loss and gradient in closed form under a linear policy: loss, gx0 [nx], gK [nu, no], gb [nu]. CTPG_SKIPPED where
  // there is none. NULL: never.
  CtpgStatus (*closed_form)(void *ctx, const CtpgTask *task, const CtpgLinearPolicy *policy, const PetscReal *x0,
                            PetscReal *loss, PetscReal *gx0, PetscReal *gK, PetscReal *gb);
  // Plant calls made since create, for a problem whose slots call an engine several times (finite differences). NULL:
  // each point of eval, eval_vjp, eval_jvp and each jacobian is one call.
  int64_t (*plant_calls)(void *ctx);
  // pose [dims.nshapes, CTPG_POSE] of the solids at one point, for pictures. NULL: there are none.
  CtpgStatus (*place)(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, PetscReal *pose);
} CtpgProblemType;

#pragma GCC visibility pop

#endif
