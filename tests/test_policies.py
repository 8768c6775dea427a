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
          "pendulum": 1.5, "vanderpol": 2}
LEAST = {"cartpole": -3.0}  # no loss is below
MOST_BYTES = 500_000


def options_of(path):
    """(label, options of the problem, place of the policies) of a file."""
    with h5py.File(path) as file:
        label, = file["training"]
        estimator, = file[f"training/{label}"]
        return label, file[f"training/{label}/{estimator}"].attrs["options"].split(), f"/training/{label}/{estimator}"


class Policies(InFolder):
    def losses(self, label, options, *more):
        """[seed] losses of test starts."""
        out = self.folder / f"{label}{len(more)}.h5"
        code, _, err = program.run(
            "train", *options, "-estimators", "rk-adjoint", "-rtol", "1e-3", "-seeds", "0:3", "-experiment", "7",
            "-iterations", "1", "-optimizer", "sgd", "-learning_rate", "0", "-test_every", "1", "-test_starts", "4",
            *more, "-out", out, cwd=self.folder)
        self.assertEqual(code, 0, err)
        self.assertNotIn("no checksums", err)
        with h5py.File(out) as file:
            group = file[f"training/{label}/rk-adjoint"]
            self.assertEqual(group["test_failures"][:, 1].sum(), 0)
            return group["test_loss"][:, 1]

    def check(self, path):
        """Of one file: read in both forms, and every policy better than the random one of its seed."""
        label, options, place = options_of(path)
        self.assertEqual(label, path.stem)
        trained = self.losses(label, options, f"-{label}_theta_file", f"{path}:{place}")
        random = self.losses(label, options)
        least = LEAST.get(label, 0.0)
        np.testing.assert_array_less(FACTOR[label], (random - least) / (trained - least))
        code, _, err = program.run("gradient", "-problem", *options[1:], "-estimator", "rk-adjoint", "-seed", "9",
                                   "-rtol", "1e-3", f"-{label}_theta_file", f"{path}:/best", "-out",
                                   self.folder / "g.h5")
        self.assertEqual(code, 0, err)

    def test_they_control(self):
        files = sorted(FOLDER.glob("*.h5"))
        self.assertEqual({path.stem for path in files}, set(FACTOR))
        for path in files:
            with self.subTest(path=path.name):
                self.check(path)

    def test_cartpole_by_hand_takes_those_of_the_cartpole(self):
        found = self.losses("cartpole-analytic", ["-problems", "cartpole-analytic"], "-cartpole-analytic_theta_file",
                            f"{FOLDER}/cartpole.h5:/training/cartpole/ctpg")
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
