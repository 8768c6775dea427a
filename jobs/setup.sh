#!/usr/bin/env bash
# Installs what ctpgbench is built and run with: Debian packages, nothing else. Asks nothing; as root or with sudo.
# On another system it prints what is needed and ends with 1. Arguments: further packages.
set -euo pipefail

packages=(
  gcc libc6-dev make cmake pkg-config git # build
  petsc-dev libopenmpi-dev openmpi-bin    # time stepping, messages
  libhdf5-openmpi-dev libssl-dev          # files, their digest
  libyaml-dev                             # plans
  liblapack-dev                           # lqr's optimum
  libmujoco-dev libsundials-dev           # optional: found if there
  python3-dev                             # estimators written in Python
  python3 python3-numpy python3-matplotlib python3-h5py python3-pandas python3-statsmodels # analysis and tests
  "$@"
)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  cat >&2 <<'EOF'
setup.sh knows Debian only. ctpgbench needs: a C11 compiler, CMake 3.18 or later, pkg-config; MPI; PETSc 3.18 or later
(real, double, shared, built with the same MPI and a parallel HDF5); that HDF5 with its high-level library; OpenSSL's
libcrypto; libyaml; LAPACK; optionally MuJoCo and SUNDIALS; for figures python3 with numpy, matplotlib, h5py.
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
