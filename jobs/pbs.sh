#!/usr/bin/env bash
# A sweep under PBS (OpenPBS, PBS Pro, Torque) that comes back until it is done. Copy it, edit the upper part, and
# submit it from the folder of the plan:
#     qsub -v PLAN=plan.yaml,OUT=results.h5 my.sh
# MORE="-seeds 0:100" adds options of sweep; without commas, which qsub would take for the end of the value. A job array
# makes shards, for `ctpgbench merge`; %a stands for the number of the task:
#     qsub -J 1-8 -v PLAN=plan.yaml,OUT=results-%a.h5,MORE="-shard %a/8" my.sh         (Torque: -t 1-8)
# Not run under a real PBS, which Debian does not have: tests/test_jobs.py plays qsub and qstat.
##PBS -A ACCOUNT
##PBS -q QUEUE
#PBS -N ctpgbench
#PBS -j oe
#PBS -r y
#PBS -l select=1:ncpus=2:mpiprocs=2:mem=4gb
#PBS -l walltime=04:00:00

# module load openmpi petsc hdf5
folder=$PBS_O_WORKDIR # the one with jobs/: ctpgbench's, or PREFIX/share/ctpgbench
script=my.sh          # this file, to be submitted again: PBS runs a copy; a path, or relative to where it was submitted
launch=(mpirun -hostfile "$PBS_NODEFILE")
ctpgbench=            # the program; empty: that of the folder, or the one on PATH

# ---- nothing to edit from here on ----
cd "$PBS_O_WORKDIR" || exit 1
# PBS keeps the output of a job on its node until the end; this log can be read while it runs.
exec >>"${PBS_JOBNAME:-ctpgbench}-${PBS_JOBID%%.*}.log" 2>&1
index=${INDEX:-${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-}}}
plan=${PLAN:?expected: qsub -v PLAN=plan.yaml,OUT=results.h5 pbs.sh}
out=${OUT:?expected: qsub -v PLAN=plan.yaml,OUT=results.h5 pbs.sh}
out=${out//%a/$index}
MORE=${MORE-}
jobs=$folder/jobs
[ -e "$jobs/job.sh" ] || { echo "pbs.sh: no $jobs/job.sh; set folder= to ctpgbench's folder"; exit 1; }
[ -e "$script" ] || { echo "pbs.sh: no $script in $PWD to be submitted again; set script= to this file"; exit 1; }
source "$jobs/job.sh" || exit 1
ctpgbench=${ctpgbench:-$(find_program)}

# PBS gives no warning before its time limit: the sweep asks qstat and stops by itself, -time_margin seconds earlier.
# Where a node has no qstat, it is told when the job ends by what is asked for above.
tell_end() {
  local asked
  command -v qstat >/dev/null && return
  asked=${PBS_WALLTIME:-$(sed -n 's/^#PBS -l .*walltime=\([0-9:]*\).*/\1/p' "$0" | head -n 1)}
  [ -z "$asked" ] || PBS_JOB_END=$(($(date +%s) + $(awk -F: '{ for (i = 1; i <= NF; i++) s = 60 * s + $i; print s }' \
    <<<"$asked")))
  export PBS_JOB_END
}
tell_end

# A task of an array comes back as a job of its own: INDEX says which it was.
come_back() {
  export PLAN OUT MORE INDEX=$index
  qsub -W depend="afterany:$PBS_JOBID" -v PLAN,OUT,MORE,INDEX "$script"
}

sweep_and_come_back ${MORE//%a/$index}
