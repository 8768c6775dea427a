"""test_policies.py -- the policies that the suite ships are read by the program, fit to their problems, and control

Each file of policies/ is tested on starts that neither its training nor its page saw (-experiment): a training that
changes nothing (-learning_rate 0) gives the loss of its policies, and that of random ones.
"""
import re
import unittest

import h5py
import numpy as np

import program
from program import InFolder

FOLDER = program.ROOT / "policies"
FACTOR = {"lqr": 5, "lqr-wide": 5, "diffdrive": 4, "track": 2.5, "quadrotor": 500, "electric": 5, "cartpole": 1.7,
          "pendulum": 1.5, "double-pendulum": 5, "quadrotor-printed": 15, "vanderpol": 2}
LEAST = {"cartpole": -3.0}  # no loss is below
MOST_BYTES = 500_000


def options_of(path):
    """(label, options of the problem, place of the policies) of a file."""
    with h5py.File(path) as file:
        label, = file["training"]
        estimator, = file[f"training/{label}"]
        return label, file[f"training/{label}/{estimator}"].attrs["options"].split(), f"/training/{label}/{estimator}"


class Policies(InFolder):
    def train(self, label, options, seeds, starts, *more):
        """(losses [seed] of so many test starts, what it says on stderr)."""
        out = self.folder / "t.h5"
        out.unlink(missing_ok=True)
        code, _, err = program.run(
            "train", *options, "-estimators", "rk-adjoint", "-rtol", "1e-3", "-seeds", seeds, "-experiment", "7",
            "-iterations", "1", "-optimizer", "sgd", "-learning_rate", "0", "-test_every", "1", "-test_starts", starts,
            *more, "-out", out, cwd=self.folder)
        self.assertEqual(code, 0, err)
        with h5py.File(out) as file:
            group = file[f"training/{label}/rk-adjoint"]
            self.assertEqual(group["test_failures"][:, 1].sum(), 0)
            return group["test_loss"][:, 1], err

    def check(self, path):
        """Of one file: read in both forms, and every policy better than the random one of its seed."""
        label, options, place = options_of(path)
        self.assertEqual(label, path.stem)
        file = f"-{label}_theta_file"
        trained, err = self.train(label, options, "0:3", 4, file, f"{path}:{place}")
        self.assertNotIn("no checksums", err)
        random, _ = self.train(label, options, "0:3", 4)
        least = LEAST.get(label, 0.0)
        np.testing.assert_array_less(FACTOR[label], (random - least) / (trained - least))
        best, _ = self.train(label, options, "0:1", 4, file, f"{path}:/best")
        np.testing.assert_array_equal(best, trained[:1])

    def test_they_control(self):
        files = sorted(FOLDER.glob("*.h5"))
        self.assertEqual({path.stem for path in files}, set(FACTOR))
        for path in files:
            with self.subTest(path=path.name):
                self.check(path)

    def test_cartpole_by_hand_takes_those_of_the_cartpole(self):
        found, _ = self.train("cartpole-analytic", ["-problems", "cartpole-analytic"], "0:3", 4,
                              "-cartpole-analytic_theta_file", f"{FOLDER}/cartpole.h5:/training/cartpole/ctpg")
        np.testing.assert_array_less(found, -0.3)

    def test_they_are_small(self):
        self.assertLess(sum(path.stat().st_size for path in FOLDER.glob("*.h5")), MOST_BYTES)

    def test_the_page_names_each(self):
        rows = re.findall(r"(?m)^\| ([a-z-]+) \| `([^`]+)` \|.*\| ([\d.e+]+) \| (\d+%|-) \|",
                          (FOLDER / "README.md").read_text(encoding="utf-8"))
        self.assertEqual({name for name, *_ in rows}, set(FACTOR))
        for name, options, factor, _ in rows:
            self.assertEqual(options.split(), options_of(FOLDER / f"{name}.h5")[1])
            self.assertGreater(float(factor), FACTOR[name])


if __name__ == "__main__":
    unittest.main()
