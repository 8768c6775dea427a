#!/usr/bin/env bash
# A sweep under Slurm that comes back until it is done. Copy it, edit the upper part, and from ctpgbench's folder:
#     sbatch my.sh plan.yaml results.h5 [more options of sweep]
# A job array makes shards, for `ctpgbench merge`; %a stands for the number of the task:
#     sbatch --array=1-8 my.sh plan.yaml results-%a.h5 -shard %a/8
# docs/cluster.md explains. Lines with two ## are off.
##SBATCH --account=ACCOUNT
##SBATCH --partition=PARTITION
#SBATCH --job-name=ctpgbench
#SBATCH --output=%x-%j.log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

# module load openmpi petsc hdf5
launch=(mpirun --bind-to core) # or (srun --mpi=pmix -K); with MPICH (mpirun -bind-to core) or (srun --mpi=pmi2 -K)
ctpgbench=build/ctpgbench

# ---- nothing to edit from here on ----
set -- "${@//%a/${SLURM_ARRAY_TASK_ID:-}}"
plan=${1:?expected: sbatch slurm.sh plan.yaml results.h5}
out=${2:?expected: sbatch slurm.sh plan.yaml results.h5}
source jobs/job.sh || exit

come_back() {
  trap '' TERM # which a requeue sends to this script before scontrol has returned
  if [[ $(scontrol show job "$SLURM_JOB_ID") == *Requeue=1* ]]; then
    scontrol requeue "$SLURM_JOB_ID"
  else # not allowed here: a new job behind this one
    sbatch --dependency="afterany:$SLURM_JOB_ID" "$0" "$plan" "$out" "$@"
  fi
}

shift 2
sweep_and_come_back "$@"
