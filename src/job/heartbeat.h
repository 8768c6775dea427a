// heartbeat.h -- signs of life between ranks, so that a rank or node that goes silent is noticed
//
// A thread of every rank sends rank 0 a datagram (UDP) every second, less often with more than 500 ranks, and rank 0's
// thread answers: long user code is no silence, a stopped process, a lost node and a cut link are. MPI cannot tell
// these: its calls belong to the thread that may be in user code, and a message that does not come says nothing. Where
// datagrams do not pass from a node (a firewall), silence is "not known", and only a rank that has not come to its
// end long after a stop is given up. Silence is counted in seconds that the looking rank was awake, so that a job that
// was suspended as a whole goes on.
//
// The watch lasts until the process ends: a rank that is missing where the file is closed, or in MPI_Finalize, keeps
// the others there. Behind MPI_Finalize ranks take leave of rank 0 by datagrams, so that one that stops there is
// missed. Somebody is the last, whom no rank can miss: each has a process that kills it where it does not end after
// that (undertaker.h).
//
// While a job runs, rank 0 writes beside "running" in FILE.outcome what each rank does (outcome.h), for `status`.
#ifndef CTPG_JOB_HEARTBEAT_H
#define CTPG_JOB_HEARTBEAT_H

#include "job/limits.h"

// Collective; every rank, when the job has its file. With one rank, or limits->silence_limit 0, nobody listens.
PetscErrorCode HeartbeatStart(MPI_Comm comm, const JobLimits *limits);
// Each rank, in this order. Its work is over: from now on every rank is waited for, and rank 0's thread ends the job
// when one is silent.
void HeartbeatWorkIsOver(void);
// Rank 0: it reads the file, alone: nobody is waited for until HeartbeatConclude.
void HeartbeatReads(void);
// How the job ends is known, whoever may be missing from now on.
void HeartbeatConclude(int exit_code);
// Behind MPI_Finalize: returns when all ranks are there, or have never been heard of.
void HeartbeatTakeLeave(void);

// Rank 0: is this rank given up? No sign of life for silence_limit; once the job was told to stop and stop_grace is
// over, for a few seconds. Not known whether it lives: when it has not come to its end ten seconds after stop_grace.
PetscBool HeartbeatIsSilent(int rank);
// Rank 0, every other rank having come to its end, and finished rows being on the disk: names the silent ranks, writes
// the outcome 75 and ends the job. Does not return.
void HeartbeatAbandon(int n, const int *ranks);

#endif
