#!/usr/bin/env bash
# Installs what is missing, builds, tests.
#   tests/run.sh                 the default tests, under 15 minutes
#   tests/run.sh --all           also the slow ones (ctest label slow), the sanitizers', a minute of each fuzzer
#   tests/run.sh --fuzz SECONDS  nothing but the fuzzers, each for so long
#   tests/run.sh --cluster       nothing but jobs under a Slurm of two nodes, started here
#   tests/run.sh --portability   nothing but build and tests with newer MuJoCos, with MPICH and a PETSc from source
# A new part is a function run_<name> and a line in the case below.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
seconds=60

usage() {
  sed -n 's/^#   //p' tests/run.sh >&2
  exit 1
}

run_default() { ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$(nproc)" -LE slow; }
run_slow() { ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$(nproc)" -L slow; }
run_sanitize() { bash tests/sanitize.sh; }
run_cluster() { bash tests/cluster.sh; }
run_portability() { # both, whatever becomes of the first
  local code=0
  bash tests/portability_mujoco.sh || code=$?
  bash tests/portability.sh || code=$?
  return $code
}
run_fuzz() { bash tests/fuzz/run.sh "$seconds"; }

parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --all) parts+=(default slow sanitize fuzz) ;;
    --cluster | --portability) parts+=("${1#--}") ;;
    --fuzz)
      [[ ${2:-} =~ ^[0-9]+$ ]] || usage
      seconds=$2 parts+=(fuzz)
      shift
      ;;
    *)
      echo "tests/run.sh: $1 is not an option; expected nothing, or" >&2
      usage
      ;;
  esac
  shift
done

bash jobs/setup.sh
bash jobs/build.sh
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
for part in "${parts[@]:-default}"; do "run_$part"; done
