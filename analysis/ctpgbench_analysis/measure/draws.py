"""draws.py -- repeats of a stochastic estimator: bias and spread of its gradients"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.read.sweep import Results, read_sketches


def fnv1a64(text: str) -> int:
    """64-bit hash FNV-1a, by which the program names its streams of random numbers."""
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def sketch_of(gradient: np.ndarray, projections: int) -> np.ndarray:
    """[projections] of a gradient [np], as runs/sketch holds: sums of +-g_j by the bits of Philox words."""
    words = np.random.Philox(key=np.array([0, fnv1a64("sketch")], dtype=np.uint64),
                             counter=np.array([0, 0, 6, 0], dtype=np.uint64)).random_raw(len(gradient))
    signs = 2.0 * (words[:, None] >> np.arange(projections, dtype=np.uint64) & np.uint64(1)).astype(float) - 1
    return gradient @ signs


@dataclass
class Draws:
    """Repeats of a stochastic estimator at one setting, medians over seeds, relative to the true gradient."""
    samples: float
    repeats: int
    bias: float    # of the mean of the repeats, with its standard error taken out in the square
    unseen: float  # standard error of that mean: a bias below it cannot be seen
    spread: float  # standard deviation of one repeat


def draws_of(results: Results, problem: int, estimator: int) -> list[Draws]:
    """[Draws] of an estimator whose knob is samples, from loose to tight, where there are 3 repeats or more.

    A projection of a difference d on random signs has the mean square |d|^2: bias and spread come from the sketches."""
    if results.estimators["knob"][estimator] != "samples" or not len(results.rows(problem, estimator)):
        return []
    results, problem, estimator = results.origin(problem, estimator)
    sketches, case_rows, gradients = read_sketches(results, problem)
    rows = results.rows(problem, estimator)
    rows = rows[results.run_done[rows] & (results.runs["status"][rows] == results.ok)
                & results.judged(problem)[results.runs["case_index"][rows]]]
    found = {}
    for case, samples in {(run["case_index"], run["accuracy"]) for run in results.runs[rows]}:
        here = (results.runs["case_index"][rows] == case) & (results.runs["accuracy"][rows] == samples)
        if here.sum() >= 3:
            cell = spread_of(sketches[rows[here]], gradients[case_rows[case]])
            found.setdefault(samples, []).append((here.sum(), *cell))
    return [
        Draws(samples, int(min(cells)[0]), *np.median(cells, axis=0)[1:]) for samples, cells in sorted(found.items())
    ]


def spread_of(sketches, truth):
    """(bias, its standard error, standard deviation) of gradients [repeat] given by their sketches, over |truth|."""
    variance, scale = sketches.var(axis=0, ddof=1).mean(), np.linalg.norm(truth)
    off = np.mean((sketches.mean(axis=0) - sketch_of(truth, sketches.shape[1])) ** 2)
    error = variance / len(sketches)
    return np.sqrt(max(0, off - error)) / scale, np.sqrt(error) / scale, np.sqrt(variance) / scale
