"""crossing.py -- work at equal gradient error

The one rule of tables, pages and comparisons. NFE at error e, per seed: its settings run from loose to tight; a
setting is below e if every repeat ended ok with an error <= e. If the tightest setting is not below e, the seed is
censored. Otherwise let b be the setting from which on all are below, a the one before. Where a does not exist or
failed, NFE_b is an upper bound ("<="). Where e is below the floor, 3 times the error of the reference gradient, and so
is the error of the tightest setting, nobody knows whether the seed reaches e: unresolved. Settings at the tight end
that -eval_limit ended count as not tried.

Else the crossing is exact. So that it does not hang on where the settings happen to lie, log10 NFE is fitted by a line
in log10 error over the settings within REACH decades of e, weighted 1 - (distance / REACH)^2, and read off at e;
settings below the floor stay out, so that no digit beyond the reference enters. With fewer than three settings there,
or if the line is beyond the settings next to a and b, it is interpolated between (error_a, NFE_a) and
(max(error_b, floor), NFE_b). On five problems and four estimators with 20 seeds each, medians over seeds at half a
decade and at a decade of rtol from setting to setting differ by 0.9 % typically, by less than 3 % in eight of ten
cells, by 10 % at most (by interpolation alone: 1.6 %, seven of ten, 11 %).

Over seeds: the median, with seeds that do not reach e (censored, unresolved) as infinite, printed only where more than
half of them reach e, with "reached/all". Time likewise, with the seconds of a gradient in place of the NFE; isolated
and throughput timings are never mixed. Seeds whose runs are not all committed yet, and seeds without a reference
gradient, are left out.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ctpgbench_analysis.measure.cells import Grid

TARGETS = (1e-3, 1e-6, 1e-9)
REACH = 2.5  # decades of error
LEAST_SETTINGS = 3
MOST_DIGITS = 300  # of a number of evaluations, which float64 holds
EXACT, BOUND, CENSORED, UNRESOLVED = "exact", "bound", "censored", "unresolved"


def fitted(target: float, floor: float, error: list[float], work: list[float]) -> float:
    """Work at the target by the local line, NaN where there are too few settings."""
    near = []
    for one, cost in zip(error, work):
        if one >= floor and cost > 0:
            x = math.log10(one / target)
            weight = 1 - (x / REACH) ** 2
            if weight > 0:
                near.append((weight, x, math.log10(cost)))
    if len(near) < LEAST_SETTINGS or len({x for _, x, _ in near}) == 1:
        return math.nan
    total = sum(weight for weight, _, _ in near)
    x_mean, y_mean = (sum(point[0] * point[place] for point in near) / total for place in (1, 2))
    slope = (sum(weight * (x - x_mean) * (y - y_mean) for weight, x, y in near)
             / sum(weight * (x - x_mean) ** 2 for weight, x, _ in near))
    exponent = y_mean - slope * x_mean
    return 10 ** exponent if exponent < MOST_DIGITS else math.inf  # nearly equal errors make a line as steep as that


def crossing(target: float, floor: float, error: Sequence[float], work: Sequence[float]) -> tuple[str, float]:
    """(kind, work at error `target`) of one seed; error and work [setting] from loose to tight, NaN where it failed."""
    # Plain numbers: these are a dozen, and the arrays' overhead would be most of what a comparison takes.
    error, work = (np.asarray(values, float).tolist() for values in (error, work))
    tightest = error[-1] if error else math.nan
    if target < floor:
        return (UNRESOLVED if tightest < floor else CENSORED), math.inf
    if not tightest <= target:
        return CENSORED, math.inf
    b = next((place + 1 for place in reversed(range(len(error))) if not error[place] <= target), 0)
    if b == 0 or math.isnan(error[b - 1]):
        return BOUND, work[b]
    value, around = fitted(target, floor, error, work), [one for one in work[max(b - 2, 0):b + 2] if one == one]
    if min(around) <= value <= max(around):
        return EXACT, value
    lower = max(error[b], floor)
    fraction = math.log10(error[b - 1] / target) / math.log10(error[b - 1] / lower)
    return EXACT, work[b - 1] * (work[b] / work[b - 1]) ** fraction if work[b - 1] else math.nan


def work_bounds(kind: str, value: float, tightest: float) -> tuple[float, float]:
    """(low, high) of the work that an error takes; tightest: work of the finest setting."""
    return {EXACT: (value, value), BOUND: (0.0, value), CENSORED: (tightest, math.inf),
            UNRESOLVED: (0.0, math.inf)}[kind]


def whole_seeds(grid: Grid) -> np.ndarray:
    """[seed] mask of those whose runs are all there."""
    return grid.complete.all(axis=1) & grid.done.any(axis=1)


def seed_bounds(grid: Grid, target: float) -> dict[int, tuple[float, float]]:
    """{row of the judged case: (low, high)} of the NFE at this error, for the seeds whose runs are all there."""
    bounds = {}
    for seed in np.flatnonzero(whole_seeds(grid)):
        tried = grid.tried[seed]
        kind, value = crossing(target, grid.floors[seed], grid.error[seed, tried], grid.nfe[seed, tried])
        largest = grid.nfe[seed, tried][np.isfinite(grid.nfe[seed, tried])].max(initial=0.0)
        bounds[seed] = work_bounds(kind, value, largest)
    return bounds


@dataclass
class Reach:
    """Work at one error over the seeds."""
    median: float  # NaN unless more than half of the seeds reach the error
    bound: bool    # the median is an upper bound
    reached: int
    seeds: int
    unresolved: int


def over_seeds(crossings: list[tuple[str, float]]) -> Reach:
    """Reach of what `crossing` says of each seed."""
    kinds = [kind for kind, _ in crossings]
    values = np.array([value for _, value in crossings])
    reached = int(np.isfinite(values).sum())
    median = float(np.median(values)) if 2 * reached > len(values) else math.nan
    bound = any(kind == BOUND and value >= median for kind, value in crossings)
    return Reach(median, bound, reached, len(values), kinds.count(UNRESOLVED))


def reach(grid: Grid, target: float, work: np.ndarray, usable: np.ndarray) -> Reach:
    """Reach of a grid with work [seed, setting], over the seeds whose cells are all usable [seed, setting]."""
    seeds = np.flatnonzero((usable | ~grid.done).all(axis=1) & whole_seeds(grid))
    cells = [(seed, grid.tried[seed]) for seed in seeds]
    return over_seeds([crossing(target, grid.floors[seed], grid.error[seed, tried], work[seed, tried])
                       for seed, tried in cells])


def fitted_orders(grid: Grid, largest: float) -> list[float]:
    """Of each seed with at least three resolved settings: -d log error / d log NFE."""
    slopes = []
    for floor, error, nfe in zip(grid.floors, grid.error, grid.nfe):
        with np.errstate(invalid="ignore"):
            use = (error >= floor) & (error <= largest)
        if use.sum() >= 3 and np.ptp(nfe[use]) > 0:
            slopes.append(-np.polyfit(np.log10(nfe[use]), np.log10(error[use]), 1)[0])
    return slopes


def fitted_order(grid: Grid, largest: float) -> float:
    """Median over seeds of their fitted orders, where more than half of them have one; else NaN."""
    slopes = fitted_orders(grid, largest)
    return float(np.median(slopes)) if 2 * len(slopes) > len(grid.floors) else math.nan
