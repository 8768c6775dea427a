#!/usr/bin/env bash
# Starts a Slurm of two nodes on this machine and runs jobs/slurm.sh under it: over both nodes, cut off by its time
# limit, requeued, with ranks killed or stopped and nodes lost; every sweep must end with the digest of an undisturbed
# local one. `tests/run.sh --cluster` builds before. Needs root and Debian's Slurm, which it installs; eight minutes
# on two idle cores.
# KEEP=1 keeps its folder, with all logs.
#
# The nodes are namespaces: host name, process ids, /tmp and /dev/shm of their own; results lie in a folder they share.
# Killing the first process of a node takes everything on it away at once, as a crash would.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${CTPG_BUILD:-build}

[ "$(id -u)" -eq 0 ] || { echo "tests/cluster.sh starts daemons and namespaces: run it as root" >&2; exit 1; }
packages=(slurm-wlm slurm-wlm-basic-plugins munge)
installed=$(dpkg-query -W -f '${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | grep -cx installed)
if [ "$installed" -lt "${#packages[@]}" ]; then
  echo "installing ${packages[*]}"
  { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } \
    >/dev/null 2>&1 || { echo "apt-get cannot install ${packages[*]}" >&2; exit 1; }
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# ---- the cluster ----

cluster=$(mktemp -d /var/tmp/ctpgcluster.XXXXXX) # not in /tmp, which every node has for itself
home=$cluster/home                               # what the nodes share: a copy of the program, jobs, results
export SLURM_CONF=$cluster/slurm.conf
declare -A node # process id of the node's unshare
controller=

# Processes of ours that are asked to end, and after a while made to.
end_process() {
  local pid
  for pid in "$@"; do kill "$pid" 2>/dev/null; done
  for pid in "$@"; do
    for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null
  done
}

clean_up() {
  local name
  for name in "${!node[@]}"; do lose_node "$name"; done
  [ -z "$controller" ] || end_process "$controller"
  [ ! -e "$cluster/munge/pid" ] || end_process "$(cat "$cluster/munge/pid")"
  if [ -n "${KEEP:-}" ]; then echo "kept: $cluster"; else rm -rf "$cluster"; fi
} 2>/dev/null
trap clean_up EXIT
trap 'exit 130' INT TERM

start_munge() {
  mkdir "$cluster/munge"
  head -c 1024 /dev/urandom >"$cluster/munge/key"
  chmod 400 "$cluster/munge/key"
  chown -R munge: "$cluster/munge"
  chmod 711 "$cluster/munge"
  runuser -u munge -- /usr/sbin/munged --socket="$cluster/munge/socket" --key-file="$cluster/munge/key" \
    --pid-file="$cluster/munge/pid" --log-file="$cluster/munge/log" --seed-file="$cluster/munge/seed"
}

free_ports() {
  /usr/bin/python3 -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*[s.getsockname()[1] for s in sockets])'
}

# Nodes pretend to have 64 cores, so that scenarios can go on side by side: their ranks mostly sleep (napper.c).
configure_slurm() {
  local ports
  read -ra ports < <(free_ports)
  cat >"$SLURM_CONF" <<END
ClusterName=ctpgbench
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$cluster/munge/socket
StateSaveLocation=$cluster/slurmctld
SlurmdSpoolDir=$cluster/%n
SlurmctldPidFile=$cluster/slurmctld/pid
SlurmdPidFile=$cluster/%n/pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
JobRequeue=1
TmpFS=/tmp
NodeName=node1 NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=64
NodeName=node2 NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=64
PartitionName=main Nodes=ALL Default=YES
END
}

start_node() {
  mkdir -p "$cluster/$1"
  unshare --mount --uts --pid --fork --kill-child --mount-proc bash -c "hostname $1
    mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /dev/shm; exec slurmd -D -N $1" >>"$cluster/$1.log" 2>&1 &
  node[$1]=$!
  disown
}

lose_node() {
  kill -KILL "${node[$1]}"
  unset "node[$1]"
}

start_cluster() {
  mkdir "$cluster/slurmctld"
  chmod 755 "$cluster"
  start_munge
  configure_slurm
  slurmctld -D >"$cluster/slurmctld.log" 2>&1 &
  controller=$!
  disown
  start_node node1
  start_node node2
  wait_until 30 "two idle nodes" nodes_are_idle
}

nodes_are_idle() { [ "$(sinfo -h -t idle -o %D)" = 2 ]; }

# ---- saying and waiting ----

failures=0
note() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
fail() {
  note "FAILED: $*"
  failures=$((failures + 1))
}

# Until the command succeeds; a failure of the test when it does not within the seconds.
wait_until() {
  local seconds=$1 what=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || { fail "no $what after $seconds s"; return 1; }
    sleep 0.5
  done
}

# ---- jobs ----

declare -A id plan # by scenario: number of the job, plan
ctpgbench=$home/ctpgbench/bin/ctpgbench
mpirun="mpirun --bind-to core"
srun="srun --mpi=pmix -K"

# The user's copy of jobs/slurm.sh: write_script NAME LAUNCHER [sed expressions]. Two ranks on each of two nodes.
write_script() {
  local name=$1 launcher=$2 expression edits=()
  shift 2
  for expression in "$@"; do edits+=(-e "$expression"); done
  sed -e "s|^launch=.*|launch=($launcher)|" -e "s|^ctpgbench=.*|ctpgbench=$ctpgbench|" \
    -e "s|^\(#SBATCH --output\)=.*|\1=$name.log|" -e "s|^\(#SBATCH --nodes\)=.*|\1=2|" \
    -e "s|^\(#SBATCH --time\)=.*|\1=30|" \
    "${edits[@]}" jobs/slurm.sh >"$home/$name.sh"
}

# submit NAME PLAN [options of sweep]: its script under Slurm, results in NAME.h5.
submit() {
  local name=$1
  plan[$name]=$2
  shift 2
  id[$name]=$(cd "$home" && sbatch --parsable "$name.sh" "${plan[$name]}" "$name.h5" "$@")
  note "$name: job ${id[$name]}"
}

state() { scontrol show job "${id[$1]}" 2>/dev/null | sed -n 's/.*JobState=\(\w*\).*/\1/p'; }
is_in_state() { [ "$(state "$1")" = "$2" ]; }
restarts() { scontrol show job "${id[$1]}" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p'; }
rows() { sed -n 's/^runs \([0-9]*\) of [0-9]*, .*/\1/p' "$home/$1.log" 2>/dev/null | tail -n 1; } # by its progress line
has_rows() { local n; n=$(rows "$1"); [ "${n:-0}" -ge 20 ]; }
log_says() { grep -q -- "$2" "$home/$1.log" 2>/dev/null; }
digest() { sed -n 's/^digest: //p' "$1" | tail -n 1; }
is_under_way() {
  wait_until 120 "rows of $1" has_rows "$1"
  is_in_state "$1" RUNNING || fail "$1 ended before it was disturbed"
}
show_log() { sed 's/^/      | /' "$home/$1.log" | tail -n 40; }

# Slurm makes requeued jobs wait for two minutes; we do not. A job that starts while its nodes still clear up what it
# left there fails at once, though, so it waits for some seconds.
declare -A pending # since when, s
hurry() {
  local waiting
  for waiting in $(squeue -h -t PENDING -o '%A %r' 2>/dev/null | sed -n 's/ BeginTime$//p'); do
    : "${pending[$waiting]:=$SECONDS}"
    [ $((SECONDS - pending[$waiting])) -ge 10 ] || continue
    scontrol update jobid="$waiting" starttime=now
    unset "pending[$waiting]"
  done
}
has_ended() {
  hurry
  [[ $(state "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]
}

# check NAME STATE WORDS...: the job ends in this state, and its log says all this.
check() {
  local name=$1 expected_state=$2 words before=$failures
  shift 2
  wait_until 600 "end of $name" has_ended "$name"
  is_in_state "$name" "$expected_state" || fail "$name is $(state "$name"), expected $expected_state"
  for words in "$@"; do log_says "$name" "$words" || fail "$name: its log does not say: $words"; done
  if [ "$failures" -gt "$before" ]; then
    show_log "$name"
    scontrol show job "${id[$name]}" | grep -E 'JobState|ExitCode|Time=' | sed 's/^ */      : /'
    return 1
  fi
}

# check_done NAME RESTARTS WORDS...: it came to its end with the digest of the local sweep, after so many restarts.
check_done() {
  local name=$1 expected_restarts=$2 found
  shift 2
  check "$name" COMPLETED "job: done" "$@" || return
  found=$(restarts "$name")
  if [ "$(digest "$home/$name.log")" != "${digest[${plan[$name]}]}" ]; then
    fail "$name: another digest than the local sweep's"
  elif [[ ! $found =~ ^($expected_restarts)$ ]]; then
    fail "$name: $found restarts, expected $expected_restarts"
  else
    note "$name: done, the same digest, $found restarts"
    return
  fi
  show_log "$name"
}

# signal_rank SIGNAL NODE NAME: for one rank; inside a node no other processes are seen.
signal_rank() {
  nsenter -t "$(pgrep -P "${node[$2]}")" -m -p pkill "-$1" -o -f "^$ctpgbench sweep .*-out $3\\.h5" ||
    fail "$3 has no rank on $2"
}

# ---- plans and what they give here, undisturbed ----

declare -A digest
# write_plan NAME SEEDS: eight seconds for each seed on four ranks, whatever else they do, for a plant that sleeps.
write_plan() {
  cat >"$home/$1" <<END
problem_library: $home/libnapper.so
problems: [napper, diffdrive]
estimators: [ctpg, rk-adjoint, euler-bptt]
seeds: "0:$2"
rtol: "1e-8:1e-2:150"
dt: "1e-2,1e-1"
timing_threshold: 0
END
  CTPG_RANKS=16 bash jobs/mpirun.sh "$ctpgbench" sweep -options_file "$home/$1" -out "$home/local.$1.h5" \
    >"$home/local.$1.log" 2>&1 || fail "the local sweep of $1"
  digest[$1]=$(digest "$home/local.$1.log")
  note "$1 locally: digest ${digest[$1]:0:12}"
}

# ---- scenarios: started together, disturbed one after the other, they come to their ends side by side ----

# for_all_ways COMMAND NAME ARGUMENTS...: COMMAND NAME-way ARGUMENTS, once for every launcher and store; their scripts.
launcher_of() { case $1 in *-srun*) echo "$srun" ;; *) echo "$mpirun" ;; esac; }
store_of() { case $1 in *-independent) echo "-store independent" ;; *-writer) echo "-store writer" ;; esac; }
ways=(mpirun srun)
for_all_ways() {
  local command=$1 name=$2 way
  shift 2
  for way in "${ways[@]}"; do $command "$name-$way" "$@"; done
}

start() { # NAME [PLAN [options]]
  local name=$1 what=${2:-short.yaml}
  shift $(($# < 2 ? $# : 2))
  write_script "$name" "$(launcher_of "$name")"
  # shellcheck disable=SC2046
  submit "$name" "$what" $(store_of "$name") "$@"
}

check_both_nodes() {
  local text
  text=$("$ctpgbench" status "$home/$1.h5")
  [[ $text == *"node1 x 2,node2 x 2"* ]] || fail "$1: its session was not on both nodes"
}

time_limit() { # so long that the warning, which comes up to a minute early, does not come at once
  write_script "$1" "$(launcher_of "$1")" "s|^\(#SBATCH --time\)=.*|\1=2|" "s|USR1@120|USR1@15|"
  # shellcheck disable=SC2046
  submit "$1" long.yaml $(margin)
}
# What the program itself keeps free at the end of a job would be the whole minute.
margin() { [[ $("$ctpgbench" sweep -help) != *" -time_margin "* ]] || echo "-time_margin 10"; }

# One cut is enough: then the job gets the time that it needs.
check_time_limit() {
  wait_until 180 "first session of $1" log_says "$1" "job: code 75"
  scontrol update jobid="${id[$1]}" timelimit=30
  check_done "$1" '[1-9]'
}

requeue_by_hand() {
  is_under_way "$1"
  scontrol requeue "${id[$1]}"
}

rank_killed() {
  is_under_way "$1"
  signal_rank KILL node2 "$1"
}

# The others finish the rest, give it up, and the job comes back: its node may be ill.
rank_stopped() {
  is_under_way "$1"
  signal_rank STOP node2 "$1"
}

start_without_requeue() {
  write_script no-requeue "$mpirun" "s|^#SBATCH --requeue|#SBATCH --no-requeue|"
  submit no-requeue short.yaml
}

without_requeue() {
  is_under_way no-requeue
  scancel --batch --signal=USR1 "${id[no-requeue]}"
}

check_without_requeue() {
  check no-requeue COMPLETED "job: code 75" "Submitted batch job"
  id[no-requeue]=$(sed -n 's/^Submitted batch job //p' "$home/no-requeue.log" | tail -n 1)
  check_done no-requeue 0
}

cancelled() {
  is_under_way cancelled
  scancel "${id[cancelled]}"
}

check_cancelled() {
  check cancelled CANCELLED "ended from outside"
  submit cancelled short.yaml
}

refused() {
  write_script refused "$mpirun"
  submit refused short.yaml -no_such_option 1
}

without_pmix() {
  id[no-pmix]=$(cd "$home" && sbatch --parsable -N 1 -n 2 -o no-pmix.log \
  --wrap "srun --mpi=none -n 2 $ctpgbench sweep -options_file short.yaml -out no-pmix.h5")
}

check_without_pmix() {
  check no-pmix FAILED "2 of these were started, but MPI sees 1 rank in each" "srun --mpi=pmix"
  [ ! -e "$home/no-pmix.h5" ] || fail "no-pmix: a file was written"
}

two_jobs() { # on one file: the second is refused while the first one writes
  is_under_way first
  [ -e "$home/first.h5.lock" ] || { note "two jobs: this program has no lock"; return; }
  write_script second "$mpirun"
  id[second]=$(cd "$home" && sbatch --parsable second.sh short.yaml first.h5)
}

check_two_jobs() {
  check_done first 0
  [ -z "${id[second]:-}" ] || check second FAILED "in use by another job" "Slurm job ${id[first]}"
}

shards() { # a job array, one file for each task
  [[ $("$ctpgbench" sweep -help) == *" -shard "* ]] || { note "shards: this program has none"; return; }
  write_script shards "$srun" "s|^\(#SBATCH --output\)=.*|\1=shards-%a.log|"
  id[shards]=$(cd "$home" && sbatch --parsable --array=1-3 shards.sh short.yaml shards-%a.h5 -shard %a/3)
}

shards_are_done() { [ "$(grep -l "job: done" "$home"/shards-?.log 2>/dev/null | wc -l)" = 3 ]; }

check_shards() {
  [ -n "${id[shards]:-}" ] || return
  wait_until 600 "end of shards" shards_are_done || return
  "$ctpgbench" merge "$home"/shards-?.h5 -out "$home/shards.h5" >"$home/shards.log" 2>&1
  "$ctpgbench" status "$home/shards.h5" >>"$home/shards.log" 2>&1
  if [ "$(digest "$home/shards.log")" = "${digest[short.yaml]}" ]; then
    note "shards: merged, the same digest"
  else
    fail "shards: another digest than the local sweep's"
    show_log shards
  fi
}

node_set_down() {
  start set-down-mpirun long.yaml
  is_under_way set-down-mpirun
  scontrol update nodename=node2 state=down reason=test
  wait_for_requeue set-down-mpirun
  wait_until 30 "node back" node_resumes node2
}

node_resumes() { scontrol update nodename="$1" state=resume 2>/dev/null; node_is_up "$1"; } # or has done so by itself

# NODE: everything on it is gone at once, and it comes back when Slurm has noticed.
node_crash() {
  for_all_ways start "crash-$1" long.yaml
  for_all_ways is_under_way "crash-$1"
  lose_node "$1"
  note "lost $1"
  for_all_ways wait_for_requeue "crash-$1"
  start_node "$1"
  wait_until 60 "node back" node_is_up "$1"
}

wait_for_requeue() { wait_until 60 "requeue of $1" is_in_state "$1" PENDING; }
node_is_up() { [[ $(sinfo -h -n "$1" -o %t) =~ ^(idle|mix|alloc) ]]; }

# ---- all of it ----

main() {
  local launcher
  mkdir "$home" && cp -r jobs "$build/libnapper.so" "$home" || exit
  cmake --install "$build" --prefix "$home/ctpgbench" >/dev/null || exit
  if [[ $("$ctpgbench" sweep -help) == *" -store "* ]]; then ways=({mpirun,srun}-{independent,writer}); fi
  start_cluster
  write_plan short.yaml 6
  write_plan long.yaml 15 # outlasts the time limit below

  for launcher in mpirun srun; do time_limit "time-limit-$launcher"; done
  for_all_ways start rank-killed
  for_all_ways start requeued
  start_without_requeue
  start cancelled
  start first
  for launcher in mpirun srun; do start "stopped-$launcher" short.yaml -silence_limit 10 -stop_grace 2; done
  for_all_ways rank_killed rank-killed
  for_all_ways requeue_by_hand requeued
  without_requeue
  cancelled
  two_jobs
  for launcher in mpirun srun; do rank_stopped "stopped-$launcher"; done
  for_all_ways start both-nodes
  refused
  without_pmix
  shards

  check_cancelled
  check_two_jobs
  for_all_ways check_done rank-killed 0 "job: code 1[3-5]" # begun again on the same nodes, under either launcher
  check refused FAILED "no_such_option" "job: an error"
  check_without_pmix
  check_shards
  for_all_ways check_done both-nodes 0
  for_all_ways check_both_nodes both-nodes
  for launcher in mpirun srun; do
    check_done "stopped-$launcher" 1 "gives no sign of life" "job: code 75"
  done
  check_without_requeue
  check_done cancelled 0
  for_all_ways check_done requeued 1
  for launcher in mpirun srun; do check_time_limit "time-limit-$launcher"; done

  node_set_down
  node_crash node2
  node_crash node1
  check_done set-down-mpirun '[1-9]'
  for_all_ways check_done crash-node2 '[1-9]'
  for_all_ways check_done crash-node1 '[1-9]'

  if [ -n "$(squeue -h)" ]; then fail "jobs are left:"$'\n'"$(squeue)"; fi
  note "$failures failures"
  [ "$failures" -eq 0 ]
}

main; exit # in one line: the file may be edited while it runs
