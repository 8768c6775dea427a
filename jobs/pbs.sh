#!/usr/bin/env bash
# A sweep under PBS (OpenPBS, PBS Pro, Torque) that comes back until it is done. Copy it, edit the upper part, and from
# ctpgbench's folder:
#     qsub -v PLAN=plan.yaml,OUT=results.h5 my.sh
# MORE="-seeds 0:100" adds options of sweep; without commas, which qsub would take for the end of the value.
# Not run under a real PBS, which Debian does not have: tests/test_jobs.py plays qsub and qstat.
##PBS -A ACCOUNT
##PBS -q QUEUE
#PBS -N ctpgbench
#PBS -j oe
#PBS -r y
#PBS -l select=1:ncpus=2:mpiprocs=2
#PBS -l walltime=04:00:00

# module load openmpi petsc hdf5
cd "$PBS_O_WORKDIR" || exit
script=jobs/pbs.sh # this file, to be submitted again: PBS runs a copy
launch=(mpirun -hostfile "$PBS_NODEFILE")
ctpgbench=build/ctpgbench

# ---- nothing to edit from here on ----
plan=${PLAN:?expected: qsub -v PLAN=plan.yaml,OUT=results.h5 pbs.sh}
out=${OUT:?expected: qsub -v PLAN=plan.yaml,OUT=results.h5 pbs.sh}
source jobs/job.sh || exit

# PBS gives no warning before its time limit: the sweep asks qstat and stops by itself, -time_margin seconds earlier.
come_back() {
  export PLAN OUT MORE
  qsub -W depend="afterany:$PBS_JOBID" -v PLAN,OUT,MORE "$script"
}

MORE=${MORE-}
sweep_and_come_back $MORE
