#!/usr/bin/env bash
# Configures and builds into build/ (or $CTPG_BUILD); quiet unless it fails. Arguments go to cmake's configure step.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
mkdir -p "$build"
log=$build/build.log
if ! { cmake -S . -B "$build" "$@" && cmake --build "$build" --parallel "$(nproc)"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "build failed; all of it is in $log" >&2
  exit 1
fi
