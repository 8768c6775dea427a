// program.c -- start and end of the program: commands, options, messages, signals

#include "commands/program.h"
#include "base/parse.h"
#include "base/unused.h"
#include "base/visitors.h"
#include "commands/analysis.h"
#include "generated/build_info.h"
#include "job/crash.h"
#include "job/errors.h"
#include "job/heartbeat.h"
#include "job/launch.h"
#include "job/outcome.h"
#include "ctpgbench/options.h"
#include "commands/options_file.h"
#include "run/plugins.h"
#include "job/session.h"
#include "job/signals.h"
#include "commands/words.h"
#include <petscts.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *name;
  CtpgCommand *run; // NULL: handed over to Python before MPI starts, see analysis.h
  const char *word; // what it takes behind its name, FILES: one or more; NULL: options only
  const char *summary;
  CtpgStopKind stop; // how it ends on a signal
} Command;

static const Command COMMANDS[] = {
    {"list", CommandList, NULL, "problems and estimators", CTPG_STOP_AT_ONCE},
    {"gradient", CommandGradient, NULL, "one gradient, compared with its reference", CTPG_STOP_SOON},
    {"judge", CommandJudge, NULL, "how good a gradient from elsewhere is, without a reference", CTPG_STOP_SOON},
    {"sweep", CommandSweep, NULL, "problems x seeds x estimators x accuracies into one HDF5 file; again: resumes",
     CTPG_STOP_RESUMES},
    {"plan", CommandPlan, "FILE", "what a sweep would do; or -simulate N FILE: a finished one replayed on N ranks",
     CTPG_STOP_AT_ONCE},
    {"train", CommandTrain, NULL, "policies trained with each estimator over seeds into one HDF5 file; again: resumes",
     CTPG_STOP_RESUMES},
    {"trace", CommandTrace, NULL, "the forward path, and the path each estimator believes in on its way back",
     CTPG_STOP_SOON},
    {"check", CommandCheck, NULL, "conformance of problems and estimators, in the tree or plug-ins", CTPG_STOP_AT_ONCE},
    {"merge", CommandMerge, "FILES", "the files of shards, or of parts of a plan, into one", CTPG_STOP_CLEARS},
    {"import", CommandImport, "FILE", "rows that another program measured (CSV) into a results file (-out NEW)",
     CTPG_STOP_SOON},
    {"bench", CommandBench, NULL, "what kernels and estimators cost; -against FILE: instructions, held against it",
     CTPG_STOP_AT_ONCE},
    {"convert", CommandConvert, "FILE", "a results file of the version before, written anew (-out NEW)",
     CTPG_STOP_CLEARS},
    {"status", CommandStatus, "FILE", "progress, failures and provenance of a results file", CTPG_STOP_AT_ONCE},
    {"new-problem", CommandNewProblem, "NAME", "a folder with a problem of yours that compiles, to be filled in",
     CTPG_STOP_AT_ONCE},
    {"new-estimator", CommandNewEstimator, "NAME", "likewise for an estimator", CTPG_STOP_AT_ONCE},
    {"figures", NULL, "FILES", "figures of a sweep, a training or traces (-o FOLDER)", CTPG_STOP_AT_ONCE},
    {"table", NULL, "FILES", "work and time at equal gradient error, of sweeps", CTPG_STOP_AT_ONCE},
    {"compare", NULL, "FILES", "estimators against a baseline: better where, by how much, how sure (-o FOLDER)",
     CTPG_STOP_AT_ONCE},
    {"try", NULL, "FILE", "is my plug-in better? check, sweep and compare, in ten minutes", CTPG_STOP_AT_ONCE},
    {"export", NULL, "FILE", "the tables of a results file as CSV, JSON lines or Parquet (-o FOLDER)",
     CTPG_STOP_AT_ONCE},
    {"training", NULL, "FILE", "final test losses of a training, or what it costs (--speed)", CTPG_STOP_AT_ONCE},
    {"claims", NULL, "FILE", "the paper's claims, judged by a training", CTPG_STOP_AT_ONCE},
    {"choosing", NULL, "FILES", "which estimator to take, by the shipped baselines or other sweeps", CTPG_STOP_AT_ONCE},
    {"paper", NULL, "FILE", "all figures of the paper, and a summary of its claims", CTPG_STOP_AT_ONCE},
    {"beyond", NULL, "FILE", "does a more accurate gradient need fewer iterations?", CTPG_STOP_AT_ONCE},
    {"flagship", NULL, "FILE", "lia against all other rows, by a sweep of jobs/flagship.yaml", CTPG_STOP_AT_ONCE},
    {"map", NULL, "FILE", "the cheapest estimator by stiffness and growth, by a sweep of jobs/map.yaml",
     CTPG_STOP_AT_ONCE},
    {"analysis", NULL, "WORDS", "any command of the package ctpgbench_analysis", CTPG_STOP_AT_ONCE}};
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
  PetscCall(PetscFPrintf(PETSC_COMM_WORLD, stream,
                         "Options of a command: ctpgbench <command> -help, or help <command>; with -problems and "
                         "-estimators also theirs.\n"
                         "Plans: -options_file plan.yaml; the command line wins. Plug-ins: -problem_library and "
                         "-estimator_library FILE.so.\n"));
  PetscFunctionReturn(0);
}

// ---- messages ----

PetscErrorCode RefuseSeveralRanks(const char *command, const char *instead) {
  int size;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCheck(size == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s runs on one rank, not on %d%s", command, size,
             instead);
  PetscFunctionReturn(0);
}

// NULL: there is none of that name.
static const Command *LookUpCommand(const char *name) {
  for (size_t i = 0; i < NCOMMANDS; i++)
    if (!strcmp(name, COMMANDS[i].name)) return COMMANDS + i;
  return NULL;
}

static PetscErrorCode FindCommand(const char *name, const Command **command) {
  const char *known[NCOMMANDS + 1] = {NULL};
  char list[256] = "";
  PetscFunctionBeginUser;
  *command = LookUpCommand(name);
  if (*command) PetscFunctionReturn(0);
  for (size_t i = 0; i < NCOMMANDS; i++) {
    known[i] = COMMANDS[i].name;
    PetscCall(PetscStrlcat(list, " ", sizeof list));
    PetscCall(PetscStrlcat(list, known[i], sizeof list));
  }
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s is not a command; did you mean %s? Known:%s", name,
          CtpgNearest(name, known), list);
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

// ---- what the surroundings may not change ----

static CtpgStopKind stop_kind; // of the command

// MPI or a user's code may have put handlers of its own in the place of ours.
static void InstallHandlers(void) {
  CtpgSignalsInstall(stop_kind);
  CrashInstall();
}

// A batch system may be early.
static void InstallFirstHandlers(int argc, char **argv) {
  const Command *command = argc > 1 ? LookUpCommand(argv[1]) : NULL;
  stop_kind = command ? command->stop : CTPG_STOP_AT_ONCE;
  InstallHandlers();
}

// ./.petscrc, ./petscrc and ~/.petscrc: what lies in a folder shall not change a run. PETSc is told so by a word at the
// end of the command line, the only place where it looks for it in time; -skip_petscrc of a user's says what is so
// anyway.
static PetscErrorCode RefusePetscrc(int *argc, char ***argv) {
  static char skip[] = "-skip_petscrc";
  char **words = calloc((size_t)*argc + 2, sizeof *words);
  int kept = 0;
  if (!words) return PETSC_ERR_MEM;
  for (int i = 0; i < *argc; i++) {
    const char *value = i + 1 < *argc ? (*argv)[i + 1] : "-";
    if (!i || strcmp((*argv)[i], skip)) {
      words[kept++] = (*argv)[i];
      continue;
    }
    if (value[0] == '-') continue;
    i++;
    if (!strcmp(value, "1") || !strcmp(value, "true") || !strcmp(value, "yes") || !strcmp(value, "on")) continue;
    fprintf(stderr,
            "ctpgbench: -skip_petscrc %s is not possible: petscrc files are never read; give -options_file FILE\n",
            value);
    return PETSC_ERR_USER_INPUT;
  }
  words[kept++] = skip;
  *argc = kept, *argv = words;
  return 0;
}

// Sentences in place of PETSc's stacks from its first line on: of errors, and of signals, for which it has handlers
// too.
static PetscErrorCode Prepare(int *argc, char ***argv) {
  PetscErrorCode error = CtpgErrorsInstall();
  if (!error) error = RefusePetscrc(argc, argv);
  if (!error) error = PetscOptionsSetValue(NULL, "-no_signal_handler", "1");
  return error;
}

// The command, or the usage when there is none.
static PetscErrorCode Dispatch(int argc, char **argv, PetscBool help, PetscBool version, int *exit_code) {
  const Command *command = NULL;
  int nwords;

  PetscFunctionBeginUser;
  if (argc > 1 && !CtpgIsKey(argv[1])) PetscCall(FindCommand(argv[1], &command));
  PetscCall(CtpgWordsCollect(argc, argv, command ? 2 : 1, RoomForWords(command, argc)));
  PetscCall(CtpgOptionsFilesInsert(argc, argv));
  if (help) PetscCall(PetscOptionsSetValue(NULL, "-help", NULL));
  if (version)
    PetscCall(PrintVersion());
  else if (!command) {
    PetscCall(PrintUsage(help ? stdout : stderr));
    *exit_code = help ? CTPG_EXIT_DONE : CTPG_EXIT_ERROR;
  } else {
    PetscCall(CtpgRefuseSeparateTasks());
    PetscCall(PluginsLoad());
    PetscCall(command->run(CtpgWords(&nwords)[0], exit_code));
  }
  PetscCall(CtpgWordsForget());
  PetscCall(PetscOptionsClearValue(NULL, "-help")); // PetscFinalize has answers of its own
  PetscFunctionReturn(0);
}

// PETSc's own objects must be given back before MPI ends, or MPICH complains; options that nobody asked for are no
// news.
static PetscErrorCode Finalize(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscFinalize());
  PetscFunctionReturn(0);
}

// Rank 0 knows how the job ends, and so does a rank that takes it down.
static void TellOutcome(PetscErrorCode error, int exit_code) {
  int rank;
  MPI_Comm_rank(PETSC_COMM_WORLD, &rank);
  if (!rank || error) OutcomeTell(error ? CTPG_EXIT_ERROR : exit_code);
}

// An error that every rank has, or the only one, needs no MPI_Abort.
static void EndInError(void) {
  int size;
  MPI_Comm_size(PETSC_COMM_WORLD, &size);
  if (size > 1 && !CtpgErrorIsKnown()) MPI_Abort(PETSC_COMM_WORLD, CTPG_EXIT_ERROR);
  CrashIsFarewell(CTPG_EXIT_ERROR);
  Finalize();
}

// `ctpgbench help` and `ctpgbench help sweep` are `ctpgbench -help` and `ctpgbench sweep -help`.
static PetscBool TakeOutHelpWord(int *argc, char **argv) {
  if (*argc < 2 || strcmp(argv[1], "help")) return PETSC_FALSE;
  for (int i = 1; i < *argc; i++) argv[i] = argv[i + 1]; // the NULL, too
  (*argc)--;
  return PETSC_TRUE;
}

int CtpgMain(int argc, char **argv) {
  PetscBool help, short_help, version;
  int exit_code = CTPG_EXIT_DONE;

  if (CtpgHandOver(argc, argv, &exit_code)) return exit_code;
  InstallFirstHandlers(argc, argv);
  VisitorsUsePoint();
  if (CtpgLaunchIsRefused()) return CTPG_EXIT_ERROR;
  CtpgLaunchAlone();
  for (int i = 1; i < argc; i++) // --rtol is taken for -rtol
    if (argv[i][0] == '-' && argv[i][1] == '-' && isalpha((unsigned char)argv[i][2])) argv[i]++;
  const PetscBool word = TakeOutHelpWord(&argc, argv);
  CtpgWordsTakeOut(&argc, argv, "-help", &help);
  CtpgWordsTakeOut(&argc, argv, "-h", &short_help);
  help = help || short_help || word ? PETSC_TRUE : PETSC_FALSE;
  CtpgWordsTakeOut(&argc, argv, "-version", &version);
  CtpgOptionsFileDefer(argc, argv);
  PetscErrorCode error = Prepare(&argc, &argv);
  if (error || PetscInitialize(&argc, &argv, NULL, NULL)) return CTPG_EXIT_ERROR;
  InstallHandlers();
  VisitorsSee(InstallHandlers);
  CrashForbidExit();
  if (!error) error = Dispatch(argc, argv, help, version, &exit_code);
  CtpgSignalsHold(); // there is nothing left to stop
  CrashAllowExit();
  if (error == CTPG_HELP_PRINTED) {
    Finalize();
    return CTPG_EXIT_DONE;
  }
  TellOutcome(error, exit_code);
  if (error)
    EndInError();
  else if (PetscFinalize())
    error = PETSC_ERR_LIB;
  HeartbeatTakeLeave();
  return error ? CTPG_EXIT_ERROR : exit_code;
}
