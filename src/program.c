// program.c -- start and end of the program: commands, options, messages, signals

#include "program.h"
#include "build_info.h"
#include "command_analysis.h"
#include "crash.h"
#include "plugin.h"
#include "session.h"
#include <petscts.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

volatile int CtpgStopRequested = 0;
static PetscBool everybody_knows = PETSC_FALSE; // of the error that ends the program

typedef struct {
  int n;
  const char **word; // [n]
} Words;
static Words words; // behind the command

typedef struct {
  const char *name;
  CtpgCommand *run; // NULL: handed over to Python before MPI starts, see command_analysis.h
  const char *word; // what it takes behind its name, FILES: one or more; NULL: options only
  const char *summary;
} Command;

static const Command COMMANDS[] = {
    {"list", CommandList, NULL, "problems and estimators"},
    {"gradient", CommandGradient, NULL, "one gradient, compared with its reference"},
    {"sweep", CommandSweep, NULL, "problems x seeds x estimators x accuracies into one HDF5 file; again: resumes"},
    {"plan", CommandPlan, "FILE", "what a sweep would do; or -simulate N FILE: a finished one replayed on N ranks"},
    {"train", CommandTrain, NULL, "policies trained with each estimator over seeds into one HDF5 file; again: resumes"},
    {"trace", CommandTrace, NULL, "the forward path, and the path each estimator believes in on its way back"},
    {"check", CommandCheck, NULL, "conformance of problems and estimators, in the tree or plug-ins"},
    {"merge", CommandMerge, "FILES", "the files of shards, or of parts of a plan, into one"},
    {"status", CommandStatus, "FILE", "progress, failures and provenance of a results file"},
    {"new-problem", CommandNewProblem, "NAME", "a folder with a problem of yours that compiles, to be filled in"},
    {"new-estimator", CommandNewEstimator, "NAME", "likewise for an estimator"},
    {"figures", NULL, "FILES", "figures of a sweep, a training or traces (-o FOLDER)"},
    {"table", NULL, "FILE", "work and time at equal gradient error, of a sweep"},
    {"training", NULL, "FILE", "final test losses of a training, or what it costs (--speed)"},
    {"claims", NULL, "FILE", "the paper's claims, judged by a training"},
    {"choosing", NULL, "FILES", "which estimator to take, by sweeps"},
    {"paper", NULL, "FILE", "all figures of the paper, and a summary of its claims"},
    {"beyond", NULL, "FILE", "does a more accurate gradient need fewer iterations?"},
    {"analysis", NULL, "WORDS", "any command of the package ctpgbench_analysis"}};
#define NCOMMANDS (sizeof COMMANDS / sizeof *COMMANDS)

static PetscErrorCode PrintUsage(FILE *stream) {
  PetscFunctionBeginUser;
  PetscCall(PetscFPrintf(PETSC_COMM_WORLD, stream,
                         "ctpgbench %s: gradient estimators for continuous-time control, compared\n\n"
                         "usage: ctpgbench <command> [options]      (with MPI: mpirun -n 4 ctpgbench sweep ...)\n",
                         CTPG_VERSION));
  for (size_t i = 0; i < NCOMMANDS; i++)
    PetscCall(PetscFPrintf(PETSC_COMM_WORLD, stream, "  %-14s%-5s %s\n", COMMANDS[i].name,
                           COMMANDS[i].word ? COMMANDS[i].word : "", COMMANDS[i].summary));
  PetscCall(
      PetscFPrintf(PETSC_COMM_WORLD, stream,
                   "Options of a command: ctpgbench <command> -help; with -problems and -estimators also theirs.\n"
                   "Plans: -options_file plan.yaml; the command line wins. Plug-ins: -problem_library and "
                   "-estimator_library FILE.so.\n"));
  PetscFunctionReturn(0);
}

// ---- messages ----

// One sentence on stderr in place of PETSc's stack; collective errors are told by rank 0 alone.
static PetscErrorCode TellError(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                                PetscErrorType kind, const char *message, void *context) {
  int rank = 0;
  (void)line, (void)file, (void)context;
  if (kind != PETSC_ERROR_INITIAL) return code;
  MPI_Comm_rank(PETSC_COMM_WORLD, &rank);
  const int everywhere = comm == PETSC_COMM_WORLD;
  const int by_user = code == PETSC_ERR_USER_INPUT || code == PETSC_ERR_FILE_OPEN || code == PETSC_ERR_FILE_READ ||
                      code == PETSC_ERR_FILE_WRITE || code == PETSC_ERR_FILE_UNEXPECTED;
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

PetscErrorCode CtpgAgreeOnSuccess(MPI_Comm comm, PetscErrorCode error) {
  int failed = error ? 1 : 0;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Bcast(&failed, 1, MPI_INT, 0, comm));
  if (failed) CtpgErrorWasTold();
  PetscFunctionReturn(failed ? PETSC_ERR_USER_INPUT : 0);
}

static PetscErrorCode FindCommand(const char *name, const Command **command) {
  const char *known[NCOMMANDS + 1] = {NULL};
  char list[256] = "";
  PetscFunctionBeginUser;
  for (size_t i = 0; i < NCOMMANDS; i++) {
    known[i] = COMMANDS[i].name;
    PetscCall(PetscStrlcat(list, " ", sizeof list));
    PetscCall(PetscStrlcat(list, known[i], sizeof list));
    if (strcmp(name, known[i])) continue;
    *command = COMMANDS + i;
    PetscFunctionReturn(0);
  }
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s is not a command; did you mean %s? Known:%s", name,
          CtpgNearest(name, known), list);
}

// ---- signals ----

static void RequestStop(int signal) {
  (void)signal;
  CtpgStopRequested = 1;
}

static const int STOPS[] = {SIGTERM, SIGINT, SIGUSR1};
#define NSTOPS (sizeof STOPS / sizeof *STOPS)

static void InstallSignals(void) {
  struct sigaction action = {.sa_handler = RequestStop};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < NSTOPS; i++) sigaction(STOPS[i], &action, NULL);
  signal(SIGPIPE, SIG_DFL); // `ctpgbench list | head -1` is no crash
}

// While MPI and PETSc start and end, handlers are theirs or the default, which kills: a signal waits (SIG_BLOCK) until
// ours are there (SIG_UNBLOCK).
static void HoldSignals(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < NSTOPS; i++) sigaddset(&set, STOPS[i]);
  sigprocmask(how, &set, NULL);
}

// srun without the MPI's own plug-in, or the mpirun of another MPI, starts N programs of one rank each, all of which would
// write the same file. The innermost launcher counts: mpirun -n 1 in a job step of many tasks is a legitimate start.
static PetscErrorCode RefuseSeparateTasks(void) {
  const char *tasks = getenv("OMPI_COMM_WORLD_SIZE"); // of Open MPI's mpirun
  int size;
  PetscFunctionBeginUser;
  if (!tasks) tasks = getenv("PMI_SIZE"); // of MPICH's and Intel MPI's
  if (!tasks) tasks = getenv("SLURM_STEP_NUM_TASKS");
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCheck(size > 1 || !tasks || atoi(tasks) <= 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s of these were started, but MPI sees 1 rank in each; start it with the mpirun of " CTPG_MPI_KIND
             " or with srun --mpi=%s",
             tasks, strncmp(CTPG_MPI_KIND, "Open MPI", 8) ? "pmi2" : "pmix");
  PetscFunctionReturn(0);
}

// ---- options shared by commands ----

PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels) {
  char plural[64], key[80], text[8192] = "", singular_text[8192] = "";
  PetscBool one, many, help;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  PetscCall(PetscSNPrintf(plural, sizeof plural, "%ss", name));
  PetscCall(CtpgOptionsFind(options, name, NULL, 0, &one));
  PetscCall(CtpgOptionsFind(options, plural, NULL, 0, &many));
  PetscCheck(!(one && many), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s and -%s are both given; they mean the same",
             name, plural);
  PetscCheck(one || many || fallback || help, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s is missing; expected a comma list of types or label=type (see ctpgbench list)", plural);
  if (fallback) PetscCall(PetscStrncpy(text, fallback, sizeof text));
  PetscCall(CtpgOptionsText(options, plural, "comma list of types or label=type", text, sizeof text));
  if (one) PetscCall(CtpgOptionsText(options, name, "the same", singular_text, sizeof singular_text));
  PetscCall(PetscSNPrintf(key, sizeof key, "-%s", one ? name : plural));
  if (!text[0] && !many) // -help alone shows the options of the first type as an example
    PetscCall(PetscStrncpy(text, strcmp(name, "problem") ? CtpgEstimatorTypes[0]->name : CtpgProblemTypes[0]->name,
                           sizeof text));
  PetscCall(LabelsParse(key, one ? singular_text : text, n, labels));
  PetscFunctionReturn(0);
}

// ---- the command line ----

// argv without the words that PETSc would answer itself: -help would list all of PETSc, -version name PETSc's.
static void TakeOut(int *argc, char **argv, const char *word, PetscBool *found) {
  int kept = 0;
  *found = PETSC_FALSE;
  for (int i = 0; i < *argc; i++) {
    if (i > 0 && !strcmp(argv[i], word))
      *found = PETSC_TRUE;
    else
      argv[kept++] = argv[i];
  }
  argv[kept] = NULL;
  *argc = kept;
}

// A word in the place of a key: -name, where -1e-3 is a value.
static PetscBool IsKey(const char *word) {
  if (word[0] != '-') return PETSC_FALSE;
  return isalpha((unsigned char)word[word[1] == '-' ? 2 : 1]) ? PETSC_TRUE : PETSC_FALSE;
}

// The words from place `first` on that belong to no option: where the command has no room for them, they would be dropped in
// silence (`-rtol 1e-3, 1e-6` would run something else).
static PetscErrorCode CollectWords(int argc, char **argv, int first, int room) {
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(argc, &words.word));
  words.n = 0;
  for (int i = first; i < argc; i++) {
    if (IsKey(argv[i]) || (i > first && IsKey(argv[i - 1]))) continue;
    PetscCheck(words.n < room, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "the word '%s' belongs to no option; expected -name value, and no blanks inside a list", argv[i]);
    words.word[words.n++] = argv[i];
  }
  PetscFunctionReturn(0);
}

const char *const *CtpgWords(int *n) {
  *n = words.n;
  return words.word;
}

// ---- plans in files ----

// PETSc would read -options_file inside PetscInitialize, where a mistake ends in a stack trace. So the key is renamed
// until the program can answer for itself.
static char options_file_key[] = "-options_file", deferred_key[] = "-deferred_options_file";

static void RenameKeys(int argc, char **argv, const char *from, char *to) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], from)) argv[i] = to;
}

// The text of a file, read by rank 0, on every rank.
static PetscErrorCode ReadTextFile(const char *path, char **text) {
  long size = -1;
  int rank;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  FILE *file = rank || CtpgIsNoFile(path) ? NULL : fopen(path, "r");
  if (file && !fseek(file, 0, SEEK_END)) size = ftell(file);
  PetscCallMPI(MPI_Bcast(&size, 1, MPI_LONG, 0, PETSC_COMM_WORLD));
  if (size < 0 || size > 1 << 26) size = -1;
  PetscCall(PetscCalloc1(PetscMax(size, 0) + 1, text));
  if (file && size > 0 && (fseek(file, 0, SEEK_SET) || fread(*text, 1, (size_t)size, file) != (size_t)size)) size = -1;
  if (file) fclose(file);
  PetscCallMPI(MPI_Bcast(&size, 1, MPI_LONG, 0, PETSC_COMM_WORLD));
  PetscCheck(size >= 0, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN,
             "-options_file %s cannot be read; expected a YAML file of options", CtpgShown(path));
  PetscCallMPI(MPI_Bcast(*text, (int)size, MPI_CHAR, 0, PETSC_COMM_WORLD));
  PetscFunctionReturn(0);
}

// Keeps the first message of the YAML parser instead of printing it.
static PetscErrorCode KeepMessage(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                                  PetscErrorType kind, const char *message, void *kept) {
  (void)comm, (void)line, (void)function, (void)file;
  if (kind == PETSC_ERROR_INITIAL) snprintf(kept, 256, "%.*s", message ? (int)strcspn(message, "\n") : 0, message);
  return code;
}

static PetscErrorCode InsertYAML(const char *path, const char *text) {
  char message[256] = "";
  PetscFunctionBeginUser;
  PetscCall(PetscPushErrorHandler(KeepMessage, message));
  const PetscErrorCode error = PetscOptionsInsertStringYAML(NULL, text);
  PetscCall(PetscPopErrorHandler());
  PetscCheck(!error, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-options_file %s is not usable: %s; expected YAML lines such as `seeds: 0:8`", path, message);
  PetscFunctionReturn(0);
}

static PetscErrorCode InsertOptionsFile(const char *path) {
  const char *ending = strrchr(path, '.');
  char *text;

  PetscFunctionBeginUser;
  PetscCall(ReadTextFile(path, &text));
  if (ending && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml")))
    PetscCall(InsertYAML(path, text));
  else
    PetscCall(PetscOptionsInsertFile(PETSC_COMM_WORLD, NULL, path, PETSC_TRUE));
  PetscCall(PetscFree(text));
  PetscFunctionReturn(0);
}

// Files in the order of the command line, then the command line once more, which wins.
static PetscErrorCode InsertOptionsFiles(int argc, char **argv) {
  PetscBool given;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsHasName(NULL, NULL, deferred_key, &given));
  if (!given) PetscFunctionReturn(0);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], deferred_key)) continue;
    PetscCheck(i + 1 < argc && !IsKey(argv[i + 1]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-options_file has no value; expected a YAML file of options");
    PetscCall(InsertOptionsFile(argv[i + 1]));
  }
  PetscCall(PetscOptionsInsertArgs(NULL, argc - 1, (void *)(argv + 1))); // newer PETSc wants const words
  PetscCall(PetscOptionsClearValue(NULL, deferred_key));
  PetscFunctionReturn(0);
}

// ---- main ----

static PetscErrorCode PrintVersion(void) {
  char versions[2048];
  PetscFunctionBeginUser;
  PetscCall(SessionVersions(versions, sizeof versions));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%s\ncommit %s; %s, %s\n", versions, CTPG_COMMIT[0] ? CTPG_COMMIT : "unknown",
                        CTPG_COMPILER, CTPG_FLAGS));
  PetscFunctionReturn(0);
}

static int RoomForWords(const Command *command, int argc) {
  if (!command || !command->word) return 0;
  return strcmp(command->word, "FILES") ? 1 : argc;
}

// The command, or the usage when there is none.
static PetscErrorCode Dispatch(int argc, char **argv, PetscBool help, PetscBool version, int *exit_code) {
  const Command *command = NULL;

  PetscFunctionBeginUser;
  if (argc > 1 && !IsKey(argv[1])) PetscCall(FindCommand(argv[1], &command));
  PetscCall(CollectWords(argc, argv, command ? 2 : 1, RoomForWords(command, argc)));
  PetscCall(InsertOptionsFiles(argc, argv));
  RenameKeys(argc, argv, deferred_key, options_file_key); // the command line is recorded as it was given
  if (help) PetscCall(PetscOptionsSetValue(NULL, "-help", NULL));
  if (version)
    PetscCall(PrintVersion());
  else if (!command) {
    PetscCall(PrintUsage(help ? stdout : stderr));
    *exit_code = help ? CTPG_EXIT_DONE : CTPG_EXIT_ERROR;
  } else {
    PetscCall(RefuseSeparateTasks());
    PetscCall(PluginsLoad());
    PetscCall(command->run(words.n ? words.word[0] : "", exit_code));
  }
  PetscCall(PetscFree(words.word));
  PetscCall(PetscOptionsClearValue(NULL, "-help")); // PetscFinalize has answers of its own
  PetscFunctionReturn(0);
}

// PETSc's own objects must be given back before MPI ends, or MPICH complains; options that nobody asked for are no news.
static PetscErrorCode Finalize(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscFinalize());
  PetscFunctionReturn(0);
}

// An error that every rank has, or the only one, needs no MPI_Abort.
static void EndInError(void) {
  int size;
  MPI_Comm_size(PETSC_COMM_WORLD, &size);
  if (size > 1 && !everybody_knows) MPI_Abort(PETSC_COMM_WORLD, CTPG_EXIT_ERROR);
  Finalize();
}

// Tasks of `srun` without PMIx: Open MPI ends them inside MPI_Init, with advice of its own that misleads.
static PetscBool RefusedBeforeMPI(void) {
#ifdef OPEN_MPI
  const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
  if (tasks && atoi(tasks) > 1 && !getenv("PMIX_RANK") && !getenv("PMI_RANK") && !getenv("OMPI_COMM_WORLD_SIZE")) {
    fprintf(stderr,
            "ctpgbench: %s of these were started, but MPI sees 1 rank in each; start it with mpirun or with "
            "srun --mpi=pmix\n",
            tasks);
    return PETSC_TRUE;
  }
#endif
  return PETSC_FALSE;
}

int CtpgMain(int argc, char **argv) {
  PetscBool help, short_help, version;
  int exit_code = CTPG_EXIT_DONE;

  if (CtpgHandOver(argc, argv, &exit_code)) return exit_code;
  if (RefusedBeforeMPI()) return CTPG_EXIT_ERROR;
  for (int i = 1; i < argc; i++) // --rtol is taken for -rtol
    if (argv[i][0] == '-' && argv[i][1] == '-' && isalpha((unsigned char)argv[i][2])) argv[i]++;
  TakeOut(&argc, argv, "-help", &help);
  TakeOut(&argc, argv, "-h", &short_help);
  help = help || short_help ? PETSC_TRUE : PETSC_FALSE;
  TakeOut(&argc, argv, "-version", &version);
  RenameKeys(argc, argv, options_file_key, deferred_key);
  HoldSignals(SIG_BLOCK); // a batch system may be early
  if (PetscInitialize(&argc, &argv, NULL, NULL)) return CTPG_EXIT_ERROR;
  InstallSignals();
  CrashInstall();
  HoldSignals(SIG_UNBLOCK);
  PetscErrorCode error = PetscPushErrorHandler(TellError, NULL);
  if (!error) error = Dispatch(argc, argv, help, version, &exit_code);
  HoldSignals(SIG_BLOCK); // there is nothing left to stop
  if (error == CTPG_HELP_PRINTED) {
    Finalize();
    return CTPG_EXIT_DONE;
  }
  if (error)
    EndInError();
  else if (PetscFinalize())
    error = PETSC_ERR_LIB;
  return error ? CTPG_EXIT_ERROR : exit_code;
}
