#include "program.h"
PetscErrorCode CommandCheck(int *exit_code) {
  (void)exit_code;
  return 0;
}
