"""test_bad_luck.py -- a run that hangs inside the plant, 64 ranks on few cores

The run that hangs is that of a plug-in, the one that new-problem writes, with a loop for one start; the loop is there
only while CTPG_TEST_HANG is set, so that the sweep, or the training, can be finished afterwards.
"""
import os
import pathlib
import re
import signal
import tempfile
import time
import unittest

import program
from program import InFolder, Job, committed, run
from test_plugins import cmake, replace

PLAN = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,euler-bptt", "-seeds", "0:4", "-rtol", "1e-8,1e-6,1e-4",
        "-dt", "1e-3,1e-2", "-timing_threshold", "0")
NAME = "sticky"
OTHERS = 24 * 3 - 12  # rows that must be there beside the one that hangs; its rank has some more in hand (dealer.h)


class Hang(InFolder):
    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        folder = pathlib.Path(keeper.name)
        code, _, err = run("new-problem", NAME, cwd=folder)
        assert code == 0, err
        source = folder / NAME / f"{NAME}.c"
        source.write_text("#include <stdlib.h>\n" + replace(source.read_text(encoding="utf-8"), [
            ("f[0] = x[1];",
             'while (x[0] > 0.99 && x[1] == 0 && getenv("CTPG_TEST_HANG")) {\n    }\n    f[0] = x[1];')]),
            encoding="utf-8")
        cmake(folder / NAME, f"-Dctpgbench_DIR={program.PROGRAM.parent}")
        cls.library = folder / NAME / "build" / f"{NAME}.so"

    def options(self, *estimators):
        return ("-problem_library", self.library, "-problems", NAME, "-estimators", ",".join(estimators), "-seeds",
                "0:24", "-rtol", "1e-3,1e-6", "-timing_threshold", "0",
                *(("-dt", "0.1") if "euler-bptt" in estimators else ()))

    def hang(self, out, *options):
        """A sweep of which the references are done and one run has no end."""
        self.sweep(out, *self.options("ctpg"), ranks=2)
        os.environ["CTPG_TEST_HANG"] = "1"
        self.addCleanup(os.environ.pop, "CTPG_TEST_HANG", None)
        return Job("sweep", *self.options("ctpg", "euler-bptt"), "-stop_grace", "1", *options, "-out",
                   self.folder / out,
                   ranks=3, cwd=self.folder)

    def check(self, out, job, expected):
        code, text, err = job.finish(20)
        job.wait_for_ranks()
        told = (self.folder / f"{out}.outcome").read_text(encoding="utf-8")
        self.assertTrue(told.startswith("75 incomplete"), told + text + err)
        if program.passes_signals():  # MPICH 4.0's mpirun returns 9 where it has killed the other ranks
            self.assertEqual(code, 75, text + err)
        found = re.findall(rf"ctpgbench: rank (\d): (euler-bptt on {NAME}, seed (\d+), accuracy 0.1): (.*)", err)
        self.assertEqual(len(found), 1, err)
        self.assertIn("does not answer", found[0][3])
        if found[0][0] != "0":  # which deals
            self.assertGreaterEqual(len(committed(self.folder / out)), OTHERS)
        del os.environ["CTPG_TEST_HANG"]
        self.assertEqual(self.sweep(out, *self.options("ctpg", "euler-bptt"), ranks=2), expected)

    def test_one_run_hangs(self):
        expected = self.sweep("quiet.h5", *self.options("ctpg", "euler-bptt"))
        with self.subTest("time limit"):
            self.check("a.h5", self.hang("a.h5", "-time_limit", "4"), expected)
        with self.subTest("USR1"):
            job = self.hang("b.h5")
            end = time.monotonic() + 10
            while len(committed(self.folder / "b.h5")) < OTHERS and time.monotonic() < end:
                time.sleep(0.05)
            self.assertIsNone(job.process.poll())
            for pid in job.ranks():
                os.kill(pid, signal.SIGUSR1)
            self.check("b.h5", job, expected)


    def train(self, out, *options, code):
        """Two runs whose ranks share the batches; the starts drawn include one that hangs."""
        found, text, err = run("train", "-problem_library", self.library, "-problems", NAME, "-estimators", "ctpg",
                               "-seeds", "0:2", "-iterations", "300", "-batch", "4", "-learning_rate", "0",
                               "-checkpoint_interval", "0", "-ranks_per_run", "2", "-stop_grace", "1", *options, "-out",
                               self.folder / out, ranks=2, cwd=self.folder)
        self.assertEqual(found, code, text + err)
        return [line for line in text.splitlines() if line.startswith("digest:")], err

    def test_training_hangs(self):
        expected, _ = self.train("quiet.h5", code=0)
        os.environ["CTPG_TEST_HANG"] = "1"
        self.addCleanup(os.environ.pop, "CTPG_TEST_HANG", None)
        _, err = self.train("t.h5", "-time_limit", "4", code=75)
        self.assertRegex(err, rf"ctpgbench: rank \d: training of {NAME} with ctpg, seed \d: it does not answer")
        del os.environ["CTPG_TEST_HANG"]
        self.assertEqual(self.train("t.h5", code=0)[0], expected)


class Crowd(InFolder):
    def test_64_ranks(self):
        expected = self.sweep("1.h5", *PLAN)
        job = Job("sweep", *PLAN, "-out", self.folder / "64.h5", ranks=64, cwd=self.folder, mpi_yield_when_idle=1)
        code, text, err = job.finish(120)
        self.assertEqual(code, 0, text + err)
        self.assertIn(f"digest: {expected}", text)


if __name__ == "__main__":
    unittest.main()
