// train_convert.c -- a training file of the schema before, written anew in this one
//
// The layout comes from the file itself: its labels, its scales, the sizes of its arrays. What it holds then goes the way
// of every file that is laid out anew (train_takeover.c).

#include "store/train_convert.h"
#include "store/train_create.h"
#include <stdio.h>
#include <stdlib.h>

// Of one problem.
typedef struct {
  PetscInt nseeds, test_starts;
  int64_t *seeds;
  PetscReal *test_x0, *test_task;
} Starts;

typedef struct {
  TrainContents old;
  Starts *starts; // [nproblems]
  TrainRow *rows; // [nruns] identity
} Conversion;

// A dataset of training/<problem>, allocated here; extent [3] is 0 where there is none.
static int ReadAll(hid_t file, const char *problem, const char *name, hid_t type, int dimensions, hsize_t *extent,
                   void *values) {
  const hsize_t zero[STORE_DIMENSIONS] = {0};
  char path[3 * CTPG_LABEL_SIZE];
  TrainArray array = {0};
  size_t n = 1;
  snprintf(path, sizeof path, "training/%s/%s", problem, name);
  if (H5Lexists(file, path, H5P_DEFAULT) <= 0) return 0;
  STORE_TRY(TrainArrayOpen(file, path, type, dimensions, NULL, &array));
  for (int d = 0; d < dimensions; d++) extent[d] = array.size[d], n *= (size_t)extent[d];
  *(char **)values = malloc(n * H5Tget_size(type) + 1);
  const int failed = *(char **)values ? TrainArrayMove(&array, zero, extent, *(char **)values, PETSC_FALSE)
                                      : StoreFail("out of memory");
  TrainArrayClose(&array);
  return failed;
}

static int ReadStarts(hid_t file, const CtpgLabelInfo *problem, Starts *s) {
  hsize_t seeds[3] = {0}, x0[3] = {0}, task[3] = {0};
  STORE_TRY(ReadAll(file, problem->label, "seed", H5T_NATIVE_INT64, 1, seeds, &s->seeds));
  STORE_TRY(ReadAll(file, problem->label, "test_x0", H5T_NATIVE_DOUBLE, 3, x0, &s->test_x0));
  STORE_TRY(ReadAll(file, problem->label, "test_task", H5T_NATIVE_DOUBLE, 3, task, &s->test_task));
  s->nseeds = (PetscInt)seeds[0], s->test_starts = (PetscInt)x0[1];
  return s->test_x0 && (x0[0] != seeds[0] || x0[2] != (hsize_t)problem->nx || (task[1] && task[1] != x0[1]))
             ? StoreFail("the starts of the tests of %s do not fit together", problem->label)
             : 0;
}

static int ReadAllStarts(Conversion *v) {
  const CtpgContents base = v->old->base;
  const hid_t file = StoreFileOpenSerial(base->path);
  int failed = file < 0 ? -1 : 0;
  for (PetscInt p = 0; !failed && p < base->nproblems; p++)
    failed = ReadStarts(file, base->problem_info + p, v->starts + p);
  if (file >= 0) H5Fclose(file);
  return failed;
}

// What sizes of arrays do not tell.
static void CompleteShapes(TrainContents c) {
  for (PetscInt i = 0; i < c->npairs; i++) {
    const CtpgLabelInfo *problem = c->base->problem_info + c->shapes[i].problem;
    c->shapes[i].nx = problem->nx, c->shapes[i].nu = problem->nu, c->shapes[i].T = problem->T;
  }
}

static void FillIdentities(Conversion *v) {
  for (PetscInt r = 0; r < v->old->nruns; r++) {
    const TrainRow *from = v->old->rows + r;
    TrainRow *row = v->rows + r;
    TrainRowClear(row);
    row->run_key = from->run_key, row->problem = from->problem, row->estimator = from->estimator;
    row->row = from->row, row->seed = from->seed, row->accuracy = from->accuracy, row->iterations = from->iterations;
  }
}

static PetscErrorCode Create(const char *out, const Conversion *v) {
  const CtpgContents base = v->old->base;
  const PetscInt n = base->nproblems;
  const CtpgStorePlan plan = {.kind = base->kind,
                              .plan_hash = base->plan_hash,
                              .plan_options = base->plan_options,
                              .isa = base->isa,
                              .nproblems = n,
                              .nestimators = base->nestimators,
                              .problems = base->problem_info,
                              .estimators = base->estimator_info};
  PetscInt *nseeds, *test_starts;
  const int64_t **seeds;
  PetscReal **x0, **task;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc5(n, &nseeds, n, &test_starts, n, &seeds, n, &x0, n, &task));
  for (PetscInt p = 0; p < n; p++) {
    nseeds[p] = v->starts[p].nseeds, test_starts[p] = v->starts[p].test_starts, seeds[p] = v->starts[p].seeds;
    x0[p] = v->starts[p].test_x0, task[p] = v->starts[p].test_task;
  }
  const TrainLayout layout = {.plan = &plan,
                              .npairs = v->old->npairs,
                              .nruns = v->old->nruns,
                              .shapes = v->old->shapes,
                              .rows = v->rows,
                              .nseeds = nseeds,
                              .seeds = seeds,
                              .test_starts = test_starts,
                              .options = (const char *const *)v->old->options,
                              .test_x0 = x0,
                              .test_task = task};
  PetscCall(TrainStoreCreate(out, &layout, v->old));
  PetscCall(PetscFree5(nseeds, test_starts, seeds, x0, task));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreConvert(const char *out, const char *path) {
  Conversion v = {0};
  PetscFunctionBeginUser;
  PetscCall(TrainContentsReadOld(path, &v.old));
  PetscCall(ContentsRefuseDamaged(v.old->base));
  PetscCall(PetscCalloc2(v.old->base->nproblems, &v.starts, v.old->nruns, &v.rows));
  StoreBegin();
  PetscCheck(!ReadAllStarts(&v), PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "Cannot read %s: %s", path, StoreReason());
  CompleteShapes(v.old);
  FillIdentities(&v);
  PetscCall(Create(out, &v));
  for (PetscInt p = 0; p < v.old->base->nproblems; p++)
    free(v.starts[p].seeds), free(v.starts[p].test_x0), free(v.starts[p].test_task);
  PetscCall(PetscFree2(v.starts, v.rows));
  PetscCall(TrainContentsDestroy(&v.old));
  PetscFunctionReturn(0);
}
