"""`ctpgbench check` on everything that is shipped: all passes, each kind of check was made, misuse is refused."""
import json
import os
import pathlib
import re
import subprocess
import time
import unittest

from program import check_entries

BUILD = pathlib.Path(os.environ.get("CTPG_BUILD", pathlib.Path(__file__).resolve().parent.parent / "build"))
MPIRUN = os.environ.get("CTPG_MPIRUN", "mpirun")
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
SECONDS = 120  # what an author waits for


def check(*options, command=()):
    return subprocess.run([*command, BUILD / "ctpgbench", "check", *options], capture_output=True, text=True,
                          env={**os.environ, **ROOT}, timeout=5 * SECONDS)


def names(kind):
    """Of what this build can run without a file of the user's."""
    listing = subprocess.run([BUILD / "ctpgbench", "list", "-json"], capture_output=True, text=True, check=True).stdout
    return [entry["name"] for entry in json.loads(listing)[kind]
            if "unavailable" not in entry and not entry.get("interpreted")]


def lines(run, verdict):
    return [line for line in check_entries(run.stdout) if line.split(" ")[0] == verdict]


class Shipped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        start = time.monotonic()
        cls.run_of_all = check()
        cls.seconds = time.monotonic() - start

    def test_all_pass(self):
        run = self.run_of_all
        self.assertEqual(lines(run, "FAIL"), [])
        self.assertEqual(run.returncode, 0, run.stderr)
        passed = len(lines(run, "ok"))
        self.assertEqual(run.stdout.splitlines()[-1], f"{passed} passed, 0 failed")

    def test_everybody_was_checked(self):
        subjects = {line.split()[1] for line in lines(self.run_of_all, "ok")}
        for name in names("problems") + names("estimators"):
            self.assertIn(name, subjects)

    def test_every_estimator_has_a_fitted_order(self):
        fitted = {line.split()[1] for line in lines(self.run_of_all, "ok") if re.search(r"  order  ", line)}
        self.assertEqual(fitted, set(names("estimators")))

    def test_fits_a_terminal(self):
        self.assertEqual([line for line in self.run_of_all.stdout.splitlines() if len(line) > 100], [])

    def test_soon_done(self):
        self.assertLess(self.seconds, SECONDS)


class Choice(unittest.TestCase):
    def test_a_problem_alone(self):
        run = check("-problems", "lqr", "-points", "3")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertEqual({line.split()[1] for line in lines(run, "ok")}, {"lqr"})

    def test_an_estimator_alone(self):
        run = check("-estimators", "mine=ctpg", "-mine_spline", "hermite3", "-check_repeats", "10")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertTrue(all(line.split()[1:3] == ["mine", "on"] for line in lines(run, "ok")))
        self.assertIn("claimed 4", run.stdout)

    def test_steps_chosen_for_another_order(self):
        run = check("-problems", "lqr,pendulum", "-estimators", "ctpg", "-ctpg_rk", "dop853", "-ctpg_spline", "hermite3",
                    "-check_repeats", "10")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        fitted = [float(line.split("order")[1].split()[0]) for line in lines(run, "ok") if "  order  " in line]
        self.assertEqual(len(fitted), 2)
        for order in fitted:
            self.assertAlmostEqual(order, 4, delta=0.3)

    def test_an_estimator_on_a_problem(self):
        run = check("-problems", "lqr", "-estimators", "rk-adjoint", "-check_repeats", "10")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("rk-adjoint on lqr", run.stdout)
        self.assertNotIn("rk-adjoint on diffdrive", run.stdout)


class Misuse(unittest.TestCase):
    def refused(self, run, sentence):
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(sentence, run.stderr)

    def test_unknown_option(self):
        self.refused(check("-problems", "lqr", "-pionts", "3"), "unknown option -pionts; did you mean -points?")

    def test_unknown_problem(self):
        self.refused(check("-problems", "lqrr"), "did you mean lqr?")

    def test_two_ranks(self):
        self.refused(check(command=(MPIRUN, "-n", "2")), "check runs on one rank, not on 2")


if __name__ == "__main__":
    unittest.main()
