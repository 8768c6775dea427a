// test_session.c -- lists of what many ranks say: counted, folded where they are long, cut where they are too long

#include "job/session.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

// A list of `nodes` hosts with `ranks` ranks each; pattern: a printf format of their number.
static PetscErrorCode Join(const char *pattern, int first, int nodes, int ranks, PetscBool fold, size_t length,
                           char *text) {
  char *all;
  size_t used = 0;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(nodes * ranks * 320, &all));
  for (int i = 0; i < nodes * ranks; i++) used += (size_t)sprintf(all + used, pattern, first + i / ranks) + 1;
  PetscCall(SessionJoin(all, nodes * ranks, fold, text, length));
  PetscCall(PetscFree(all));
  PetscFunctionReturn(0);
}

#define CHECK_LIST(expected, ...)                                                                                      \
  do {                                                                                                                 \
    PetscCall(Join(__VA_ARGS__, sizeof text, text));                                                                   \
    CHECK(!strcmp(text, expected), "%s, expected %s", text, expected);                                                 \
  } while (0)

static PetscErrorCode TestLists(void) {
  PROPERTY("hosts are counted, and folded into ranges where they are many");
  char text[64];
  PetscFunctionBeginUser;
  CHECK_LIST("node1 x 2,node2 x 2", "node%d", 1, 2, 2, PETSC_TRUE);
  CHECK_LIST("0,1,2,3", "%d", 0, 4, 1, PETSC_TRUE);
  CHECK_LIST("node[001-107] x 96", "node%03d", 1, 107, 96, PETSC_TRUE);
  CHECK_LIST("n[8-9].a2.org x 3,n[10-40].a2.org x 3", "n%d.a2.org", 8, 33, 3, PETSC_TRUE);
  CHECK_LIST("[00-63]", "%02d", 0, 64, 1, PETSC_TRUE);
  CHECK_LIST("libm 00,libm 01,libm 02,libm 03,libm 04,libm 05,libm 06,libm 07", "libm %02d", 0, 64, 1, PETSC_FALSE);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestLongNames(void) {
  PROPERTY("names of any length, and hosts of which some are missing");
  const char missing[] = "cn1\0cn2\0cn4\0cn5\0gpu\0gpu\0cn6\0cn7";
  char name[301], text[1024];
  PetscFunctionBeginUser;
  memset(name, 'x', 300);
  name[300] = 0;
  PetscCall(SessionJoin(name, 1, PETSC_TRUE, text, sizeof text));
  CHECK(!strcmp(text, name), "%s", text);
  PetscCall(SessionJoin(missing, 8, PETSC_TRUE, text, 31));
  CHECK(!strcmp(text, "cn[1-2],cn[4-5],gpu x 2,cn[6-7"), "%s", text);
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscFunctionBeginUser;
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(TestLists());
  PetscCall(TestLongNames());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
