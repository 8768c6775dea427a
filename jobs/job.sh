# shellcheck shell=bash
# job.sh -- sourced by slurm.sh and pbs.sh: one sweep inside a batch job, and whether the job is to come back
#
# They set: launch (array, what starts the ranks), ctpgbench, plan, out; and come_back, which puts the job into the
# queue again. That the time limit is near comes by USR1, or the sweep knows by itself (-time_margin); either way it
# ends with 75.
set -uo pipefail

launcher= warned= ended= signalled=
pass_on() {
  signalled=1
  [ -z "$launcher" ] || kill -"$1" "$launcher" 2>/dev/null
}
trap 'warned=1; pass_on USR1' USR1 # the time limit is near
trap 'ended=1; pass_on TERM' TERM  # cancelled, or out of time

say() { echo "job: $*"; }
stop() {
  say "$*"
  exit "$code"
}

# What the file holds, told without a launcher where MPI allows that: mpirun wants all nodes alive, for one rank too.
status() { "$ctpgbench" status "$out" 2>/dev/null || "${launch[@]}" -n 1 "$ctpgbench" status "$out"; }

# How many runs and references are finished.
finished() {
  local number total=0
  [ -e "$out" ] || { echo 0; return; }
  while read -r number; do total=$((total + number)); done < <(status | sed -n \
    's/^references: \([0-9]*\) of .*/\1/p; s/.* \([0-9]*\) of [0-9]* runs done.*/\1/p')
  echo "$total"
}

# The sweep on all ranks; its exit code in $code. A signal interrupts wait, which is then asked again.
session() {
  "${launch[@]}" "$ctpgbench" sweep -options_file "$plan" -out "$out" "$@" &
  launcher=$!
  [ -z "$warned" ] || pass_on USR1 # which came too early to be passed on
  until wait "$launcher"; code=$?; [ -z "$signalled" ]; do signalled=; done
  launcher=
}

was_killed() { [ "$code" -gt 128 ] && [ "$code" -lt 160 ]; }

# Code 1 is an error of the program: nobody's second attempt mends it. 75 says: incomplete, run me again. 129 to 159: a
# rank was killed, which costs the runs under way: on with the same nodes. Any other code is the launcher's, which has
# lost a node (Open MPI: 205): on with others. Who brings nothing forward stops; after a failed launch not before the
# second time (srun's PMIx stumbles over what the same step left on a node that crashed). A crash that marked its run
# (FILE.crash) brings something forward: the next session steps over it. 0 says done, but not after a signal: MPICH
# 4.0's mpirun may lose the code of ranks that it passed one to. Done all the same, the next session says so at once.
sweep_and_come_back() {
  local before after fruitless=
  before=$(finished)
  while :; do
    session "$@"
    [ "$code" -ne 0 ] || [ -n "$warned$ended" ] || { say "done"; exit 0; }
    [ -z "$ended" ] || stop "ended from outside; it goes on where it stopped when it is requeued or submitted again"
    [ "$code" -ne 1 ] || stop "an error"
    after=$(finished)
    if [ "$after" -gt "$before" ] || [ -s "$out.crash" ]; then
      say "code $code, $((after - before)) more runs and references finished"
      fruitless=
    elif [ "$code" -eq 75 ] || [ -n "$fruitless" ]; then
      stop "code $code, and nothing finished since the session began"
    else
      say "code $code, and nothing finished: once more"
      fruitless=1
    fi
    before=$after
    [ -z "$warned" ] || break
    [ -n "$fruitless" ] || was_killed || break
  done
  come_back "$@"
}
