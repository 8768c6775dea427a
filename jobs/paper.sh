#!/usr/bin/env bash
# Every figure of the paper: gradient errors, training, traces, then PDFs, PNGs, GIFs and docs/paper.md made anew in
# figures/paper/. `bash jobs/paper.sh small` does the same with fewer seeds, in minutes, into figures/paper-small/. Run
# again, it goes on where it stopped. Needs a build with MuJoCo in build/ (or $CTPG_BUILD); CTPG_RANKS: MPI ranks,
# default all cores.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${CTPG_BUILD:-build}
case ${1-} in
  "") name=paper gradients=() training=() beyond=() ;;
  small)
    name=paper-small
    gradients=(-seeds 0:6 -run_time_limit 2 -cartpole_seeds 0:2 -dt 1e-3:1:7 -lqr_dt 1e-4:1:9)
    training=(-diffdrive_seeds 0:1 -quadrotor_seeds 0:6 -electric_seeds 0:6 -electric_iterations 5000
      -electric_test_every 250 -electric_snapshots 0,1000,5000 -cartpole_seeds 0:6)
    beyond=(-quadrotor_seeds 0:1 -quadrotor_iterations 400 -quadrotor_horizon_ramp 300 -quadrotor_batch 16
      -quadrotor_snapshots 0,200,400 -cartpole_seeds 0:2)
    ;;
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

# trace WHAT OPTIONS...: results/<name>-<what>.h5
trace() {
  local out=results/$name-$1.h5
  shift
  step env CTPG_RANKS=1 bash jobs/mpirun.sh "$build/ctpgbench" trace "$@" -out "$out"
}

mkdir -p results
step bash jobs/mpirun.sh "$build/ctpgbench" train -options_file jobs/paper.yaml "${training[@]}" \
  -out "results/$name-training.h5"
step bash jobs/mpirun.sh "$build/ctpgbench" train -options_file jobs/paper-beyond.yaml "${beyond[@]}" \
  -out "results/$name-beyond.h5"
step bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file jobs/paper-gradients.yaml "${gradients[@]}" \
  -out "results/$name-gradients.h5"
trace trace -problem lqr -lqr_A 0,2,-2,0 -horizon 14 -dt 0.15 -rtol 1e-4
# One rollout under a policy that each of them has trained, with the points at which it integrates.
learnt=results/$name-training.h5:/training/cartpole
trace cartpole-ctpg -problem cartpole -theta_file "$learnt/ctpg" -estimators ctpg -rtol 1e-3
trace cartpole-bptt -problem cartpole -theta_file "$learnt/bptt-cartpole" -estimators bptt-cartpole=euler-bptt -dt 0.01
mkdir -p "figures/$name"
# The page, with links as they are from there.
sed -e 's|](\.\./|](../../|g' -e 's|](\([a-z-]*\.md\))|](../../docs/\1)|g' docs/paper.md >"figures/$name/paper.md"
step "$build/ctpgbench" paper "results/$name-training.h5" --gradients "results/$name-gradients.h5" \
  --more "results/$name-beyond.h5" --traces "results/$name-trace.h5" "results/$name-cartpole-ctpg.h5" \
  "results/$name-cartpole-bptt.h5" -o "figures/$name" --page "figures/$name/paper.md"
