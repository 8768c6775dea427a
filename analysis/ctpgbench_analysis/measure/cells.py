"""cells.py -- one estimator on one problem: errors and work by seed and accuracy setting

Words used by figures and tables:
  setting  one value of an estimator's accuracy knob; settings run from loose to tight (towards small rtol and dt,
           towards many samples)
  cell     one seed at one setting: the median over its repeats; it is reached only if every repeat ended "ok"
  floor    what the reference gradient can resolve, 3 times its own error, and never below the unit of float64
  judged   a seed whose reference gradient ended "ok"; the others say nothing about an estimator's error
"""
from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from ctpgbench_analysis.measure.prices import PRICES, priced
from ctpgbench_analysis.measure.quantiles import finite_median
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import TIMINGS


@dataclass
class Grid:
    """One estimator on one problem: arrays [seed, setting] over the judged seeds."""
    cases: np.ndarray     # [seed] rows of the table of cases
    settings: np.ndarray  # [setting] accuracies, from loose to tight
    floors: np.ndarray    # [seed] errors below are not resolved
    error: np.ndarray     # medians over repeats, NaN where not reached
    nfe: np.ndarray       # at the price that was asked for
    dear: np.ndarray      # at the dearest price of a Jacobian
    work: np.ndarray      # s, nf and nvjp times what one of them cost on this problem
    bytes: np.ndarray     # peak of what was stored
    time: np.ndarray      # s of the clock of the results, of the chosen timing and of crowded runs only
    crowded: np.ndarray   # half or more of its timed repeats were timed in a crowd
    reached: np.ndarray   # every committed repeat ended ok and has an error
    done: np.ndarray      # at least one repeat is committed
    tried: np.ndarray     # done, but not one of the settings at the tight end that all took more than -eval_limit
    complete: np.ndarray  # all planned repeats are committed
    timed: np.ndarray     # reached, and timed the chosen way

    def only(self, settings: list[int]) -> Grid:
        """With these settings alone."""
        arrays = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, settings=self.settings[settings],
                       **{name: array[:, settings] for name, array in arrays.items() if array.ndim == 2})

    def of_seeds(self, rows: list[int]) -> Grid:
        """With these seeds alone."""
        return replace(self, **{one.name: getattr(self, one.name)[rows] for one in fields(self)
                                if one.name != "settings"})


def floors(results: Results, cases: np.ndarray, error: str) -> np.ndarray:
    """[c] per case (mask or indices [c]): the smallest error of this kind that its reference gradient resolves."""
    case = results.cases[cases]
    theta, start = case["ref_err"] * case["grad_norm"], case["ref_err_x0"] * case["grad_x0_norm"]
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = {"err_rel": case["grad_norm"], "err_abs": np.ones(len(case)), "err_x0": case["grad_x0_norm"],
                 "err_joint": np.hypot(case["grad_norm"], case["grad_x0_norm"])}[error]
        size = {"err_rel": theta, "err_abs": theta, "err_x0": start, "err_joint": np.hypot(theta, start)}[error]
        unit = np.finfo(float).eps * (case["grad_norm"] if error == "err_abs" else 1)
        return np.fmax(3 * size / scale, unit)


def within_limit(done: np.ndarray, limited: np.ndarray) -> np.ndarray:
    """[seed, setting] done, without the settings at the tight end that -eval_limit ended (limited)."""
    tail = np.logical_and.accumulate((limited | ~done)[:, ::-1], axis=1)[:, ::-1]
    return done & ~tail


def make_grid(results: Results, problem: int, estimator: int, error: str = "err_rel",
              timing: str | None = TIMINGS[0], price: int = 1) -> Grid:
    """Grid of an estimator (row of estimators) on a problem (row of problems); error: of ERRORS, timing: of TIMINGS,
    or None for all, price of its NFE: of PRICES."""
    planned = results.rows(problem, estimator)
    planned = planned[results.judged(problem)[results.runs["case_index"][planned]]]
    run, done = results.runs[planned], results.run_done[planned]
    cases, seed = np.unique(run["case_index"], return_inverse=True)
    settings, setting = np.unique(run["accuracy"], return_inverse=True)
    if results.estimators["knob"][estimator] != "samples":
        settings, setting = settings[::-1], len(settings) - 1 - setting
    repeats, repeat = np.unique(run["repeat"], return_inverse=True)

    def spread(values, keep, fill):
        cube = np.full((len(cases), len(settings), len(repeats)), fill)
        cube[seed[keep], setting[keep], repeat[keep]] = values[keep]
        return cube

    def median(values, keep):
        return finite_median(spread(values, keep, np.nan), axis=2)

    everything = np.ones(len(run), bool)
    good = done & (run["status"] == results.ok) & np.isfinite(run[error])
    has_result = spread(done, everything, False).any(axis=2)
    reached = has_result & ~spread(done & ~good, everything, False).any(axis=2)
    limited = spread(done & (run["status"] == results.eval_limit), everything, False).any(axis=2)
    cost = results.problems[problem]
    work = cost["cost_f"] * run["nf"] + cost["cost_vjp"] * run["nvjp"]
    shown, crowded = results.shown(timing, planned)
    time = median(results.times[planned], good & shown)
    return Grid(cases=cases, settings=settings, floors=floors(results, cases, error), reached=reached, done=has_result,
                tried=within_limit(has_result, limited),
                complete=~spread(~done, everything, False).any(axis=2), timed=reached & np.isfinite(time),
                error=np.where(reached, median(run[error], good), np.nan),
                nfe=np.where(reached, median(priced(results, planned, price), good), np.nan),
                dear=np.where(reached, median(priced(results, planned, PRICES[-1]), good), np.nan),
                work=np.where(reached, median(work, good), np.nan),
                bytes=np.where(reached, median(run["bytes"].astype(float), good), np.nan),
                time=np.where(reached, time, np.nan),
                crowded=median(crowded.astype(float), good & shown) >= 0.5)
