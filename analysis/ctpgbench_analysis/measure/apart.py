"""apart.py -- why ctpg needs fewer NFE than Euler-BPTT: the gain at one gradient error, taken apart

On the way from Euler-BPTT to ctpg one thing changes at a time:

  order        Euler-BPTT -> RK4-BPTT: fixed steps and a discrete adjoint in both
  adaptivity   RK4-BPTT -> rk-adjoint: the steps follow the error, a discrete adjoint in both
  adjoint      rk-adjoint -> ctpg: adaptive steps in both, the continuous adjoint in place of the discrete one

A factor is NFE before / NFE after, per seed, the median over seeds with its interval; a seed on which an estimator's
finest setting does not reach the error counts by its bounds (crossing.py). A share is log(factor) / log(gain), of the
medians; the shares of a problem add up to one.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.measure.crossing import seed_bounds
from ctpgbench_analysis.measure.intervals import Interval, median_interval
from ctpgbench_analysis.read.sweep import Results

TARGET = 1e-3  # relative error of the gradient
# name: (types of estimators, knob); the first that the file has
RUNGS = {
    "Euler-BPTT": (("euler-bptt",), "dt"),
    "RK4-BPTT": (("rk4-bptt", "rk-adjoint"), "dt"),
    "adaptive discrete adjoint": (("rk-adjoint", "tsadjoint"), "rtol"),
    "ctpg": (("ctpg",), "rtol"),
}
ASIDE = ("adaptive continuous adjoint, state integrated back", ("neural-ode-ckpt",), "rtol")  # not on the way
PARTS = ("order", "adaptivity", "adjoint")


@dataclass
class Apart:
    """One problem."""
    problem: str
    labels: list[str]         # [4] of RUNGS
    nfe: list[float]          # [4] medians over the seeds; infinite where half of them do not get there
    factors: list[Interval]   # [3] of PARTS
    gain: Interval            # Euler-BPTT / ctpg
    aside: float              # median NFE of ASIDE; NaN without

    @property
    def shares(self) -> list[float]:
        """[3] of PARTS; NaN where a median is infinite."""
        if not all(map(math.isfinite, self.nfe)) or self.nfe[0] == self.nfe[-1]:
            return [math.nan] * len(PARTS)
        logs = np.log(self.nfe)
        return list((logs[:-1] - logs[1:]) / (logs[0] - logs[-1]))


def find(results: Results, types: tuple[str, ...], knob: str) -> int | None:
    """Row of estimators of the first of these types with this knob."""
    for kind in types:
        for row, estimator in enumerate(results.estimators):
            if estimator["type"] == kind and estimator["knob"] == knob:
                return row
    return None


def ratio(first: dict[int, tuple], second: dict[int, tuple]) -> Interval:
    """Interval of first / second over the seeds of both, (low, high) of each."""
    seeds = sorted(first.keys() & second.keys())
    low = [first[s][0] / second[s][1] if second[s][1] else 0.0 for s in seeds]
    high = [first[s][1] / second[s][0] if second[s][0] else math.inf for s in seeds]
    return median_interval(low, high)


def median_work(bounds: dict[int, tuple]) -> float:
    """Median NFE; infinite where half of the seeds do not reach the error."""
    return float(np.median([high for _, high in bounds.values()])) if bounds else math.nan


def take_apart(results: Results, target: float = TARGET) -> list[Apart]:
    """Every problem on which all of RUNGS have a complete seed."""
    rows = [find(results, *rung) for rung in RUNGS.values()]
    if None in rows:
        return []
    beside, found = find(results, *ASIDE[1:]), []
    for problem, info in enumerate(results.problems):
        if not all(len(results.rows(problem, row)) for row in rows):
            continue
        bounds = [seed_bounds(make_grid(results, problem, row), target) for row in rows]
        if not set.intersection(*(set(one) for one in bounds)):
            continue
        aside = seed_bounds(make_grid(results, problem, beside), target) \
            if beside is not None and len(results.rows(problem, beside)) else {}
        found.append(Apart(info["label"], [results.estimators["label"][row] for row in rows],
                           [median_work(one) for one in bounds], [ratio(*two) for two in zip(bounds, bounds[1:])],
                           ratio(bounds[0], bounds[-1]), median_work(aside)))
    return found


# ---- words ----

def span(values: list[float], text: str = ".0f") -> str:
    """"3 to 8", or "3" where both round to the same."""
    low, high = format(min(values) + 0.0, text), format(max(values) + 0.0, text)
    return low if low == high else f"{low} to {high}"


def sentences(found: list[Apart]) -> list[str]:
    """Two sentences on the shares, of the problems whose medians are all finite; none without."""
    known = [one for one in found if all(map(math.isfinite, one.shares))]
    if not known:
        return []
    order, adaptivity, adjoint = (span([100 * one.shares[k] for one in known]) for k in range(len(PARTS)))
    factors = [one.nfe[2] / one.nfe[3] for one in known]
    problems = ", ".join(one.problem for one in known)
    dearer = sum(factor < 1 for factor in factors)
    return [
        f"Of the gain of ctpg over Euler-BPTT at a relative gradient error of {TARGET:g} (in logarithms; {problems}), "
        f"the order of the method alone makes {order} % (Euler against fixed steps of RK4), and steps that follow the "
        f"error {adaptivity} %.",
        f"The continuous adjoint in place of the discrete one makes {adjoint} %: a factor of {span(factors, '.2g')}, "
        f"on {dearer} of {len(known)} problems below 1, where it costs evaluations rather than saving them.",
    ]


def lines_of(found: list[Apart]) -> list[str]:
    """One line per problem: its factors with intervals, and shares."""
    lines = []
    for one in found:
        parts = "; ".join(f"{name} {factor.text()}" + ("" if math.isnan(share) else f", {100 * share:.0f} %")
                          for name, factor, share in zip(PARTS, one.factors, one.shares))
        lines.append(f"{one.problem}: gain {one.gain.text()} = {parts}.")
    return lines
