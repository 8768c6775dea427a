#!/usr/bin/env bash
# Builds and tests ctpgbench with MPICH and a PETSc from source, beside Debian's Open MPI and PETSc. That PETSc
# (CTPG_PETSC: its version) is PyPI's source package, built once into ~/.cache/ctpgbench-portability, where a build that
# was broken off goes on; arguments go to ctest. Ends with 77, which is not "passed", where the packages or the source
# cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${CTPG_PETSC:-3.22.5}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ctpgbench-portability
prefix=$cache/petsc-$version-mpich
export CTPG_BUILD=${CTPG_BUILD:-build}-mpich-$version

skip() {
  echo "portability: SKIPPED, which is not passed: $*" >&2
  exit 77
}

fetch_petsc() { # into $work
  [ ! -e "$work/fetched" ] || return 0
  rm -rf "$work"
  mkdir -p "$work"
  /usr/bin/python3 -m pip download --no-deps --no-binary petsc --no-build-isolation --dest "$work" "petsc==$version" \
    >"$work/pip.log" 2>&1 || skip "no package index gave the source of petsc $version: $(tail -n 1 "$work/pip.log")"
  tar -xzf "$work/petsc-$version.tar.gz" -C "$work"
  touch "$work/fetched"
}

configure_petsc() { # with Debian's plain BLAS, as Debian's own PETSc
  local libraries
  libraries=/usr/lib/$(gcc -print-multiarch)
  [ -e "$work/configured" ] || {
    /usr/bin/python3 configure PETSC_DIR="$PWD" PETSC_ARCH=mpich --prefix="$prefix" \
      --with-cc=mpicc.mpich --with-mpiexec=mpirun.mpich --with-cxx=0 --with-fc=0 --with-hdf5=0 --with-ssl=0 --with-x=0 \
      --with-precision=double --with-scalar-type=real --with-shared-libraries=1 --with-debugging=0 COPTFLAGS=-O2 \
      --with-blas-lib="$libraries/blas/libblas.so" --with-lapack-lib="$libraries/lapack/liblapack.so" &&
      touch "$work/configured"
  }
}

build_petsc() { # from $work into $prefix
  cd "$work/petsc-$version" &&
    configure_petsc &&
    nice -n 10 make -j2 V=0 PETSC_DIR="$PWD" PETSC_ARCH=mpich libs &&
    make PETSC_DIR="$PWD" PETSC_ARCH=mpich install &&
    touch "$prefix/complete"
}

bash jobs/setup.sh mpich libmpich-dev libhdf5-mpich-dev python3-pip python3-setuptools ||
  skip "Debian's packages of MPICH cannot be installed"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # one builds, others wait
if [ ! -e "$prefix/complete" ]; then
  rm -rf "$prefix"
  work=$cache/source-$version
  echo "portability: building PETSc $version, once; about ten minutes (log: $prefix.log)"
  fetch_petsc
  (unset PETSC_DIR PETSC_ARCH && build_petsc) >"$prefix.log" 2>&1 9>&- || {
    tail -n 20 "$prefix.log" >&2
    echo "portability: PETSc $version was not built" >&2
    exit 1
  }
  rm -rf "$work"
fi
exec 9>&-

PKG_CONFIG_PATH=$prefix/lib/pkgconfig bash jobs/build.sh -DMPI_C_COMPILER="$(command -v mpicc.mpich)" \
  -DMPIEXEC_EXECUTABLE="$(command -v mpirun.mpich)" -DHDF5_C_COMPILER_EXECUTABLE="$(command -v h5pcc.mpich)" \
  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
if ldd "$CTPG_BUILD/ctpgbench" | grep -E 'libmpi\.so|openmpi|petsc_real'; then
  echo "portability: these libraries of another MPI are in the program, too" >&2
  exit 1
fi
"$CTPG_BUILD/ctpgbench" -version
ctest --test-dir "$CTPG_BUILD" --output-on-failure --no-tests=error -LE slow "$@"
