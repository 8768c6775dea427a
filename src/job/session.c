// session.c -- what a session says of itself: hosts, cores, versions, command line (session.h)
//
// Rank 0 gathers what each rank says of itself, an entry of any length. Equal neighbours are counted; where ten
// thousand ranks say more than a row of the file can hold, hosts that count up are folded into a range.

#define _GNU_SOURCE
#include "job/session.h"
#include "job/fingerprint.h"
#include "generated/build_info.h"
#include "run/plugins.h"
#include <ctype.h>
#include <hdf5.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Options that come from the environment are part of it, as a shell would take them.
static PetscErrorCode CommandLine(char *text, size_t size) {
  static const char *const variables[] = {"PETSC_OPTIONS", "PETSC_OPTIONS_YAML"};
  int argc;
  char **argv;
  PetscFunctionBeginUser;
  PetscCall(PetscGetArgs(&argc, &argv));
  text[0] = 0;
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
    const char *value = getenv(variables[i]);
    if (!value || !value[0]) continue;
    PetscCall(PetscStrlcat(text, variables[i], size));
    PetscCall(PetscStrlcat(text, "='", size));
    PetscCall(PetscStrlcat(text, value, size));
    PetscCall(PetscStrlcat(text, "' ", size));
  }
  for (int i = 0; i < argc; i++) {
    if (!strcmp(argv[i], "-skip_petscrc")) continue; // the program's own
    if (i) PetscCall(PetscStrlcat(text, " ", size));
    PetscCall(PetscStrlcat(text, i ? argv[i] : "ctpgbench", size));
  }
  PetscFunctionReturn(0);
}

PetscErrorCode SessionVersions(char *text, size_t size) {
  char petsc[256], mpi[MPI_MAX_LIBRARY_VERSION_STRING];
  unsigned major, minor, release;
  int length;
  PetscFunctionBeginUser;
  PetscCall(PetscGetVersion(petsc, sizeof petsc));
  PetscCallMPI(MPI_Get_library_version(mpi, &length));
  mpi[strcspn(mpi, ",\n")] = 0;
  for (char *tab = strchr(mpi, '\t'); tab; tab = strchr(tab, '\t')) *tab = ' '; // MPICH's
  H5get_libversion(&major, &minor, &release);
  PetscCall(PetscSNPrintf(text, size, "ctpgbench %s; %s; %s; HDF5 %u.%u.%u%s%s%s%s", CTPG_VERSION, petsc, mpi, major,
                          minor, release, CTPG_BESIDE[0] ? "; " : "", CTPG_BESIDE,
                          PluginsDescribe()[0] ? "; plug-ins " : "", PluginsDescribe()));
  PetscFunctionReturn(0);
}

// The widest vector instructions this CPU has; two classes do not give the same bits in BLAS and libm.
static const char *InstructionSet(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return "x86-64 avx512f";
  if (__builtin_cpu_supports("avx2")) return "x86-64 avx2";
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown";
#endif
}

// Model of the CPU as Linux names it, "" where it does not.
static void CPUModel(char *model, size_t size) {
  char line[512];
  FILE *file = fopen("/proc/cpuinfo", "r");
  model[0] = 0;
  while (file && !model[0] && fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    if (!strncmp(line, "model name", 10) && colon)
      snprintf(model, size, ", %.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
  }
  if (file) fclose(file);
}

static void CoreMask(char *text, size_t size) {
  cpu_set_t set;
  size_t used = 0;
  text[0] = 0;
  if (sched_getaffinity(0, sizeof set, &set)) return;
  for (int cpu = 0; cpu < CPU_SETSIZE && used + 8 < size; cpu++)
    if (CPU_ISSET(cpu, &set)) used += (size_t)snprintf(text + used, size - used, "%s%d", used ? "+" : "", cpu);
}

// ---- lists of what the ranks say, on rank 0

// Equal neighbours: an entry, or several that count up in a number, and how often each of them is there.
typedef struct {
  const char *entry;
  int count;
  long first, last;   // of the number, where `span` characters of the entry are digits
  size_t start, span; // span 0: there is none
} Neighbours;

// The last number of a host's own name, before its domain.
static void FindNumber(Neighbours *one) {
  size_t end = strcspn(one->entry, ".");
  while (end && !isdigit((unsigned char)one->entry[end - 1])) end--;
  one->start = end;
  while (one->start && isdigit((unsigned char)one->entry[one->start - 1])) one->start--;
  one->span = end - one->start < 10 ? end - one->start : 0;
  one->first = one->last = one->span ? atol(one->entry + one->start) : 0;
}

static PetscBool CountsOn(const Neighbours *a, const Neighbours *b) {
  return a->span && a->count == b->count && a->start == b->start && a->span == b->span && b->first == a->last + 1 &&
                 !strncmp(a->entry, b->entry, a->start) &&
                 !strcmp(a->entry + a->start + a->span, b->entry + b->start + b->span)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// n groups; how many are left.
static int FoldNumbers(Neighbours *group, int n) {
  int kept = 0;
  for (int i = 0; i < n; i++) {
    FindNumber(group + i);
    if (kept && CountsOn(group + kept - 1, group + i))
      group[kept - 1].last = group[i].last;
    else
      group[kept++] = group[i];
  }
  return kept;
}

static void WriteGroup(const Neighbours *group, FILE *text) {
  if (group->first == group->last)
    fputs(group->entry, text);
  else
    fprintf(text, "%.*s[%0*ld-%0*ld]%s", (int)group->start, group->entry, (int)group->span, group->first,
            (int)group->span, group->last, group->entry + group->start + group->span);
  if (group->count > 1) fprintf(text, " x %d", group->count);
}

// As one comma list; NULL: no memory.
static char *WriteGroups(const Neighbours *group, int n) {
  char *list = NULL;
  size_t size;
  FILE *text = open_memstream(&list, &size);
  if (!text) return NULL;
  for (int i = 0; i < n; i++) {
    if (i) fputc(',', text);
    WriteGroup(group + i, text);
  }
  return fclose(text) ? NULL : list;
}

PetscErrorCode SessionJoin(const char *all, int n, PetscBool fold, char *text, size_t length) {
  Neighbours *group;
  int groups = 0;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(n, &group));
  for (int r = 0; r < n; r++, all += strlen(all) + 1) {
    if (!groups || strcmp(group[groups - 1].entry, all)) group[groups++].entry = all;
    group[groups - 1].count++;
  }
  char *list = WriteGroups(group, groups);
  if (list && strlen(list) >= length && fold) {
    free(list);
    list = WriteGroups(group, FoldNumbers(group, groups));
  }
  PetscCheck(list, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  PetscCall(PetscStrncpy(text, list, length));
  free(list);
  PetscCall(PetscFree(group));
  PetscFunctionReturn(0);
}

// Every rank's entry, of any length, as one list on rank 0.
static PetscErrorCode JoinEntries(MPI_Comm comm, const char *entry, PetscBool fold, char *text, size_t length) {
  int size, rank, bytes = (int)strlen(entry) + 1, total = 0, *each = NULL, *place = NULL;
  char *all = NULL;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(comm, &size));
  PetscCallMPI(MPI_Comm_rank(comm, &rank));
  if (!rank) PetscCall(PetscMalloc2(size, &each, size, &place));
  PetscCallMPI(MPI_Gather(&bytes, 1, MPI_INT, each, 1, MPI_INT, 0, comm));
  for (int r = 0; !rank && r < size; r++) {
    place[r] = total;
    total += each[r];
  }
  if (!rank) PetscCall(PetscMalloc1(total, &all));
  PetscCallMPI(MPI_Gatherv(entry, bytes, MPI_CHAR, all, each, place, MPI_CHAR, 0, comm));
  if (!rank) PetscCall(SessionJoin(all, size, fold, text, length));
  PetscCall(PetscFree2(each, place));
  PetscCall(PetscFree(all));
  PetscFunctionReturn(0);
}

PetscErrorCode SessionDescribe(MPI_Comm comm, CtpgSession *session) {
  char host[MPI_MAX_PROCESSOR_NAME], mask[8 * CPU_SETSIZE] = "", cpu[128];
  const char *arithmetic;
  int length;

  PetscFunctionBeginUser;
  *session = (CtpgSession){.commit = CTPG_COMMIT, .compiler = CTPG_COMPILER, .flags = CTPG_FLAGS};
  PetscCallMPI(MPI_Get_processor_name(host, &length));
  CoreMask(mask, sizeof mask);
  CPUModel(cpu, sizeof cpu);
  snprintf(session->isa, sizeof session->isa, "%s%s", InstructionSet(), cpu);
  PetscCall(CommandLine(session->command_line, sizeof session->command_line));
  PetscCall(SessionVersions(session->versions, sizeof session->versions));
  PetscCall(JoinEntries(comm, host, PETSC_TRUE, session->hosts, sizeof session->hosts));
  PetscCall(JoinEntries(comm, mask, PETSC_TRUE, session->binding, sizeof session->binding));
  PetscCall(FingerprintArithmetic(&arithmetic));
  PetscCall(JoinEntries(comm, arithmetic, PETSC_FALSE, session->arithmetic, sizeof session->arithmetic));
  PetscCall(FingerprintMachines(comm, cpu[0] ? cpu + 2 : "", session->machine, sizeof session->machine));
  PetscCallMPI(MPI_Comm_size(comm, &session->ranks));
  PetscFunctionReturn(0);
}
