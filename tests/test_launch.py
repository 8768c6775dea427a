"""test_launch.py -- N programs that were meant to be N ranks are refused before they write; a real rank is not"""
import concurrent.futures
import os
import shutil
import subprocess
import unittest

import program
from program import InFolder

SWEEP = ("sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3", "-out", "out.h5")
COUNTS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")  # what launchers tell their ranks


class Launch(InFolder):
    def start(self, *launcher, **variables):
        """(exit code, stderr)"""
        environment = {name: value for name, value in program.environment(len(launcher)).items() if name not in COUNTS}
        ended = subprocess.run([*launcher, program.PROGRAM, *SWEEP], cwd=self.folder, env={**environment, **variables},
                               capture_output=True, text=True, timeout=program.LIMIT)
        return ended.returncode, ended.stderr

    def check_refused(self, count, code, err, times=1):
        self.assertNotEqual(code, 0, err)
        self.assertEqual(err.count(f"ctpgbench: {count} of these were started, but MPI sees 1 rank in each"), times,
                         err)
        self.assertEqual(os.listdir(self.folder), [])

    def test_srun_without_support(self):
        self.check_refused(4, *self.start(SLURM_STEP_NUM_TASKS="4"))
        self.check_refused(3, *self.start(PMI_SIZE="3", SLURM_STEP_NUM_TASKS="3"))

    def test_many_alone_side_by_side(self):
        """They do not remove each other's folders of Open MPI: one of a hundred failed in MPI_Init."""
        command = (program.PROGRAM, "gradient", "-problem", "lqr", "-estimator", "ctpg", "-rtol", "1e-2", "-reference",
                   "no")
        environment = {name: value for name, value in program.environment(0).items() if name not in COUNTS}
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            ended = list(pool.map(lambda _: subprocess.run(command, cwd=self.folder, env=environment,
                                                           capture_output=True, text=True), range(150)))
        self.assertEqual([one.stderr for one in ended if one.returncode], [])

    def test_alone_without_networks(self):
        """A process that nobody launched loads no network of Open MPI's (one takes 0.2 s to load), and a rank may."""
        environment = {name: value for name, value in program.environment(0).items()
                       if name not in COUNTS and name != "OMPI_MCA_mtl"}
        for command in (["list"], ["help"], ["gradient", "-problem", "lqr", "-estimator", "ctpg"]):
            ended = subprocess.run([program.PROGRAM, *command], env={**environment, "LD_DEBUG": "files"},
                                   capture_output=True, text=True, timeout=program.LIMIT)
            self.assertEqual(ended.returncode, 0, ended.stderr[-2000:])
            loaded = [line for line in ended.stderr.splitlines() if "calling init" in line]
            self.assertTrue(loaded)
            self.assertEqual([line for line in loaded if "mca_mtl" in line or "libpsm" in line], [])

    def test_alone_says_nothing_but_its_own(self):
        """No remark of MPI's about a file that is opened, whichever command opens it."""
        environment = {name: value for name, value in program.environment(0).items() if not name.startswith("OMPI_MCA")}
        plan = ("-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
        for command in (("train", *plan, "-iterations", "2", "-out", "train.h5"), ("sweep", *plan, "-out", "sweep.h5"),
                        ("sweep", *plan, "-out", "sweep.h5"), ("status", "train.h5"),
                        ("merge", "sweep.h5", "-out", "merged.h5")):
            ended = subprocess.run([program.PROGRAM, *command], cwd=self.folder, env=environment, capture_output=True,
                                   text=True, timeout=program.LIMIT)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertEqual([line for line in ended.stderr.splitlines() if not line.startswith("runs ")], [], command)

    def test_mpirun_of_another_mpi(self):
        mine = os.path.realpath(shutil.which(program.MPIRUN))
        others = [other for other in map(shutil.which, ("mpirun.openmpi", "mpirun.mpich"))
                  if other and os.path.realpath(other) != mine]
        if not others:
            self.skipTest("there is one MPI on this machine")
        self.check_refused(2, *self.start(others[0], "-n", "2"), times=2)

    def test_one_rank_in_a_step_of_many_tasks(self):
        code, err = self.start(program.MPIRUN, "-n", "1", SLURM_STEP_NUM_TASKS="2")
        self.assertEqual(code, 0, err)
        code, err = self.start(SLURM_STEP_NUM_TASKS="1")
        self.assertEqual(code, 0, err)


if __name__ == "__main__":
    unittest.main()
