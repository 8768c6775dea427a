// functions.c -- see functions.h
//
// sine, cosine  x = k pi/2 + r, |r| <= pi/4, pi/2 in three parts of which the first two leave k times them exact (W. J.
//               Cody, W. Waite, "Software Manual for the Elementary Functions", 1980); r as a sum high + low; then
//               the addition theorem about the nearest k/64, where both are tabulated, with Taylor's series of the rest
// powers        e^(y log x): log x = e log 2 + 2 artanh((m - 1) / (m + 1)) for x = m 2^e, and Taylor's series of both

#include "ctpgbench/functions.h"
#include "base/functions_table.h"
#include <math.h>

#define LARGEST_ANGLE 1.6e6
#define TINY_ANGLE    0x1p-27 // sine and cosine are the angle and one

typedef struct {
  PetscReal high, low;
  int64_t quadrant;
} Angle;

static Angle Reduce(PetscReal x) {
  const PetscReal magic = 0x1.8p52, two_by_pi = 0x1.45f306dc9c883p-1;
  const PetscReal first = 0x1.921fb544p+0, second = 0x1.0b4611a6p-34, third = 0x1.3198a2e037073p-69;
  const PetscReal k = (x * two_by_pi + magic) - magic, a = x - k * first, b = k * second;
  const PetscReal sum = a - b, back = sum - a, lost = (a - (sum - back)) - (b + back), rest = lost - k * third;
  Angle r = {.high = sum + rest, .quadrant = (int64_t)k};
  r.low = (sum - r.high) + rest;
  return r;
}

// Of b = |r| - k/64, |b| <= 1/128: sine as b + small, and one less cosine.
typedef struct {
  const CtpgNode *node;
  PetscReal b, small, versine;
} Remainder;

static Remainder AboutNode(const Angle *r) {
  const PetscReal a = fabs(r->high), low = r->high < 0 ? -r->low : r->low;
  const PetscInt k = (PetscInt)(64 * a + 0.5);
  const PetscReal b = a - k / 64.0, b2 = b * b;
  return (Remainder){.node = &NODES[k],
                     .b = b,
                     .small = low + b * (b2 * (-1.0 / 6 + b2 * (1.0 / 120))),
                     .versine = b2 * (0.5 - b2 * (1.0 / 24 - b2 * (1.0 / 720))) + b * low};
}

#define SMALL_ANGLE 0.125 // Taylor's first term is nearly all of the sine

static PetscReal SineOf(const Angle *r) {
  const PetscReal x = r->high, z = x * x;
  if (fabs(x) < SMALL_ANGLE)
    return x + (x * (z * (-1.0 / 6 + z * (1.0 / 120 - z * (1.0 / 5040 - z * (1.0 / 362880 - z * (1.0 / 39916800)))))) +
                r->low);
  const Remainder m = AboutNode(r);
  const PetscReal s = m.node->sine, c = m.node->cosine;
  return copysign(s + (c * m.b + (m.node->sine_low + (c * m.small - s * m.versine))), x);
}

static PetscReal CosineOf(const Angle *r) {
  const Remainder m = AboutNode(r);
  const PetscReal s = m.node->sine, c = m.node->cosine;
  return c - (s * m.b + ((s * m.small + c * m.versine) - m.node->cosine_low));
}

void CtpgSinCos(PetscReal x, PetscReal *sine, PetscReal *cosine) {
  if (!(fabs(x) <= LARGEST_ANGLE)) {
    *sine = sin(x), *cosine = cos(x);
    return;
  }
  if (fabs(x) < TINY_ANGLE) {
    *sine = x, *cosine = 1;
    return;
  }
  const Angle r = Reduce(x);
  const PetscReal s = SineOf(&r), c = CosineOf(&r);
  const PetscReal by_quadrant[] = {s, c, -s, -c, s};
  *sine = by_quadrant[r.quadrant & 3];
  *cosine = by_quadrant[(r.quadrant & 3) + 1];
}

PetscReal CtpgSin(PetscReal x) {
  if (!(fabs(x) <= LARGEST_ANGLE)) return sin(x);
  if (fabs(x) < TINY_ANGLE) return x;
  const Angle r = Reduce(x);
  const PetscReal value = r.quadrant & 1 ? CosineOf(&r) : SineOf(&r);
  return r.quadrant & 2 ? -value : value;
}

PetscReal CtpgCos(PetscReal x) {
  if (!(fabs(x) <= LARGEST_ANGLE)) return cos(x);
  if (fabs(x) < TINY_ANGLE) return 1;
  const Angle r = Reduce(x);
  const PetscReal value = r.quadrant & 1 ? SineOf(&r) : CosineOf(&r);
  return (r.quadrant + 1) & 2 ? -value : value;
}

#define LOG_2 0.69314718055994531

static PetscReal Log(PetscReal x) {
  int exponent;
  PetscReal m = frexp(x, &exponent), sum = 0;
  if (m < M_SQRT1_2) m *= 2, exponent--;
  const PetscReal f = (m - 1) / (m + 1), f2 = f * f;
  for (int n = 21; n >= 3; n -= 2) sum = f2 * (sum + 1.0 / n);
  return exponent * LOG_2 + 2 * (f + f * sum);
}

static PetscReal Exp(PetscReal x) {
  const PetscReal k = rint(x / LOG_2), r = x - k * LOG_2;
  PetscReal sum = 1;
  for (int n = 14; n >= 1; n--) sum = 1 + sum * r / n;
  return ldexp(sum, (int)k);
}

PetscReal CtpgPow(PetscReal x, PetscReal y) {
  if (!(x > 0 && x < INFINITY) || y == 0) return pow(x, y); // exact, or not a number
  const PetscReal exponent = y * Log(x);
  if (fabs(exponent) > 700) return exponent > 0 ? INFINITY : 0;
  return Exp(exponent);
}
