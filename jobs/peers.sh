#!/usr/bin/env bash
# Measures gradients by Diffrax, SciPy and torchdiffeq beside ours, on one core, and writes that part of
# docs/performance.md anew: nine minutes. Their packages go into an environment of their own, build/peers (or
# $CTPG_PEERS), which is made once and asks a package index; torchdiffeq is measured where Debian's python3-torch is
# installed.
#   bash jobs/peers.sh          all of it
#   bash jobs/peers.sh small    two starts of two problems, to see that it works; prints the part of the page
# Ours are timed before the others, and again after them, problem by problem; the page says how far the two agree.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build} peers=${CTPG_PEERS:-${CTPG_BUILD:-build}/peers} name=peers
problems=(diffdrive electric quadrotor lqr-mlp) batches=32,1024 few=() page=(--page docs/performance.md)
if [ "${1:-}" = small ]; then
  name=peers-small problems=(diffdrive lqr-mlp) batches=2 page=()
  few=(-problems diffdrive,lqr-mlp=lqr -seeds 0:2 -allow_unused)
fi
core=(taskset -c "$(($(nproc) - 1))")
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

environment() { # environment FOLDER OPTION PACKAGES ...
  [ -e "$1/complete" ] && return
  echo "making $1, once"
  /usr/bin/python3 -m venv $2 "$1"
  "$1/bin/pip" install --quiet "${@:3}"
  touch "$1/complete"
}

start() { # start LABEL TYPE OPTIONS ...: the policy of seed 0
  "$build/ctpgbench" gradient -problem "$1=$2" -seed 0 -estimator reference "${@:3}" \
    -out "results/$name-theta-$1.h5" >/dev/null
}

thetas=()
for label in "${problems[@]}"; do thetas+=("-${label}_theta_file" "results/$name-theta-$label.h5:/theta"); done

ours() { # ours OPTIONS ...: the sweep, one rank
  "${core[@]}" "$build/ctpgbench" sweep -options_file jobs/peers.yaml "${few[@]}" "${thetas[@]}" \
    -out "results/$name-ours.h5" "$@" >"results/$name-ours.txt"
}

theirs() { # theirs LABEL PEERS: rows to results/NAME-LABEL-PEERS.csv, versions beside
  local python=$peers/bin/python
  [ "$2" != torchdiffeq ] || python=$peers-torch/bin/python
  "${core[@]}" "$python" analysis/peers/measure.py "results/$name-ours.h5" -o "results/$name-$1-${2//,/-}.csv" \
    --peers "$2" --problems "$1" --batches "$batches" >"results/$name-${2//,/-}.txt"
}

mkdir -p results
rm -f results/"$name".h5 results/"$name"-*.h5 results/"$name"-*.csv results/"$name"-*.txt
environment "$peers" "" -r analysis/peers/requirements.txt
others=(diffrax,scipy)
if /usr/bin/python3 -c "import torch" 2>/dev/null; then
  environment "$peers-torch" --system-site-packages --no-deps torchdiffeq==0.2.5
  others+=(torchdiffeq)
else
  echo "torchdiffeq is left out: /usr/bin/python3 has no module torch (apt-get install python3-torch)"
fi
start diffdrive diffdrive
start electric electric
start quadrotor quadrotor
start lqr-mlp lqr -lqr-mlp_policy mlp -lqr-mlp_policy_init_scale 1
ours
ours -retime all
cp "results/$name-ours.h5" "results/$name-before.h5"
for label in "${problems[@]}"; do
  for peer in "${others[@]}"; do theirs "$label" "$peer"; done
  ours -retime "$label"
done

files=("results/$name-ours.h5")
for peer in "${others[@]//,/-}"; do
  awk 'FNR == 1 && NR > 1 { next } 1' results/"$name"-*-"$peer".csv >"results/$name-$peer.csv"
  "$build/ctpgbench" import "results/$name-$peer.csv" -options_file jobs/peers.yaml "${few[@]}" "${thetas[@]}" \
    -allow_unused -measured_here -source "$(cat "results/$name-$peer.txt")" -out "results/$name-$peer.h5"
  files+=("results/$name-$peer.h5")
done
"$build/ctpgbench" merge "${files[@]}" -out "results/$name.h5"
"$build/ctpgbench" analysis peers "results/$name.h5" --before "results/$name-before.h5" "${page[@]}"
