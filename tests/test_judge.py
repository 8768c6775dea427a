"""The measured error of any gradient, `-error_bar sweep`: within a factor 3 of the truth."""
import pathlib
import re
import tempfile
import unittest

import h5py
import numpy as np

import program

ERROR = r"^error +([0-9.e+-]+) "


class Judge(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = pathlib.Path(keeper.name)

    def run_well(self, *words):
        code, text, errors = program.run(*map(str, words))
        self.assertEqual(code, 0, errors)
        return text

    def judged(self, *words):
        return float(re.search(ERROR, self.run_well("judge", *words), re.MULTILINE).group(1))

    def test_rows(self):
        """With adaptive and with fixed steps; diffdrive 204 is a case that a single solve misjudges."""
        path = self.folder / "a.h5"
        self.run_well("sweep", "-problems", "diffdrive,electric", "-estimators", "bar=ctpg,euler-bptt,plain=ctpg",
                      "-bar_error_bar", "sweep", "-euler-bptt_error_bar", "sweep", "-seeds", "203:206",
                      "-rtol", "1e-2,1e-4,1e-7", "-dt", "1e-2", "-out", path)
        with h5py.File(path) as file:
            rows, labels = file["runs/table"][()], list(file["estimators"]["label"].astype(str))
        plain = rows["estimator"] == labels.index("plain")
        judged, same = rows[~plain], rows[rows["estimator"] == labels.index("bar")]
        ratio = judged["error_bar"] / judged["err_rel"]
        self.assertTrue(((ratio > 1 / 3) & (ratio < 3)).all(), ratio)
        self.assertTrue((judged["nfe_bar"] > 0).all())
        self.assertTrue(np.isnan(rows[plain]["error_bar"]).all())
        self.assertEqual(list(rows[plain]["nfe"]), list(same["nfe"]))  # what the judge takes is counted apart
        self.assertEqual(list(rows[plain]["nfe_bar"]), [0] * plain.sum())
        self.assertTrue((rows["err_layer"] >= 0.999 * rows["err_rel"] / np.sqrt(3)).all())
        self.assertTrue(((rows["sign_share"] > 0.5) & (rows["sign_share"] <= 1)).all())

    def test_file(self):
        case = ("-problem", "diffdrive", "-case_file", program.ROOT / "tests/data/diffdrive.h5", "-case", "case1")
        path = self.folder / "g.h5"
        text = self.run_well("gradient", *case, "-estimator", "ctpg", "-rtol", "1e-4", "-out", path)
        true = float(re.search(ERROR, text, re.MULTILINE).group(1))
        self.assertLess(abs(np.log(self.judged(*case, "-gradient", path) / true)), np.log(3))
        with h5py.File(path, "r+") as file:
            gradient = file["grad_theta"][()]
            file["grad_theta"][...] = 1.25 * gradient
        self.assertAlmostEqual(self.judged(*case, "-gradient", path), 0.25, places=2)
        with h5py.File(path, "r+") as file:
            file["grad_theta"][...] = -gradient
        text = self.run_well("judge", *case, "-gradient", path)
        self.assertRegex(text, r"direction +cosine 1 - 2.0e\+00; (0|0\.[0-9]+) % of the entries")

    def test_nonsense(self):
        def file(name, **datasets):
            with h5py.File(self.folder / name, "w") as file:
                for dataset, values in datasets.items():
                    file[dataset] = values
            return self.folder / name
        hole = np.ones(6)
        hole[4] = np.inf
        for path, sentence in (
                (file("few.h5", grad_theta=np.ones(5)), "grad_theta holds 5 numbers; the policy of this problem has 6"),
                (file("other.h5", gradient=np.ones(6)), "there is no dataset grad_theta"),
                (file("hole.h5", grad_theta=hole), r"grad_theta\[4\] is inf; expected finite numbers"),
                (file("text.h5", grad_theta="six"), "dataset grad_theta does not hold numbers"),
                (self.folder / "none.h5", "none.h5 cannot be read: No such file"),
                (None, "-gradient is missing")):
            with self.subTest(sentence):
                words = ("-gradient", str(path)) if path else ()
                code, text, errors = program.run("judge", "-problem", "lqr", *words)
                self.assertNotEqual(code, 0)
                self.assertEqual(text, "")
                self.assertRegex(errors, sentence)
                self.assertEqual(len(errors.strip().splitlines()), 1)

    def test_own_error(self):
        """What the judge needs is not switched off in silence; `gradient` prints what was measured."""
        words = ("gradient", "-problem", "pendulum", "-estimator", "ctpg", "-rtol", "1e-3", "-error_bar", "sweep")
        code, _, errors = program.run(*words, "-judge_error_bar", "none")
        self.assertNotEqual(code, 0)
        self.assertRegex(errors, "-judge_error_bar none: a judge has to measure its own error; expected sweep")
        text = self.run_well(*words, "-judge_error_bar", "sweep")
        true = float(re.search(ERROR, text, re.MULTILINE).group(1))
        measured = re.search(r"measured +error ([0-9.e+-]+) .*, at \d+ evaluations of a judge$", text, re.MULTILINE)
        self.assertLess(abs(np.log(float(measured.group(1)) / true)), np.log(3))
        text = self.run_well("gradient", "-problem", "pendulum", "-estimator", "lia", "-contract", "-grad_rtol", "1e-3")
        self.assertRegex(text, r"measured +error [0-9.e+-]+ .*; allowed are 1.000e-03\n")


if __name__ == "__main__":
    unittest.main()
