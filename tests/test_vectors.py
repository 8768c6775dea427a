"""`ctpgbench gradient` against the independent losses and gradients in tests/data, which are case files.

The reference within 1e-10 on every case; each estimator within a limit that follows from its tolerance, on two cases
of every file: one with small weights, one with large ones. Errors are relative in the L2 norm, of (dL/dx0, dL/dtheta)
joined, because dL/dtheta alone is nearly zero where a linear policy is optimal.

The cartpole's policy has elu units, whose second derivative jumps: estimators under a tolerance step over that, only
the reference must not mind. Its file serves two problems, written by hand and by MuJoCo's differences.
"""

import json

import os
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np

PROGRAM = os.path.join(os.environ.get("CTPG_BUILD", "."), "ctpgbench")
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
PROBLEMS = {"lqr_linear": "lqr", "lqr_mlp": "lqr", "diffdrive": "diffdrive", "quadrotor": "quadrotor"}  # smooth ones
FILES = [*PROBLEMS, "electric", "cartpole"]
CASES = [f"case{k}" for k in range(6)]
FEW_CASES = ["case2", "case5"]

# Largest error at rtol 1e-11. neural-ode integrates the state against its stability, which amplifies its error.
LIMITS = {"rk-adjoint": 1e-8, "tsadjoint": 1e-8, "ctpg": 1e-8, "neural-ode-ckpt": 1e-8, "neural-ode": 1e-7,
          "cvodes": 1e-7, "lia": 1e-8}
# Likewise of the loss, which no error norm sees: in multistep methods that shows.
LOSS_LIMITS = {"cvodes": 1e-8, "lia": 1e-8}
# Fixed steps: (dt, largest error). With many more steps reversible loses digits on the way back, like mu^-N.
STEPPED_LIMITS = {"reversible": ("2e-3", 1e-8), "alf": ("1e-3", 5e-6)}


def relative(a, b):
    a, b = np.ravel(a), np.ravel(b)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def joint(group):
    return np.concatenate([group["grad_x0"][()], group["grad_theta"][()]])


def command_of(problem, file, case, estimator, *options):
    return [PROGRAM, "gradient", "-problem", problem, "-case_file", os.path.join(DATA, file + ".h5"), "-case", case,
            "-estimator", estimator, "-reference", "0", *options]


def gradient(problem, file, case, *options):
    """(loss, joint) errors of one run, dL/dtheta's too where it is not nearly zero; a failed run raises."""
    path = os.path.join(DATA, file + ".h5")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "gradient.h5")
        command = [*command_of(problem, file, case, *options), "-out", out]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {run.returncode}: {run.stderr[-500:]}")
        with h5py.File(path) as gold, h5py.File(out) as mine:
            gold = gold[case]
            if mine.attrs["status"] != b"ok":
                raise RuntimeError(f"{' '.join(command)}: {mine.attrs['status']} {mine.attrs['reason']}")
            errors = {"loss": relative(mine["loss"][()], gold["loss"][()]), "joint": relative(joint(mine), joint(gold))}
            if np.linalg.norm(gold["grad_theta"][()]) > 1e-3 * np.linalg.norm(joint(gold)):
                errors["theta"] = relative(mine["grad_theta"][()], gold["grad_theta"][()])
            return Errors(errors, mine.attrs["nfe"])


def available():
    """Names of the estimators of this build."""
    listing = subprocess.run([PROGRAM, "list", "-json"], capture_output=True, text=True, check=True).stdout
    return {e["name"] for e in json.loads(listing)["estimators"] if "unavailable" not in e}


class Errors(dict):
    def __init__(self, errors, nfe):
        super().__init__(errors)
        self.nfe = nfe


def gradients(requests):
    """Errors of many runs, a few at a time."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda request: gradient(*request), requests))


class Vectors(unittest.TestCase):
    def check(self, requests, limit_of):
        for request, errors in zip(requests, gradients(requests)):
            for what, error in errors.items():
                with self.subTest(" ".join(request) + ": " + what):
                    self.assertLess(error, limit_of(request, what))

    def test_data(self):
        for file in FILES:
            with h5py.File(os.path.join(DATA, file + ".h5")) as gold:
                self.assertEqual(sorted(gold), CASES)
                for case in CASES:
                    self.assertLess(gold[case]["gold_error"][()], 1e-11)

    def test_reference(self):
        pairs = [*PROBLEMS.items(), ("electric", "electric"), ("cartpole", "cartpole-analytic")]
        requests = [(problem, file, case, "reference") for file, problem in pairs for case in CASES]
        self.check(requests, lambda request, what: 1e-12 if what == "loss" else 1e-10)

    def test_reference_by_differences_of_the_engine(self):
        listed = json.loads(subprocess.run([PROGRAM, "list", "-json"], capture_output=True, text=True,
                                           check=True).stdout)
        cartpole = next(problem for problem in listed["problems"] if problem["name"] == "cartpole")
        if cartpole.get("unavailable"):
            self.skipTest(cartpole["unavailable"])
        requests = [("cartpole", "cartpole", case, "reference") for case in CASES]
        self.check(requests, lambda request, what: 1e-12 if what == "loss" else 1e-7)

    def test_estimators(self):
        estimators = sorted(available() & LIMITS.keys())
        requests = [(problem, file, case, estimator, "-rtol", "1e-11")
                    for file, problem in PROBLEMS.items() for case in FEW_CASES for estimator in estimators]
        self.check(requests, lambda request, what: LOSS_LIMITS.get(request[3], 1e-9) if what == "loss"
                   else LIMITS[request[3]])

    def test_estimators_of_fixed_steps(self):
        requests = [(problem, file, case, estimator, "-dt", dt) for file, problem in PROBLEMS.items()
                    for case in FEW_CASES for estimator, (dt, _) in STEPPED_LIMITS.items()]
        self.check(requests, lambda request, what: STEPPED_LIMITS[request[3]][1])

    def test_estimators_for_few_parameters(self):
        """Without products, on files with a small policy; differences of losses leave more noise."""
        requests = [("lqr", "lqr_linear", case, estimator, "-rtol", "1e-11")
                    for case in FEW_CASES for estimator in ("forward", "finite-difference")]
        self.check(requests, lambda request, what: 1e-9 if what == "loss" else 1e-7)

    def test_euler_is_of_first_order(self):
        pairs = [(problem, file, case) for file, problem in PROBLEMS.items() for case in FEW_CASES]
        coarse, fine = (gradients([(*pair, "euler-bptt", "-dt", dt) for pair in pairs]) for dt in ("1e-3", "5e-4"))
        for pair, a, b in zip(pairs, coarse, fine):
            for what in b:
                with self.subTest(" ".join(pair) + ": " + what):
                    self.assertLess(b[what], 5e-3)
                    self.assertAlmostEqual(a[what] / b[what], 2, delta=0.05)


class Breaks(unittest.TestCase):
    """electric's control jumps at T/2."""
    OPTIONS = ("-rtol", "1e-11")

    def test_estimators_that_respect_them(self):
        """Who steps over the jump pays for the steps that the error control throws away, and errs more all the same.
        No stage of an extrapolated Euler step sees a jump in its last part: that one only errs."""
        estimators = [("rk-adjoint",), ("ctpg",), ("tsadjoint",), ("rosenbrock-w", "-rosenbrock-w_table", "euler5"),
                      ("cvodes",)]
        dearer = {"rosenbrock-w": 1, "cvodes": 1.2}
        requests = [("electric", "electric", case, *estimator) for case in FEW_CASES for estimator in estimators
                    if estimator[0] in available()]
        with_breaks = gradients([(*request, *self.OPTIONS, "-respect_breaks") for request in requests])
        without = gradients([(*request, *self.OPTIONS) for request in requests])
        for request, a, b in zip(requests, with_breaks, without):
            with self.subTest(" ".join(request)):
                for error in a.values():
                    self.assertLess(error, 1e-8)
                self.assertGreater(b.nfe, dearer.get(request[3], 1.4) * a.nfe)
                self.assertGreater(b["joint"], a["joint"])

    def test_fixed_steps_that_respect_them(self):
        """Errors of order 4 and 2, where a step across the jump leaves order 1."""
        for estimator, limit in (("reversible", 1e-10), ("alf", 1e-6)):
            for errors in gradients([("electric", "electric", case, estimator, "-dt", "2e-3", "-respect_breaks")
                                     for case in FEW_CASES]):
                with self.subTest(estimator):
                    self.assertLess(max(errors.values()), limit)


if __name__ == "__main__":
    unittest.main()
