"""test_instruction_sets.py -- the same bits with and without AVX2 and FMA: kernels, functions and error control have
one version of every sum, or several with the same bits; glibc is told to forget what this CPU can do"""
import pathlib
import subprocess
import tempfile
import unittest

from program import PROGRAM, environment

FORGET = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"}
SWEEP = ("-problems", "diffdrive,electric,double-pendulum,cartpole-analytic", "-seeds", "0:2", "-rtol", "1e-4",
         "-dt", "0.02", "-estimators", "rk-adjoint,ctpg,sums=ctpg,euler-bptt,neural-ode-ckpt,tsadjoint,reversible",
         "-sums_quadrature", "weights")


def digest(folder, name, *sweep, **variables):
    run = subprocess.run([PROGRAM, "sweep", *sweep, "-out", folder / name], env={**environment(0), **variables},
                         capture_output=True, text=True, timeout=600, check=False)
    found = [line.split()[1] for line in run.stdout.splitlines() if line.startswith("digest: ")]
    assert run.returncode == 0 and len(found) == 1, run.stdout + run.stderr
    return found[0]


class InstructionSets(unittest.TestCase):
    def test_whole_gradients(self):
        """Analytic problems, from the draw of the start to the last row."""
        with tempfile.TemporaryDirectory(prefix="ctpgisa") as folder:
            folder = pathlib.Path(folder)
            self.assertEqual(digest(folder, "all.h5", *SWEEP), digest(folder, "few.h5", *SWEEP, **FORGET))

    def test_accuracies(self):
        """A ladder whose sixth tolerance glibc's pow rounds in two ways: the keys of its runs, and so the digest."""
        sweep = ("-problems", "pendulum", "-estimators", "rk-adjoint", "-seeds", "0:1", "-rtol", "2e-8:1e-2:7")
        with tempfile.TemporaryDirectory(prefix="ctpgisa") as folder:
            folder = pathlib.Path(folder)
            self.assertEqual(digest(folder, "all.h5", *sweep), digest(folder, "few.h5", *sweep, **FORGET))


if __name__ == "__main__":
    unittest.main()
