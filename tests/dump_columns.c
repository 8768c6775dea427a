// dump_columns.c -- the columns of the tables of results files as this program has them: "table name kind science", a
// line each. The makers of synthetic files (make_results.py, make_training.py) read them, so that a test file cannot
// drift from the schema. With the word `page`: the tables of docs/file-format.md.

#include "store/schema.h"
#include "store/train_schema.h"
#include <stdio.h>
#include <string.h>

#define PRINT_RUN(kind, name, digest, unit, text)     printf("run %s %s %d\n", #name, #kind, digest);
#define PRINT_CASE(kind, name, digest, unit, text)    printf("case %s %s %d\n", #name, #kind, digest);
#define PRINT_TRAIN(kind, name, digest, unit, text)   printf("training %s %s %d\n", #name, #kind, digest);
#define PRINT_HISTORY(kind, name, digest, unit, text) printf("history %s %s %d\n", #name, #kind, digest);
#define ROW(kind, name, digest, unit, text)                                                                            \
  printf("| `%s` | %s | %s | %s | %s |\n", #name, #kind, unit, digest ? "yes" : "", text);

static void Head(const char *place) {
  printf("\n## %s\n\n| column | type | unit | science | what |\n| :-- | :-- | :-- | :-- | :-- |\n", place);
}

static void PrintPage(void) {
  printf("<!-- columns -->\n");
  Head("runs/table");
  CTPG_RUN_COLUMNS(ROW)
  Head("cases/table");
  CTPG_CASE_COLUMNS(ROW)
  Head("training/table");
  CTPG_TRAIN_COLUMNS(ROW)
  Head("Histories of a training");
  CTPG_HISTORY_COLUMNS(ROW)
  printf("\n## Statuses\n\n");
  for (CtpgStatus status = 0; status < CTPG_NUM_STATUSES; status++)
    printf("- %d `%s`\n", (int)status, CtpgStatusName(status));
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "page")) {
    PrintPage();
    return 0;
  }
  CTPG_RUN_COLUMNS(PRINT_RUN)
  CTPG_CASE_COLUMNS(PRINT_CASE)
  CTPG_TRAIN_COLUMNS(PRINT_TRAIN)
  CTPG_HISTORY_COLUMNS(PRINT_HISTORY)
  for (CtpgStatus status = 0; status < CTPG_NUM_STATUSES; status++) printf("status %s - -\n", CtpgStatusName(status));
  return 0;
}
