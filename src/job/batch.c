// batch.c -- see batch.h
//
// Slurm: SLURM_JOB_END_TIME (seconds since 1970; set by 22.05 and later), else `squeue -h -j $SLURM_JOB_ID -o %L`, time
// left: where there is no end, and where it is over and the job was extended, or is one of the past.
// PBS: `qstat -f $PBS_JOBID`: stime + Resource_List.walltime (OpenPBS, PBS Pro; start_time in Torque); where there is
// no start, Resource_List.walltime - resources_used.walltime, which lags behind by minutes. The environment holds no
// start or end; jobs/pbs.sh puts PBS_JOB_END (seconds since 1970) there where a node has no qstat.

#define _GNU_SOURCE // strptime
#include "job/batch.h"
#include "base/system.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// [days-][[hours:]minutes:]seconds; NaN for anything else, as UNLIMITED.
static double ParseDuration(const char *text) {
  int days = 0, part[3] = {0}, parts = 0, length = 0;
  if (sscanf(text, "%d-%n", &days, &length) != 1 || !length) days = 0; // %d alone would count as well
  text += length;
  while (parts < 3 && sscanf(text, "%d%n", &part[parts], &length) == 1) {
    parts++;
    text += length;
    if (*text != ':') break;
    text++;
  }
  if (!parts || (*text && !strchr(" \n\t", *text))) return NAN;
  double seconds = 0;
  for (int i = 0; i < parts; i++) seconds = 60 * seconds + part[i];
  return 86400.0 * days + seconds;
}

#define ANSWER 256

// What stands behind each of n keys in the first line of a command's output that has it, "" where none has; "" as key:
// the first line. The command runs once: a batch system's server is asked by many.
static void Ask(const char *command, int n, const char *const *key, char (*answer)[ANSWER]) {
  char line[1024];
  FILE *stream = popen(command, "r");
  for (int k = 0; k < n; k++) answer[k][0] = 0;
  while (stream && fgets(line, sizeof line, stream))
    for (int k = 0; k < n; k++) {
      const char *place = answer[k][0] ? NULL : strstr(line, key[k]);
      if (!place) continue;
      place += strlen(key[k]);
      place += strspn(place, " =\t");
      snprintf(answer[k], ANSWER, "%.*s", (int)strcspn(place, "\n"), place);
    }
  if (stream) pclose(stream);
}

// A job's number is put into a command line: only what job numbers are made of.
static PetscBool IsJobId(const char *id) {
  return id && id[0] && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-[]") == strlen(id)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static double SlurmLeft(const char *id) {
  const char *end = getenv("SLURM_JOB_END_TIME");
  char command[256], answer[1][ANSWER];
  const double left = end && atoll(end) > 0 ? difftime((time_t)atoll(end), time(NULL)) : 0;
  if (left > 0) return left;
  snprintf(command, sizeof command, "timeout 10 squeue -h -j '%s' -o %%L 2>/dev/null", id);
  Ask(command, 1, (const char *const[]){""}, answer);
  return ParseDuration(answer[0]);
}

// "Mon Nov 30 02:23:37 2026", local time, as qstat prints it; NaN for anything else.
static double ParseDate(const char *text) {
  struct tm date = {.tm_isdst = -1};
  const char *end = strptime(text, "%a %b %d %H:%M:%S %Y", &date);
  return end && !end[strspn(end, " \n")] ? (double)mktime(&date) : NAN;
}

static double PBSLeft(const char *id) {
  static const char *const keys[] = {" stime =", " start_time =", "Resource_List.walltime", "resources_used.walltime"};
  char command[256], answer[4][ANSWER];
  const char *end = getenv("PBS_JOB_END");
  snprintf(command, sizeof command, "timeout 10 qstat -f '%s' 2>/dev/null", id);
  Ask(command, 4, keys, answer);
  const double stime = ParseDate(answer[0]), start = isnan(stime) ? ParseDate(answer[1]) : stime;
  const double wanted = ParseDuration(answer[2]), used = answer[3][0] ? ParseDuration(answer[3]) : 0;
  if (isnan(wanted) && end) return difftime((time_t)atoll(end), time(NULL));
  return wanted - (isnan(start) ? used : difftime(time(NULL), (time_t)start));
}

// Seconds left to the job that this process belongs to; NaN: none, or it has no end.
static double TimeLeft(char *job, size_t size) {
  const char *slurm = getenv("SLURM_JOB_ID"), *pbs = getenv("PBS_JOBID");
  if (IsJobId(slurm)) {
    snprintf(job, size, "Slurm job %s", slurm);
    return SlurmLeft(slurm);
  }
  if (IsJobId(pbs)) {
    snprintf(job, size, "PBS job %s", pbs);
    return PBSLeft(pbs);
  }
  return NAN;
}

PetscErrorCode BatchTimeLimit(MPI_Comm comm, double start, PetscReal margin, const char *noun, PetscReal *limit) {
  char job[300] = "";
  int rank;

  PetscFunctionBeginUser;
  *limit = 0;
  PetscCallMPI(MPI_Comm_rank(comm, &rank));
  if (!rank) {
    double left = TimeLeft(job, sizeof job);
    if (!(left > 0)) left = NAN; // over, and yet this process is there: an end of another job, or of a time before
    if (margin < 0) margin = PetscMin(60, left / 4);
    if (isfinite(left)) {
      *limit = PetscMax(CtpgSeconds() - start + left - margin, 1e-3);
      PetscCall(PetscPrintf(PETSC_COMM_SELF,
                            "%s has %.0f s left: this %s stops in good order %.0f s before (-time_margin)\n", job, left,
                            noun, margin));
    } else if (job[0])
      PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s does not say when it ends: no time limit (see -time_limit)\n", job));
  }
  PetscCallMPI(MPI_Bcast(limit, 1, MPIU_REAL, 0, comm));
  PetscFunctionReturn(0);
}
