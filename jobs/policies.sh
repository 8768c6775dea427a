#!/usr/bin/env bash
# Trains the policies of jobs/policies.yaml and keeps them as small files, with a page, in figures/policies/, or in the
# folder that is given: `bash jobs/policies.sh policies` replaces those of the suite. Run again, it goes on where it
# stopped. Needs the program in build/ (or $CTPG_BUILD), with MuJoCo.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}

mkdir -p results
bash jobs/mpirun.sh "$build/ctpgbench" train -options_file jobs/policies.yaml -out results/policies-training.h5
"$build/ctpgbench" analysis policies results/policies-training.h5 -o "${1:-figures/policies}"
