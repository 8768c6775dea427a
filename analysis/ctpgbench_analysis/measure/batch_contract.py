"""batch_contract.py -- contracts on the mean gradient of a batch (train -batch_grad_rtol), and trainings to one loss

An audit compares a batch's mean gradient with an accurate one. The contract of that iteration ends in one of the ways
of measure/contract.py: kept, or broken and noticed, or broken in silence. Without a contract the same error may have
been allowed: the tolerances that would have kept it in 95 % of the audits are compared with, the cheapest in hindsight.

Evaluations are nf + nvjp + njvp + njac_products and, under a contract, those of its judge.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.contract import KEPT, NOTICED, SILENT, bar_is_good, outcomes
from ctpgbench_analysis.read.training import Pair, Training, first_below, moving_mean

DESCENT = 0.95  # of the way from the first loss to where the reference ends
SHARE = 0.95    # of the audits in which a constant tolerance has to be good enough
TERMS = ("relative", "absolute", "standard error", "integral")


def evaluations(pair: Pair) -> np.ndarray:
    """[s, i] of every iteration, those of a judge among them."""
    counts = [pair.history(name) for name in ("nf", "nvjp", "njvp", "njac_products") if pair.read(name) is not None]
    return sum(counts) + (pair.history("nfe_bar") if pair.read("nfe_bar") is not None else 0)


@dataclass
class BatchConduct:
    """One pair under a contract."""
    counts: dict[str, int]  # of KEPT, NOTICED, SILENT, over all audits
    bar_good: float         # share of the audits whose foretold error is within a factor 3 of the true one
    judge: float            # evaluations of the judge over all others
    again: float            # share of the iterations whose batch was solved more than once
    terms: list[float]      # shares of TERMS
    per_gradient: float     # evaluations of one gradient, all told (median over runs)
    price: float            # over that of the best constant tolerance in hindsight; NaN: none to compare with
    best: str               # its label


def audits(pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """[s, a]: error, norm and standard error at each audit, and [a] its iteration."""
    iteration = pair.scale("audit_iteration").astype(int)
    return pair.read("audit_error"), pair.read("audit_norm"), pair.read("audit_stderr"), iteration


def allowed(pair: Pair, norm: np.ndarray, stderr: np.ndarray) -> np.ndarray:
    """[s, a] what the options of this contract allow, but for the term of the integral."""
    options = pair.estimator_options
    rtol, atol, part = (float(options[f"batch_grad_{name}"]) for name in ("rtol", "atol", "stderr"))
    return np.fmax(np.fmax(rtol * norm, atol), np.where(np.isfinite(stderr), part * stderr, 0))


def per_gradient(pair: Pair) -> float:
    """Evaluations of one gradient over the whole training, median over runs."""
    work = np.nansum(evaluations(pair), axis=1) / np.maximum(1, pair.runs["iterations_done"]) / pair.batch()
    return float(np.median(work[pair.ok])) if pair.ok.any() else np.nan


def best_constant(training: Training, pair: Pair) -> tuple[float, str]:
    """Evaluations and label of the cheapest constant tolerance of the same type that would have kept the contract."""
    best = (np.nan, "")
    for other in training.of(pair.problem):
        if other.type != pair.type or other.read("promise") is not None or other.read("audit_error") is None:
            continue
        error, norm, stderr, _ = audits(other)
        known = np.isfinite(error)
        work = per_gradient(other)
        if known.any() and (error <= allowed(pair, norm, stderr))[known].mean() >= SHARE and not work >= best[0]:
            best = (work, other.label)
    return best


def batch_conduct(training: Training, pair: Pair) -> BatchConduct | None:
    """None: the pair has no contract, or was never audited."""
    if pair.read("promise") is None or pair.read("audit_error") is None:
        return None
    error, _, _, iteration = audits(pair)
    norm = pair.history("grad_norm")[:, iteration]
    promise, bar = (pair.history(name)[:, iteration] * norm for name in ("promise", "error_bar"))
    known = np.isfinite(error) & np.isfinite(promise)
    found = outcomes(np.ones(known.sum(), bool), error[known], bar[known], promise[known])
    within = bar_is_good(bar[known], error[known])
    judge, terms = pair.history("nfe_bar"), pair.history("promise_term")
    work, (best, label) = per_gradient(pair), best_constant(training, pair)
    return BatchConduct(counts={outcome: int((found == outcome).sum()) for outcome in (KEPT, NOTICED, SILENT)},
                        bar_good=float(within.mean()) if len(within) else np.nan,
                        judge=float(np.nansum(judge) / (np.nansum(evaluations(pair)) - np.nansum(judge))),
                        again=float(np.nanmean(pair.history("solves") > 1)),
                        terms=[float((terms == k + 1).sum() / np.isfinite(terms).sum()) for k in range(len(TERMS))],
                        per_gradient=work, price=work / best, best=label)


# ---- trainings to the same loss ----

def losses(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """[s, j] test losses and [j] their iterations; without tests means of the losses of the last twentieth of all
    iterations."""
    tests = pair.test_losses()
    if tests is not None:
        return tests, pair.scale("test_iteration").astype(int)
    history = pair.history("loss")
    return moving_mean(history, max(1, history.shape[1] // 20)), np.arange(history.shape[1])


def targets(reference: Pair) -> dict[int, float]:
    """{seed: loss}: DESCENT of the way from the first loss of this pair to its last one, where it is downhill."""
    found = {}
    values, _ = losses(reference)
    for seed, row in zip(reference.seeds.tolist(), values):
        row = row[np.isfinite(row)]
        if len(row):
            last = row[-max(1, len(row) // 10):].mean()
            if last < row[0]:
                found[seed] = row[0] + DESCENT * (last - row[0])
    return found


@dataclass
class Race:
    """How one pair comes to the targets."""
    reached: int
    of: int
    iterations: float  # medians over the seeds, infinite where half of them or more do not get there
    evaluations: float
    cpu: float         # s


def race(pair: Pair, goals: dict[int, float]) -> Race:
    """Of a pair, to the losses {seed: loss}."""
    values, at = losses(pair)
    works = [pair.work("iterations"), Pair.before(evaluations(pair)), pair.work("cpu")]
    ends = [[first_below(row, work[i, at], goals[int(seed)])
             for i, (seed, row) in enumerate(zip(pair.seeds, values)) if int(seed) in goals] for work in works]
    ends = [np.where(np.isnan(end), np.inf, end) for end in np.array(ends, float).reshape(3, -1)]
    medians = [float(np.median(end)) if len(end) else np.nan for end in ends]
    return Race(int(np.isfinite(ends[0]).sum()), len(ends[0]), *medians)


def race_of(training: Training, problem: str, reference: str) -> dict[str, Race]:
    """{label: Race} of all pairs of the problem, towards the losses of the reference label."""
    pairs = {pair.label: pair for pair in training.of(problem)}
    if reference not in pairs:
        return {}
    goals = targets(pairs[reference])
    return {label: race(pair, goals) for label, pair in pairs.items()}
