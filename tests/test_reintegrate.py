"""test_reintegrate.py -- test losses of trained policies against SciPy's integration of plants written anew
(reintegrate.py)

One training of all plants that are written there, with the options that change them.
"""
import contextlib
import io
import shutil
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

import reintegrate
from program import InFolder, run

# {label: options of its problem}; quadrotor's horizon is short, for a tumbling one amplifies any error.
PROBLEMS = {
    "lqr": "-policy linear",
    "full=lqr": "-nx 3 -nu 2 -A 0.1,1,0,-1,0.2,0,0.3,0,-0.1 -B 1,0,0.5,1,0,2 -Q 2,0.5,0,0.5,1,0,0,0,3 "
            "-R 1.5 -policy mlp "
                "-policy_widths 6 -policy_activations elu -horizon 3",
    "robot=diffdrive": "-horizon 4",
    "wrapped=diffdrive": "-horizon 1 -wrap",
    "electric": "",
    "pendulum": "-torque 6 -damping 0.3",
    "pole=cartpole-analytic": "-policy_init_scale 0.3",  # at full scale the kinks of elu leave 1e-8 in the file
    "copter=quadrotor": "-horizon 0.8",
    "blind=quadrotor": "-horizon 0.8 -tangents 0 -wrap",
    "heavy=quadrotor": "-horizon 0.8 -mass 3",
    "track": "-horizon 1 -u_max 0.3",  # clipped, and too short for a jump
    "arms=double-pendulum": "-horizon 1 -torque 7",
    "acrobot=double-pendulum": "-horizon 1 -drive elbow",
    "vanderpol": "-mu 3",
}


class Reintegrate(InFolder):
    @classmethod
    def words(cls):
        for problem, options in PROBLEMS.items():
            label = problem.split("=")[0]
            for word in options.split():
                yield f"-{label}_{word[1:]}" if word[0] == "-" and word[1].isalpha() else word

    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        cls.trained = Path(keeper.name) / "t.h5"
        code, out, err = run("train", "-problems", ",".join(PROBLEMS), *cls.words(), "-estimators", "ctpg", "-seeds",
                             "0:2",
                             "-iterations", "4", "-batch", "2", "-test_every", "2", "-test_starts", "3", "-snapshots",
                             "0,4", "-out", cls.trained)
        assert code == 0, out + err

    def setUp(self):
        super().setUp()
        self.path = shutil.copy(self.trained, self.folder)

    def main(self, *arguments):
        """(what it prints, why it ends with an error or None)."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                reintegrate.main([str(self.path), *arguments])
                code = None
            except SystemExit as ended:
                code = ended.code
        return printed.getvalue(), code

    def test_losses_are_the_files(self):
        pairs = reintegrate.compare(self.path, every=True)
        self.assertEqual([pair.problem for pair in pairs], [problem.split("=")[0] for problem in PROBLEMS])
        for pair in pairs:
            with self.subTest(pair.problem):
                self.assertEqual((pair.policies, pair.starts), (4, 12))  # two seeds, before and after
                self.assertLess(pair.worst, 1e-8)
                self.assertGreater(pair.worst, 0)  # two programs do not agree in all bits

    def test_another_policy_is_noticed(self):
        out, code = self.main()
        self.assertIsNone(code, out)
        with h5py.File(self.path, "r+") as file:
            theta = file["training/pendulum/ctpg/theta"]
            theta[1, -1, 0] += 1e-4
        out, code = self.main()
        self.assertEqual(code, "above the tolerance 1e-08")
        self.assertRegex(out, r"pendulum +ctpg +2 policies +6 starts .*, seed 1, iteration 4\n")

    def test_failed_starts_and_failed_runs_are_left_out(self):
        with h5py.File(self.path, "r+") as file:
            file["training/electric/ctpg/test_failures"][0, -1] = 1
            rows = file["training/table"][()]
            rows["status"][:2] = 1
            file["training/table"][...] = rows
        pairs = {pair.problem: pair for pair in reintegrate.compare(self.path)}
        self.assertNotIn("lqr", pairs)
        self.assertEqual((pairs["electric"].policies, pairs["electric"].failed), (1, 1))

    def test_nothing_to_compare(self):
        with h5py.File(self.path, "r+") as file:
            status = file["training/commit"][()]
            status["status"] = np.int32(-1)
            file["training/commit"][...] = status
        self.assertIn("holds no final policy", self.main()[1])


if __name__ == "__main__":
    unittest.main()
