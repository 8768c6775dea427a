#!/usr/bin/env bash
# Builds and tests ctpgbench with newer MuJoCos than Debian's, each a wheel of the Python index in a build folder of its
# own: the newest 3.x, and the newest of all where that is another one; arguments are versions in place of these. Shows
# that rows of two versions are never taken for the same. Ends with 77, which is not "passed", where there is no index.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${CTPG_BUILD:-build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

sweep() { # build, file: two rows of a model; its output
  "$1/ctpgbench" sweep -problems reacher=mujoco -estimators rk-adjoint -seeds 0:2 -rtol 1e-3 -horizon 0.2 -out "$2"
}

digest() { sed -n 's/^digest: //p'; }

# Rows of Debian's MuJoCo are kept when the same command runs again, and made anew, or refused, by another version.
check_keys() { # build of another version, its number
  local here again there
  cp "$scratch/debian.h5" "$scratch/file.h5"
  here=$(sweep "$base" "$scratch/own.h5" | digest)
  again=$(sweep "$base" "$scratch/file.h5" | digest)
  [ "$here" = "$again" ] || { echo "portability: one version gives two digests" >&2 && exit 1; }
  there=$(sweep "$1" "$scratch/other-$2.h5" | digest)
  [ -n "$there" ] && [ "$there" != "$here" ] || { echo "portability: two versions give one digest" >&2 && exit 1; }
  if sweep "$1" "$scratch/file.h5" >"$scratch/log" 2>&1 && [ "$(digest <"$scratch/log")" != "$there" ]; then
    echo "portability: rows of another MuJoCo were taken over" >&2
    exit 1
  fi
  if "$1/ctpgbench" merge "$scratch/own.h5" "$scratch/other-$2.h5" -out "$scratch/both-$2.h5" >"$scratch/log" 2>&1; then
    echo "portability: files of two MuJoCos were merged" >&2
    exit 1
  fi
  echo "portability: $(tail -n 1 "$scratch/log")"
}

test_version() { # folder of a MuJoCo
  local version=${1##*/} build
  build=$base-mujoco-$version
  CTPG_BUILD=$build bash jobs/build.sh -DMUJOCO_ROOT="$1" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
  "$build/ctpgbench" -version | grep -F "MuJoCo $version"
  ctest --test-dir "$build" --output-on-failure --no-tests=error -R mujoco
  check_keys "$build" "$version"
}

sweep "$base" "$scratch/debian.h5" >/dev/null
folders=()
for version in "${@:-3}" "${@:-}"; do # 3: the newest 3.x; nothing: the newest
  folder=$(bash jobs/setup.sh --mujoco "$version") || {
    echo "portability: SKIPPED, which is not passed: no wheel of MuJoCo ${version:-at all}" >&2
    exit 77
  }
  case " ${folders[*]-} " in *" $folder "*) ;; *) folders+=("$folder") ;; esac
done
for folder in "${folders[@]}"; do test_version "$folder"; done
