// fingerprint.c -- see fingerprint.h
//
// The computation goes through what decides bits: functions of libm (variants for FMA are chosen at run time), BLAS and
// LAPACK (kernels are chosen by the CPU), and the policy kernels of this program (compiler and -march). Its inputs are
// fractions that every machine makes alike.

#include "job/fingerprint.h"
#include "base/random_engine.h"
#include "base/system.h"
#include "loop/policy.h"
#include <math.h>
#include <petscblaslapack.h>
#include <stdio.h>
#include <string.h>

// Numbers in [-1, 1), exact in binary.
static void Fill(PetscReal *x, PetscInt n, uint32_t seed) {
  for (PetscInt i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = (PetscReal)(int32_t)seed / 2147483648.0;
  }
}

static uint64_t HashReals(uint64_t hash, const PetscReal *x, PetscInt n) {
  return CtpgHash(hash, x, (size_t)n * sizeof *x);
}

static uint64_t HashLibm(void) {
  PetscReal x[512], y[9];
  uint64_t hash = CTPG_HASH_START;
  Fill(x, 512, 1);
  for (int i = 0; i < 512; i++) {
    const PetscReal a = 8 * x[i], positive = fabs(a) + 0.125;
    y[0] = sin(a), y[1] = cos(a), y[2] = exp(a), y[3] = log(positive), y[4] = tanh(a), y[5] = pow(positive, x[i]);
    y[6] = atan2(a, positive), y[7] = expm1(x[i]), y[8] = hypot(a, positive);
    hash = HashReals(hash, y, 9);
  }
  return hash;
}

#define ORDER 24
static uint64_t HashBlas(void) {
  PetscReal a[ORDER * ORDER], b[ORDER * ORDER], c[ORDER * ORDER] = {0}, y[ORDER] = {0}, one = 1;
  PetscBLASInt n = ORDER, step = 1, info, pivots[ORDER];
  uint64_t hash;
  Fill(a, ORDER * ORDER, 2);
  Fill(b, ORDER * ORDER, 3);
  for (int i = 0; i < ORDER; i++) a[i * (ORDER + 1)] += 4;
  BLASgemm_("N", "T", &n, &n, &n, &one, a, &n, b, &n, &one, c, &n);
  BLASgemv_("N", &n, &n, &one, a, &n, b, &step, &one, y, &step);
  y[0] += BLASdot_(&n, a, &step, b, &step);
  hash = HashReals(HashReals(CTPG_HASH_START, c, ORDER * ORDER), y, ORDER);
  LAPACKgesv_(&n, &step, a, &n, pivots, b, &n, &info);
  return HashReals(hash, b, ORDER * ORDER);
}

#define POINTS 5
static PetscErrorCode HashPolicy(const PetscInt *layers, const CtpgActivation *activations, uint64_t *hash) {
  const PetscInt no = layers[0], nu = layers[3];
  CtpgPolicy policy;
  PetscReal *theta, *weights, *gtheta, *kept, *scratch, o[POINTS * 16], u[POINTS * 16], go[POINTS * 16] = {0};
  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(3, layers, activations, &policy));
  const PetscInt np = PolicyGetSize(policy);
  PetscCall(PetscCalloc3(np, &theta, np, &gtheta, PolicyGetScratchSize(policy, POINTS), &scratch));
  PetscCall(PetscMalloc2(PolicyGetWeightsSize(policy), &weights, POINTS * PolicyGetKeptSize(policy), &kept));
  Fill(theta, np, 4);
  Fill(o, POINTS * no, 5);
  PolicyPack(policy, theta, weights);
  PolicyEval(policy, weights, POINTS, o, kept, u);
  PolicyVJP(policy, weights, POINTS, NULL, kept, u, scratch, go, gtheta, NULL);
  *hash = HashReals(HashReals(HashReals(*hash, u, POINTS * nu), go, POINTS * no), gtheta, np);
  PetscCall(PetscFree3(theta, gtheta, scratch));
  PetscCall(PetscFree2(weights, kept));
  PetscCall(PolicyDestroy(&policy));
  PetscFunctionReturn(0);
}

static PetscErrorCode HashKernels(uint64_t *hash) {
  const PetscInt narrow[] = {7, 32, 32, 2}, wide[] = {13, 50, 17, 4};
  const CtpgActivation tanhs[] = {CTPG_TANH, CTPG_TANH, CTPG_LINEAR}, elus[] = {CTPG_ELU, CTPG_ELU, CTPG_TANH};
  PetscFunctionBeginUser;
  *hash = CTPG_HASH_START;
  PetscCall(HashPolicy(narrow, tanhs, hash));
  PetscCall(HashPolicy(wide, elus, hash));
  PetscFunctionReturn(0);
}

// What draws of starts, norms of errors and first steps are made by.
static uint64_t HashDraws(void) {
  PetscReal x[512], y[3];
  uint64_t hash = CTPG_HASH_START;
  Fill(x, 512, 7);
  for (int i = 0; i < 512; i++) {
    y[0] = log1p(x[i]), y[1] = hypot(x[i], 0.5), y[2] = cbrt(x[i]);
    hash = HashReals(hash, y, 3);
  }
  return hash;
}

static uint32_t Fold(uint64_t hash) {
  return (uint32_t)(hash ^ hash >> 32);
}

PetscErrorCode FingerprintArithmetic(const char **text) {
  static char kept[FINGERPRINT_SIZE];
  uint64_t kernels;
  PetscFunctionBeginUser;
  if (!kept[0]) {
    PetscCall(HashKernels(&kernels));
    snprintf(kept, sizeof kept, "libm %08x blas %08x kernels %08x draws %08x", Fold(HashLibm()), Fold(HashBlas()),
             Fold(kernels), Fold(HashDraws()));
  }
  *text = kept;
  PetscFunctionReturn(0);
}

// ---- compared

// An entry ends at its count, at the comma, or with the text.
static size_t EntryLength(const char *entry) {
  const char *count = strstr(entry, " x ");
  const size_t length = strcspn(entry, ",");
  return count && (size_t)(count - entry) < length ? (size_t)(count - entry) : length;
}

void FingerprintFirst(const char *entries, char begun[FINGERPRINT_SIZE]) {
  snprintf(begun, FINGERPRINT_SIZE, "%.*s", (int)EntryLength(entries), entries);
}

#define PARTS 4 // bits of a set: libm, BLAS, kernels, draws
#define DRAWS 8

typedef struct {
  char name[PARTS][16], hash[PARTS][16]; // "": not there, in an older text, or cut
} Parts;

// Word by word: name, hash, name, hash ..
static Parts Split(const char *entry) {
  Parts p;
  memset(&p, 0, sizeof p);
  (void)sscanf(entry, "%15s %15s %15s %15s %15s %15s %15s %15s", p.name[0], p.hash[0], p.name[1], p.hash[1], p.name[2],
               p.hash[2], p.name[3], p.hash[3]);
  for (int part = 0; part < PARTS; part++)
    if (strlen(p.hash[part]) != 8) p.hash[part][0] = 0;
  return p;
}

// The first label in whose rows a part takes part that is not in all rows; NULL: there is none.
static const char *Caller(const FingerprintLabels *labels, int part) {
  for (PetscInt p = 0; p < labels->nproblems; p++)
    if (LabelBits(labels->problems + p) & part) return labels->problems[p].label;
  for (PetscInt e = 0; e < labels->nestimators; e++)
    if (LabelBits(labels->estimators + e) & part) return labels->estimators[e].label;
  return NULL;
}

// Of two entries. What the draws of one are, an older text does not say: its libm counts for them.
static int NameDifference(const char *there, const char *here, const FingerprintLabels *labels, char *difference,
                          size_t size) {
  const Parts a = Split(there), b = Split(here);
  const PetscBool unknown = a.hash[PARTS - 1][0] && b.hash[PARTS - 1][0] ? PETSC_FALSE : PETSC_TRUE;
  const int always = CTPG_BITS_ALWAYS | (unknown ? CTPG_BITS_LIBM : 0);
  size_t used = 0;
  int set = 0;
  for (int k = 0; k < PARTS; k++) {
    const int part = 1 << k;
    const char *caller = always & part ? NULL : Caller(labels, part);
    if (!a.hash[k][0] || !b.hash[k][0] || !strcmp(a.hash[k], b.hash[k]) || !(always & part || caller)) continue;
    set |= unknown && part == CTPG_BITS_LIBM ? part | DRAWS : part;
    if (used < size)
      used += (size_t)snprintf(difference + used, size - used, "%s%s is %s there and %s here%s%s%s", used ? "; " : "",
                               a.name[k], a.hash[k], b.hash[k], caller ? ", and " : "", caller ? caller : "",
                               caller ? " calls it" : "");
  }
  return set;
}

int FingerprintDifference(const char *begun, const char *entries, const FingerprintLabels *labels, char *difference,
                          size_t size) {
  char entry[FINGERPRINT_SIZE];
  int set = 0;
  difference[0] = 0;
  for (const char *at = entries; *at && !set; at += strcspn(at, ","), at += *at == ',') {
    FingerprintFirst(at, entry);
    set = NameDifference(begun, entry, labels, difference, size);
  }
  return set;
}

// ---- machines

#define CHAINS 8
// Multiply-adds per s of CPU time, the best of some slices.
static double MeasureRate(void) {
  const int rounds = 40000;
  double best = 0, x[CHAINS];
  for (int slice = 0; slice < 12; slice++) {
    Fill(x, CHAINS, 6);
    const double start = CtpgThreadSeconds();
    for (int i = 0; i < rounds; i++)
      for (int k = 0; k < CHAINS; k++) x[k] = x[k] * 0.999 + 1e-3;
    const double seconds = CtpgThreadSeconds() - start;
    volatile double sink = x[0] + x[CHAINS - 1];
    (void)sink;
    if (seconds > 0 && CHAINS * rounds / seconds > best) best = CHAINS * rounds / seconds;
  }
  return best;
}

typedef struct {
  char model[80];
  double rate;
} Machine;

PetscErrorCode FingerprintMachines(MPI_Comm comm, const char *model, char *text, size_t size) {
  Machine mine = {.rate = MeasureRate()}, *all;
  size_t used = 0;
  int n;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(comm, &n));
  snprintf(mine.model, sizeof mine.model, "%s", model[0] ? model : "unknown CPU");
  PetscCall(PetscMalloc1(n, &all));
  PetscCallMPI(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, comm));
  text[0] = 0;
  for (int r = 0; r < n && used < size; r++) {
    double low = all[r].rate, high = all[r].rate;
    if (!all[r].model[0]) continue;
    for (int k = r + 1; k < n; k++) {
      if (strcmp(all[k].model, all[r].model)) continue;
      low = PetscMin(low, all[k].rate), high = PetscMax(high, all[k].rate);
      all[k].model[0] = 0; // told with this one
    }
    used += (size_t)snprintf(text + used, size - used, "%s%s %.2g to %.2g multiply-adds/s", used ? "; " : "",
                             all[r].model, low, high);
  }
  PetscCall(PetscFree(all));
  PetscFunctionReturn(0);
}

#define RATES_AGREE 1.25

// "MODEL LOW to HIGH multiply-adds/s": length of the model, and the rates.
static int ReadMachine(const char *text, double *low, double *high) {
  const char *to = strstr(text, " to ");
  const char *number = to;
  while (number && number > text && number[-1] != ' ') number--;
  if (!to || number == text || sscanf(number, "%lf to %lf", low, high) != 2) return -1;
  return (int)(number - text);
}

PetscBool FingerprintSameMachine(const char *a, const char *b) {
  double low[2], high[2];
  for (;;) {
    const int first = ReadMachine(a, low, high), second = ReadMachine(b, low + 1, high + 1);
    if (first < 0 || first != second || strncmp(a, b, (size_t)first)) return PETSC_FALSE;
    if (low[0] > RATES_AGREE * high[1] || low[1] > RATES_AGREE * high[0]) return PETSC_FALSE;
    a = strchr(a, ';'), b = strchr(b, ';');
    if (!a || !b) return a || b ? PETSC_FALSE : PETSC_TRUE;
    a += 2, b += 2;
  }
}
