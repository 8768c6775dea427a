#!/usr/bin/env bash
# Measures what docs/flagship.md and the map of docs/choosing.md tell, and writes both anew: tuning seeds first, by
# which the best other rows are chosen, then judging seeds. Run again, it goes on where it stopped. Hours of computing;
# needs the program in build/ (or $CTPG_BUILD) and policies/.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
# For the choice of the rows that lia is held against: few seeds, and half of the settings.
few=(-seeds 200:203 -rtol 1e-11:1e1:13 -rosenbrock-w_rtol 1e-8:1e1:10 -rk4-bptt_dt 1e-2:1:7)

run() { # run PLAN NAME ...
  bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file "jobs/$1.yaml" -out "results/$2.h5" "${@:3}"
}

mkdir -p results
run flagship-tuning flagship-variants
run flagship flagship-tuning "${few[@]}"
"$build/ctpgbench" flagship results/flagship-tuning.h5 --best jobs/flagship-best.txt --freeze
run flagship flagship
run flagship-ablations flagship-ablations
run map map
"$build/ctpgbench" flagship results/flagship.h5 --best jobs/flagship-best.txt --variants results/flagship-variants.h5 \
  --ablations results/flagship-ablations.h5 --page docs/flagship.md
"$build/ctpgbench" map results/map.h5 -o figures/flagship --dpi 110
mkdir -p docs/flagship
cp figures/flagship/map.png figures/flagship/stability.png docs/flagship
