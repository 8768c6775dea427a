// dump_columns.c -- the columns of the tables of results files as this program has them: "table name kind science", a line
// each. The makers of synthetic files (make_results.py, make_training.py) read them, so that a test file cannot drift from
// the schema.

#include "store/schema.h"
#include "store/train_schema.h"
#include <stdio.h>

#define PRINT_RUN(kind, name, digest, unit, text)     printf("run %s %s %d\n", #name, #kind, digest);
#define PRINT_CASE(kind, name, digest, unit, text)    printf("case %s %s %d\n", #name, #kind, digest);
#define PRINT_TRAIN(kind, name, digest, unit, text)   printf("training %s %s %d\n", #name, #kind, digest);
#define PRINT_HISTORY(kind, name, digest, unit, text) printf("history %s %s %d\n", #name, #kind, digest);

int main(void) {
  CTPG_RUN_COLUMNS(PRINT_RUN)
  CTPG_CASE_COLUMNS(PRINT_CASE)
  CTPG_TRAIN_COLUMNS(PRINT_TRAIN)
  CTPG_HISTORY_COLUMNS(PRINT_HISTORY)
  for (CtpgStatus status = 0; status < CTPG_NUM_STATUSES; status++) printf("status %s - -\n", CtpgStatusName(status));
  return 0;
}
