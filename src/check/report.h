// report.h -- what is asked of the checks and how they answer: one line per check, differences with an error estimate
//
// A check that depends on another one, which failed, is skipped: what fails is the cause and not its consequences.
#ifndef CTPG_CHECK_REPORT_H
#define CTPG_CHECK_REPORT_H

#include "run/run.h"

// ---- settings ----

typedef struct {
  PetscInt points;   // random points of the derivative checks
  PetscInt seed;     // of cases, points and directions
  PetscInt repeats;  // runs of the leak check
  PetscReal horizon; // s, longest on which estimators are checked
} CheckSettings;
extern const CheckSettings CheckDefaults;

// ---- report: one line per check ----

typedef struct {
  PetscBool quiet; // print nothing
  PetscInt passed, failed, skipped;
  const char *subject; // who is being checked, second column
  char failures[1024]; // names of the failed checks, separated by "; "
  char why[1024];      // sentence of the last one
} CheckReport;

void CheckPass(CheckReport *report, const char *name, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
// The format makes the sentence that tells the author what is wrong: where, what was found, what was expected.
void CheckFail(CheckReport *report, const char *name, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
// Abi, size, name, bibtex and version of a descriptor of `type` ("CtpgProblemType") with `size` bytes; fault: what its
// slots lack, see run/registry.h.
PetscBool CheckDescriptor(CheckReport *report, const void *descriptor, size_t size, const char *type,
                          const char *fault);
void CheckSkip(CheckReport *report, const char *name, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);

// The largest of many errors, and the sentence that belongs to it. Start with {.limit = ...}.
typedef struct {
  PetscReal limit, worst;
  char sentence[600];
} CheckWorst;
// Keeps the sentence when `error` (NaN: infinite) is above the limit and the largest so far.
void CheckOffer(CheckWorst *worst, PetscReal error, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
// Pass or failure of everything offered. True: passed.
PetscBool CheckConclude(CheckReport *report, const char *name, const CheckWorst *worst);

// ---- derivatives by differences ----

// values [m] of a function at displacement s along a line.
typedef CtpgStatus (*CheckLine)(void *context, PetscReal s, PetscReal *values);
#define CHECK_LEVELS 4
// derivative [m] at s = 0 by Richardson extrapolation of central differences, with steps that begin near
// `scale` / 30, and an estimate of its error [m] (infinite where the function could not be evaluated). Flags of the
// problem (problem.h): where it has kinks, steps go on to an eighth, to stay on this side of one; where products are
// differences themselves, `error` holds the truncation of a central one of 1e-5 `scale`, too. work:
// [(CHECK_LEVELS + 2) m].
void CheckDifferences(CheckLine line, void *context, uint64_t flags, PetscInt m, PetscReal scale, PetscReal *work,
                      PetscReal *derivative, PetscReal *error);

// |found - expected| / scale, but not above the limit where differences of that uncertainty cannot tell them apart.
PetscReal CheckDiscrepancy(PetscReal found, PetscReal expected, PetscReal uncertainty, PetscReal scale,
                           PetscReal limit);

#endif
