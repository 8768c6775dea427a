// report.c -- lines of the report, and differences that know how good they are

#include "check/report.h"
#include "base/wrap.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const CheckSettings CheckDefaults = {.points = 10, .seed = 0, .repeats = 200, .horizon = 2};

// ---- lines ----

// Verdict, subject, name and sentence in a line; a long sentence begins further to the left, a longer one below. Names
// of the checks of an estimator on a problem are shorter than those of a problem's own.
static void PrintLine(const CheckReport *report, const char *verdict, const char *name, const char *text) {
  const PetscBool is_pair = strstr(report->subject, " on ") ? PETSC_TRUE : PETSC_FALSE;
  const int width = is_pair ? 29 : 17, wanted = is_pair ? 31 : 43;
  char head[512];
  if (report->quiet) return;
  const int used = snprintf(head, sizeof head, "%-4s  %-*s  ", verdict, width, report->subject);
  const int left = CtpgColumns() - used - 2 - (int)strlen(text);
  if (left >= (int)strlen(name))
    (void)CtpgPrintWrapped(6, "%s%-*s  %s", head, left < wanted ? left : wanted, name, text);
  else
    (void)CtpgPrintWrapped(6, "%s%s\n      %s", head, name, text);
}

void CheckPass(CheckReport *report, const char *name, const char *format, ...) {
  char text[sizeof report->why];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  PrintLine(report, "ok", name, text);
  report->passed++;
}

void CheckFail(CheckReport *report, const char *name, const char *format, ...) {
  const size_t used = strlen(report->failures);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(report->why, sizeof report->why, format, arguments);
  va_end(arguments);
  PrintLine(report, "FAIL", name, report->why);
  snprintf(report->failures + used, sizeof report->failures - used, "%s%s", used ? "; " : "", name);
  report->failed++;
}

void CheckSkip(CheckReport *report, const char *name, const char *format, ...) {
  char text[sizeof report->why];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  PrintLine(report, "skip", name, text);
  report->skipped++;
}

void CheckOffer(CheckWorst *worst, PetscReal error, const char *format, ...) {
  va_list arguments;
  if (isnan(error)) error = INFINITY;
  const PetscBool news = error > worst->limit && error > worst->worst ? PETSC_TRUE : PETSC_FALSE;
  worst->worst = fmax(worst->worst, error);
  if (!news) return;
  va_start(arguments, format);
  vsnprintf(worst->sentence, sizeof worst->sentence, format, arguments);
  va_end(arguments);
}

PetscBool CheckConclude(CheckReport *report, const char *name, const CheckWorst *worst) {
  const PetscBool good = worst->worst <= worst->limit ? PETSC_TRUE : PETSC_FALSE;
  if (!good)
    CheckFail(report, name, "%s (off by %.2g, limit %.0e)", worst->sentence, worst->worst, worst->limit);
  else if (worst->limit > 0)
    CheckPass(report, name, "worst %.1e (limit %.0e)", worst->worst, worst->limit);
  else
    CheckPass(report, name, "exact");
  return good;
}

// ---- differences ----

#define PRODUCT_STEP 1e-5 // of products that are differences: of MuJoCo's plants, and about that of others

// D(h) = (F(h) - F(-h)) / 2h in row [m]; size [m] becomes |F|, for the rounding error.
static CtpgStatus CentralDifference(CheckLine line, void *context, PetscInt m, PetscReal h, PetscReal *row,
                                    PetscReal *behind, PetscReal *size) {
  CtpgStatus status = line(context, h, row);
  if (status == CTPG_OK) status = line(context, -h, behind);
  for (PetscInt i = 0; i < m && status == CTPG_OK; i++) {
    size[i] = fabs(row[i]) + fabs(behind[i]);
    row[i] = (row[i] - behind[i]) / (2 * h);
  }
  return status;
}

// Steps h, h/2, h/4, ...; the columns of Richardson's table in place. An entry is taken over where its error estimate,
// the last change of the extrapolation and the rounding error, is the smallest so far. From far enough a kink looks
// smooth: where there may be some, the error is no less than what finer steps make of it. curvature [m] becomes the
// error of the last quotient over the square of its step. False: the function could not be evaluated.
static PetscBool OneTable(CheckLine line, void *context, PetscInt m, PetscReal h, PetscBool kinks, PetscReal *work,
                          PetscReal *derivative, PetscReal *error) {
  PetscReal *behind = work + CHECK_LEVELS * m, *size = behind + m, *curvature = behind;
  for (int level = 0; level < CHECK_LEVELS; level++, h /= 2)
    if (CentralDifference(line, context, m, h, work + level * m, behind, size) != CTPG_OK) return PETSC_FALSE;
  for (PetscInt i = 0; i < m; i++) {
    PetscReal table[CHECK_LEVELS], first = 0, before = 0;
    for (int level = 0; level < CHECK_LEVELS; level++) table[level] = work[level * m + i];
    for (int column = 1; column < CHECK_LEVELS; column++) {
      before = table[CHECK_LEVELS - 1];
      if (column == 2) first = before; // of the last two steps alone
      for (int row = CHECK_LEVELS - 1; row >= column; row--)
        table[row] += (table[row] - table[row - 1]) / (pow(4, column) - 1);
    }
    const PetscReal last = table[CHECK_LEVELS - 1];
    const PetscReal change = fmax(fabs(last - before), kinks ? fabs(last - first) : 0);
    const PetscReal estimate = change + 2e-16 * size[i] / h;
    curvature[i] = fabs(work[(CHECK_LEVELS - 1) * m + i] - last) / PetscSqr(2 * h);
    if (kinks && estimate >= error[i]) error[i] = fmax(error[i], fabs(derivative[i] - last));
    if (!(estimate < error[i])) continue;
    error[i] = estimate;
    derivative[i] = last;
  }
  return PETSC_TRUE;
}

// C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Advances in Engineering Software 4 (1982), with
// three first steps, or four, instead of a rule for one.
void CheckDifferences(CheckLine line, void *context, uint64_t flags, PetscInt m, PetscReal scale, PetscReal *work,
                      PetscReal *derivative, PetscReal *error) {
  const PetscBool kinks = flags & CTPG_IS_NONSMOOTH ? PETSC_TRUE : PETSC_FALSE;
  const PetscReal product_step = flags & CTPG_IS_DIFFERENCED ? PRODUCT_STEP * scale : 0;
  const PetscReal *curvature = work + CHECK_LEVELS * m;
  PetscBool known = PETSC_FALSE;
  for (PetscInt i = 0; i < m; i++) {
    derivative[i] = NAN;
    error[i] = INFINITY;
  }
  for (PetscReal h = scale / 32; h > scale / (kinks ? 24000 : 3000); h /= 8)
    known = OneTable(line, context, m, h, kinks, work, derivative, error);
  for (PetscInt i = 0; i < m && known; i++) error[i] += curvature[i] * PetscSqr(product_step);
}

PetscReal CheckDiscrepancy(PetscReal found, PetscReal expected, PetscReal uncertainty, PetscReal scale,
                           PetscReal limit) {
  const PetscReal distance = fabs(found - expected);
  return distance <= 3 * uncertainty ? fmin(distance / scale, limit) : distance / scale;
}

// ---- descriptors ----

PetscBool CheckDescriptor(CheckReport *report, const void *descriptor, size_t size, const char *type,
                          const char *fault) {
  const CtpgHead *head = descriptor;
  const char *name = "descriptor";
  if (head->abi != CTPG_ABI)
    CheckFail(report, name, "abi is %u; expected CTPG_ABI = %d", head->abi, CTPG_ABI);
  else if (head->size != size)
    CheckFail(report, name, "size is %u; expected sizeof(%s) = %zu", head->size, type, size);
  else if (!head->name || !head->name[0] || !head->bibtex)
    CheckFail(report, name, "name or bibtex is missing");
  else if (head->version < 1)
    CheckFail(report, name, "version is %d; expected 1 or more", head->version);
  else if (fault)
    CheckFail(report, name, "it %s", fault);
  else {
    CheckPass(report, name, "abi %u, version %d", head->abi, head->version);
    return PETSC_TRUE;
  }
  return PETSC_FALSE;
}
