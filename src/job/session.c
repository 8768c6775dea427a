// session.c -- see session.h

#define _GNU_SOURCE
#include "job/session.h"
#include "job/fingerprint.h"
#include "generated/build_info.h"
#include "run/plugins.h"
#include <hdf5.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY 64 // characters per rank in a list of hosts or masks

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

// Every rank's entry [ENTRY] as one comma list, on every rank; equal neighbours are counted ("node1 x 4").
static PetscErrorCode JoinEntries(MPI_Comm comm, const char *entry, char *text, size_t length) {
  int size;
  char *all, *joined;
  size_t used = 0;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(comm, &size));
  PetscCall(PetscCalloc2((size_t)size * ENTRY, &all, (size_t)size * (ENTRY + 16) + 1, &joined));
  PetscCallMPI(MPI_Allgather(entry, ENTRY, MPI_CHAR, all, ENTRY, MPI_CHAR, comm));
  for (int r = 0, next; r < size; r = next) {
    for (next = r + 1; next < size && !strcmp(all + (size_t)r * ENTRY, all + (size_t)next * ENTRY);) next++;
    used += (size_t)sprintf(joined + used, next - r > 1 ? "%s%s x %d" : "%s%s", used ? "," : "",
                            all + (size_t)r * ENTRY, next - r);
  }
  PetscCall(PetscStrncpy(text, joined, length));
  PetscCall(PetscFree2(all, joined));
  PetscFunctionReturn(0);
}

PetscErrorCode SessionDescribe(MPI_Comm comm, CtpgSession *session) {
  char host[MPI_MAX_PROCESSOR_NAME], entry[ENTRY] = "", mask[ENTRY] = "", print[ENTRY] = "", cpu[128];
  const char *arithmetic;
  int length;

  PetscFunctionBeginUser;
  *session = (CtpgSession){.commit = CTPG_COMMIT, .compiler = CTPG_COMPILER, .flags = CTPG_FLAGS};
  PetscCallMPI(MPI_Get_processor_name(host, &length));
  PetscCall(PetscStrncpy(entry, host, sizeof entry));
  CoreMask(mask, sizeof mask);
  CPUModel(cpu, sizeof cpu);
  snprintf(session->isa, sizeof session->isa, "%s%s", InstructionSet(), cpu);
  PetscCall(CommandLine(session->command_line, sizeof session->command_line));
  PetscCall(SessionVersions(session->versions, sizeof session->versions));
  PetscCall(JoinEntries(comm, entry, session->hosts, sizeof session->hosts));
  PetscCall(JoinEntries(comm, mask, session->binding, sizeof session->binding));
  PetscCall(FingerprintArithmetic(&arithmetic));
  PetscCall(PetscStrncpy(print, arithmetic, sizeof print));
  PetscCall(JoinEntries(comm, print, session->arithmetic, sizeof session->arithmetic));
  PetscCall(FingerprintMachines(comm, cpu[0] ? cpu + 2 : "", session->machine, sizeof session->machine));
  PetscCallMPI(MPI_Comm_size(comm, &session->ranks));
  PetscFunctionReturn(0);
}
