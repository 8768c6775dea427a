#!/usr/bin/env bash
# Makes baselines/suite-1.h5 anew, or the file that is given: every estimator of jobs/suite-1.yaml on its cases; by
# the CPU times of a tenth of it, a quarter of an hour on two idle cores.
# Run again, it goes on where it stopped. Further words go to the sweep: bash jobs/baselines.sh FILE.h5 -seeds 0:8.
# Needs the program in build/ (or $CTPG_BUILD). On a machine that does nothing else, or its times are those of a crowd.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
out=${1:-baselines/suite-1.h5}

mkdir -p results "$(dirname "$out")"
bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file jobs/suite-1.yaml -out results/suite-1.h5 "${@:2}"
"$build/ctpgbench" analysis aggregate results/suite-1.h5 -o "$out"
