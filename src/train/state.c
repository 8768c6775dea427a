// state.c -- see state.h

#include "train/state.h"
#include "base/wrap.h"
#include "job/filestate.h"
#include "store/train_digest.h"

// Runs of one estimator on one problem: how many ended how, and where the others stand.
static PetscErrorCode PrintTrainedPair(TrainContents c, PetscInt pair) {
  const TrainShape *shape = c->shapes + pair;
  const TrainRow *rows = c->rows + shape->first_run;
  const PetscBool *finished = c->done + shape->first_run;
  const CtpgContents f = c->base;
  PetscInt done = 0;
  PetscReal loss;

  PetscFunctionBeginUser;
  for (PetscInt s = 0; s < shape->nseeds; s++) done += finished[s] ? 1 : 0;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %-18s %d of %d seeds done, %d iterations each\n",
                        f->problem[shape->problem], f->estimator[shape->estimator], (int)done, (int)shape->nseeds,
                        (int)shape->iterations));
  for (PetscInt s = 0; s < shape->nseeds; s++) {
    const PetscInt run = shape->first_run + s;
    if (finished[s] && rows[s].status == CTPG_OK)
      PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                            "  seed %lld: ok, loss %.6g, test loss %.6g, NFE %lld, %lld failures, %.1f s\n",
                            (long long)rows[s].seed, rows[s].loss, rows[s].test_loss, (long long)rows[s].nfe,
                            (long long)rows[s].failures, rows[s].seconds));
    else if (finished[s])
      PetscCall(CtpgPrintWrapped(4, "  seed %lld: %s, %s", (long long)rows[s].seed,
                                 CtpgStatusName((CtpgStatus)rows[s].status), rows[s].reason));
    else if (c->slot[run] >= 0) {
      PetscCall(TrainContentsReadLoss(c, run, &loss));
      PetscCall(PetscPrintf(PETSC_COMM_WORLD, "  seed %lld: at iteration %lld, loss %.6g\n", (long long)rows[s].seed,
                            (long long)c->slot[run], loss));
    }
  }
  PetscFunctionReturn(0);
}

PetscErrorCode TrainPrintState(const char *path, PetscBool verify) {
  char digest[65];
  TrainContents c;
  PetscInt done = 0, environment;

  PetscFunctionBeginUser;
  PetscCall(TrainContentsRead(path, &c));
  for (PetscInt r = 0; r < c->nruns; r++) done += c->done[r] ? 1 : 0;
  PetscCall(CtpgPrintWrapped(2, "%s: training, %d of %d runs done, %d sessions, begun on %s\n", path, (int)done,
                             (int)c->nruns, (int)c->base->nsessions, c->base->isa));
  PetscCall(StatePrintDamage(c->base, "finished runs"));
  PetscCall(StatePrintHolder(path));
  for (PetscInt i = 0; i < c->npairs; i++) PetscCall(PrintTrainedPair(c, i));
  PetscCall(StatePrintSessions(c->base));
  PetscCall(TrainContentsDigest(c, digest, &environment));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "digest: %s\n", digest));
  PetscCall(StateConclude(c->base, verify));
  PetscCall(TrainContentsDestroy(&c));
  PetscFunctionReturn(0);
}
