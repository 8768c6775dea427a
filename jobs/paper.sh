#!/usr/bin/env bash
# Every figure of the paper: gradient errors, training, traces, then PDFs, PNGs, GIFs and the summary of claims in
# figures/paper/. `bash jobs/paper.sh small` does the same at reduced scale in minutes, into figures/paper-small/. Run again,
# it goes on where it stopped. Needs a build with MuJoCo in build/ (or $CTPG_BUILD); CTPG_RANKS: MPI ranks, default all cores.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${CTPG_BUILD:-build}
case ${1-} in
  "") name=paper gradients=() ;;
  small) name=paper-small gradients=(-seeds 0:2 -cartpole_seeds 0:2 -run_time_limit 2) ;;
  *)
    echo "paper.sh: $1 is unknown; expected nothing, or small" >&2
    exit 2
    ;;
esac
if [ ! -x "$build/ctpgbench" ]; then
  echo "paper.sh: no $build/ctpgbench; run: bash jobs/build.sh" >&2
  exit 1
fi

# A step that must end well. 75: stopped in good order, by a signal or a time limit.
step() {
  local code=0
  "$@" || code=$?
  [ $code -ne 75 ] || echo "paper.sh: stopped before the end; the same command goes on from here" >&2
  [ $code -eq 0 ] || exit $code
}

mkdir -p results
step bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file jobs/paper-gradients.yaml "${gradients[@]}" \
  -out "results/$name-gradients.h5"
step bash jobs/mpirun.sh "$build/ctpgbench" train -options_file "jobs/$name.yaml" -out "results/$name-training.h5"
step env CTPG_RANKS=1 bash jobs/mpirun.sh "$build/ctpgbench" trace -problem lqr -lqr_A 0,2,-2,0 -horizon 25 -dt 0.25 \
  -out "results/$name-trace.h5"
step "$build/ctpgbench" paper "results/$name-training.h5" --gradients "results/$name-gradients.h5" \
  --traces "results/$name-trace.h5" -o "figures/$name"
