#!/usr/bin/env bash
# A sweep under Slurm that comes back until it is done. Copy it, edit the upper part, and submit it from the folder of
# the plan:
#     sbatch my.sh plan.yaml results.h5 [more options of sweep]
# A job array makes shards, for `ctpgbench merge`; %a stands for the number of the task:
#     sbatch --array=1-8 my.sh plan.yaml results-%a.h5 -shard %a/8
# docs/cluster.md explains. Lines with two ## are off.
##SBATCH --account=ACCOUNT
##SBATCH --partition=PARTITION
##SBATCH --mem-per-cpu=2G
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
folder=                        # ctpgbench's; empty: the one with jobs/ that this script was submitted from or lies in
ctpgbench=                     # the program; empty: that of the folder, or the one on PATH

# ---- nothing to edit from here on ----
set -- "${@//%a/${SLURM_ARRAY_TASK_ID:-}}"
plan=${1:?expected: sbatch slurm.sh plan.yaml results.h5}
out=${2:?expected: sbatch slurm.sh plan.yaml results.h5}

# Of a task of an array, too: its own number, so that the other tasks stay where they are.
id=$SLURM_JOB_ID
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
about_job() { scontrol show job "$id" | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; }

# Slurm runs a copy of this file: where it came from is the job's Command.
find_folder() {
  local candidate
  for candidate in . "${SLURM_SUBMIT_DIR:-.}" "$(dirname "$(about_job Command)")"{,/..} \
    "$(dirname "$(command -v ctpgbench)")/../share/ctpgbench"; do
    [ ! -e "$candidate/jobs/job.sh" ] || { echo "$candidate"; return; }
  done
  echo "slurm.sh: no jobs/job.sh where it was submitted, nor beside it; set folder= in it to ctpgbench's folder" >&2
  return 1
}
folder=${folder:-$(find_folder)} || exit 1
jobs=$folder/jobs
source "$jobs/job.sh" || exit 1
ctpgbench=${ctpgbench:-$(find_program)}

# The warning comes when so many seconds are left: a job that is no longer than that would stop as soon as it starts.
refuse_short_time() {
  local warning left
  warning=$(sed -n 's/^#SBATCH --signal=B:USR1@\([0-9]*\).*/\1/p' "$0")
  left=$(squeue -h -j "$id" -o %L 2>/dev/null | awk -F'[-:]' '
    /^[0-9:-]+$/ { for (i = NF; i > 0; i--) s += $i * (NF - i == 3 ? 86400 : 60 ^ (NF - i)); print s }')
  [ -z "$warning" ] || [ -z "$left" ] || [ "$left" -gt "$warning" ] || {
    echo "slurm.sh: this job has $left s and is warned $warning s before its end, so it would only start and stop;" \
      "expected a longer --time, or a smaller number in --signal=B:USR1@$warning" >&2
    exit 1
  }
}
refuse_short_time

come_back() {
  trap '' TERM # which a requeue sends to this script before scontrol has returned
  [ "$(about_job Requeue)" = 1 ] && scontrol requeue "$id" && return
  # Not allowed here: a new job behind this one, for this task alone.
  sbatch ${SLURM_ARRAY_TASK_ID:+--array="$SLURM_ARRAY_TASK_ID"} --dependency="afterany:$id" "$0" "$plan" "$out" "$@"
}

shift 2
sweep_and_come_back "$@"
