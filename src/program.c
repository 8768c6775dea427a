// program.c -- start and end of the program: commands, options, messages, signals

#include "program.h"
#include "build_info.h"
#include <hdf5.h>
#include <petscts.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

volatile int CtpgStopRequested = 0;
static PetscBool everybody_knows = PETSC_FALSE; // of the error that ends the program

static const char *const COMMANDS[] = {"list", "gradient", "sweep", "check", "status", NULL};

static const char USAGE[] =
    "ctpgbench " CTPG_VERSION ": gradient estimators for continuous-time control, compared\n"
    "\n"
    "usage: ctpgbench <command> [options]      (with MPI: mpirun -n 4 ctpgbench sweep ...)\n"
    "  list       problems and estimators\n"
    "  gradient   one gradient, compared with its reference\n"
    "  sweep      problems x seeds x estimators x accuracies into one HDF5 file; again: resumes\n"
    "  check      conformance of problems and estimators\n"
    "  status     progress, failures and provenance of a results file\n"
    "Options of a command: ctpgbench <command> -help. Plans: -options_file plan.yaml.\n";

// ---- messages ----

// One sentence on stderr in place of PETSc's stack; collective errors are told by rank 0 alone.
static PetscErrorCode TellError(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                                PetscErrorType kind, const char *message, void *context) {
  int rank = 0;
  (void)line, (void)file, (void)context;
  if (kind != PETSC_ERROR_INITIAL) return code;
  MPI_Comm_rank(PETSC_COMM_WORLD, &rank);
  const int everywhere = comm == PETSC_COMM_WORLD;
  const int by_user =
      code == PETSC_ERR_USER_INPUT || (code >= PETSC_ERR_FILE_OPEN && code <= PETSC_ERR_FILE_UNEXPECTED);
  if (everywhere) CtpgErrorWasTold();
  if (everywhere && rank) return code;
  if (everywhere || by_user)
    fprintf(stderr, "ctpgbench: %s\n", message ? message : "error");
  else
    fprintf(stderr, "ctpgbench: rank %d, %s: %s\n", rank, function, message ? message : "error");
  return code;
}

void CtpgErrorWasTold(void) {
  everybody_knows = PETSC_TRUE;
}

static PetscErrorCode UnknownCommand(const char *command) {
  PetscFunctionBeginUser;
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
          "%s is not a command; did you mean %s? Known: list gradient sweep check status", command,
          CtpgNearest(command, COMMANDS));
}

// ---- signals ----

static void RequestStop(int signal) {
  (void)signal;
  CtpgStopRequested = 1;
}

static void InstallSignals(void) {
  const int stops[] = {SIGTERM, SIGINT, SIGUSR1};
  struct sigaction action = {.sa_handler = RequestStop};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) sigaction(stops[i], &action, NULL);
}

// `srun` without PMIx starts N programs of one rank each, all of which would write the same file.
static PetscErrorCode RefuseSeparateTasks(void) {
  const char *tasks = getenv("SLURM_STEP_NUM_TASKS"), *pmi = getenv("PMI_SIZE");
  const int wanted = tasks ? atoi(tasks) : pmi ? atoi(pmi) : 1;
  int size;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCheck(wanted <= 1 || size > 1 || getenv("OMPI_COMM_WORLD_SIZE"), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "this job step has %d tasks, but MPI sees 1 rank in each; start it with srun --mpi=pmix or mpirun",
             wanted);
  PetscFunctionReturn(0);
}

// ---- options shared by commands ----

PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels) {
  char plural[64], key[80], text[8192] = "", singular_text[8192] = "";
  PetscBool one, many;

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(plural, sizeof plural, "%ss", name));
  PetscCall(CtpgOptionsFind(options, name, NULL, 0, &one));
  PetscCall(CtpgOptionsFind(options, plural, NULL, 0, &many));
  PetscCheck(!(one && many), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s and -%s are both given; they mean the same",
             name, plural);
  PetscCheck(one || many || fallback, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s is missing; expected a comma list of types or label=type (see ctpgbench list)", plural);
  if (fallback) PetscCall(PetscStrncpy(text, fallback, sizeof text));
  PetscCall(CtpgOptionsText(options, plural, "comma list of types or label=type", text, sizeof text));
  if (one) PetscCall(CtpgOptionsText(options, name, "the same", singular_text, sizeof singular_text));
  PetscCall(PetscSNPrintf(key, sizeof key, "-%s", one ? name : plural));
  PetscCall(LabelsParse(key, one ? singular_text : text, n, labels));
  PetscFunctionReturn(0);
}

// ---- main ----

// argv without the words that PETSc would answer itself: -help would list all of PETSc, -version name PETSc's.
static void TakeOut(int *argc, char **argv, const char *word, PetscBool *found) {
  int kept = 0;
  *found = PETSC_FALSE;
  for (int i = 0; i < *argc; i++) {
    const char *argument = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
    if (i > 0 && !strcmp(argument, word))
      *found = PETSC_TRUE;
    else
      argv[kept++] = argv[i];
  }
  argv[kept] = NULL;
  *argc = kept;
}

static PetscErrorCode PrintVersion(void) {
  unsigned major, minor, release;
  char petsc[256], mpi[MPI_MAX_LIBRARY_VERSION_STRING];
  int length;
  PetscFunctionBeginUser;
  PetscCall(PetscGetVersion(petsc, sizeof petsc));
  PetscCallMPI(MPI_Get_library_version(mpi, &length));
  mpi[strcspn(mpi, ",\n")] = 0;
  H5get_libversion(&major, &minor, &release);
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "ctpgbench %s (%s)\n%s\n%s\nHDF5 %u.%u.%u\n%s, %s\n", CTPG_VERSION,
                        CTPG_COMMIT[0] ? CTPG_COMMIT : "no commit", petsc, mpi, major, minor, release, CTPG_COMPILER,
                        CTPG_FLAGS));
  PetscFunctionReturn(0);
}

static PetscErrorCode RunCommand(const char *command, const char *file, int *exit_code) {
  PetscFunctionBeginUser;
  PetscCall(RefuseSeparateTasks());
  if (!strcmp(command, "list"))
    PetscCall(CommandList(exit_code));
  else if (!strcmp(command, "gradient"))
    PetscCall(CommandGradient(exit_code));
  else if (!strcmp(command, "sweep"))
    PetscCall(CommandSweep(exit_code));
  else if (!strcmp(command, "check"))
    PetscCall(CommandCheck(exit_code));
  else if (!strcmp(command, "status"))
    PetscCall(CommandStatus(file, exit_code));
  else
    PetscCall(UnknownCommand(command));
  PetscFunctionReturn(0);
}

// Names the command, or the usage when there is none.
static PetscErrorCode Dispatch(const char *command, const char *file, PetscBool help, PetscBool version,
                               int *exit_code) {
  PetscFunctionBeginUser;
  if (help) PetscCall(PetscOptionsSetValue(NULL, "-help", NULL));
  if (version)
    PetscCall(PrintVersion());
  else if (!command[0]) {
    PetscCall(PetscFPrintf(PETSC_COMM_WORLD, help ? stdout : stderr, "%s", USAGE));
    *exit_code = help ? CTPG_EXIT_DONE : CTPG_EXIT_ERROR;
  } else
    PetscCall(RunCommand(command, file, exit_code));
  PetscFunctionReturn(0);
}

int CtpgMain(int argc, char **argv) {
  PetscBool help, version;
  int exit_code = CTPG_EXIT_DONE;

  TakeOut(&argc, argv, "-help", &help);
  TakeOut(&argc, argv, "-version", &version);
  const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
  const char *file = command[0] && argc > 2 && argv[2][0] != '-' ? argv[2] : "";
  if (PetscInitialize(&argc, &argv, NULL, NULL)) return CTPG_EXIT_ERROR;
  InstallSignals();
  PetscErrorCode error = PetscPushErrorHandler(TellError, NULL);
  if (!error) error = Dispatch(command, file, help, version, &exit_code);
  if (error && !everybody_knows) MPI_Abort(PETSC_COMM_WORLD, CTPG_EXIT_ERROR);
  if (error)
    exit_code = CTPG_EXIT_ERROR;
  else if (PetscFinalize())
    exit_code = CTPG_EXIT_ERROR;
  if (error) MPI_Finalize();
  return exit_code;
}
