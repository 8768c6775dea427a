// test_keys.c -- sorted keys: what is found, what is missing, and that a hundred thousand rows take no time

#include "base/keys.h"
#include "base/system.h"
#include <stdlib.h>
#include <string.h>
#include "test.h"

typedef struct {
  char before[5];
  uint64_t run_key;
  double after;
} Row;

static uint64_t Scramble(uint64_t i) {
  return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void TestFind(void) {
  PROPERTY("a key is found, of equal ones the smallest number, and one that is not there is not");
  KeyEntry entries[] = {{7, 3}, {5, 9}, {7, 1}, {UINT64_MAX, 0}, {0, 4}};
  const PetscInt n = sizeof entries / sizeof *entries;
  KeysSort(n, entries);
  CHECK(KeysFind(n, entries, 7) == 1);
  CHECK(KeysFind(n, entries, 5) == 9);
  CHECK(KeysFind(n, entries, UINT64_MAX) == 0);
  CHECK(KeysFind(n, entries, 0) == 4);
  CHECK(KeysFind(n, entries, 6) == -1);
  CHECK(KeysFind(0, entries, 7) == -1);
}

static PetscErrorCode TestMissing(void) {
  PROPERTY("rows whose key another table lacks are counted, the first is named");
  const Row *old = (Row[]){{.run_key = 3}, {.run_key = 2}, {.run_key = 1}},
            *now = (Row[]){{.run_key = 1}, {.run_key = 3}};
  const Row *none = NULL;
  PetscInt missing, first;

  PetscFunctionBeginUser;
  PetscCall(KeysFindMissing(KEY_COLUMN(3, old, run_key), KEY_COLUMN(2, now, run_key), &missing, &first));
  CHECK(missing == 1 && first == 1, "%d, first %d", (int)missing, (int)first);
  PetscCall(KeysFindMissing(KEY_COLUMN(2, now, run_key), KEY_COLUMN(3, old, run_key), &missing, &first));
  CHECK(missing == 0 && first == -1, "%d, first %d", (int)missing, (int)first);
  PetscCall(KeysFindMissing(KEY_COLUMN(3, old, run_key), KEY_COLUMN(0, none, run_key), &missing, &first));
  CHECK(missing == 3 && first == 0, "%d, first %d", (int)missing, (int)first);
  PetscCall(KeysFindMissing(KEY_COLUMN(0, none, run_key), KEY_COLUMN(2, now, run_key), &missing, &first));
  CHECK(missing == 0 && first == -1, "%d, first %d", (int)missing, (int)first);
  PetscFunctionReturn(0);
}

// Every pair of rows compared would be 4e10 comparisons.
static PetscErrorCode TestLarge(void) {
  PROPERTY("two hundred thousand rows against as many take less than two seconds");
  const PetscInt n = 200000;
  PetscInt missing, first;
  Row *old, *now;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(n, &old, n, &now));
  for (PetscInt i = 0; i < n; i++) {
    old[i].run_key = Scramble((uint64_t)i);
    now[i].run_key = Scramble((uint64_t)(n - i)); // all but old[0]
  }
  const double start = CtpgSeconds();
  PetscCall(KeysFindMissing(KEY_COLUMN(n, old, run_key), KEY_COLUMN(n, now, run_key), &missing, &first));
  CHECK(CtpgSeconds() - start < 2, "%g s", CtpgSeconds() - start);
  CHECK(missing == 1 && first == 0, "%d, first %d", (int)missing, (int)first);
  PetscCall(PetscFree2(old, now));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  TestFind();
  PetscCall(TestMissing());
  PetscCall(TestLarge());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
