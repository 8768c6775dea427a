"""ratios.py -- one estimator against a baseline, seed by seed: ratios of work at equal gradient error

A seed's two needs (need.py) are intervals, and so is their ratio: 0 where only the estimator reaches the error,
infinite where only the baseline does, one-sided where one of them is a bound. A pair of which neither reaches the
error, or whose reference cannot tell, says nothing and is counted apart.

The estimate is the median of the ratios, its interval that between two order statistics, exact without assumptions on
the distribution (measure/intervals.py; fewer than six pairs: none). The p-value is that of the two-sided sign test;
pairs whose ratio may lie on either side of 1 count against what is claimed, equal ones are left out.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from ctpgbench_analysis.measure.intervals import FEWEST, Interval, median_interval, share_interval

MARGIN = (0.9, 1.1)  # ratios within are called equal
BETTER, WORSE, EQUAL, UNKNOWN = "better", "worse", "equal", "not known"
SIGNIFICANCE = 0.05
UNDECIDED = (0.0, np.inf)


@dataclass
class Paired:
    """What the seeds of one problem say at one error, or together over several."""
    ratios: np.ndarray   # [pair, 2] low and high, of the pairs that say something
    ratio: Interval      # their median; unknown ends are NaN
    improved: Interval   # share of pairs in which the estimator needs less, with its interval
    better: int          # pairs that are below 1 for certain
    worse: int
    neither: int         # pairs of which neither reaches the error
    unresolved: int      # pairs that the reference cannot judge
    p: float             # two-sided; 1 where there is no pair

    @property
    def n(self) -> int:
        """Pairs that say something."""
        return len(self.ratios)


def is_unknown(needs: np.ndarray) -> np.ndarray:
    """[...] of needs [..., 2]: anything from 0 to infinity."""
    return (needs[..., 0] == 0) & np.isinf(needs[..., 1])


def bounds(mine: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ratios [..., 2], neither reaches the error [...], the reference cannot judge [...]) of needs [..., 2] of the
    same
    seeds. Ratios are NaN where a pair says nothing; the masks leave out what is missing on either side (NaN)."""
    there = ~(np.isnan(mine).any(axis=-1) | np.isnan(base).any(axis=-1))
    unresolved = there & (is_unknown(mine) | is_unknown(base))
    neither = there & ~unresolved & np.isinf(mine[..., 1]) & np.isinf(base[..., 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(np.isinf(mine[..., 0]), np.inf, mine[..., 0] / base[..., 1])
        high = np.where(np.isinf(base[..., 0]), 0.0, mine[..., 1] / base[..., 0])
    told = there & ~unresolved & ~neither
    return np.where(told[..., None], np.stack([low, high], axis=-1), np.nan), neither, unresolved


def sign_test(found: np.ndarray) -> float:
    """Two-sided p-value of ratios [pair, 2] against a median of 1."""
    equal = (found[:, 0] == 1) & (found[:, 1] == 1)
    n, better, worse = int((~equal).sum()), int((found[:, 1] < 1).sum()), int((found[:, 0] > 1).sum())
    if not n:
        return 1.0
    most = max(better, worse)
    return float(min(1.0, 2 * bdtrc(most - 1, n, 0.5))) if most else 1.0


def improvement(found: np.ndarray) -> Interval:
    """Share of ratios [pair, 2] below 1, an equal one as half; where some may lie on either side, value and top."""
    n, better, worse = len(found), int((found[:, 1] < 1).sum()), int((found[:, 0] > 1).sum())
    equal = int(((found[:, 0] == 1) & (found[:, 1] == 1)).sum())
    if not n:
        return share_interval(0, 0)
    least, most = share_interval(better, n), share_interval(n - worse, n)
    low, high = (least.low, most.high) if n >= FEWEST else (math.nan, math.nan)
    return Interval((better + equal / 2) / n, low, high, n, (n - worse - equal / 2) / n)


def summarise(found: np.ndarray, neither: int = 0, unresolved: int = 0) -> Paired:
    """Paired of ratios [pair, 2]."""
    return Paired(found, median_interval(found[:, 0], found[:, 1]), improvement(found), int((found[:, 1] < 1).sum()),
                  int((found[:, 0] > 1).sum()), neither, unresolved, sign_test(found))


def pair(mine: np.ndarray, base: np.ndarray) -> Paired:
    """Paired of needs [seed, 2] of the same seeds."""
    found, neither, unresolved = bounds(mine, base)
    return summarise(found[~np.isnan(found[:, 0])], int(neither.sum()), int(unresolved.sum()))


def over_targets(mine: np.ndarray, base: np.ndarray) -> Paired:
    """Over several errors, of needs [target, seed, 2]: each seed's ratio is the median of its ratios at the errors that
    tell. neither and unresolved: seeds that no error tells of."""
    found, neither, unresolved = bounds(mine, base)
    ordered, count = np.sort(found, axis=0), (~np.isnan(found[..., 0])).sum(axis=0)
    told = np.flatnonzero(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.exp((np.log(ordered[(count[told] - 1) // 2, told]) + np.log(ordered[count[told] // 2, told])) / 2)
    silent = count == 0
    return summarise(np.where(np.isnan(middle), UNDECIDED, middle), int((silent & neither.any(axis=0)).sum()),
                     int((silent & ~neither.any(axis=0) & unresolved.any(axis=0)).sum()))


def verdict(interval: Interval, p: float = 0.0) -> str:
    """EQUAL where the interval lies within MARGIN, on which side of 1 whatsoever; else BETTER or WORSE where the
    corrected p-value and the interval say so."""
    if not interval.known:
        return UNKNOWN
    if MARGIN[0] <= interval.low and interval.high <= MARGIN[1]:
        return EQUAL
    if p <= SIGNIFICANCE and interval.high < 1:
        return BETTER
    return WORSE if p <= SIGNIFICANCE and interval.low > 1 else UNKNOWN
