#!/usr/bin/env bash
# mpirun on this machine: all its cores (or $CTPG_RANKS ranks), one bound to each where that is possible, also as root.
set -euo pipefail
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
cores=$(lscpu -p=core,socket 2>/dev/null | grep -v '^#' | sort -u | wc -l)
[ "$cores" -gt 0 ] && [ "$cores" -le "$(nproc)" ] || cores=$(nproc)
ranks=${CTPG_RANKS:-$cores}
placement=(--bind-to core)
mpirun -n "$ranks" "${placement[@]}" true >/dev/null 2>&1 || placement=(--bind-to none --oversubscribe)
exec mpirun -n "$ranks" "${placement[@]}" "$@"
