// kernels_lanes.h -- the kernels of kernels.h on vectors of LANES doubles: included once for each instruction set
//
// Whoever includes it has defined LANES, 2 or 4. Every operation is one on single components, in an order that does not
// know of LANES: hence the same bits.
//
//   tanh   with y = 2 |x| = k ln 2 + r, |r| <= ln 2 / 2, and p = e^r - 1:
//          tanh |x| = (e^y - 1) / (e^y + 1) = (p + (1 - 2^-k)) / (p + (1 + 2^-k)),  without cancellation: k >= 0
//   expm1  2^k p + (2^k - 1)
//   p      r + r^2 (1/2 + r q(r)), q the polynomial of degree 9 that interpolates at Chebyshev's nodes, error 2e-18
#ifndef CTPG_KERNELS_LANES_H
#define CTPG_KERNELS_LANES_H

#include "loop/kernels.h"
#include <stdint.h>

#ifndef LANES
#define LANES 2
#endif

#define ALWAYS static inline __attribute__((always_inline))

#pragma GCC diagnostic ignored "-Wpsabi" // vectors are handed between functions of this file alone

typedef double Lanes __attribute__((vector_size(8 * LANES)));
typedef double Loose __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef int64_t Bits __attribute__((vector_size(8 * LANES)));

ALWAYS Lanes Load(const double *p) {
  return *(const Loose *)p;
}

ALWAYS void Store(double *p, Lanes v) {
  *(Loose *)p = v;
}

ALWAYS Lanes All(double x) {
  return x - (Lanes){0}; // keeps -0
}

ALWAYS Lanes Select(Bits mask, Lanes yes, Lanes no) {
  return (Lanes)((mask & (Bits)yes) | (~mask & (Bits)no));
}

// ---- activations ----

#define SIGN_BIT INT64_MIN

ALWAYS Lanes Absolute(Lanes x) {
  return (Lanes)((Bits)x & ~((Bits){0} + SIGN_BIT));
}

ALWAYS Lanes WithSignOf(Lanes sign, Lanes x) {
  return (Lanes)((Bits)x | ((Bits)sign & ((Bits){0} + SIGN_BIT)));
}

// r and c with y = k ln 2 + r and e^r - 1 = r + c; the bits of 2^k are those of 1 and `shift`. |y| < 60.
ALWAYS void Reduce(Lanes y, Lanes *r, Lanes *c, Bits *shift) {
  const double magic = 0x1.8p52, log2e = 0x1.71547652b82fep+0, ln2_high = 0x1.62e42fefa38p-1,
               ln2_low = 0x1.ef35793c7673p-45;
  const Lanes t = y * log2e + magic, k = t - magic, high = y - k * ln2_high, x = high - k * ln2_low;
  const Lanes x2 = x * x, x4 = x2 * x2;
  const Lanes q0 =
      (0x1.5555555555556p-3 + 0x1.5555555555555p-5 * x) + (0x1.11111111109b4p-7 + 0x1.6c16c16c167e2p-10 * x) * x2;
  const Lanes q4 =
      (0x1.a01a01a7c327ap-13 + 0x1.a01a01a47a78fp-16 * x) + (0x1.71de0db21e27fp-19 + 0x1.27e4e1f6a6779p-22 * x) * x2;
  const Lanes q8 = 0x1.af38a0d2d9620p-26 + 0x1.1f66da6ee7eeap-29 * x;
  const Lanes q = q0 + (q4 + q8 * x4) * x4;
  *r = x;
  *c = x2 * (0.5 + x * q) + ((high - x) - k * ln2_low);
  *shift = (Bits)t << 52;
}

ALWAYS Bits One(void) {
  return (Bits)All(1);
}

// What rounding takes from the denominator is given back, by 1 / denominator to a few percent.
ALWAYS Lanes Tanh(Lanes x) {
  Lanes a = Absolute(x), r, c;
  Bits shift;
  a = Select(a > 22, All(22), a); // a NaN stays
  Reduce(a + a, &r, &c, &shift);
  const Lanes s = (Lanes)(One() - shift), minus = 1 - s, plus = 1 + s;
  const Lanes sum = minus + r, numerator = sum + (((minus - sum) + r) + c);
  const Lanes p = r + c, denominator = plus + p, lost = (plus - denominator) + p;
  const Lanes inverse = 2.30 - denominator * (1.60 - 0.341 * denominator);
  const Bits large = a > 0.55;
  const Lanes quotient = Select(large, -2 * s, numerator) / denominator;
  return WithSignOf(x, Select(large, All(1), (Lanes){0}) + (quotient - quotient * (lost * inverse)));
}

ALWAYS Lanes Elu(Lanes x) {
  Lanes a = Select(x > 0, All(0), x), r, c;
  Bits shift;
  a = Select(a < -40, All(-40), a);
  Reduce(a, &r, &c, &shift);
  const Lanes s = (Lanes)(One() + shift);
  return Select(x > 0, x, WithSignOf(x, s * (r + c) + (s - 1)));
}

static void Activate(CtpgActivation activation, PetscInt n, PetscReal *z) {
  if (activation == CTPG_TANH)
    for (PetscInt i = 0; i < n; i += LANES) Store(z + i, Tanh(Load(z + i)));
  else if (activation == CTPG_ELU)
    for (PetscInt i = 0; i < n; i += LANES) Store(z + i, Elu(Load(z + i)));
}

static void TimesDerivative(CtpgActivation activation, PetscInt n, const PetscReal *z, PetscReal *d) {
  if (activation == CTPG_TANH)
    for (PetscInt i = 0; i < n; i += LANES) Store(d + i, Load(d + i) * (1 - Load(z + i) * Load(z + i)));
  else if (activation == CTPG_ELU)
    for (PetscInt i = 0; i < n; i += LANES)
      Store(d + i, Load(d + i) * Select(Load(z + i) > 0, All(1), Load(z + i) + 1));
}

// ---- matrices ----

// nv vectors of results in `parts` partial sums, for np points: constants where it is called.
ALWAYS void Block(PetscInt nv, PetscInt parts, PetscInt np, PetscInt inner, const PetscReal *M, PetscInt width,
                  const PetscReal *init, const PetscReal *in, PetscInt in_stride, PetscReal *out, PetscInt out_stride) {
  Lanes sum[4][4][8];
#pragma GCC unroll 4
  for (PetscInt q = 0; q < parts; q++)
#pragma GCC unroll 4
    for (PetscInt p = 0; p < np; p++)
#pragma GCC unroll 8
      for (PetscInt v = 0; v < nv; v++) sum[q][p][v] = q == 0 && init ? Load(init + v * LANES) : (Lanes){0};
  PetscInt j = 0;
  for (; j + parts <= inner; j += parts)
#pragma GCC unroll 4
    for (PetscInt q = 0; q < parts; q++)
#pragma GCC unroll 8
      for (PetscInt v = 0; v < nv; v++) {
        const Lanes m = Load(M + (j + q) * width + v * LANES);
#pragma GCC unroll 4
        for (PetscInt p = 0; p < np; p++) sum[q][p][v] += m * All(in[p * in_stride + j + q]);
      }
#pragma GCC unroll 4
  for (PetscInt q = 0; q < parts; q++) {
    if (j + q >= inner) break;
#pragma GCC unroll 8
    for (PetscInt v = 0; v < nv; v++)
#pragma GCC unroll 4
      for (PetscInt p = 0; p < np; p++)
        sum[q][p][v] += Load(M + (j + q) * width + v * LANES) * All(in[p * in_stride + j + q]);
  }
#pragma GCC unroll 4
  for (PetscInt p = 0; p < np; p++)
#pragma GCC unroll 8
    for (PetscInt v = 0; v < nv; v++) {
      Lanes total = sum[0][p][v];
      if (parts == 2) total = total + sum[1][p][v];
      if (parts == 4) total = (total + sum[1][p][v]) + (sum[2][p][v] + sum[3][p][v]);
      Store(out + p * out_stride + v * LANES, total);
    }
}

// A whole panel: points by fours, which share the loads of M, then one by one.
static void WholePanel(PetscInt n, PetscInt inner, const PetscReal *M, const PetscReal *init, const PetscReal *in,
                       PetscInt in_stride, PetscReal *out, PetscInt out_stride) {
  PetscInt p = 0;
  for (; p + 4 <= n; p += 4)
    for (PetscInt i = 0; i < KERNELS_PANEL; i += 2 * LANES)
      Block(2, 1, 4, inner, M + i, KERNELS_PANEL, init ? init + i : NULL, in + p * in_stride, in_stride,
            out + p * out_stride + i, out_stride);
  for (; p < n; p++)
    for (PetscInt i = 0; i < KERNELS_PANEL; i += 8 * LANES)
      Block(8, 1, 1, inner, M + i, KERNELS_PANEL, init ? init + i : NULL, in + p * in_stride, 0,
            out + p * out_stride + i, 0);
}

#define PER_GROUP (KERNELS_LANES / LANES) // vectors of LANES in a group of KERNELS_LANES results

// What is left: `width` results, a multiple of KERNELS_LANES, for one point.
#define COLUMNS(count, parts)                                                                                          \
  case count:                                                                                                          \
    for (PetscInt i = 0; i < width; i += (count)*LANES)                                                                \
      Block(count, parts, 1, inner, M + i, width, init ? init + i : NULL, in, 0, out + i, 0);                          \
    return
static void LastPanel(PetscInt inner, PetscInt width, const PetscReal *M, const PetscReal *init, const PetscReal *in,
                      PetscReal *out) {
  switch (width / KERNELS_LANES) {
  case 1:
    Block(PER_GROUP, 4, 1, inner, M, width, init, in, 0, out, 0);
    return;
    COLUMNS(2, 4);
    COLUMNS(3, 2);
    COLUMNS(4, 2);
    COLUMNS(5, 1);
    COLUMNS(6, 1);
    COLUMNS(7, 1);
  }
}
#undef COLUMNS

static void Apply(PetscInt n, PetscInt inner, PetscInt outer, const PetscReal *M, const PetscReal *init,
                  const PetscReal *in, PetscInt in_stride, PetscReal *out, PetscInt out_stride) {
  const PetscInt padded = KernelsPadded(outer);
  PetscInt i = 0;
  for (; i + KERNELS_PANEL <= padded; i += KERNELS_PANEL)
    WholePanel(n, inner, M + i * inner, init ? init + i : NULL, in, in_stride, out + i, out_stride);
  for (PetscInt p = 0; i < padded && p < n; p++)
    LastPanel(inner, padded - i, M + i * inner, init ? init + i : NULL, in + p * in_stride, out + p * out_stride + i);
}

// ---- outer products ----

// One row, columns [0, columns) of it: nv whole vectors and, where they do not fill it, one that overlaps the last of
// them. All are loaded before any is stored, so that the columns in both are added to once.
ALWAYS void OuterRow(PetscInt nv, PetscBool overlap, PetscInt columns, PetscInt n, const PetscReal *d,
                     PetscInt d_stride, const PetscReal *z, PetscInt z_stride, PetscReal *row) {
  const PetscInt last = columns - LANES;
  Lanes sum[8], rest = overlap ? Load(row + last) : (Lanes){0};
#pragma GCC unroll 8
  for (PetscInt v = 0; v < nv; v++) sum[v] = Load(row + v * LANES);
  for (PetscInt p = 0; p < n; p++, d += d_stride, z += z_stride) {
    const Lanes factor = All(*d);
#pragma GCC unroll 8
    for (PetscInt v = 0; v < nv; v++) sum[v] += factor * Load(z + v * LANES);
    if (overlap) rest += factor * Load(z + last);
  }
#pragma GCC unroll 8
  for (PetscInt v = 0; v < nv; v++) Store(row + v * LANES, sum[v]);
  if (overlap) Store(row + last, rest);
}

// All rows; one point keeps its z in registers.
ALWAYS void OuterRows(PetscInt nv, PetscBool overlap, PetscInt rows, PetscInt stride, PetscInt columns, PetscInt n,
                      const PetscReal *d, PetscInt d_stride, const PetscReal *z, PetscInt z_stride, PetscReal *gW) {
  Lanes at[8], rest = overlap ? Load(z + columns - LANES) : (Lanes){0};
  for (PetscInt i = 0; n > 1 && i < rows; i++)
    OuterRow(nv, overlap, columns, n, d + i, d_stride, z, z_stride, gW + i * stride);
  if (n != 1) return;
#pragma GCC unroll 8
  for (PetscInt v = 0; v < nv; v++) at[v] = Load(z + v * LANES);
  for (PetscInt i = 0; i < rows; i++, gW += stride) {
    const Lanes factor = All(d[i]), last = overlap ? Load(gW + columns - LANES) : (Lanes){0};
#pragma GCC unroll 8
    for (PetscInt v = 0; v < nv; v++) Store(gW + v * LANES, Load(gW + v * LANES) + factor * at[v]);
    if (overlap) Store(gW + columns - LANES, last + factor * rest);
  }
}

static void OuterScalars(PetscInt columns, PetscInt n, const PetscReal *d, PetscInt d_stride, const PetscReal *z,
                         PetscInt z_stride, PetscReal *row) {
  for (PetscInt p = 0; p < n; p++)
    for (PetscInt j = 0; j < columns; j++) row[j] += d[p * d_stride] * z[p * z_stride + j];
}

// At most eight vectors of columns, all rows.
static void OuterPanel(PetscInt rows, PetscInt stride, PetscInt columns, PetscInt n, const PetscReal *d,
                       PetscInt d_stride, const PetscReal *z, PetscInt z_stride, PetscReal *gW) {
#define CASE(nv)                                                                                                       \
  case nv:                                                                                                             \
    if (columns % LANES)                                                                                               \
      OuterRows(nv, PETSC_TRUE, rows, stride, columns, n, d, d_stride, z, z_stride, gW);                               \
    else                                                                                                               \
      OuterRows(nv, PETSC_FALSE, rows, stride, columns, n, d, d_stride, z, z_stride, gW);                              \
    return;
  switch (columns / LANES) {
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
    CASE(7)
    CASE(8)
  }
#undef CASE
  for (PetscInt i = 0; i < rows; i++) OuterScalars(columns, n, d + i, d_stride, z, z_stride, gW + i * stride);
}

// gb [rows] += d
static void AddRows(PetscInt n, PetscInt rows, const PetscReal *d, PetscInt d_stride, PetscReal *gb) {
  PetscInt i = 0;
  for (; i + LANES <= rows; i += LANES) {
    Lanes sum = Load(gb + i);
    for (PetscInt p = 0; p < n; p++) sum += Load(d + p * d_stride + i);
    Store(gb + i, sum);
  }
  for (; i < rows; i++)
    for (PetscInt p = 0; p < n; p++) gb[i] += d[p * d_stride + i];
}

static void AddOuter(PetscInt n, PetscInt rows, PetscInt columns, const PetscReal *d, PetscInt d_stride,
                     const PetscReal *z, PetscInt z_stride, PetscReal *gW) {
  for (PetscInt j = 0; j < columns; j += 8 * LANES)
    OuterPanel(rows, columns, PetscMin(8 * LANES, columns - j), n, d, d_stride, z + j, z_stride, gW + j);
  AddRows(n, rows, d, d_stride, gW + rows * columns);
}

#define KERNELS(its_name)                                                                                              \
  { .name = its_name, .apply = Apply, .activate = Activate, .times_derivative = TimesDerivative, .add_outer = AddOuter }

#endif
