#!/usr/bin/env bash
# Runs a sweep again while it ends with 75 (incomplete) or with a crash that left a new mark, until it is done:
#   bash jobs/until_done.sh mpirun -n 4 build/ctpgbench sweep -options_file plan.yaml -out results.h5
# Gives up, with the exit code of the last time, when nothing new happened: no row, no mark. USR1, TERM and INT are
# handed on to the sweep as USR1 (stop in good order), and end this script after it. Not with -retry_crashed, which
# would go round.
set -uo pipefail
source "$(dirname "$0")/outcome.sh"

out=results.h5 program=
previous=
for word in "$@"; do
  if [ "$previous" = -out ]; then out=$word; fi
  case $word in ctpgbench | */ctpgbench) program=${program:-$word} ;; esac
  if [ "$word" = -retry_crashed ]; then
    echo "until_done.sh: -retry_crashed would run a crash again and again; give it to a sweep of its own" >&2
    exit 1
  fi
  previous=$word
done
if [ -z "$program" ]; then
  echo "until_done.sh: no ctpgbench among '$*'; expected a command such as mpirun -n 4 build/ctpgbench sweep ..." >&2
  exit 1
fi

# What there is: rows and references that are done, marks of crashes.
progress() {
  "$program" status "$out" 2>/dev/null | grep -oE '[0-9]+ of [0-9]+ runs done|^references: [0-9]+|^crashed.*'
  if [ -e "$out.crash" ]; then cksum <"$out.crash"; fi
}

stopped= child=
stop() {
  stopped=yes
  if [ -n "$child" ]; then kill -USR1 "$child" 2>/dev/null; fi
}
trap stop USR1 TERM INT

code=75
while [ -z "$stopped" ]; do
  before=$(progress)
  remember_outcome "$out"
  "$@" &
  child=$!
  wait "$child"
  code=$?
  while kill -0 "$child" 2>/dev/null; do # a trap ended the wait, not the sweep
    wait "$child"
    code=$?
  done
  child=
  told=$(outcome "$out")
  if [[ $told =~ ^[0-9]+$ ]]; then code=$told; fi
  if [ "$code" -eq 0 ]; then exit 0; fi
  if [ "$code" -ne 75 ] && ! [ -s "$out.crash" ]; then break; fi
  if [ "$(progress)" = "$before" ]; then
    echo "until_done.sh: nothing new happened in $out; giving up" >&2
    break
  fi
  if [ -z "$stopped" ]; then echo "until_done.sh: the sweep ended with $code; again" >&2; fi
done
exit "$code"
