# shellcheck shell=bash
# outcome.sh -- sourced by job.sh and until_done.sh: how a session ended, by its own word
#
# A sweep or training writes its exit code into FILE.outcome beside its results ("running" while it has not ended).
# Launchers change exit codes and lose them: MPICH's mpirun returned 0 for 75 in 13 of 150 sessions, and 9 or 15 for
# killed ranks where Open MPI's returns 137 or 143.

# outcome_file RESULTS: beside the file itself, where RESULTS is a link.
outcome_file() { echo "$(readlink -m -- "$1").outcome"; }

outcome_stamp() { stat -c '%i %.Y' -- "$(outcome_file "$1")" 2>/dev/null; }

# remember_outcome RESULTS: before a session, so that an older word is not taken for its own. The file stays: it may be
# that of another job, which is at the same results, and this session the one that is refused.
remember_outcome() { outcome_before=$(outcome_stamp "$1"); }

# was_given_up RESULTS: asked to stop, not all ranks came to their end: they are missing, or in code that does not look.
was_given_up() { [[ $(outcome_words "$1") = '75 given up'* ]]; }

# What was written since remember_outcome.
outcome_words() { [ "$(outcome_stamp "$1")" = "$outcome_before" ] || head -n 1 -- "$(outcome_file "$1")" 2>/dev/null; }

# outcome RESULTS: an exit code, or "running" (it ended without a word: killed), or nothing (it never had the file).
outcome() {
  local word=
  read -r word _ <<<"$(outcome_words "$1")"
  echo "$word"
}
