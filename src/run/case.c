// case.c -- cases drawn from random streams or read from a file, and the key of what determines their gradient

#include "run/case.h"
#include "base/options_engine.h"
#include "base/random_engine.h"
#include "run/casefile.h"
#include <string.h>

static PetscErrorCode DrawTheta(const CtpgProblem *problem, int64_t seed, CtpgStream *stream, PetscReal *theta) {
  PetscFunctionBeginUser;
  if (problem->thetas.text)
    PetscCall(ThetaTableGet(&problem->thetas, seed, theta));
  else if (problem->type->draw_linear && PolicyIsLinear(problem->policy))
    PetscCall(problem->type->draw_linear(problem->ctx, stream, theta, theta + problem->dims.nu * problem->dims.no));
  else
    PolicyDraw(problem->policy, stream, problem->init_scale, theta);
  PetscFunctionReturn(0);
}

PetscErrorCode CaseDraw(const CtpgProblem *problem, int64_t seed, uint64_t experiment, CtpgCase *c) {
  const char *type = problem->type->name;
  CtpgStream x0 = CtpgStreamOpen((uint64_t)seed, type, CTPG_STREAM_X0, 0, experiment);
  CtpgStream task = CtpgStreamOpen((uint64_t)seed, type, CTPG_STREAM_TASK, 0, experiment);
  CtpgStream theta = CtpgStreamOpen((uint64_t)seed, type, CTPG_STREAM_THETA, 0, experiment);

  PetscFunctionBeginUser;
  *c = (CtpgCase){.seed = seed, .T = problem->dims.T};
  PetscCall(PetscSNPrintf(c->name, sizeof c->name, "seed %lld", (long long)seed));
  PetscCall(
      PetscMalloc3(problem->dims.nx, &c->x0, problem->dims.ntask, &c->task, PolicyGetSize(problem->policy), &c->theta));
  PetscCall(ProblemDrawStart(problem, &x0, &task, c->x0, c->task));
  PetscCall(DrawTheta(problem, seed, &theta, c->theta));
  PetscFunctionReturn(0);
}

// The policy that a case file describes; NULL where it says nothing.
static PetscErrorCode PolicyFromFile(const CtpgProblem *problem, const char *path, const CtpgCaseFile *file,
                                     CtpgPolicy *policy) {
  char option[PETSC_MAX_PATH_LEN + 32];
  CtpgActivation *activations;

  PetscFunctionBeginUser;
  *policy = NULL;
  if (!file->nlayers) PetscFunctionReturn(0);
  PetscCheck(file->layers[0] == problem->dims.no && file->layers[file->nlayers] == problem->dims.nu, PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT, "-case_file %s: layers go from %d to %d, but %s observes %d and controls %d", path,
             (int)file->layers[0], (int)file->layers[file->nlayers], problem->label, (int)problem->dims.no,
             (int)problem->dims.nu);
  PetscCall(PetscMalloc1(file->nlayers, &activations));
  PetscCall(PetscSNPrintf(option, sizeof option, "-case_file %s: activations", path));
  PetscCall(CtpgActivationsParse(option, file->activations, file->nlayers, activations));
  PetscCall(PolicyCreate(file->nlayers, file->layers, activations, policy));
  PetscCall(PetscFree(activations));
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeOverPolicy(CtpgProblem *problem, const char *path, const CtpgCaseFile *file) {
  CtpgPolicy policy;
  PetscFunctionBeginUser;
  PetscCall(PolicyFromFile(problem, path, file, &policy));
  if (!policy) PetscFunctionReturn(0);
  if (strcmp(PolicyDescribe(policy), PolicyDescribe(problem->policy)))
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "note: policy %s from %s instead of %s\n", PolicyDescribe(policy), path,
                          PolicyDescribe(problem->policy)));
  PetscCall(PolicyDestroy(&problem->policy));
  problem->policy = policy;
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeOverHorizon(CtpgProblem *problem, const char *path, const CtpgCaseFile *file) {
  PetscFunctionBeginUser;
  if (file->horizon > 0 && file->horizon != problem->dims.T) {
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "note: horizon %.6g s from %s instead of %.6g s\n", file->horizon, path,
                          problem->dims.T));
    problem->dims.T = file->horizon;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckSize(const char *path, const char *name, const char *what, PetscInt found, PetscInt wanted,
                                const CtpgProblem *problem) {
  PetscFunctionBeginUser;
  PetscCheck(found == wanted, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-case_file %s, case %s: %s has %d numbers, but %s with policy %s needs %d", path, name, what, (int)found,
             problem->label, PolicyDescribe(problem->policy), (int)wanted);
  PetscFunctionReturn(0);
}

PetscErrorCode CaseRead(CtpgProblem *problem, const char *path, const char *name, CtpgCase *c) {
  CtpgCaseFile file;

  PetscFunctionBeginUser;
  PetscCall(CaseFileRead(path, name, &file));
  PetscCall(TakeOverPolicy(problem, path, &file));
  PetscCall(TakeOverHorizon(problem, path, &file));
  const PetscInt nx = problem->dims.nx, ntask = problem->dims.ntask, np = PolicyGetSize(problem->policy);
  PetscCall(CheckSize(path, name, "x0", file.nx, nx, problem));
  PetscCall(CheckSize(path, name, "theta", file.np, np, problem));
  PetscCall(CheckSize(path, name, "goals", file.ntask, ntask, problem));
  PetscCall(
      PetscFPrintf(PETSC_COMM_WORLD, stderr, "note: %s has no checksums: its cases are taken as they are\n", path));
  *c = (CtpgCase){.T = problem->dims.T};
  PetscCall(PetscStrncpy(c->name, name, sizeof c->name));
  PetscCall(PetscMalloc3(nx, &c->x0, ntask, &c->task, np, &c->theta));
  PetscCall(PetscArraycpy(c->x0, file.x0, nx));
  PetscCall(PetscArraycpy(c->task, file.task, ntask));
  PetscCall(PetscArraycpy(c->theta, file.theta, np));
  PetscCall(CaseFileDestroy(&file));
  PetscFunctionReturn(0);
}

PetscErrorCode CaseDestroy(CtpgCase *c) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree3(c->x0, c->task, c->theta));
  PetscFunctionReturn(0);
}

// ---- the case that a command was asked for ----

PetscErrorCode CaseChoiceRead(CtpgOptions options, CtpgCaseChoice *choice) {
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsInt(options, "seed", "seed of the case", 0, PETSC_MAX_INT, &choice->seed));
  PetscCall(CtpgOptionsInt(options, "experiment", "number of the experiment: other random streams", 0, PETSC_MAX_INT,
                           &choice->experiment));
  PetscCall(CtpgOptionsText(options, "case_file", "HDF5 case file to take x0 and theta from", choice->file,
                            sizeof choice->file));
  PetscCall(CtpgOptionsText(options, "case", "group of the case file", choice->name, sizeof choice->name));
  PetscFunctionReturn(0);
}

PetscErrorCode CaseChoiceCheck(const CtpgCaseChoice *choice) {
  PetscFunctionBeginUser;
  PetscCheck(!choice->file[0] == !choice->name[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-case_file FILE and -case NAME go together; only %s is given", choice->file[0] ? "-case_file" : "-case");
  PetscFunctionReturn(0);
}

PetscErrorCode CaseChoose(CtpgProblem *problem, const CtpgCaseChoice *choice, CtpgCase *c) {
  PetscFunctionBeginUser;
  if (choice->file[0])
    PetscCall(CaseRead(problem, choice->file, choice->name, c));
  else
    PetscCall(CaseDraw(problem, choice->seed, (uint64_t)choice->experiment, c));
  PetscFunctionReturn(0);
}

static uint64_t HashReals(uint64_t hash, PetscInt n, const PetscReal *values) {
  return CtpgHash(hash, values, (size_t)n * sizeof *values);
}

uint64_t CaseKey(const CtpgProblem *problem, const CtpgCase *c) {
  uint64_t hash = CtpgHashString(CTPG_HASH_START, problem->type->name);
  hash = CtpgHash(hash, &problem->type->version, sizeof problem->type->version);
  hash = CtpgHashString(hash, CtpgOptionsResolved(problem->options));
  hash = CtpgHashString(hash, PolicyDescribe(problem->policy));
  hash = CtpgHash(hash, &c->seed, sizeof c->seed);
  hash = HashReals(hash, 1, &c->T);
  hash = HashReals(hash, problem->dims.nx, c->x0);
  hash = HashReals(hash, problem->dims.ntask, c->task);
  return HashReals(hash, PolicyGetSize(problem->policy), c->theta);
}
