// rows.c -- the rows of a bench in memory; see rows.h

#include "bench/rows.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

PetscErrorCode BenchAdd(BenchRows *rows, double value, const char *unit, PetscBool counted, const char *format, ...) {
  va_list arguments;
  PetscFunctionBeginUser;
  if (rows->n == rows->room) {
    rows->room = 2 * rows->room + 64;
    PetscCall(PetscRealloc((size_t)rows->room * sizeof *rows->row, &rows->row));
  }
  BenchRow *row = rows->row + rows->n++;
  memset(row, 0, sizeof *row);
  va_start(arguments, format);
  vsnprintf(row->name, sizeof row->name, format, arguments);
  va_end(arguments);
  snprintf(row->unit, sizeof row->unit, "%s", unit);
  row->value = value;
  row->counted = counted ? 1 : 0;
  PetscFunctionReturn(0);
}

PetscErrorCode BenchRowsDestroy(BenchRows *rows) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(rows->row));
  rows->n = rows->room = 0;
  PetscFunctionReturn(0);
}

const BenchRow *BenchFind(const BenchRows *rows, const char *name) {
  for (PetscInt i = 0; i < rows->n; i++)
    if (!strcmp(rows->row[i].name, name)) return rows->row + i;
  return NULL;
}
