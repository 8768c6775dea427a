#!/usr/bin/env bash
# From an empty Debian 12 to gradient-error curves: installs what is missing, builds, sweeps six estimators over three
# cases of the standard suite on all cores, draws the figures and prints the table. Run again, it goes on where it
# stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
results=results/quickstart.h5

bash jobs/setup.sh
echo "building into $build"
bash jobs/build.sh
mkdir -p results figures
bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file jobs/suite-1.yaml -options_file jobs/quickstart.yaml \
  -out "$results"
"$build/ctpgbench" figures "$results" -o figures
"$build/ctpgbench" table "$results" | tee figures/table.txt
echo "results in $results, figures in figures/ (begin with overview.png)"
