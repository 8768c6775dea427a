#!/usr/bin/env bash
# Measures what docs/flagship.md and the map of docs/choosing.md tell, and writes both anew: all parts in this order, or
# those that are named:
#   tuning      rivals' settings on tuning seeds, and the rows that lia is held against, once: jobs/flagship-best.txt
#   judging     everybody on judging seeds
#   ablations   what the parts of lia are worth, on tuning seeds
#   map         who is cheapest by stiffness and growth
#   page        tables and pictures, from the files of the parts above that are there; runs nothing
# Run again, it goes on where it stopped. Hours of computing; needs the program in build/ (or $CTPG_BUILD) and
# policies/.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
best=jobs/flagship-best.txt
# For the choice of the rows that lia is held against: few seeds, and half of the settings.
few=(-seeds 200:203 -rtol 1e-11:1e1:13 -rosenbrock-w_rtol 1e-8:1e1:10 -rk4-bptt_dt 1e-2:1:7)

run() { # run PLAN NAME ...
  bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file "jobs/$1.yaml" -out "results/$2.h5" "${@:3}"
}

write_page() {
  local more=()
  [ -f results/flagship-variants.h5 ] && more+=(--variants results/flagship-variants.h5)
  [ -f results/flagship-ablations.h5 ] && more+=(--ablations results/flagship-ablations.h5)
  "$build/ctpgbench" flagship results/flagship.h5 --best "$best" "${more[@]}" --page docs/flagship.md
  [ -f results/map.h5 ] || return 0
  "$build/ctpgbench" map results/map.h5 -o figures/flagship --dpi 110
  mkdir -p docs/flagship
  cp figures/flagship/map.png figures/flagship/stability.png docs/flagship
}

mkdir -p results
for part in "${@:-all}"; do
  case $part in
    all) exec bash "jobs/${0##*/}" tuning judging ablations map page ;;
    tuning)
      run flagship-tuning flagship-variants
      [ -f "$best" ] && continue
      run flagship flagship-tuning "${few[@]}"
      "$build/ctpgbench" flagship results/flagship-tuning.h5 --best "$best" --freeze
      ;;
    judging) run flagship flagship ;;
    ablations) run flagship-ablations flagship-ablations ;;
    map) run map map ;;
    page) write_page ;;
    *)
      echo "flagship.sh: $part; expected tuning, judging, ablations, map or page" >&2
      exit 2
      ;;
  esac
done
