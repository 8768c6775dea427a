#!/usr/bin/env bash
# Builds with AddressSanitizer and UndefinedBehaviorSanitizer into <build>-sanitize and runs there the C tests, `check`,
# a sweep on two ranks and its resume, and a thousand damaged files. Part of tests/run.sh --all.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath -m "${CTPG_BUILD:-build}")-sanitize
CTPG_BUILD=$build bash jobs/build.sh -DCTPG_SANITIZE=ON
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# Whole stacks, so that the suppressions match: slower, and needed.
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export ASAN_OPTIONS=fast_unwind_on_malloc=0:malloc_context_size=30 UBSAN_OPTIONS=print_stacktrace=1
# test_check_detects leaks on purpose, which `check` cannot see with this allocator; test_trajectory allocates a million
# times, of which whole stacks would take minutes.
ctest --test-dir "$build" --output-on-failure --no-tests=error -R '^test_[a-z_]+(\.[24])?$' \
  -E 'test_(check_detects|trajectory)'
ASAN_OPTIONS=detect_leaks=0 ctest --test-dir "$build" --output-on-failure --no-tests=error -R test_trajectory

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$build/ctpgbench" check -check_repeats 20 # which looks for leaks on its own
sweep=("$build/ctpgbench" sweep -problems lqr,diffdrive,pendulum -seeds 0:2 -rtol 1e-3,1e-6 -dt 0.1,0.01
       -estimators ctpg,euler-bptt,neural-ode,neural-ode-ckpt,rk-adjoint,tsadjoint -save_gradients -out "$scratch/a.h5")
mpirun --oversubscribe -n 2 "${sweep[@]}"
mpirun --oversubscribe -n 2 "${sweep[@]}" -seeds 0:3
"$build/ctpgbench" status "$scratch/a.h5" >/dev/null
unset ASAN_OPTIONS # damaged headers ask for absurd sizes: corrupt has options of its own
"$build/corrupt" 0 1000
