#!/usr/bin/env bash
# Installs what ctpgbench is built and run with: Debian packages, nothing else. Asks nothing; as root or with sudo.
# On another system it prints what is needed and ends with 1. Arguments: further packages.
# setup.sh --mujoco [VERSION] fetches another MuJoCo than Debian's, its Python wheel, where a package index is reached,
# and prints the folder for -DMUJOCO_ROOT=; VERSION 3.2.7 is that one, 3 the newest that begins so; without the newest.
set -euo pipefail

fetch_mujoco() { # [version]
  local python=/usr/bin/python3 wanted=${1:+==$1} cache work wheel version
  [[ ${1:-} == *.*.* ]] || wanted=${wanted:+$wanted.*}
  "$python" -m pip --version >/dev/null 2>&1 || bash "$0" python3-pip >&2
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/ctpgbench-mujoco
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap "rm -rf '$work'" EXIT
  for name in mujoco-core mujoco; do # from 4 on the library is in mujoco-core
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" \
      "$name$wanted" >"$work/pip.log" 2>&1 || continue
    wheel=$(find "$work" -name '*.whl')
    version=$(basename "$wheel" | cut -d- -f2)
    "$python" -m zipfile -e "$wheel" "$work/wheel"
    rm "$wheel"
    ls "$work"/wheel/mujoco/libmujoco.so* >/dev/null 2>&1 || continue
    rm -rf "${cache:?}/$version"
    mkdir "$cache/$version"
    mv "$work"/wheel/mujoco/include "$work"/wheel/mujoco/libmujoco.so* "$cache/$version/"
    echo "$cache/$version"
    return
  done
  echo "setup.sh: no package index gave a wheel of MuJoCo ${1:-}: $(tail -n 1 "$work/pip.log")" >&2
  return 1
}

if [ "${1:-}" = --mujoco ]; then
  fetch_mujoco "${2:-}"
  exit
fi

packages=(
  gcc libc6-dev make cmake pkg-config git # build
  petsc-dev libopenmpi-dev openmpi-bin    # time stepping, messages
  libhdf5-openmpi-dev libssl-dev          # files, their digest
  libyaml-dev                             # plans
  liblapack-dev                           # lqr's optimum
  libmujoco-dev libsundials-dev           # optional: found if there
  python3-dev                             # estimators written in Python
  python3 python3-numpy python3-matplotlib python3-h5py python3-pandas # analysis and tests
  python3-scipy python3-statsmodels       # intervals, corrections for many comparisons
  python3-xarray                          # data sets of the file
  "$@"
)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  cat >&2 <<'EOF'
setup.sh knows Debian only. ctpgbench needs: a C11 compiler, CMake 3.18 or later, pkg-config; MPI; PETSc 3.18 or later
(real, double, shared, built with the same MPI and a parallel HDF5); that HDF5 with its high-level library; OpenSSL's
libcrypto; libyaml; LAPACK; optionally MuJoCo and SUNDIALS; for figures python3 with numpy, scipy,
statsmodels, matplotlib, h5py.
EOF
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup.sh must run as root or with sudo to install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
