// heartbeat.c -- see heartbeat.h
//
// The thread calls nothing of MPI, PETSc or HDF5. It shares with the main thread atomic numbers and what is written
// once before it starts. Rank 0 tells the others its addresses on all its networks; a rank writes to all of them until
// an answer comes, then to the one that answered.

#define _GNU_SOURCE
#include "job/heartbeat.h"
#include "base/system.h"
#include "job/crash.h"
#include "job/errors.h"
#include "job/marks.h"
#include "job/outcome.h"
#include "job/signals.h"
#include "job/undertaker.h"
#include "job/watchdog.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES   16
#define WAKE        0.2  // s between two looks of a thread
#define SOON        5    // s of silence that give a rank up once everybody was told to stop
#define LATE        10   // s after stop_grace that a rank has of which nothing is known
#define LAST_RESORT 60   // s after stop_grace until rank 0's thread ends the job by itself
#define THANKS      1    // s that rank 0 waits for the last word of ranks that have taken leave
#define AGAIN       0.05 // s between two attempts of a rank that waits for an answer
#define FIRST       1    // s that it waits for the first one
#define LEAVING     3    // silence_limits from MPI_Finalize to the end of a rank: others are waited for up to two
#define BURIAL      20   // s that a launcher has to end when rank 0 has ended the job, at most
#define REPEATS     3    // times that this is told to a rank
#define REPORT      10   // s between two reports of what the ranks do
#define REPORTED    256  // ranks in it, those that have been at their item longest

// Of rank 0, told to all.
typedef struct {
  uint64_t token; // of this job: datagrams without it are not ours
  uint16_t port;  // network order, like the addresses
  uint32_t n, address[ADDRESSES];
} Station;

typedef struct {
  uint64_t token;
  int32_t rank, leave; // leave: see Leave
  double since;        // s that it has been at this
  char doing[120];
} Beat;

// Behind MPI_Finalize a rank says that it leaves, again until rank 0, being there too, has answered, and then that it
// goes. Rank 0 stays until all have said so; of those that do not come to say it, IsSilent tells. Where rank 0 ends the
// job by force, it says that it dies.
typedef enum { STAYS, LEAVES, GOES, DIES } Leave;

// Who is waited for, and what is known of the end.
typedef enum {
  AT_WORK,   // the scheduler looks for silence
  CLOSING,   // every rank is waited for
  READING,   // rank 0 is busy, and waits for nobody
  CONCLUDED, // every rank is waited for; the outcome is known
} Stage;

// What rank 0 knows of a rank.
typedef struct {
  _Atomic double heard; // on rank 0's awake clock; negative: never
  _Atomic int leave;    // of rank 0, to the others: what it has answered
  double since;         // s, of its last beat
  struct sockaddr_in from;
  char doing[120], host[MPI_MAX_PROCESSOR_NAME];
} Peer;

static struct {
  int rank, size, socket;
  _Atomic int lives; // the thread goes on
  _Atomic int stage, outcome;
  _Atomic int leave; // of this rank
  double interval, silence_limit, grace;
  Station station;
  Peer *peer;           // [size], rank 0
  _Atomic double awake; // s that this process was awake
  _Atomic double told;  // when the stop flag was first seen, on the awake clock; negative: not yet
  _Atomic int ends;
  pthread_t thread;
} heart;

// ---- the other side ----

static void SendBeat(void) {
  Beat beat = {.token = heart.station.token, .rank = heart.rank, .leave = heart.leave};
  WatchdogDescribe(beat.doing, sizeof beat.doing, &beat.since);
  for (uint32_t i = 0; i < heart.station.n; i++) {
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = heart.station.port, .sin_addr.s_addr = heart.station.address[i]};
    (void)!sendto(heart.socket, &beat, sizeof beat, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to);
  }
}

static void SendUndertaker(void);

static void TakeBeat(Beat *beat, const struct sockaddr_in *from) {
  if (heart.rank) { // an answer: this address leads there
    if (beat->leave == DIES && heart.peer[0].leave != DIES) SendUndertaker();
    if (heart.peer[0].heard < 0) heart.station.n = 1, heart.station.address[0] = from->sin_addr.s_addr;
    heart.peer[0].heard = heart.awake;
    if (beat->leave > heart.peer[0].leave) heart.peer[0].leave = beat->leave;
    return;
  }
  if (beat->rank < 1 || beat->rank >= heart.size) return;
  Peer *peer = heart.peer + beat->rank;
  peer->heard = heart.awake;
  if (beat->leave > peer->leave) peer->leave = beat->leave;
  peer->since = beat->since;
  peer->from = *from;
  memcpy(peer->doing, beat->doing, sizeof peer->doing);
  peer->doing[sizeof peer->doing - 1] = 0;
  if (heart.leave == STAYS) beat->leave = STAYS; // whoever leaves stays for rank 0
  (void)!sendto(heart.socket, beat, sizeof *beat, MSG_DONTWAIT, (const struct sockaddr *)from, sizeof *from);
}

static void Listen(void) {
  struct pollfd waiting = {.fd = heart.socket, .events = POLLIN};
  struct sockaddr_in from;
  Beat beat;
  if (poll(&waiting, 1, (int)(1000 * WAKE)) <= 0) return;
  for (;;) {
    socklen_t length = sizeof from;
    const ssize_t n = recvfrom(heart.socket, &beat, sizeof beat, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
    if (n < 0) return;
    if (n == sizeof beat && beat.token == heart.station.token) TakeBeat(&beat, &from);
  }
}

// ---- silence ----

static double AfterStop(void) {
  return heart.told >= 0 ? heart.awake - heart.told : -1;
}

// Do datagrams pass from the host of this rank, which may have been stopped before its first?
static PetscBool IsHostHeard(const Peer *peer) {
  for (int rank = 0; rank < heart.size; rank++)
    if ((!rank || heart.peer[rank].heard >= 0) && !strcmp(heart.peer[rank].host, peer->host)) return PETSC_TRUE;
  return PETSC_FALSE;
}

static PetscBool IsSilent(const Peer *peer) {
  const double silence = heart.awake - PetscMax(peer->heard, 0), over = AfterStop() - heart.grace;
  if (peer->heard < 0 && !IsHostHeard(peer)) return over > LATE ? PETSC_TRUE : PETSC_FALSE;
  return silence > (over > 0 ? PetscMin(heart.silence_limit, SOON * heart.interval) : heart.silence_limit)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

PetscBool HeartbeatIsSilent(int rank) {
  return heart.lives && rank ? IsSilent(heart.peer + rank) : PETSC_FALSE;
}

static void NameSilent(int rank) {
  char line[512];
  const Peer *peer = heart.peer + rank;
  const int n =
      peer->heard < 0
          ? snprintf(line, sizeof line, "ctpgbench: rank %d on %s has not come to its end and is given up\n", rank,
                     peer->host)
          : snprintf(line, sizeof line,
                     "ctpgbench: rank %d on %s gives no sign of life since %.0f s and is given up; it was at: %s\n",
                     rank, peer->host, heart.awake - peer->heard, peer->doing[0] ? peer->doing : "nothing");
  if (write(STDERR_FILENO, line, (size_t)n) < 0) return;
}

static void SayTheEnd(void) {
  static const char goes_on[] = "ctpgbench: what is finished is in the file: the same command goes on from here\n",
                    complete[] = "ctpgbench: the results are complete, and the job ends without them\n";
  const PetscBool done = heart.outcome == CTPG_EXIT_DONE ? PETSC_TRUE : PETSC_FALSE;
  OutcomeTellFirst(heart.outcome);
  if (write(STDERR_FILENO, done ? complete : goes_on, (done ? sizeof complete : sizeof goes_on) - 1) < 0) return;
}

// The launcher may be on another host than rank 0: on each, the first rank that lives looks for it.
static void TellTheOthers(void) {
  const Beat beat = {.token = heart.station.token, .leave = DIES};
  for (int rank = 1; rank < heart.size; rank++) {
    const Peer *peer = heart.peer + rank;
    PetscBool told = PETSC_FALSE;
    for (int other = rank - 1; other > 0 && !told; other--)
      if (!strcmp(heart.peer[other].host, peer->host) && !IsSilent(heart.peer + other)) told = PETSC_TRUE;
    if (told || peer->heard < 0 || IsSilent(peer)) continue;
    for (int k = 0; k < REPEATS; k++) // one may be lost
      (void)!sendto(heart.socket, &beat, sizeof beat, MSG_DONTWAIT, (const struct sockaddr *)&peer->from,
                    sizeof peer->from);
  }
  SystemNap(WAKE); // MPI_Abort kills them
}

static void SendUndertaker(void) {
  if (!UndertakerSend((unsigned)PetscMin(BURIAL, 2 * heart.silence_limit)) && !heart.rank) TellTheOthers();
}

void HeartbeatAbandon(int n, const int *ranks) {
  for (int i = 0; i < n; i++) NameSilent(ranks[i]);
  SayTheEnd();
  SendUndertaker();
  CrashAllowExit(); // MPI_Abort's
  JobLeave();       // the run that rank 0 is at itself, if it is at one, has not crashed
  heart.ends = 1;   // the thread ends the process where MPI_Abort waits for a node that does not answer
  MPI_Abort(MPI_COMM_WORLD, CTPG_EXIT_INCOMPLETE);
  SystemLeave(CTPG_EXIT_INCOMPLETE);
}

// Does rank 0's main thread wait inside MPI, for somebody who may not come?
static PetscBool IsWaiting(void) {
  if (heart.stage == AT_WORK) return AfterStop() > heart.grace + LAST_RESORT ? PETSC_TRUE : PETSC_FALSE;
  return heart.stage == READING ? PETSC_FALSE : PETSC_TRUE;
}

// Rank 0's thread ends the job where the main thread cannot. Not with 0, after which launchers would wait for the rest.
static void LastResort(void) {
  int silent = 0;
  if (heart.ends && heart.ends++ > 10 / WAKE) SystemLeave(CTPG_EXIT_INCOMPLETE);
  if (heart.ends || !IsWaiting()) return;
  for (int rank = 1; rank < heart.size; rank++) {
    const Peer *peer = heart.peer + rank;
    if (peer->heard >= 0 && peer->leave == STAYS && IsSilent(peer)) NameSilent(rank), silent++;
  }
  if (!silent) return;
  SayTheEnd();
  SendUndertaker();
  SystemLeave(CTPG_EXIT_INCOMPLETE);
}

// The others: rank 0 was there and is silent for twice as long as it would wait for this one.
static void LeaveWithoutRank0(void) {
  char line[256];
  const double heard = heart.peer[0].heard;
  if (heard < 0 || heart.awake - heard < 2 * heart.silence_limit) return;
  const int n = snprintf(line, sizeof line, "ctpgbench: rank %d: rank 0 gives no sign of life since %.0f s\n",
                         heart.rank, heart.awake - heard);
  if (write(STDERR_FILENO, line, (size_t)n) > 0) SayTheEnd();
  SendUndertaker();
  SystemLeave(CTPG_EXIT_INCOMPLETE);
}

// ---- what the ranks do, for `status` ----

static int ByTime(const void *a, const void *b) {
  const Peer *const *p = a, *const *q = b;
  return ((*p)->since < (*q)->since) - ((*p)->since > (*q)->since);
}

static void ReportPeer(const Peer *peer, FILE *text) {
  const double silence = peer->heard < 0 ? 0 : heart.awake - peer->heard;
  fprintf(text, "rank %d on %s: ", (int)(peer - heart.peer), peer->host);
  if (peer->heard < 0)
    fprintf(text, "no sign of life yet\n");
  else if (silence > SOON * heart.interval)
    fprintf(text, "no sign of life since %.0f s; it was at: %s\n", silence, peer->doing[0] ? peer->doing : "nothing");
  else if (peer->doing[0])
    fprintf(text, "%s, for %.0f s\n", peer->doing, peer->since);
  else
    fprintf(text, "waits\n");
}

static void Report(void) {
  const Peer **order = malloc((size_t)heart.size * sizeof *order);
  char *lines = NULL;
  size_t length;
  FILE *text = order ? open_memstream(&lines, &length) : NULL;
  if (text) {
    WatchdogDescribe(heart.peer[0].doing, sizeof heart.peer[0].doing, &heart.peer[0].since);
    heart.peer[0].heard = heart.awake;
    for (int rank = 0; rank < heart.size; rank++) order[rank] = heart.peer + rank;
    qsort(order, (size_t)heart.size, sizeof *order, ByTime);
    for (int k = 0; k < PetscMin(heart.size, REPORTED); k++) ReportPeer(order[k], text);
    if (!fclose(text)) OutcomeReport(lines);
  }
  free(lines);
  free(order);
}

// ---- life cycle ----

static void *Live(void *nothing) {
  double before = CtpgSeconds(), beat = 0, report = 2;
  while (heart.lives) {
    Listen();
    const double now = CtpgSeconds();
    heart.awake = heart.awake + PetscMin(now - before, 5 * WAKE);
    before = now;
    if (CtpgStopRequested && heart.told < 0) heart.told = heart.awake;
    if (heart.rank && heart.awake >= beat) SendBeat(), beat = heart.awake + heart.interval;
    if (heart.rank)
      LeaveWithoutRank0();
    else
      LastResort();
    if (!heart.rank && heart.awake >= report) Report(), report = heart.awake + REPORT;
  }
  return nothing;
}

static int OpenStation(void) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  socklen_t length = sizeof here;
  struct ifaddrs *list = NULL;
  const int room = 4 << 20;
  heart.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (heart.socket < 0 || heart.rank) return heart.socket;
  (void)setsockopt(heart.socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  if (bind(heart.socket, (struct sockaddr *)&here, sizeof here) ||
      getsockname(heart.socket, (struct sockaddr *)&here, &length) ||
      getrandom(&heart.station.token, sizeof heart.station.token, 0) != sizeof heart.station.token || getifaddrs(&list))
    return -1;
  heart.station.port = here.sin_port;
  for (const struct ifaddrs *one = list; one && heart.station.n < ADDRESSES; one = one->ifa_next)
    if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET && (one->ifa_flags & IFF_UP))
      heart.station.address[heart.station.n++] = ((const struct sockaddr_in *)one->ifa_addr)->sin_addr.s_addr;
  freeifaddrs(list);
  return 0;
}

static PetscErrorCode GatherHosts(MPI_Comm comm) {
  char host[MPI_MAX_PROCESSOR_NAME] = "", *all = NULL;
  int length;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Get_processor_name(host, &length));
  if (!heart.rank) PetscCall(PetscMalloc1((size_t)heart.size * sizeof host, &all));
  PetscCallMPI(MPI_Gather(host, sizeof host, MPI_CHAR, all, sizeof host, MPI_CHAR, 0, comm));
  for (int rank = 0; !heart.rank && rank < heart.size; rank++)
    memcpy(heart.peer[rank].host, all + (size_t)rank * sizeof host, sizeof host);
  PetscCall(PetscFree(all));
  PetscFunctionReturn(0);
}

// Not rank 0. Beats beside those of the thread, until the answer or for so long (s).
static void SendUntil(PetscBool (*is_answered)(void), double seconds) {
  const double end = CtpgSeconds() + seconds;
  for (double next = 0; !is_answered() && CtpgSeconds() < end; SystemNap(1e-3))
    if (CtpgSeconds() > next) SendBeat(), next = CtpgSeconds() + AGAIN * heart.interval;
}

static PetscBool IsHeard(void) {
  return heart.peer[0].heard >= 0 ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool HasLeave(void) {
  return heart.peer[0].leave >= LEAVES ? PETSC_TRUE : PETSC_FALSE;
}

// With the first answer it is known from the beginning whether datagrams pass.
static PetscBool StartThread(void) {
  heart.lives = 1;
  if (SystemStartThread(&heart.thread, Live, NULL)) return PETSC_FALSE;
  if (heart.rank) SendUntil(IsHeard, FIRST);
  return PETSC_TRUE;
}

PetscErrorCode HeartbeatStart(MPI_Comm comm, const JobLimits *limits) {
  int stations;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(comm, &heart.rank));
  PetscCallMPI(MPI_Comm_size(comm, &heart.size));
  if (heart.size == 1 || !(limits->silence_limit > 0)) PetscFunctionReturn(0);
  heart.interval = PetscMax(1, heart.size / 500.0);
  heart.silence_limit = PetscMax(limits->silence_limit, SOON * heart.interval);
  heart.grace = limits->stop_grace;
  heart.told = -1;
  heart.outcome = CTPG_EXIT_INCOMPLETE;
  heart.peer = calloc(heart.rank ? 1 : (size_t)heart.size, sizeof *heart.peer); // PETSc's end before it does
  PetscCheck(heart.peer, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  for (int rank = 0; rank < (heart.rank ? 1 : heart.size); rank++) heart.peer[rank].heard = -1;
  PetscCall(GatherHosts(comm));
  stations = OpenStation() >= 0;
  PetscCallMPI(MPI_Bcast(&heart.station, sizeof heart.station, MPI_BYTE, 0, comm));
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &stations, 1, MPI_INT, MPI_MIN, comm));
  if (stations && StartThread()) PetscFunctionReturn(0);
  heart.lives = 0;
  if (!heart.rank)
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: no sockets for signs of life: a rank that goes silent will not be noticed\n"));
  PetscFunctionReturn(0);
}

// ---- the end ----

void HeartbeatWorkIsOver(void) {
  heart.stage = CLOSING;
}

void HeartbeatReads(void) {
  heart.stage = READING;
}

void HeartbeatConclude(int exit_code) {
  heart.outcome = exit_code;
  heart.stage = CONCLUDED;
}

// Of the ranks that rank 0 has heard of, have all come so far?
static PetscBool HaveAll(Leave leave) {
  for (int rank = 1; rank < heart.size; rank++)
    if (heart.peer[rank].heard >= 0 && heart.peer[rank].leave < (int)leave) return PETSC_FALSE;
  return PETSC_TRUE;
}

// From its last word on nobody looks after a rank.
static void AwaitEnd(void) {
  char line[256];
  snprintf(line, sizeof line, "ctpgbench: rank %d has said farewell, but does not end: it is killed\n", heart.rank);
  UndertakerAwait((unsigned)(LEAVING * heart.silence_limit), line);
}

void HeartbeatTakeLeave(void) {
  if (!heart.lives) return;
  AwaitEnd();
  if (heart.rank && heart.peer[0].heard < 0) return;
  heart.leave = LEAVES;
  if (heart.rank) {
    SendUntil(HasLeave, INFINITY);
    heart.leave = GOES;
    SendBeat();
  } else {
    while (!HaveAll(LEAVES)) SystemNap(1e-3);
    for (const double end = CtpgSeconds() + THANKS; !HaveAll(GOES) && CtpgSeconds() < end;) SystemNap(1e-3);
  }
}
