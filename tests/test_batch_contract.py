"""The contract on the mean gradient of a batch, `train -batch_grad_rtol`: kept, stored, resumed; errors that are alike
in all starts do not cancel, others do."""
import re
import unittest

import h5py
import numpy as np

import program

DIFFDRIVE = ("-problems", "diffdrive", "-horizon", "5", "-policy_init_scale", "0.1", "-optimizer", "momentum",
             "-learning_rate", "1e-3", "-clip", "10")
COLUMNS = ("promise", "promise_term", "error_bar", "nfe_bar", "solves")


class BatchContract(program.InFolder):
    def train(self, name, *words, ranks=1):
        code, text, errors = program.run("train", *words, "-out", str(self.folder / name), ranks=ranks)
        self.assertEqual(code, 0, errors)
        return re.search(r"digest: (\w+)", text).group(1)

    def read(self, name, pair, *arrays):
        with h5py.File(self.folder / name) as file:
            return [file[f"training/{pair}/{array}"][()] for array in arrays]

    def test_kept(self):
        """By what audits find. Where the standard error allows it, the tolerance is looser and the work less."""
        words = (*DIFFDRIVE, "-batch", "8", "-iterations", "120", "-seeds", "0:2", "-audit_every", "4", "-estimators")
        self.train("a.h5", *words, "tight=lia,loose=lia,plain=lia", "-tight_batch_grad_rtol", "1e-2",
                   "-loose_batch_grad_rtol", "1e-2", "-tight_batch_grad_stderr", "0", "-rtol", "1e-3")
        work = {}
        for label, term in (("tight", 1), ("loose", 3)):
            pair = f"diffdrive/{label}"
            promise, terms, norm, nf, solves = self.read("a.h5", pair, "promise", "promise_term", "grad_norm", "nf",
                                                         "solves")
            audits, error, found = self.read("a.h5", pair, "audit_iteration", "audit_error", "audit_stderr")
            self.assertGreater((error <= (promise * norm)[:, audits]).mean(), 0.9)
            self.assertGreater((terms == term).mean(), 0.9)
            self.assertLessEqual(solves.max(), 3)
            if term == 3:
                self.assertLess(abs((promise * norm)[:, audits] / (0.1 * found) - 1).max(), 0.5)
            work[label] = nf.sum()
        self.assertLess(work["loose"], work["tight"])
        with h5py.File(self.folder / "a.h5") as file:
            self.assertFalse(set(COLUMNS) & set(file["training/diffdrive/plain"]))
            self.assertTrue(set(COLUMNS) <= set(file["training/diffdrive/tight"]))

    def test_same_bits(self):
        """On one rank and on three, and when it goes on from a slot: what is remembered is saved with the run."""
        words = (*DIFFDRIVE, "-batch", "3", "-estimators", "lia,ctpg", "-batch_grad_rtol", "1e-2", "-iterations")
        whole = self.train("whole.h5", *words, "90")
        self.assertEqual(self.train("ranks.h5", *words, "90", "-ranks_per_run", "3", ranks=3), whole)
        self.train("part.h5", *words, "37")
        self.assertEqual(self.train("part.h5", *words, "90"), whole)

    def test_correlation(self):
        """The same start eight times: the mean errs like one. Different starts: it errs less."""
        for problem, words, low, high in (("lqr", ("-fixed_start", "1,1", "-policy", "mlp"), 0.8, 1.25),
                                          ("diffdrive", DIFFDRIVE[2:], 0.3, 0.9)):
            bars = []
            for batch in ("1", "8"):
                name = f"{problem}{batch}.h5"
                self.train(name, "-problems", problem, *words, "-learning_rate", "1e-9", "-batch", batch, "-iterations",
                           "100", "-estimators", "rk-adjoint", "-batch_grad_rtol", "1e-2", "-seeds", "0:3")
                bar, norm, tolerance = self.read(name, f"{problem}/rk-adjoint", "error_bar", "grad_norm", "accuracy")
                bars.append(np.median((bar * norm / tolerance)[:, 50:]))
            self.assertGreater(bars[1] / bars[0], low)
            self.assertLess(bars[1] / bars[0], high)

    def test_nonsense(self):
        for words, sentence in (
                (("-estimators", "euler-bptt", "-batch_grad_rtol", "1e-2"), "batch_grad_rtol"),
                (("-estimators", "lia", "-batch_grad_rtol", "1e-2", "-tolerance_per_gradient", "1e-3"),
                 "-tolerance_per_gradient and -batch_grad_rtol are both given for lia; expected one of them"),
                (("-estimators", "lia", "-batch_grad_rtol", "2"), "-batch_grad_rtol 2 is out of range")):
            with self.subTest(sentence):
                code, _, errors = program.run("train", "-problems", "lqr", *words, "-out", str(self.folder / "no.h5"))
                self.assertNotEqual(code, 0)
                self.assertIn(sentence, errors)
                self.assertEqual(len(errors.strip().splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
