#!/usr/bin/env bash
# Does a more accurate gradient need fewer iterations? Trains the ladder of jobs/accuracy.yaml, draws figures/accuracy/
# and writes its table. Options of train go to it: `bash jobs/accuracy.sh -seeds 0:8`. Run again, it goes on where it
# stopped. Needs a build with MuJoCo in build/ (or $CTPG_BUILD); CTPG_RANKS: MPI ranks, default all cores.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}

mkdir -p results
bash jobs/mpirun.sh "$build/ctpgbench" train -options_file jobs/accuracy.yaml "$@" -out results/accuracy.h5
"$build/ctpgbench" beyond results/accuracy.h5 -o figures/accuracy
