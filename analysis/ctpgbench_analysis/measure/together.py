"""together.py -- one factor over problems, policies and seeds

The factor is the geometric mean over problems, each of the same weight, of the geometric mean over its policies of the
median over seeds of the paired ratio. Its interval is a percentile bootstrap with a seed of its own, so that equal data
give an equal interval: it draws problems, of each its policies, of each its seeds, with replacement. With fewer than
six problems these are kept as they are: the interval then speaks of these problems alone.

A median that is 0 or infinite has no logarithm: such a policy is left out and named. The median of seeds drawn anew
may be that, too, and one such policy makes an end of the whole interval 0 or infinite. Where nothing can be told for
that, policies on which it happens more than rarely are left out as well.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from ctpgbench_analysis.measure.intervals import FEWEST, LEVEL, Interval
from ctpgbench_analysis.measure.ratios import UNKNOWN, verdict

REPLICATES = 4000
RARELY = 1e-3  # the share of draws of seeds whose median may be 0 or infinite
RANDOM_SEED = 20211207


@dataclass
class Factor:
    """One factor over everything."""
    ratio: Interval         # n: problems
    resampled: bool         # problems were drawn, too
    seeds: int              # pairs behind it
    left_out: list[str]     # labels whose median ratio is 0 or infinite, or may be, or has too few pairs

    @property
    def verdict(self) -> str:
        """BETTER, WORSE, EQUAL or UNKNOWN, by the interval alone."""
        return verdict(self.ratio)


def log_medians(found: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """[replicate, 2] log of the medians of ratios [pair, 2], low and high, over the pairs picked [replicate, pair]."""
    ordered = np.sort(found[picks], axis=1)
    n = ordered.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = ordered[:, (n - 1) // 2], ordered[:, n // 2]
        return np.log(np.where(low == high, low, low + (high - low) / 2))


def usable(found: np.ndarray) -> bool:
    """Enough pairs, and a median ratio that is a positive number."""
    if len(found) < FEWEST:
        return False
    return bool(np.isfinite(log_medians(found, np.arange(len(found))[None])).all())


def is_sure(found: np.ndarray) -> bool:
    """Usable, and so few pairs have an end at 0 or infinity that medians of seeds drawn anew have, rarely."""
    n = len(found)
    if not usable(found):
        return False
    # How many of those the lower, or the upper, of the two in the middle of a draw takes.
    zeros, infinite = (found == 0).sum(axis=0), np.isinf(found).sum(axis=0)
    risk = bdtrc((n - 1) // 2, n, zeros / n) + bdtrc(n - n // 2 - 1, n, infinite / n)
    return bool((risk <= RARELY).all())


def replicate_problem(policies: list[np.ndarray], generator: np.random.Generator, count: int) -> np.ndarray:
    """[replicate, 2] means over policies, drawn, of the medians over their seeds, drawn."""
    medians = np.stack([log_medians(found, generator.integers(len(found), size=(count, len(found))))
                        for found in policies], axis=1)
    drawn = generator.integers(len(policies), size=(count, len(policies)))
    return np.take_along_axis(medians, drawn[:, :, None], axis=1).mean(axis=1)


def bootstrap(problems: list[list[np.ndarray]], draws_problems: bool, replicates: int) -> tuple[float, float]:
    """Ends of the interval of the log factor."""
    generator = np.random.Generator(np.random.Philox(RANDOM_SEED))
    each = np.stack([replicate_problem(policies, generator, replicates) for policies in problems], axis=1)
    if draws_problems:
        drawn = generator.integers(len(problems), size=(replicates, len(problems)))
        # A problem that is drawn twice brings two sets of seeds: those of two replicates.
        rows = generator.integers(replicates, size=(replicates, len(problems)))
        each = each[rows, drawn]
    means = each.mean(axis=1)
    tail = (1 - LEVEL) / 2
    low = np.sort(np.where(np.isnan(means[:, 0]), -np.inf, means[:, 0]))[int(tail * replicates)]
    high = np.sort(np.where(np.isnan(means[:, 1]), np.inf, means[:, 1]))[int((1 - tail) * replicates)]
    return float(low), float(high)


def factor_of(problems: dict[str, dict[str, np.ndarray]], has_part: Callable[[np.ndarray], bool],
              replicates: int) -> Factor:
    """Factor over the policies that have a part in it."""
    kept = {name: {label: found for label, found in policies.items() if has_part(found)}
            for name, policies in problems.items()}
    left_out = [label for name, policies in problems.items() for label in policies if label not in kept[name]]
    used = [list(policies.values()) for policies in kept.values() if policies]
    seeds = sum(len(found) for policies in used for found in policies)
    if not used:
        return Factor(Interval(math.nan, math.nan, math.nan, 0), False, 0, left_out)
    centre = np.mean([np.mean([log_medians(found, np.arange(len(found))[None])[0] for found in policies], axis=0)
                      for policies in used], axis=0)
    low, high = bootstrap(used, len(used) >= FEWEST, replicates)
    value, top, low, high = (float(np.exp(number)) for number in (*centre, low, high))
    return Factor(Interval(value, low, high, len(used), top), len(used) >= FEWEST, seeds, left_out)


def factor(problems: dict[str, dict[str, np.ndarray]], replicates: int = REPLICATES) -> Factor:
    """Factor of {problem: {label of its policy: ratios [pair, 2]}}."""
    found = factor_of(problems, usable, replicates)
    if found.verdict == UNKNOWN and (found.ratio.low == 0 or math.isinf(found.ratio.high)):
        sure = factor_of(problems, is_sure, replicates)
        return sure if sure.ratio.n else found
    return found


def improvement_share(problems: dict[str, dict[str, np.ndarray]]) -> tuple[float, float]:
    """Probability that the estimator needs less than the baseline, problems of the same weight, their policies
    likewise; equal pairs as half, undecided ones as none and as whole: (least, most)."""
    def shares(found):
        equal = ((found[:, 0] == 1) & (found[:, 1] == 1)).mean() / 2
        return (found[:, 1] < 1).mean() + equal, 1 - (found[:, 0] > 1).mean() - equal

    each = [np.mean([shares(found) for found in policies.values() if len(found)], axis=0)
            for policies in problems.values() if any(map(len, policies.values()))]
    least, most = np.mean(each, axis=0) if each else (math.nan, math.nan)
    return float(least), float(most)
