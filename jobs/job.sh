# shellcheck shell=bash
# job.sh -- sourced by slurm.sh and pbs.sh: one sweep inside a batch job, and whether the job is to come back
#
# They set: launch (array, what starts the ranks), ctpgbench, jobs (the folder of this file), plan, out; and come_back,
# which puts the job into the queue again. That the time limit is near comes by USR1, or the sweep knows by itself
# (-time_margin); either way it ends with 75.
set -uo pipefail
source "$jobs/outcome.sh"

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

# Of ctpgbench's folder, of the installation that the folder belongs to, or on PATH.
find_program() {
  local candidate
  for candidate in "$jobs/../build/ctpgbench" "$jobs/../../../bin/ctpgbench"; do
    [ ! -x "$candidate" ] || { echo "$candidate"; return; }
  done
  command -v ctpgbench || echo ctpgbench
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

# The sweep on all ranks; its exit code in $code, and in $told what it says of that itself. A signal interrupts wait,
# which is then asked again.
session() {
  remember_outcome "$out"
  "${launch[@]}" "$ctpgbench" sweep -options_file "$plan" -out "$out" "$@" &
  launcher=$!
  [ -z "$warned" ] || pass_on USR1 # which came too early to be passed on
  until wait "$launcher"; code=$?; [ -z "$signalled" ]; do signalled=; done
  launcher=
  told=$(outcome "$out")
  if was_killed && was_given_up "$out"; then return; fi # srun -K: one rank was killed, and the others asked to stop
  [[ ! $told =~ ^[0-9]+$ ]] || code=$told
  [[ $code -ne 0 || $told = 0 || " $* " = *" -dry_run "* ]] || code=125 # as srun's 0 for what it could not launch
}

# A rank was killed: 128 and the signal. MPICH's mpirun returns the bare signal, or 255; the sweep was still running.
was_killed() {
  [ "$code" -gt 128 ] && [ "$code" -lt 160 ] && return
  [ "$told" = running ] && { [ "$code" -eq 255 ] || { [ "$code" -gt 1 ] && [ "$code" -lt 32 ]; }; }
}

# Code 1 is an error of the program: nobody's second attempt mends it. 75 says: incomplete, run me again. After a killed
# rank, which costs the runs under way: on with the same nodes. Any other code is the launcher's, which has lost a node
# (Open MPI: 205): on with others. Who brings nothing forward stops; after a failed launch not before the second time
# (srun's PMIx stumbles over what the same step left on a node that crashed). A crash that marked its run (FILE.crash)
# brings something forward: the next session steps over it. 0 without the sweep's own word is not believed: the launcher
# may have lost the code, or launched nothing. Done all the same, the next session says so at once.
sweep_and_come_back() {
  local before after fruitless=
  before=$(finished)
  while :; do
    session "$@"
    [ "$code" -ne 0 ] || { say "done"; exit 0; }
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
