"""test_early_signals.py -- a signal that comes early is kept while MPI starts, and harmless before main

stoprank.c holds rank 1 there.
"""
import os
import signal
import time
import unittest
import unittest.mock

import program
from program import InFolder, Job

SWEEP = ("sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:4", "-rtol", "1e-4", "-timing_threshold",
         "0", "-out", "a.h5")
KILLED = (128 + signal.SIGTERM, signal.SIGTERM)  # Open MPI's mpirun, MPICH's


class Early(InFolder):
    def begin(self, where, *command, until):
        """(job, pid of its rank 1, which is held there)"""
        library = str(program.PROGRAM.with_name("libstoprank.so"))
        with unittest.mock.patch.dict(os.environ, LD_PRELOAD=library, CTPG_TEST_STOP=f"1 {where}"):
            job = Job(*command, ranks=2, cwd=self.folder)
        self.addCleanup(job.kill)
        end = time.monotonic() + program.LIMIT
        while time.monotonic() < end:
            for pid in job.ranks():
                if until(pid):
                    return job, pid
            time.sleep(0.01)
        self.fail("no rank is held")

    def stopped(self, where, *command):
        return self.begin(where, *command, until=lambda pid: program.name_and_state(pid)[1] == "T")

    def signal(self, held, number):
        """Its end, with what was said."""
        job, pid = held
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
        code, out, err = job.finish()
        return code, out + err

    def test_a_sweep_whose_mpi_is_starting_stops_in_good_order(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            with self.subTest(number):
                code, text = self.signal(self.stopped("starting", *SWEEP), number)
                self.assertEqual(code, 75, text)
        self.assertIn("incomplete", text)
        self.assertTrue((self.folder / "a.h5.outcome").read_text(encoding="utf-8").startswith("75 incomplete"))
        self.sweep("a.h5", *SWEEP[1:-2])

    def test_a_command_that_stops_at_once_does_so_while_mpi_starts(self):
        code, text = self.signal(self.stopped("starting", "check", "-problems", "lqr", "-estimators", "ctpg"),
                                 signal.SIGTERM)
        self.assertIn(code, KILLED, text)
        self.assertNotIn("is given up", text)

    def test_where_mpi_hangs_sigterm_ends_the_job(self):
        def catches(pid):
            return program.listens(pid) and program.name_and_state(pid)[1] == "S"
        job, pid = self.begin("hanging", *SWEEP, until=catches)
        begin = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        code, out, err = job.finish()
        self.assertLess(time.monotonic() - begin, 15)
        self.assertIn(code, (75, signal.SIGKILL), out + err)  # the second is MPICH's
        self.assertIn("the program does not answer to the signal and is given up", err)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_before_main_it_ends_a_job_that_has_touched_nothing(self):
        digest = self.sweep("a.h5", *SWEEP[1:-2])
        paths = (self.folder / "a.h5", self.folder / "a.h5.outcome")
        before = [path.read_bytes() for path in paths]
        code, text = self.signal(self.stopped("loading", *SWEEP, "-seeds", "0:8"), signal.SIGTERM)
        self.assertIn(code, KILLED, text)
        self.assertEqual([path.read_bytes() for path in paths], before)
        self.assertEqual(self.sweep("a.h5", *SWEEP[1:-2]), digest)


if __name__ == "__main__":
    unittest.main()
