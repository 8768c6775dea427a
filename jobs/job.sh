# shellcheck shell=bash
# job.sh -- sourced by slurm.sh and pbs.sh: one sweep inside a batch job, and whether the job is to come back
#
# They set: launch (array, what starts the ranks), ctpgbench, plan, out; deadline (empty, or the value of $SECONDS at which
# the sweep must stop); and come_back, which puts the job into the queue again.
set -uo pipefail

launcher= warned= ended= signalled=
pass_on() {
  signalled=1
  [ -z "$launcher" ] || kill -"$1" "$launcher" 2>/dev/null
}
trap 'warned=1; pass_on USR1' USR1 # the time limit is near
trap 'ended=1; pass_on TERM' TERM  # cancelled, or out of time

say() { echo "job: $*"; }

# Finished runs and references, and crashes on record (the next session steps over them): what a session brings forward.
finished() {
  local number total=0
  [ -e "$out" ] || { echo 0; return; }
  while read -r number; do total=$((total + number)); done < <(
    "${launch[@]}" -n 1 "$ctpgbench" status "$out" |
      sed -n 's/^references: \([0-9]*\) of .*/\1/p; s/.* \([0-9]*\) of [0-9]* runs done.*/\1/p'
    [ ! -e "$out.crash" ] || wc -c <"$out.crash")
  echo "$total"
}

# The sweep on all ranks; its exit code in $code. A signal interrupts wait, which is then asked again.
session() {
  "${launch[@]}" "$ctpgbench" sweep -options_file "$plan" -out "$out" \
    ${deadline:+-time_limit $((deadline > SECONDS ? deadline - SECONDS : 1))} "$@" &
  launcher=$!
  [ -z "$warned" ] || pass_on USR1 # which came too early to be passed on
  until wait "$launcher"; code=$?; [ -z "$signalled" ]; do signalled=; done
  launcher=
}

# 75 says: incomplete, run me again. Above 128 a rank was killed, which costs the runs under way: on with the same nodes.
# Any other code may be a lost node: on with others. Whoever brings nothing forward stops, whatever the reason.
sweep_and_come_back() {
  local before after
  before=$(finished)
  while :; do
    session "$@"
    [ "$code" -ne 0 ] || { say "done"; exit 0; }
    [ -z "$ended" ] || { say "ended from outside; it goes on where it stopped when it is requeued or submitted again"; exit "$code"; }
    after=$(finished)
    [ "$after" -gt "$before" ] || { say "code $code, and nothing finished since the session began: giving up"; exit "$code"; }
    say "code $code, $((after - before)) more runs and references finished"
    before=$after
    [ "$code" -gt 128 ] && [ -z "$warned" ] || break
  done
  come_back "$@"
}
