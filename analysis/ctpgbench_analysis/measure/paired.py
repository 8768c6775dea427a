"""paired.py -- tests that compare two methods seed by seed: who reaches a target, and when (statsmodels)"""
from __future__ import annotations

import numpy as np

from ctpgbench_analysis.errors import ResultsError


def from_statsmodels(module: str, name: str):
    """A function of statsmodels, which nothing else here needs."""
    try:
        return getattr(__import__(f"statsmodels.{module}", fromlist=[name]), name)
    except ImportError:
        raise ResultsError("the paired tests need statsmodels (Debian: python3-statsmodels).") from None


def reached_p(first: np.ndarray, second: np.ndarray) -> float:
    """p-value of McNemar's exact test that two methods reach a target on equally many seeds; first, second [seed]."""
    table = [[int((first & second).sum()), int((first & ~second).sum())],
             [int((~first & second).sum()), int((~first & ~second).sum())]]
    if table[0][1] + table[1][0] == 0:
        return 1.0
    return float(from_statsmodels("stats.contingency_tables", "mcnemar")(table, exact=True).pvalue)


def among_p(mine: np.ndarray, others: np.ndarray) -> float:
    """Exact two-sided p-value that a method, mine [seed], reaches a target as often as m others do, [seed, m]: of those
    m + 1 of a seed any is as likely to be among those that reach it. With one other this is McNemar's test."""
    chances = (mine + others.sum(axis=1)) / (1 + others.shape[1])
    distribution = np.ones(1)  # of the number of seeds
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    count = int(mine.sum())
    return float(min(1.0, 2 * min(distribution[:count + 1].sum(), distribution[count:].sum())))


def earlier_p(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """p-value of the log-rank test, stratified by seed, that two methods take equally long; each as (time [seed] until
    the target or the end, whether it was reached [seed])."""
    count = len(first[0])
    times, reached = (np.concatenate([one, other]) for one, other in zip(first, second))
    method, seeds = np.repeat([0, 1], count), np.tile(np.arange(count), 2)
    decided = [seed for seed in range(count)
               if times[seed] != times[seed + count] and (reached[seed] or reached[seed + count])]
    if not decided:
        return 1.0
    keep = np.isin(seeds, decided)
    _, p = from_statsmodels("duration.survfunc", "survdiff")(times[keep], reached[keep].astype(int), method[keep],
                                                             strata=seeds[keep])
    return float(p) if np.isfinite(p) else 1.0


def holm(values: list[float]) -> list[float]:
    """p-values as Holm (1979) makes them where several tests are made at once."""
    if not values:
        return []
    return list(from_statsmodels("stats.multitest", "multipletests")(values, method="holm")[1])
