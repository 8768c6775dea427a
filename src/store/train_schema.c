// train_schema.c -- the lists of columns of train_schema.h turned into layouts; the size of a file

#include "store/train_schema.h"

#define ROW_COLUMN(kind, name, digest, unit, text)     STORE_COLUMN(TrainRow, kind, name, digest, unit, text),
#define HISTORY_COLUMN(kind, name, digest, unit, text) STORE_COLUMN(TrainHistory, kind, name, digest, unit, text),

static const StoreColumn ROW_COLUMNS[] = {CTPG_TRAIN_COLUMNS(ROW_COLUMN)};
const StoreColumn TrainHistoryColumns[TRAIN_NHISTORY] = {CTPG_HISTORY_COLUMNS(HISTORY_COLUMN)};
const StoreLayout TrainRowLayout = {STORE_LENGTH(ROW_COLUMNS), ROW_COLUMNS};

// History rows are hashed as bytes: they must have no padding.
#define COLUMN_SIZE(kind, name, digest, unit, text) +sizeof(((TrainHistory *)0)->name)
_Static_assert(sizeof(TrainHistory) == 0 CTPG_HISTORY_COLUMNS(COLUMN_SIZE), "history rows are hashed as bytes");

int TrainHistoryLength(const TrainShape *shape) {
  return shape->contract ? TRAIN_NHISTORY : TRAIN_NPLAIN;
}

void TrainRowClear(TrainRow *row) {
  StoreRowClear(&TrainRowLayout, row, sizeof *row);
  row->status = CTPG_PENDING;
}

PetscInt TrainFindPair(PetscInt npairs, const TrainShape *shapes, PetscInt run) {
  PetscInt i = npairs - 1;
  while (i > 0 && run < shapes[i].first_run) i--;
  return i;
}

#define FILE_OVERHEAD 40000.0 // bytes of attributes and group structures, and

#define PAIR_OVERHEAD 30000.0 // of each pair

static double PairBytes(const TrainShape *shape) {
  double history = 8, points = (double)shape->path_starts * shape->path_points * (shape->nx + shape->nu);
  for (int c = 0; c < TrainHistoryLength(shape); c++) history += (double)TrainHistoryColumns[c].size;
  const double reals = shape->nsnapshots * (shape->np + points) + (double)shape->visited * shape->nx +
                       2.0 * (shape->np + shape->noptimizer) + 2.0 * shape->nsnapshots + 2.0 * (TRAIN_NCOUNTS + 2);
  return shape->nseeds * (8 * reals + shape->iterations * history + 12.0 * shape->ntests + 24.0 * shape->naudits +
                          2.0 * shape->nmemory) +
         8.0 * (shape->iterations + shape->np) + PAIR_OVERHEAD;
}

double TrainLayoutBytes(const TrainLayout *layout) {
  double bytes = FILE_OVERHEAD + (double)(CTPG_SESSIONS * StoreRowBytes(&StoreSessionLayout)) +
                 (double)layout->nruns * (double)(StoreRowBytes(&TrainRowLayout) + StoreRowBytes(&StoreCommitLayout));
  for (PetscInt i = 0; i < layout->npairs; i++) bytes += PairBytes(layout->shapes + i);
  return bytes;
}
