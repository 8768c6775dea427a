"""need.py -- the work that one seed needs for a gradient error, as an interval [low, high], by the rule of crossing.py

  exact       [v, v]
  bound       [0, v]: already its loosest setting is good enough, or the one before failed
  at least    [v, inf]: its tightest setting ended ok and is not good enough; v is what that took
  never       [inf, inf]: its tightest setting failed, or none ended within -eval_limit
  unresolved  [0, inf]: the reference gradient cannot tell
"""
from __future__ import annotations

import math

import numpy as np

from ctpgbench_analysis.measure.cells import Grid
from ctpgbench_analysis.measure.crossing import BOUND, CENSORED, EXACT, crossing

NEVER = (math.inf, math.inf)
UNKNOWN = (0.0, math.inf)


def need(target: float, floor: float, error: np.ndarray, work: np.ndarray) -> tuple[float, float]:
    """[low, high] of one seed; error and work [setting] from loose to tight, NaN where it failed."""
    kind, value = crossing(target, floor, error, work)
    if kind == EXACT:
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
        tried = grid.tried[seed]
        found[seed] = need(target, grid.floors[seed], grid.error[seed, tried], work[seed, tried])
    return found
