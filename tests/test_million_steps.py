"""A million Euler steps: memory and time of `ctpgbench gradient`, and rounding that does not pile up."""

import os
import subprocess
import tempfile
import time
import unittest

import h5py

PROGRAM = os.path.join(os.environ.get("CTPG_BUILD", "."), "ctpgbench")


def run(*options):
    """(exit code, peak resident size in MB, seconds) of `ctpgbench gradient`."""
    started = time.monotonic()
    process = subprocess.Popen([PROGRAM, "gradient", "-problem", "lqr", "-reference", "0", "-estimator", "euler-bptt",
                                *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024, time.monotonic() - started


class MillionSteps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_memory(self):
        out = os.path.join(self.folder, "fine.h5")
        code, megabytes, seconds = run("-dt", "1e-5", "-out", out)
        self.assertEqual(code, 0)
        self.assertLess(megabytes, 200)
        self.assertLess(seconds, 30)
        with h5py.File(out) as fine:
            self.assertEqual(fine.attrs["nf"], 1000000)
            self.assertEqual(fine.attrs["nvjp"], 1000000)

    def test_step_that_cannot_be_counted(self):
        """T/dt beyond PetscInt is a failed run, not one step."""
        out = os.path.join(self.folder, "tiny.h5")
        run("-dt", "1e-9", "-out", out)
        with h5py.File(out) as tiny:
            self.assertIn("step_limit", str(tiny.attrs["status"]))


if __name__ == "__main__":
    unittest.main()
