// lqr.c -- linear plant with quadratic cost: the problem whose optimum, loss and gradient are known
//
//   x' = A x + B u,  w = x'Q x + u'R u,  o = x,  x0 ~ N(0, I)        A [nx, nx], B [nx, nu], Q [nx, nx], R [nu, nu]
// By default A = 0 and B = Q = R = I with nx = nu = 2; each matrix is a multiple of the identity, which costs nx per
// evaluation, or given in full.
//
// Initial linear policy: u = K x + b, K = K* + s sqrt(2/nx) N(0,1), b = s/3 N(0,1), with s = -lqr_perturbation and the
// optimum K* = -R^-1 B'P of the infinite horizon, A'P + P A - P B R^-1 B'P + Q = 0.
// There is no (q, v, rest) split, nq = 0.
// Source: Ainsworth et al. 2021 (bibtex below); the methods are cited where they stand.

#include "ctpgbench/problem.h"
#include <math.h>
#include <petscblaslapack.h>
#include <petscdt.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 10, LARGEST_CLOSED_FORM = 32 };

// M [rows, cols]: entries row-major, or scale times the (rectangular) identity when entries is NULL.
typedef struct {
  PetscInt rows, cols;
  PetscReal scale, *entries;
} Matrix;

typedef struct {
  PetscInt nx, nu;
  Matrix A, B, Q, R;
  PetscInt *actuated; // [nactuated] rows of B that are not zero
  PetscInt nactuated;
  PetscReal perturbation;
  PetscReal *optimum; // K* [nu, nx], found at the first draw that needs it
  PetscBool knows_optimum;
  PetscReal node[NODES], weight[NODES]; // Gauss-Legendre on [0, 1]
} Lqr;

// ---- matrices ----

static PetscReal Entry(const Matrix *m, PetscInt i, PetscInt j) {
  return m->entries ? m->entries[i * m->cols + j] : i == j ? m->scale : 0;
}

static PetscReal Dot(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

// y += factor x
static void AddScaled(PetscInt n, PetscReal factor, const PetscReal *x, PetscReal *y) {
  for (PetscInt i = 0; i < n; i++) y[i] += factor * x[i];
}

// y += factor M x
static void AddProduct(const Matrix *m, PetscReal factor, const PetscReal *x, PetscReal *y) {
  if (!m->entries)
    AddScaled(PetscMin(m->rows, m->cols), factor * m->scale, x, y);
  else
    for (PetscInt i = 0; i < m->rows; i++) y[i] += factor * Dot(m->cols, m->entries + i * m->cols, x);
}

// y += M' x
static void AddTransposedProduct(const Matrix *m, const PetscReal *x, PetscReal *y) {
  if (!m->entries)
    AddScaled(PetscMin(m->rows, m->cols), m->scale, x, y);
  else
    for (PetscInt i = 0; i < m->rows; i++) AddScaled(m->cols, x[i], m->entries + i * m->cols, y);
}

// y' M x of a square M
static PetscReal BilinearForm(const Matrix *m, const PetscReal *y, const PetscReal *x) {
  PetscReal sum = 0;
  if (!m->entries) return m->scale * Dot(m->rows, y, x);
  for (PetscInt i = 0; i < m->rows; i++) sum += y[i] * Dot(m->cols, m->entries + i * m->cols, x);
  return sum;
}

// full [rows, cols] = M
static void WriteOut(const Matrix *m, PetscReal *full) {
  const size_t size = (size_t)m->rows * (size_t)m->cols;
  if (m->entries) {
    memcpy(full, m->entries, size * sizeof *full);
    return;
  }
  memset(full, 0, size * sizeof *full);
  for (PetscInt i = 0; i < PetscMin(m->rows, m->cols); i++) full[i * m->cols + i] = m->scale;
}

// ---- instance ----

static PetscErrorCode ReadMatrix(CtpgOptions options, const char *name, const char *help, PetscReal scale, Matrix *m) {
  char key[PETSC_MAX_OPTION_NAME];
  PetscBool given;
  PetscInt n;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsFind(options, name, key, sizeof key, &given));
  PetscCall(CtpgOptionsReals(options, name, help, &n, &m->entries));
  m->scale = n ? m->entries[0] : scale;
  PetscCheck(n <= 1 || n == m->rows * m->cols, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s has %" PetscInt_FMT " numbers; expected 1 (times the identity) or %" PetscInt_FMT " (%" PetscInt_FMT
             " x %" PetscInt_FMT ", row by row)",
             key, n, m->rows * m->cols, m->rows, m->cols);
  if (n <= 1) PetscCall(PetscFree(m->entries));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckSymmetric(CtpgOptions options, const char *name, const Matrix *m) {
  char key[PETSC_MAX_OPTION_NAME];
  PetscBool given;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsFind(options, name, key, sizeof key, &given));
  for (PetscInt i = 0; m->entries && i < m->rows; i++)
    for (PetscInt j = 0; j < i; j++)
      PetscCheck(Entry(m, i, j) == Entry(m, j, i), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
                 "%s is not symmetric: entry (%" PetscInt_FMT ", %" PetscInt_FMT ") is %.17g, entry (%" PetscInt_FMT
                 ", %" PetscInt_FMT ") is %.17g; expected equal numbers",
                 key, i + 1, j + 1, (double)Entry(m, i, j), j + 1, i + 1, (double)Entry(m, j, i));
  PetscFunctionReturn(0);
}

// Cholesky factor of a full symmetric matrix, lower triangle column-major; *info as LAPACK's potrf.
static PetscErrorCode Factor(const Matrix *m, PetscReal **factor, PetscBLASInt *info) {
  PetscBLASInt n;

  PetscFunctionBeginUser;
  PetscCall(PetscBLASIntCast(m->rows, &n));
  PetscCall(PetscMalloc1((size_t)n * n, factor));
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt j = 0; j < n; j++) (*factor)[i * n + j] = Entry(m, i, j);
  PetscCallBLAS("LAPACKpotrf", LAPACKpotrf_("L", &n, *factor, &n, info));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckPositiveDefinite(CtpgOptions options, const char *name, const Matrix *m) {
  char key[PETSC_MAX_OPTION_NAME];
  PetscReal *factor = NULL;
  PetscBLASInt info = m->scale > 0 ? 0 : 1;
  PetscBool given;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsFind(options, name, key, sizeof key, &given));
  if (m->entries) PetscCall(Factor(m, &factor, &info));
  PetscCall(PetscFree(factor));
  PetscCheck(info == 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s is not positive definite (leading minor %d); expected a symmetric positive definite matrix", key,
             (int)info);
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadOptions(CtpgOptions options, Lqr *lqr) {
  PetscFunctionBeginUser;
  lqr->nx = 2;
  PetscCall(CtpgOptionsInt(options, "nx", "number of states", 1, 1000, &lqr->nx));
  lqr->nu = lqr->nx;
  PetscCall(CtpgOptionsInt(options, "nu", "number of controls (default: nx)", 1, 1000, &lqr->nu));
  lqr->A.rows = lqr->A.cols = lqr->B.rows = lqr->Q.rows = lqr->Q.cols = lqr->nx;
  lqr->B.cols = lqr->R.rows = lqr->R.cols = lqr->nu;
  PetscCall(ReadMatrix(options, "A", "x' = A x + B u: times identity, or nx * nx row-major (default 0)", 0, &lqr->A));
  PetscCall(ReadMatrix(options, "B", "times identity, or nx * nu row-major (default 1)", 1, &lqr->B));
  PetscCall(ReadMatrix(options, "Q", "w = x'Q x + u'R u: times identity, or nx * nx (default 1)", 1, &lqr->Q));
  PetscCall(ReadMatrix(options, "R", "times identity, or nu * nu (default 1)", 1, &lqr->R));
  PetscCall(CheckSymmetric(options, "Q", &lqr->Q));
  PetscCall(CheckSymmetric(options, "R", &lqr->R));
  PetscCall(CheckPositiveDefinite(options, "R", &lqr->R));
  lqr->perturbation = 0.3;
  PetscCall(CtpgOptionsReal(options, "perturbation", "size of the random part of the linear policy; 0: the optimum", 0,
                            PETSC_MAX_REAL, &lqr->perturbation));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListActuated(Lqr *lqr) {
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(lqr->nx, &lqr->actuated));
  for (PetscInt i = 0; i < lqr->nx; i++) {
    PetscBool moved = PETSC_FALSE;
    for (PetscInt j = 0; j < lqr->nu && !moved; j++) moved = Entry(&lqr->B, i, j) != 0 ? PETSC_TRUE : PETSC_FALSE;
    if (moved) lqr->actuated[lqr->nactuated++] = i;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode LqrCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Lqr *lqr;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&lqr));
  *ctx = lqr;
  PetscCall(ReadOptions(options, lqr));
  PetscCall(ListActuated(lqr));
  PetscCall(PetscDTGaussQuadrature(NODES, 0, 1, lqr->node, lqr->weight));
  *dims = (CtpgDims){.nx = lqr->nx,
                     .nu = lqr->nu,
                     .no = lqr->nx,
                     .T = 10,
                     .policy = "linear",
                     .widths = "32",
                     .activations = "tanh,linear",
                     .init_scale = 0.1,
                     .actuated = lqr->actuated,
                     .nactuated = lqr->nactuated};
  PetscFunctionReturn(0);
}

static void LqrDestroy(void **ctx) {
  Lqr *lqr = *ctx;
  if (!lqr) return;
  (void)PetscFree(lqr->A.entries);
  (void)PetscFree(lqr->B.entries);
  (void)PetscFree(lqr->Q.entries);
  (void)PetscFree(lqr->R.entries);
  (void)PetscFree(lqr->actuated);
  (void)PetscFree(lqr->optimum);
  (void)PetscFree(*ctx);
}

static PetscErrorCode LqrDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                              PetscReal *task) {
  const Lqr *lqr = ctx;

  PetscFunctionBeginUser;
  (void)task_stream, (void)task;
  for (PetscInt i = 0; i < lqr->nx; i++) x0[i] = CtpgStreamNormal(x0_stream);
  PetscFunctionReturn(0);
}

// ---- plant ----

static CtpgStatus LqrEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                          const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Lqr *lqr = ctx;
  (void)task, (void)t;
  memset(f, 0, sizeof(*f) * n * lqr->nx);
  for (PetscInt i = 0; i < n; i++, x += lqr->nx, u += lqr->nu, f += lqr->nx) {
    AddProduct(&lqr->A, 1, x, f);
    AddProduct(&lqr->B, 1, u, f);
    w[i] = BilinearForm(&lqr->Q, x, x) + BilinearForm(&lqr->R, u, u);
  }
  return CTPG_OK;
}

static CtpgStatus LqrEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  const Lqr *lqr = ctx;
  const PetscInt nx = lqr->nx, nu = lqr->nu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += nx, u += nu, v += nx, gx += nx, gu += nu) {
    AddTransposedProduct(&lqr->A, v, gx);
    AddProduct(&lqr->Q, 2 * c[i], x, gx);
    AddTransposedProduct(&lqr->B, v, gu);
    AddProduct(&lqr->R, 2 * c[i], u, gu);
  }
  return CTPG_OK;
}

// Q and R are symmetric.
static CtpgStatus LqrEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                             PetscReal *dw) {
  const Lqr *lqr = ctx;
  const PetscInt nx = lqr->nx, nu = lqr->nu;
  (void)task, (void)t;
  memset(df, 0, sizeof(*df) * n * nx);
  for (PetscInt i = 0; i < n; i++, x += nx, u += nu, dx += nx, du += nu, df += nx) {
    AddProduct(&lqr->A, 1, dx, df);
    AddProduct(&lqr->B, 1, du, df);
    dw[i] = 2 * (BilinearForm(&lqr->Q, x, dx) + BilinearForm(&lqr->R, u, du));
  }
  return CTPG_OK;
}

static CtpgStatus LqrJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                              PetscReal *fx, PetscReal *fu) {
  const Lqr *lqr = ctx;
  (void)task, (void)t, (void)x, (void)u;
  WriteOut(&lqr->A, fx);
  WriteOut(&lqr->B, fu);
  return CTPG_OK;
}

// ---- linear feedback ----

// For u = F z, F [nu, n], with z = x (n = nx) or z = (x, 1) (n = nx + 1): overwrites R F [nu, n], M [n, n] of z' = M z
// and W [n, n] of w = z'W z, row-major.
static void CloseLoop(const Lqr *lqr, PetscInt n, const PetscReal *F, PetscReal *RF, PetscReal *M, PetscReal *W) {
  const PetscInt nx = lqr->nx, nu = lqr->nu;
  memset(RF, 0, sizeof(*RF) * nu * n);
  memset(M, 0, sizeof(*M) * n * n);
  memset(W, 0, sizeof(*W) * n * n);
  for (PetscInt k = 0; k < nu; k++)
    for (PetscInt l = 0; l < nu; l++) AddScaled(n, Entry(&lqr->R, k, l), F + l * n, RF + k * n);
  for (PetscInt i = 0; i < nx; i++) {
    for (PetscInt j = 0; j < nx; j++) {
      M[i * n + j] = Entry(&lqr->A, i, j);
      W[i * n + j] = Entry(&lqr->Q, i, j);
    }
    for (PetscInt k = 0; k < nu; k++) AddScaled(n, Entry(&lqr->B, i, k), F + k * n, M + i * n);
  }
  for (PetscInt k = 0; k < nu; k++)
    for (PetscInt i = 0; i < n; i++) AddScaled(n, F[k * n + i], RF + k * n, W + i * n);
}

// ---- optimum of the infinite horizon ----

// Multiples of the identity: every state on its own, b^2 p^2 / r - 2 a p - q = 0 with closed loop eigenvalue -s,
// s = sqrt(a^2 + b^2 q / r), and k = -b p / r = -(a + s) / b. A state without a control must decay by itself.
static PetscBool OptimumOfScalars(const Lqr *lqr, PetscReal *K) {
  const PetscReal a = lqr->A.scale, b = lqr->B.scale, q = lqr->Q.scale, r = lqr->R.scale;
  const PetscReal s = sqrt(a * a + b * b * q / r);
  const PetscInt controlled = b != 0 ? PetscMin(lqr->nx, lqr->nu) : 0;
  if ((controlled > 0 && !(s > 0)) || (controlled < lqr->nx && a >= 0)) return PETSC_FALSE;
  for (PetscInt i = 0; i < controlled; i++) K[i * lqr->nx + i] = a < 0 ? -b * q / (r * (s - a)) : -(a + s) / b;
  return PETSC_TRUE;
}

// Square column-major matrices of one size, for the doubling below; `work` holds four of them, `pivot` n.
typedef struct {
  PetscBLASInt n, *pivot;
  PetscReal *A, *G, *H, *work;
} Doubling;

// C = alpha op(A) op(B) + beta C
static void Multiply(PetscBLASInt n, const char *opA, const char *opB, PetscReal alpha, const PetscReal *A,
                     const PetscReal *B, PetscReal beta, PetscReal *C) {
  BLASgemm_(opA, opB, &n, &n, &n, &alpha, A, &n, B, &n, &beta, C, &n);
}

// X = M^-1 X for X [n, columns]; M is destroyed. Is M regular?
static PetscBool Solve(Doubling *d, PetscReal *M, PetscBLASInt columns, PetscReal *X) {
  PetscBLASInt info;
  LAPACKgesv_(&d->n, &columns, M, &d->n, d->pivot, X, &d->n, &info);
  return info == 0 ? PETSC_TRUE : PETSC_FALSE;
}

static void SetIdentity(PetscInt n, PetscReal *M) {
  memset(M, 0, sizeof(*M) * n * n);
  for (PetscInt i = 0; i < n; i++) M[i * n + i] = 1;
}

static void Symmetrize(PetscInt n, PetscReal *M) {
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt j = 0; j < i; j++) M[i * n + j] = M[j * n + i] = (M[i * n + j] + M[j * n + i]) / 2;
}

// Largest sum of absolute values over a row or column of a row- or column-major [n, n].
static PetscReal Norm(PetscInt n, const PetscReal *M) {
  PetscReal largest = 0;
  for (PetscInt i = 0; i < n; i++) {
    PetscReal sum = 0;
    for (PetscInt j = 0; j < n; j++) sum += fabs(M[i * n + j]);
    largest = sum <= largest ? largest : sum; // keeps NaN
  }
  return largest;
}

// Start of the doubling by a Cayley transform with gamma beyond the spectrum of the Hamiltonian, Ag = A - gamma I:
//   W = Ag' + H Ag^-1 G,  A <- I + 2 gamma W^-T,  G <- 2 gamma Ag^-1 G W^-1,  H <- 2 gamma W^-1 H Ag^-1
static PetscBool StartDoubling(Doubling *d) {
  const PetscInt n = d->n, nn = n * n;
  PetscReal *inverse = d->work, *AG = inverse + nn, *W = AG + nn, *copy = W + nn;
  const PetscReal gamma = 1.1 * (Norm(n, d->A) + sqrt(Norm(n, d->G) * Norm(n, d->H)));
  for (PetscInt i = 0; i < n; i++) d->A[i * n + i] -= gamma;
  memcpy(copy, d->A, sizeof(*copy) * nn);
  SetIdentity(n, inverse);
  if (!Solve(d, copy, d->n, inverse)) return PETSC_FALSE;
  Multiply(d->n, "N", "N", 1, inverse, d->G, 0, AG);
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt j = 0; j < n; j++) copy[j * n + i] = d->A[i * n + j];
  Multiply(d->n, "N", "N", 1, d->H, AG, 1, copy);
  SetIdentity(n, W); // becomes W^-1
  if (!Solve(d, copy, d->n, W)) return PETSC_FALSE;
  Multiply(d->n, "N", "N", 2 * gamma, AG, W, 0, d->G);
  Multiply(d->n, "N", "N", 1, d->H, inverse, 0, copy);
  Multiply(d->n, "N", "N", 2 * gamma, W, copy, 0, d->H);
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt j = 0; j < n; j++) d->A[i * n + j] = (i == j) + 2 * gamma * W[j * n + i];
  return PETSC_TRUE;
}

// V = (I + G H)^-1 (A, G);  G <- G + A V_G A',  H <- H + A'H V_A,  A <- A V_A
static PetscBool Double(Doubling *d) {
  const PetscInt n = d->n, nn = n * n;
  PetscReal *M = d->work, *VA = M + nn, *VG = VA + nn, *product = VG + nn;
  SetIdentity(n, M);
  Multiply(d->n, "N", "N", 1, d->G, d->H, 1, M);
  memcpy(VA, d->A, sizeof(*VA) * nn);
  memcpy(VG, d->G, sizeof(*VG) * nn);
  if (!Solve(d, M, 2 * d->n, VA)) return PETSC_FALSE;
  Multiply(d->n, "N", "N", 1, d->A, VG, 0, product);
  Multiply(d->n, "N", "T", 1, product, d->A, 1, d->G);
  Multiply(d->n, "N", "N", 1, d->H, VA, 0, product);
  Multiply(d->n, "T", "N", 1, d->A, product, 1, d->H);
  Multiply(d->n, "N", "N", 1, d->A, VA, 0, product);
  memcpy(d->A, product, sizeof(*product) * nn);
  Symmetrize(n, d->G);
  Symmetrize(n, d->H);
  return PETSC_TRUE;
}

// A'P + P A - P G P + H = 0: H becomes the stabilising P. A tends to zero exactly when there is one, quadratically.
// E. K.-W. Chu, H.-Y. Fan, W.-W. Lin, "A structure-preserving doubling algorithm for continuous-time algebraic Riccati
// equations", Linear Algebra Appl. 396 (2005). P is scaled so that G and H are of one size.
static PetscBool SolveRiccati(Doubling *d) {
  const PetscInt n = d->n;
  const PetscReal size_G = Norm(n, d->G), size_H = Norm(n, d->H);
  const PetscReal sigma = size_G > 0 && size_H > 0 ? sqrt(size_H / size_G) : 1;
  for (PetscInt i = 0; i < n * n; i++) d->G[i] *= sigma, d->H[i] /= sigma;
  if (!StartDoubling(d)) return PETSC_FALSE;
  for (PetscInt k = 0; k < 60 && Norm(n, d->A) > 1e-9; k++)
    if (!Double(d)) return PETSC_FALSE;
  for (PetscInt i = 0; i < n * n; i++) d->H[i] *= sigma;
  return Norm(n, d->A) <= 1e-9 && isfinite(Norm(n, d->H)) ? PETSC_TRUE : PETSC_FALSE;
}

// X = R^-1 B' [nu, nx] column-major
static PetscErrorCode WeightedControls(const Lqr *lqr, PetscReal *X) {
  const PetscBLASInt nx = (PetscBLASInt)lqr->nx, nu = (PetscBLASInt)lqr->nu;
  PetscBLASInt info;
  PetscReal *factor;

  PetscFunctionBeginUser;
  PetscCall(Factor(&lqr->R, &factor, &info));
  for (PetscInt i = 0; i < nx; i++)
    for (PetscInt j = 0; j < nu; j++) X[i * nu + j] = Entry(&lqr->B, i, j);
  PetscCallBLAS("LAPACKpotrs", LAPACKpotrs_("L", &nu, &nx, factor, &nu, X, &nu, &info));
  PetscCall(PetscFree(factor));
  PetscFunctionReturn(0);
}

// K [nu, nx] row-major = -X P for X [nu, nx] column-major
static void SetGain(PetscInt n, PetscInt nu, const PetscReal *X, const PetscReal *P, PetscReal *K) {
  memset(K, 0, sizeof(*K) * n * nu);
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt k = 0; k < nu; k++) AddScaled(n, -X[i * nu + k], P + i * n, K + k * n);
}

// The Riccati equation of the problem: A, G = B X with X = R^-1 B', H = Q.
static void SetRiccati(const Lqr *lqr, const PetscReal *X, Doubling *d) {
  const PetscInt n = lqr->nx;
  for (PetscInt j = 0; j < n; j++) {
    AddProduct(&lqr->B, 1, X + j * lqr->nu, d->G + j * n);
    for (PetscInt i = 0; i < n; i++) {
      d->A[j * n + i] = Entry(&lqr->A, i, j);
      d->H[j * n + i] = Entry(&lqr->Q, i, j);
    }
  }
  Symmetrize(n, d->G);
}

// Newton's step from K: (A + B K)'P + P (A + B K) + Q + K'R K = 0 (D. L. Kleinman, "On an iterative technique for
// Riccati equation computations", IEEE Trans. Automat. Control 13, 1968). It restores what scaling cost the doubling.
static void SetNewton(const Lqr *lqr, const PetscReal *K, PetscReal *RK, Doubling *d) {
  const PetscInt n = lqr->nx;
  memset(d->G, 0, sizeof(*d->G) * n * n);
  CloseLoop(lqr, n, K, RK, d->work, d->H);
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt j = 0; j < n; j++) d->A[j * n + i] = d->work[i * n + j];
  Symmetrize(n, d->H);
}

// K* of full matrices by one solution of the Riccati equation and one Newton step.
static PetscErrorCode OptimumOfMatrices(const Lqr *lqr, PetscReal *K, PetscBool *found) {
  const PetscInt n = lqr->nx, nn = n * n, nu = lqr->nu;
  Doubling d = {.n = (PetscBLASInt)n};
  PetscReal *memory, *X, *RK;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc4(7 * nn, &memory, n * nu, &X, n * nu, &RK, n, &d.pivot));
  d.A = memory, d.G = d.A + nn, d.H = d.G + nn, d.work = d.H + nn;
  PetscCall(WeightedControls(lqr, X));
  SetRiccati(lqr, X, &d);
  *found = SolveRiccati(&d);
  SetGain(n, nu, X, d.H, K);
  if (*found) {
    SetNewton(lqr, K, RK, &d);
    *found = SolveRiccati(&d);
    SetGain(n, nu, X, d.H, K);
  }
  PetscCall(PetscFree4(memory, X, RK, d.pivot));
  PetscFunctionReturn(0);
}

static PetscErrorCode FindOptimum(const Lqr *lqr, PetscReal *K) {
  const PetscBool full =
      lqr->A.entries || lqr->B.entries || lqr->Q.entries || lqr->R.entries ? PETSC_TRUE : PETSC_FALSE;
  PetscBool found = PETSC_FALSE;

  PetscFunctionBeginUser;
  if (full)
    PetscCall(OptimumOfMatrices(lqr, K, &found));
  else
    found = OptimumOfScalars(lqr, K);
  PetscCheck(found, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "the Riccati equation of lqr has no stabilising solution, so the linear policy has no optimum to start "
             "from; expected -lqr_A, -lqr_B with (A, B) stabilisable and -lqr_Q with (Q, A) detectable, or "
             "-lqr_policy mlp");
  PetscFunctionReturn(0);
}

// The optimum is found at the first draw: training an mlp with nx = 1000 never asks for it.
static PetscErrorCode LqrDrawLinear(void *ctx, CtpgStream *theta_stream, PetscReal *K, PetscReal *b) {
  Lqr *lqr = ctx;
  const PetscInt size = lqr->nx * lqr->nu;
  const PetscReal spread = lqr->perturbation * sqrt(2 / (PetscReal)lqr->nx);

  PetscFunctionBeginUser;
  if (!lqr->optimum) PetscCall(PetscCalloc1(size, &lqr->optimum));
  if (!lqr->knows_optimum) PetscCall(FindOptimum(lqr, lqr->optimum));
  lqr->knows_optimum = PETSC_TRUE;
  for (PetscInt i = 0; i < size; i++) K[i] = lqr->optimum[i] + spread * CtpgStreamNormal(theta_stream);
  for (PetscInt i = 0; i < lqr->nu; i++) b[i] = lqr->perturbation / 3 * CtpgStreamNormal(theta_stream);
  PetscFunctionReturn(0);
}

// ---- closed form under u = K x + b ----
//
//   z = (x, 1),  F = (K b):  z' = M z,  M = [A + B K, B b; 0, 0],  w = z'W z,  W = [Q 0; 0 0] + F'R F
//   alpha' = -M'alpha - 2 W z, alpha(T) = 0;  alpha = 2 P z,  P' = -(M'P + P M + W), P(T) = 0
//   L = z0'P(0) z0,  dL/dx0 = alpha(0),  dL/dF = B' int alpha_x z' dt + 2 R F int z z' dt
// y = (z, alpha) obeys y' = H y, H = [M 0; -2 W -M'], whose exponential has the blocks E11, E21 and E22 = E11^-T. Over
// a substep h: z <- E11 z, and P <- E11'P E11 + P(h) backwards with 2 P(h) = -E11'E21: both stable. Within a substep
// the integrand y z' is entire; with ||H|| h <= 1 ten Gauss nodes leave a error below 1e-24. Cf. C. F. Van Loan,
// "Computing integrals involving the matrix exponential", IEEE Trans. Automat. Control 23 (1978).
// W, P and alpha are divided by `sigma`, which makes ||W|| comparable to ||M||.

typedef struct {
  PetscInt n, nu, nsteps; // n = nx + 1
  PetscReal h, sigma;
  PetscReal *memory, *paths;
  PetscReal *M, *W, *F, *RF;         // [n, n], [n, n], [nu, n], [nu, n]
  PetscReal *H, *step, *flow[NODES]; // [2n, 2n]: Hamiltonian, exp(H h), exp(H h node)
  PetscReal *P, *product;            // [n, n], [2n, 2n] scratch
  PetscReal *S;                      // [2n, n] int y z' dt
  PetscReal *z, *y;                  // [nsteps + 1, n] in paths; [4n] scratch: y at the start of a substep, y at a node
} ClosedForm;

static PetscReal *Take(PetscReal **pool, PetscInt n) {
  PetscReal *piece = *pool;
  *pool += n;
  return piece;
}

static PetscBool ClosedFormAllocate(ClosedForm *form) {
  const PetscInt n = form->n, nn = n * n, controls = form->nu * n;
  PetscReal *pool = form->memory =
      calloc((size_t)(5 * nn + 2 * controls + 4 * (NODES + 3) * nn + 4 * n), sizeof(*pool));
  if (!pool) return PETSC_FALSE;
  form->M = Take(&pool, nn), form->W = Take(&pool, nn), form->P = Take(&pool, nn), form->S = Take(&pool, 2 * nn);
  form->F = Take(&pool, controls), form->RF = Take(&pool, controls);
  form->H = Take(&pool, 4 * nn), form->step = Take(&pool, 4 * nn), form->product = Take(&pool, 4 * nn);
  for (PetscInt q = 0; q < NODES; q++) form->flow[q] = Take(&pool, 4 * nn);
  form->y = Take(&pool, 4 * n);
  return PETSC_TRUE;
}

static void ClosedFormFree(ClosedForm *form) {
  free(form->memory);
  free(form->paths);
}

// F, R F, M and W of the policy.
static void ClosedFormMatrices(const Lqr *lqr, const CtpgLinearPolicy *policy, ClosedForm *form) {
  const PetscInt nx = lqr->nx;
  for (PetscInt k = 0; k < lqr->nu; k++) {
    memcpy(form->F + k * form->n, policy->K + k * nx, sizeof(*form->F) * nx);
    form->F[k * form->n + nx] = policy->b[k];
  }
  CloseLoop(lqr, form->n, form->F, form->RF, form->M, form->W);
}

// sigma, H, and the substep from ||H|| h <= 1. False where that takes too many substeps, or the policy is not finite.
static PetscBool ClosedFormHamiltonian(PetscReal T, ClosedForm *form) {
  const PetscInt n = form->n;
  const PetscReal size_M = PetscMax(Norm(n, form->M), 1 / T), size_W = Norm(n, form->W);
  form->sigma = size_W > 0 ? 2 * size_W / size_M : 1;
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt j = 0; j < n; j++) {
      form->H[i * 2 * n + j] = form->M[i * n + j];
      form->H[(n + i) * 2 * n + j] = -2 * form->W[i * n + j] / form->sigma;
      form->H[(n + i) * 2 * n + n + j] = -form->M[j * n + i];
    }
  const PetscReal nsteps = ceil(Norm(2 * n, form->H) * T);
  if (!(nsteps <= 1e6)) return PETSC_FALSE;
  form->nsteps = PetscMax(1, (PetscInt)nsteps);
  form->h = T / form->nsteps;
  form->paths = calloc((size_t)(form->nsteps + 1) * n, sizeof(*form->paths));
  form->z = form->paths;
  return form->z ? PETSC_TRUE : PETSC_FALSE;
}

// E = exp(H h) by Taylor's series in Horner's form, I + H h (I + H h / 2 (I + H h / 3 (...))); 22 terms
// for ||H|| h <= 1.
static void Exponential(PetscInt m, const PetscReal *H, PetscReal h, PetscReal *E, PetscReal *product) {
  SetIdentity(m, E);
  for (PetscInt k = 22; k > 0; k--) {
    SetIdentity(m, product);
    for (PetscInt i = 0; i < m; i++)
      for (PetscInt j = 0; j < m; j++) AddScaled(m, h / k * H[i * m + j], E + j * m, product + i * m);
    memcpy(E, product, sizeof(*E) * m * m);
  }
}

// y1 [rows] = E y with E [., 2n] row-major, of which the first `cols` columns are used.
static void Flow(PetscInt rows, PetscInt cols, PetscInt width, const PetscReal *E, const PetscReal *y, PetscReal *y1) {
  for (PetscInt i = 0; i < rows; i++) y1[i] = Dot(cols, E + i * width, y);
}

// P <- E11'P E11 - E11'E21 / 2 = E11'(P E11 - E21 / 2)
static void StepBackRiccati(ClosedForm *form) {
  const PetscInt n = form->n;
  PetscReal *inner = form->product;
  for (PetscInt i = 0; i < n; i++) {
    for (PetscInt j = 0; j < n; j++) inner[i * n + j] = -form->step[(n + i) * 2 * n + j] / 2;
    for (PetscInt j = 0; j < n; j++) AddScaled(n, form->P[i * n + j], form->step + j * 2 * n, inner + i * n);
  }
  memset(form->P, 0, sizeof(*form->P) * n * n);
  for (PetscInt k = 0; k < n; k++)
    for (PetscInt i = 0; i < n; i++) AddScaled(n, form->step[k * 2 * n + i], inner + k * n, form->P + i * n);
  Symmetrize(n, form->P);
}

// S += int y z' dt over one substep that starts in y = (z, alpha).
static void AddSubstep(const Lqr *lqr, ClosedForm *form) {
  const PetscInt n = form->n;
  PetscReal *y1 = form->y + 2 * n;
  for (PetscInt q = 0; q < NODES; q++) {
    Flow(2 * n, 2 * n, 2 * n, form->flow[q], form->y, y1);
    for (PetscInt i = 0; i < 2 * n; i++) AddScaled(n, form->h * lqr->weight[q] * y1[i], y1, form->S + i * n);
  }
}

// z forwards from z [0], then P, alpha and S backwards; leaves P(0) and y(0).
static void ClosedFormSweep(const Lqr *lqr, ClosedForm *form) {
  const PetscInt n = form->n;
  Exponential(2 * n, form->H, form->h, form->step, form->product);
  for (PetscInt q = 0; q < NODES; q++)
    Exponential(2 * n, form->H, form->h * lqr->node[q], form->flow[q], form->product);
  for (PetscInt k = 0; k < form->nsteps; k++) Flow(n, n, 2 * n, form->step, form->z + k * n, form->z + (k + 1) * n);
  for (PetscInt k = form->nsteps - 1; k >= 0; k--) {
    StepBackRiccati(form);
    memcpy(form->y, form->z + k * n, sizeof(*form->y) * n);
    Flow(n, n, n, form->P, form->y, form->y + n);
    for (PetscInt i = n; i < 2 * n; i++) form->y[i] *= 2;
    AddSubstep(lqr, form);
  }
}

// (gK gb) = sigma B' S_alpha + 2 R F S_z
static void ClosedFormGradient(const Lqr *lqr, const ClosedForm *form, PetscReal *gx0, PetscReal *gK, PetscReal *gb) {
  const PetscInt n = form->n, nx = lqr->nx;
  for (PetscInt i = 0; i < nx; i++) gx0[i] = form->sigma * form->y[n + i];
  for (PetscInt k = 0; k < lqr->nu; k++) {
    PetscReal *row = form->product; // n of it
    memset(row, 0, sizeof(*row) * n);
    for (PetscInt i = 0; i < nx; i++) AddScaled(n, form->sigma * Entry(&lqr->B, i, k), form->S + (n + i) * n, row);
    for (PetscInt i = 0; i < n; i++) AddScaled(n, 2 * form->RF[k * n + i], form->S + i * n, row);
    memcpy(gK + k * nx, row, sizeof(*gK) * nx);
    gb[k] = row[nx];
  }
}

static PetscBool AllFinite(PetscInt n, const PetscReal *a) {
  for (PetscInt i = 0; i < n; i++)
    if (!isfinite(a[i])) return PETSC_FALSE;
  return PETSC_TRUE;
}

static CtpgStatus LqrClosedForm(void *ctx, const CtpgTask *task, const CtpgLinearPolicy *policy, const PetscReal *x0,
                                PetscReal *loss, PetscReal *gx0, PetscReal *gK, PetscReal *gb) {
  const Lqr *lqr = ctx;
  const PetscInt nx = lqr->nx;
  ClosedForm form = {.n = nx + 1, .nu = lqr->nu};
  if (nx > LARGEST_CLOSED_FORM || !ClosedFormAllocate(&form)) return CTPG_SKIPPED;
  ClosedFormMatrices(lqr, policy, &form);
  const PetscBool possible = ClosedFormHamiltonian(task->T, &form);
  if (possible) {
    memcpy(form.z, x0, sizeof(*x0) * nx);
    form.z[nx] = 1;
    ClosedFormSweep(lqr, &form);
    *loss = form.sigma / 2 * Dot(form.n, form.y, form.y + form.n);
    ClosedFormGradient(lqr, &form, gx0, gK, gb);
  }
  ClosedFormFree(&form);
  if (!possible) return CTPG_SKIPPED;
  return AllFinite(1, loss) && AllFinite(nx, gx0) && AllFinite(nx * lqr->nu, gK) && AllFinite(lqr->nu, gb)
             ? CTPG_OK
             : CTPG_DIVERGED;
}

const CtpgProblemType CtpgProblem_lqr = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "lqr",
    .bibtex =
        "@inproceedings{ainsworth2021ctpg,\n"
        "  title = {Faster Policy Learning with Continuous-Time Gradients},\n"
        "  author = {Ainsworth, Samuel and Lowrey, Kendall and Thickstun, John and Harchaoui, Zaid and "
        "Srinivasa, Siddhartha},\n"
        "  booktitle = {Proceedings of the 3rd Conference on Learning for Dynamics and Control},\n"
        "  series = {Proceedings of Machine Learning Research}, volume = {144}, pages = {1054--1067}, year = {2021}\n"
        "}",
    .version = 2,
    .create = LqrCreate,
    .draw = LqrDraw,
    .eval = LqrEval,
    .eval_vjp = LqrEvalVJP,
    .eval_jvp = LqrEvalJVP,
    .jacobian = LqrJacobian,
    .draw_linear = LqrDrawLinear,
    .closed_form = LqrClosedForm,
    .destroy = LqrDestroy,
};
