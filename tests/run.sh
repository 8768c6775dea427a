#!/usr/bin/env bash
# Installs what is missing, builds, runs all tests. --all: also the slow suites (none yet is slower than the default).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
selection=(-LE slow)
for argument in "$@"; do
  case $argument in
    --all) selection=() ;;
    --cluster) bash jobs/setup.sh && bash jobs/build.sh && exec bash tests/cluster.sh ;; # in place of the tests
    --portability) exec bash tests/portability.sh ;; # with MPICH and a PETSc from source
    *)
      echo "tests/run.sh: $argument is not an option; expected --all, --cluster, --portability or nothing" >&2
      exit 1
      ;;
  esac
done

bash jobs/setup.sh
bash jobs/build.sh
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
ctest --test-dir "$build" --output-on-failure --no-tests=error "${selection[@]}"
