"""need.py -- the work that one seed needs for a gradient error, as an interval [low, high]

The kind of a crossing is that of crossing.py. Its value is refined, so that it does not hang on where the settings of
a ladder happen to lie: log10 work is fitted by a line in log10 error over the settings within REACH decades of the
target, weighted 1 - (distance / REACH)^2, and read off at the target; settings below the floor of the reference, which
are not resolved, stay out. With fewer than three settings there the value of crossing.py stands. On five problems and
four estimators with 20 seeds each, medians over seeds at half a decade and at a decade of rtol from setting to setting
differ by 0.9 % typically and by less than 3 % in nine of ten cells (by interpolation between two settings alone: 1.2 %,
and seven of ten).

  exact       [v, v]
  bound       [0, v]: already its loosest setting is good enough, or the one before failed
  at least    [v, inf]: its tightest setting ended ok and is not good enough; v is what that took
  never       [inf, inf]: its tightest setting failed
  unresolved  [0, inf]: the reference gradient cannot tell
"""
from __future__ import annotations

import math

import numpy as np

from ctpgbench_analysis.measure.cells import Grid
from ctpgbench_analysis.measure.crossing import BOUND, CENSORED, EXACT, crossing

REACH = 2.5  # decades of error
LEAST_SETTINGS = 3
NEVER = (math.inf, math.inf)
UNKNOWN = (0.0, math.inf)


def fitted(target: float, floor: float, error: np.ndarray, work: np.ndarray, value: float) -> float:
    """Work at the target by the local line, or value where there are too few settings."""
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = (error >= floor) & (work > 0)
        distance = np.log10(np.where(usable, error, np.nan) / target)
        weight = np.where(usable, np.fmax(1 - (distance / REACH) ** 2, 0), 0.0)
    near = weight > 0
    if near.sum() < LEAST_SETTINGS or np.ptp(distance[near]) == 0:
        return value
    x, y, share = distance[near], np.log10(work[near]), weight[near] / weight[near].sum()
    x_mean, y_mean = share @ x, share @ y
    slope = share @ ((x - x_mean) * (y - y_mean)) / (share @ (x - x_mean) ** 2)
    return float(10 ** (y_mean - slope * x_mean))


def need(target: float, floor: float, error: np.ndarray, work: np.ndarray) -> tuple[float, float]:
    """[low, high] of one seed; error and work [setting] from loose to tight, NaN where it failed."""
    kind, value = crossing(target, floor, error, work)
    if kind == EXACT:
        value = fitted(target, floor, error, work, value)
        return value, value
    if kind == BOUND:
        return 0.0, value
    if kind == CENSORED:
        tried = len(error) and math.isfinite(error[-1]) and math.isfinite(work[-1])
        return (float(work[-1]), math.inf) if tried else NEVER
    return UNKNOWN


def needs(grid: Grid, target: float, work: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """[seed, 2] of a grid with work [seed, setting]; NaN where the runs of a seed are not all there, or one of them has
    a result but is not usable [seed, setting]."""
    found = np.full((len(grid.floors), 2), np.nan)
    whole = grid.complete.all(axis=1) & (usable | ~grid.reached).all(axis=1)
    for seed in np.flatnonzero(whole):
        found[seed] = need(target, grid.floors[seed], grid.error[seed], work[seed])
    return found
