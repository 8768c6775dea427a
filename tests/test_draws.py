"""Repeats of a stochastic estimator: independent draws, the same in every sweep; bias and spread by measure/draws.py."""
import unittest

import h5py
import numpy as np

import analysis_package  # noqa: F401
from ctpgbench_analysis.measure.draws import draws_of
from ctpgbench_analysis.read.sweep import load
from program import InFolder, Results

PLAN = ("-problems", "lqr", "-estimators", "spsa", "-seeds", "0:2")


class Draws(InFolder):
    def test_repeats_are_draws(self):
        few = self.sweep("few.h5", *PLAN, "-samples", "5", "-repeats", "3")
        self.assertEqual(self.sweep("ranks.h5", *PLAN, "-samples", "5", "-repeats", "3", ranks=3), few)
        runs = self.results("few.h5").runs
        self.assertEqual(len(set(runs["grad_norm"])), 6)
        self.sweep("few.h5", *PLAN, "-samples", "5", "-repeats", "5")
        more = Results(self.folder / "few.h5").runs
        for seed in (0, 1):
            kept = more[(more["seed"] == seed) & (more["repeat"] < 3)]["grad_norm"]
            self.assertEqual(sorted(kept), sorted(runs[runs["seed"] == seed]["grad_norm"]))

    def test_samples_are_whole_numbers(self):
        for samples in ("0", "2.5"):
            self.sweep("no.h5", *PLAN, "-samples", samples, code=1)

    def test_bias_and_spread(self):
        """From 16 projections, against the gradients themselves."""
        self.sweep("draws.h5", *PLAN, "-samples", "10,40", "-repeats", "200", "-save_gradients", "-timing_threshold", "0")
        results, runs = load(self.folder / "draws.h5"), self.results("draws.h5").runs
        with h5py.File(self.folder / "draws.h5") as file:
            truth = file["cases/lqr/grad_theta"][()]
            saved = file["runs/gradients/lqr"]
            gradients, of_run = saved["gradient"][()], saved["run"][()]
        for draws in draws_of(results, 0, 0):
            self.assertEqual(draws.repeats, 200)
            here = (runs["accuracy"][of_run] == draws.samples, runs["seed"][of_run])
            cells = [gradients[here[0] & (here[1] == seed)] for seed in (0, 1)]
            spread = np.median([np.sqrt(cell.var(axis=0, ddof=1).sum()) / np.linalg.norm(g)
                                for cell, g in zip(cells, truth)])
            self.assertAlmostEqual(draws.spread / spread, 1, delta=0.3)
            self.assertAlmostEqual(draws.unseen / draws.spread, 200**-0.5, delta=0.02)
            self.assertLess(draws.bias, 3 * draws.unseen)
            self.assertAlmostEqual(draws.spread, np.sqrt(5 / draws.samples), delta=0.4 * draws.spread)


if __name__ == "__main__":
    unittest.main()
