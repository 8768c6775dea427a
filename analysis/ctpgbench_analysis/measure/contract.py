"""contract.py -- how an estimator keeps its contract on the gradient's error (knob grad_rtol)

Allowed is column `promise`, relative to the norm. A run ends in one of four ways:
  kept     its error is allowed
  noticed  it is not, and its error bar says so
  silent   it is not, and its error bar says that it is
  refused  it has no gradient
Its error bar is good within a factor 3 of the true error. Its price is its NFE over that of the cheapest run of a
label of the same type under rtol, on the same case, whose error is allowed: the best tolerance in hindsight, lucky ones
among them.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.quantiles import finite_median
from ctpgbench_analysis.read.sweep import Results

KEPT, NOTICED, SILENT, REFUSED = "kept", "noticed", "silent", "refused"
OUTCOMES = (KEPT, NOTICED, SILENT, REFUSED)
LOOSE = 9e-3  # error bars are weakest where 1e-2 or more is asked for


@dataclass
class Trials:
    """[r] runs under a contract; NaN: not known, or no gradient."""
    outcome: np.ndarray   # of OUTCOMES
    asked: np.ndarray     # grad_rtol
    bar_good: np.ndarray  # 1 or 0: is the error bar within a factor 3?
    price: np.ndarray
    layer: np.ndarray     # error of the worst layer, over what is allowed
    cosine: np.ndarray    # 1 - cosine of the angle to the true gradient
    signs: np.ndarray     # share of right signs


@dataclass
class Conduct:
    """Runs together: counts of OUTCOMES, means of bar_good over all and over those that ask for less than LOOSE,
    medians of the rest."""
    counts: dict[str, int]
    bar_good: float
    bar_tight: float
    price: float
    layer: float
    cosine: float
    signs: float


def outcomes(ok: np.ndarray, error: np.ndarray, bar: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """[r] of OUTCOMES, from arrays [r]."""
    good = error <= allowed
    return np.select([~ok, good, bar > allowed], [REFUSED, KEPT, NOTICED], SILENT)


def bar_is_good(bar: np.ndarray, error: np.ndarray) -> np.ndarray:
    """[r] is the error bar within a factor 3 of the true error?"""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = bar / error
    return (ratio > 1 / 3) & (ratio < 3)


def trials_of(results: Results, problem: int, estimator: int) -> Trials | None:
    """None: no run of this estimator on the problem has a contract, and a reference."""
    rows = results.rows(problem, estimator)
    judged = results.judged(problem)[results.runs["case_index"][rows]]
    rows = rows[results.run_done[rows] & judged]
    if results.estimators["knob"][estimator] != "grad_rtol" or not len(rows):
        return None
    run = results.runs[rows]
    ok = (run["status"] == results.ok) & np.isfinite(run["err_rel"])
    allowed = np.where(np.isfinite(run["promise"]), run["promise"], run["accuracy"])
    with np.errstate(divide="ignore", invalid="ignore"):
        price = run["nfe"] / best_in_hindsight(results, problem, estimator, run["case_index"], allowed)
        layer = run["err_layer"] / allowed
    known = [np.where(ok, values, np.nan) for values in (
        bar_is_good(run["error_bar"], run["err_rel"]), price, layer, 1 - run["cosine"], run["sign_share"])]
    return Trials(outcomes(ok, run["err_rel"], run["error_bar"], allowed), run["accuracy"], *known)


def together(trials: list[Trials]) -> Conduct:
    """All of these runs as one."""
    every = Trials(*(np.concatenate(parts) for parts in zip(*(vars(one).values() for one in trials))))
    return Conduct(counts={outcome: int((every.outcome == outcome).sum()) for outcome in OUTCOMES},
                   bar_good=finite_mean(every.bar_good), bar_tight=finite_mean(every.bar_good[every.asked < LOOSE]),
                   **{name: float(finite_median(getattr(every, name)))
                      for name in ("price", "layer", "cosine", "signs")})


def finite_mean(values: np.ndarray) -> float:
    """NaN of none."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def conduct(results: Results, problem: int, estimator: int) -> Conduct | None:
    """One estimator on one problem; None as in trials_of."""
    found = trials_of(results, problem, estimator)
    return together([found]) if found else None


def best_in_hindsight(results: Results, problem: int, estimator: int, cases: np.ndarray,
                      allowed: np.ndarray) -> np.ndarray:
    """[r] NFE of the cheapest run under rtol of the same type, for runs on these cases with these allowed errors."""
    same = ((results.estimators["type"] == results.estimators["type"][estimator])
            & (results.estimators["knob"] == "rtol"))
    rows = results.rows(problem)
    rows = rows[results.run_done[rows] & same[results.runs["estimator"][rows]]]
    plain = results.runs[rows]
    plain = plain[plain["status"] == results.ok]
    best = np.full(len(cases), np.nan)
    for i, (case, error) in enumerate(zip(cases, allowed)):
        reached = plain["nfe"][(plain["case_index"] == case) & (plain["err_rel"] <= error)]
        if len(reached):
            best[i] = reached.min()
    return best
