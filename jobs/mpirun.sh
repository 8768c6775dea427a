#!/usr/bin/env bash
# mpirun on this machine: all its cores (or $CTPG_RANKS ranks), one bound to each where that is possible, also as root.
# Knows the options of Open MPI and of MPICH; any other mpirun (Intel's binds by itself) gets the number of ranks alone.
set -euo pipefail
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
cores=$(lscpu -p=core,socket 2>/dev/null | grep -v '^#' | sort -u | wc -l)
[ "$cores" -gt 0 ] && [ "$cores" -le "$(nproc)" ] || cores=$(nproc)
ranks=${CTPG_RANKS:-$cores}
case $(mpirun --version 2>&1) in
  *"Open MPI"* | *OpenRTE*) bound=(--bind-to core) crowded=(--bind-to none --oversubscribe) ;;
  *HYDRA*) bound=(-bind-to core) crowded=(-bind-to none) ;;
  *) bound=() crowded=() ;;
esac
placement=("${bound[@]}")
mpirun -n "$ranks" "${placement[@]}" true >/dev/null 2>&1 || placement=("${crowded[@]}")
exec mpirun -n "$ranks" "${placement[@]}" "$@"
