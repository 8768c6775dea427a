#!/usr/bin/env bash
# run.sh SECONDS: builds the fuzzers with clang (installed if missing) into <build>-fuzz and runs each for so long, from
# the inputs in tests/fuzz/<name>/. An input that breaks something is left in <build>-fuzz/found/: fix it, and keep the
# input in tests/fuzz/<name>/, where the default tests replay it.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(realpath -m "${CTPG_BUILD:-build}")-fuzz
if ! command -v clang-14 >/dev/null ||
  ! ls /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1; then
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang-14 libclang-rt-14-dev >/dev/null
fi
CTPG_BUILD=$build bash jobs/build.sh -DCMAKE_C_COMPILER=clang-14 -DCTPG_FUZZ=ON
mkdir -p "$build/found"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_ess_singleton_isolated=1
# What is refused ends the program, which frees nothing then.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
for name in words cases; do
  mkdir -p "$build/corpus/$name"
  "$build/fuzz_$name" -max_total_time="$1" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="$build/found/$name-" "$build/corpus/$name" "tests/fuzz/$name" 2>"$build/$name.log" ||
    {
      tail -n 40 "$build/$name.log" >&2
      echo "fuzz: $name found something: see $build/found and $build/$name.log" >&2
      exit 1
    }
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")
  echo "fuzz_$name: $(grep -c . <(ls "$build/corpus/$name")) inputs, $runs runs, nothing found"
done
