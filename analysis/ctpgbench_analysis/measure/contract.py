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


@dataclass
class Conduct:
    """One estimator on one problem."""
    counts: dict[str, int]  # of OUTCOMES
    bar_good: float         # share of the gradients whose error bar is within a factor 3
    price: float            # median over runs; NaN: nothing to compare with
    layer: float            # median of the error of the worst layer, over what is allowed
    signs: float            # median of the share of right signs


def outcomes(ok: np.ndarray, error: np.ndarray, bar: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """[r] of OUTCOMES, from arrays [r]."""
    good = error <= allowed
    return np.select([~ok, good, bar > allowed], [REFUSED, KEPT, NOTICED], SILENT)


def bar_is_good(bar: np.ndarray, error: np.ndarray) -> np.ndarray:
    """[r] is the error bar within a factor 3 of the true error?"""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = bar / error
    return (ratio > 1 / 3) & (ratio < 3)


def conduct(results: Results, problem: int, estimator: int) -> Conduct | None:
    """None: no run of this estimator on the problem has a contract, and a reference."""
    rows = results.rows(problem, estimator)
    judged = results.judged(problem)[results.runs["case_index"][rows]]
    rows = rows[results.run_done[rows] & judged]
    if results.estimators["knob"][estimator] != "grad_rtol" or not len(rows):
        return None
    run = results.runs[rows]
    ok = (run["status"] == results.ok) & np.isfinite(run["err_rel"])
    allowed = np.where(np.isfinite(run["promise"]), run["promise"], run["accuracy"])
    found = outcomes(ok, run["err_rel"], run["error_bar"], allowed)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = run["nfe"] / best_in_hindsight(results, problem, estimator, run["case_index"], allowed)
        layer = run["err_layer"] / allowed
    within = bar_is_good(run["error_bar"], run["err_rel"])
    return Conduct(counts={outcome: int((found == outcome).sum()) for outcome in OUTCOMES},
                   bar_good=float(within[ok].mean()) if ok.any() else np.nan, price=float(finite_median(price[ok])),
                   layer=float(finite_median(layer[ok])), signs=float(finite_median(run["sign_share"][ok])))


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
