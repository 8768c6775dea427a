// analysis.c -- `ctpgbench figures x.h5` and the like: handed over to the Python package ctpgbench_analysis
//
// The program becomes `python3 -m ctpgbench_analysis <command> ...` before MPI and PETSc start, so that nothing of
// theirs reaches it. The package is looked for where this program is, never in the folder it was started in:
//   <folder of ctpgbench>/analysis                      a build folder: a link to the sources that it was made from
//   <folder of ctpgbench>/CTPG_ANALYSIS_FROM_PROGRAM    an installation
// Python is the first of these that has the modules below, else the first that there is, which then says what is
// missing: that of an activated virtual environment, python3 on PATH, /usr/bin/python3.

#include "commands/analysis.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, NPYTHONS = 3 };

// Words that are handed over. `analysis` takes any command of the package, also those whose names are commands here
// (trace).
static const char *const WORDS[] = {"figures", "table", "compare", "training", "claims", "choosing", "paper",
                                    "beyond",  "try",   "export",  "flagship", "map",    "analysis"};
#define NWORDS (sizeof WORDS / sizeof *WORDS)

static const char HAS_MODULES[] = "import importlib.util as u, sys; "
                                  "sys.exit(not all(map(u.find_spec, ('numpy', 'scipy', 'h5py', 'matplotlib'))))";

// ---- the command line ----

static int IsHelp(const char *word) {
  return !strcmp(word, "-h") || !strcmp(word, "-help") || !strcmp(word, "--help");
}

// Words before and behind the command; `help` before it is one, too.
static int IsHelpAt(char **argv, int i) {
  return IsHelp(argv[i]) || (i == 1 && !strcmp(argv[i], "help"));
}

// Place of the command in argv, which `-help` may precede; 0 where it is none of ours.
static int FindWord(int argc, char **argv) {
  int place = 1;
  while (place < argc && IsHelpAt(argv, place)) place++;
  for (size_t i = 0; place < argc && i < NWORDS; i++)
    if (!strcmp(argv[place], WORDS[i])) return place;
  return 0;
}

// Under mpirun one process does it.
static int IsOtherRank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *rank = getenv(names[i]);
    if (rank) return atoi(rank) != 0;
  }
  return 0;
}

// Words for Python, NULL-terminated: -help as it is spelled there, and `analysis` itself left out.
static char **MakeWords(int argc, char **argv, int place, const char *python) {
  static char dash_m[] = "-m", package[] = "ctpgbench_analysis", help[] = "--help";
  char **words = calloc((size_t)argc + 4, sizeof *words);
  int n = 0;
  if (!words) return NULL;
  words[n++] = (char *)python;
  words[n++] = dash_m;
  words[n++] = package;
  if (strcmp(argv[place], "analysis")) words[n++] = argv[place];
  for (int i = 1; i < argc; i++)
    if (i != place) words[n++] = IsHelpAt(argv, i) ? help : argv[i];
  return words;
}

// ---- the package ----

// Path of this program; 0 where the system does not say.
static int FindProgram(char path[PATH_SIZE]) {
  const ssize_t length = readlink("/proc/self/exe", path, PATH_SIZE - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return 1;
}

// Its folder, without the last slash.
static int FindProgramFolder(char folder[PATH_SIZE]) {
  if (!FindProgram(folder)) return 0;
  char *slash = strrchr(folder, '/');
  if (!slash) return 0;
  *slash = 0;
  return 1;
}

// Folder that holds ctpgbench_analysis.
static int FindPackage(char path[PATH_SIZE]) {
  static const char *const places[] = {"analysis", CTPG_ANALYSIS_FROM_PROGRAM};
  char folder[PATH_SIZE], file[PATH_SIZE + 40];
  if (!FindProgramFolder(folder)) return 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    if (snprintf(path, PATH_SIZE, "%s/%s", folder, places[i]) >= PATH_SIZE) continue;
    snprintf(file, sizeof file, "%s/ctpgbench_analysis/__main__.py", path);
    if (!access(file, R_OK)) return 1;
  }
  return 0;
}

// The package first on Python's path, and the folder that we are in not on it at all (from Python 3.11 on); where this
// program is, for `try`, which runs it.
static int SetEnvironment(const char *package, int through_analysis) {
  char program[PATH_SIZE];
  const char *old = getenv("PYTHONPATH");
  const size_t size = strlen(package) + (old ? strlen(old) : 0) + 2;
  if (!FindProgram(program)) return 0;
  char *path = malloc(size);
  if (!path) return 0;
  snprintf(path, size, "%s%s%s", package, old && old[0] ? ":" : "", old ? old : "");
  const int failed = setenv("PYTHONPATH", path, 1) || setenv("CTPGBENCH_PROGRAM", program, 1) ||
                     setenv("PYTHONSAFEPATH", "1", 1) ||
                     setenv("CTPGBENCH_STARTED_AS", through_analysis ? "ctpgbench analysis" : "ctpgbench", 1);
  free(path);
  return !failed;
}

// ---- Python ----

// Does it start, and has it the modules? -1: it does not start.
static int Asked(const char *python) {
  int status;
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(127);
    execlp(python, python, "-c", HAS_MODULES, (char *)NULL);
    _exit(127);
  }
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) return -1;
  return WEXITSTATUS(status) == 0;
}

// The Python to take, a static text; NULL where none starts.
static const char *ChoosePython(void) {
  static char activated[PATH_SIZE];
  const char *environment = getenv("VIRTUAL_ENV"), *first = NULL;
  const char *pythons[NPYTHONS] = {NULL, "python3", "/usr/bin/python3"};
  if (environment && environment[0] &&
      snprintf(activated, sizeof activated, "%s/bin/python3", environment) < (int)sizeof activated)
    pythons[0] = activated;
  for (int i = 0; i < NPYTHONS; i++) {
    const int answer = pythons[i] ? Asked(pythons[i]) : -1;
    if (answer > 0) return pythons[i];
    if (answer == 0 && !first) first = pythons[i];
  }
  return first;
}

int CtpgHandOver(int argc, char **argv, int *exit_code) {
  char package[PATH_SIZE];
  const int place = FindWord(argc, argv);
  if (!place) return 0;
  *exit_code = 0;
  if (IsOtherRank()) return 1;
  *exit_code = 1;
  if (!FindPackage(package)) {
    fprintf(
        stderr,
        "ctpgbench: %s needs the Python package ctpgbench_analysis, which is neither in the sources that this program "
        "was built from nor installed with it; expected it in analysis/ or " CTPG_ANALYSIS_FROM_PROGRAM
        " beside the program (cmake --install puts it there)\n",
        argv[place]);
    return 1;
  }
  const char *python = SetEnvironment(package, !strcmp(argv[place], "analysis")) ? ChoosePython() : NULL;
  char **words = python ? MakeWords(argc, argv, place, python) : NULL;
  if (words) execvp(python, words);
  fprintf(stderr,
          "ctpgbench: %s needs Python, and neither python3 nor /usr/bin/python3 starts; install Debian's python3, "
          "python3-numpy, python3-h5py and python3-matplotlib, or activate a virtual environment that has them\n",
          argv[place]);
  free(words);
  return 1;
}
