"""flagship.py -- lia against all other rows: ctpgbench flagship judged.h5 [--variants F] [--ablations F]
[--best FILE] [--freeze] [--page FILE]

Prints the parts of docs/flagship.md, or writes them where that page has "<!-- flagship: NAME -->" ... "<!-- end -->".
Work at an error is that of measure/crossing.py, without the settings that -eval_limit ended (affordable). "Best other
row" is, on each problem and at each error, the row of ELIGIBLE with the least median on the tuning seeds; --freeze
writes that choice to the file of --best, from results of tuning seeds, and from then on it is read there.
"""
from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.cells import Grid, make_grid
from ctpgbench_analysis.measure.crossing import BOUND, affordable, crossing, over_seeds
from ctpgbench_analysis.measure.intervals import median_interval
from ctpgbench_analysis.measure.prices import PRICES
from ctpgbench_analysis.measure.stability import ORDERS, real_interval
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import power
from ctpgbench_analysis.report.sessions import session_lines
from ctpgbench_analysis.report.text import markdown

TARGETS = (1e-1, 1e-2, 1e-3, 1e-6, 1e-9)
SHOWN = (1e-3, 1e-6)  # where a single number has to do
FLAGSHIP = "lia"
ELIGIBLE = ("ctpg", "rk-5bs", "rk-6ve", "rk-dop853", "tsadjoint", "cvodes")  # rows that were there before lia
# FLAGSHIP.md's second look: medians of the prototype's NFE at 1e-2, 1e-3, 1e-6 over six seeds, random policies.
PROTOTYPE = {"quadrotor": (95, 128, 387), "pendulum": (71, 103, 206), "diffdrive": (64, 94, 198)}
PROTOTYPE_TARGETS = (1e-2, 1e-3, 1e-6)
FACTORS = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0)  # M / f_x


def estimator_row(results: Results, label: str) -> int:
    """The number of the label, -1: it is not in the file."""
    found = np.flatnonzero(results.estimators["label"] == label)
    return int(found[0]) if len(found) else -1


def thinned(grid: Grid, every: int) -> list[int]:
    """Every so manieth setting, the tightest among them."""
    return list(range(len(grid.settings)))[::-1][::every][::-1]


@functools.cache
def grid_of(results: Results, problem: int, label: str, price: int) -> Grid | None:
    """None where the row is not on this problem."""
    estimator = estimator_row(results, label)
    if estimator < 0 or not len(results.rows(problem, estimator)):
        return None
    return make_grid(results, problem, estimator, price=price)


def crossings(results: Results, problem: int, label: str, target: float, price: int, every: int) -> list:
    """(kind, NFE) of each seed at that error, as measure/crossing.py has them; of those seeds whose runs are all
    done."""
    grid = grid_of(results, problem, label, price)
    found = []
    if not grid:
        return found
    keep = thinned(grid, every)
    for floor, error, nfe, done in zip(grid.floors, grid.error, grid.nfe, grid.complete):
        if done[keep].all():
            tried = affordable(error[keep])
            found.append(crossing(target, floor, error[keep][tried], nfe[keep][tried]))
    return found


def works(results: Results, problem: int, label: str, target: float, price: int = 1, every: int = 1) -> np.ndarray:
    """[seed] NFE at that error, inf where a seed does not reach it; empty where the label has no complete seed."""
    return np.array([work for _, work in crossings(results, problem, label, target, price, every)])


def median(values: np.ndarray) -> float:
    """NaN unless more than half are finite: the rule of measure/crossing.py."""
    return over_seeds([("exact", value) for value in values]).median if len(values) else math.nan


# ---- the frozen choice ----

def choose_best(results: Results) -> dict[tuple[str, float], str]:
    """{(problem, target): the eligible row with the least median there}; without those that nobody reaches."""
    best = {}
    for problem, label in enumerate(results.problems["label"]):
        for target in TARGETS:
            found = {row: median(works(results, problem, row, target)) for row in ELIGIBLE}
            found = {row: value for row, value in found.items() if not math.isnan(value)}
            if found:
                best[label, target] = min(found, key=found.__getitem__)
    return best


def write_best(path: str, best: dict[tuple[str, float], str], source: str) -> None:
    lines = [f"# The best row other than lia, chosen on tuning seeds ({Path(source).name}) alone.",
             "# problem  error  row", *(f"{label} {power(target)} {row}" for (label, target), row in best.items())]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_best(path: str) -> dict[tuple[str, float], str]:
    best = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}.") from None
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        words = line.split()
        if len(words) != 3:
            raise ResultsError(f"{path} has the line \"{line}\"; expected a problem, an error and a row.")
        best[words[0], float(words[1])] = words[2]
    return best


# ---- tables ----

def count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def ratio(a: float, b: float) -> str:
    return "-" if math.isnan(a) or math.isnan(b) else f"{a / b:.2f}"


def interval_text(values: np.ndarray, form: str) -> str:
    """"64 (58 to 71)": median and its 95 % interval; "-" where most do not reach."""
    if math.isnan(median(values)):
        return "-"
    found = median_interval(values)
    ends = f" ({found.low:{form}} to {found.high:{form}})" if found.known else ""
    return f"{median(values):{form}}{ends}".replace("inf", "never")


def paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[seed] ratios; neither reaches: none. One that alone reaches is infinitely better."""
    if len(a) != len(b):
        return np.zeros(0)
    both = np.isfinite(a) | np.isfinite(b)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(b[both]), 0, a[both] / b[both])


def headline_table(results: Results, best: dict, target: float) -> list[str]:
    header = ["problem", "lia, NFE", "best other row", "its NFE", "lia / best", "price 2", "price 3", "lia / ctpg",
              "lia / ctpg as the paper's"]
    body = []
    for problem, label in enumerate(results.problems["label"]):
        row = best.get((label, target))
        ours = works(results, problem, FLAGSHIP, target)
        theirs = works(results, problem, row, target) if row else np.zeros(0)
        prices = [ratio(median(works(results, problem, FLAGSHIP, target, price)),
                        median(works(results, problem, row, target, price)) if row else math.nan)
                  for price in PRICES[1:]]
        both = not math.isnan(median(ours)) and not math.isnan(median(theirs))
        body.append([label, interval_text(ours, ".0f"), f"`{row}`" if row else "none", count(median(theirs)),
                     f"{ratio(median(ours), median(theirs))}" + spread(paired(ours, theirs), both), *prices,
                     *(ratio(median(ours), median(works(results, problem, other, target)))
                       for other in ("ctpg", "ctpg-paper"))])
    return markdown(header, body)


def spread(ratios: np.ndarray, known: bool) -> str:
    """The interval of the paired ratios' median."""
    found = median_interval(ratios) if known and len(ratios) else None
    return f" ({found.low:.2f} to {found.high:.2f})" if found and found.known else ""


def headline_lines(results: Results, best: dict) -> list[str]:
    lines = []
    for target in TARGETS:
        lines += [f"At an error of {power(target)}:", "", *headline_table(results, best, target), ""]
    return lines[:-1]


def rows_lines(results: Results) -> list[str]:
    """Medians of every row."""
    labels = list(results.estimators["label"])
    header = ["problem", *[f"`{label}`" for label in labels]]
    body = []
    for problem, name in enumerate(results.problems["label"]):
        body.append([name, *[" / ".join(count(median(works(results, problem, label, target))) for target in TARGETS)
                             for label in labels]])
    return markdown(header, body)


def halving_lines(results: Results) -> list[str]:
    """What every second setting changes."""
    changes = {}
    for problem, name in enumerate(results.problems["label"]):
        for label in results.estimators["label"]:
            for target in TARGETS:
                both = [crossings(results, problem, label, target, 1, every) for every in (1, 2)]
                if BOUND in {kind for found in both for kind, _ in found}:
                    continue  # a loosest setting that is below the error already says nothing of the grid
                fine, coarse = (median(np.array([work for _, work in found])) for found in both)
                if not math.isnan(fine) and not math.isnan(coarse):
                    changes[name, label, target] = abs(coarse / fine - 1)
    if not changes:
        return ["Nothing to compare."]
    values = np.array(list(changes.values()))
    worst = max(changes, key=changes.__getitem__)
    return [f"With every second setting alone, {np.mean(values < 0.03):.0%} of the {len(values)} medians (problem, "
            f"row, error) change by less than 3 %, half of them by less than {np.median(values):.1%}, and the most by "
            f"{changes[worst]:.0%} ({worst[1]} on {worst[0]} at {power(worst[2])})."]


def prototype_lines(results: Results) -> list[str]:
    header = ["problem", *[f"{who} at {power(target)}" for target in PROTOTYPE_TARGETS for who in ("prototype", "lia")]]
    body = []
    for problem, name in enumerate(results.problems["label"]):
        if name in PROTOTYPE:
            cells = []
            for target, figure in zip(PROTOTYPE_TARGETS, PROTOTYPE[name]):
                cells += [str(figure), count(median(works(results, problem, FLAGSHIP, target)))]
            body.append([name, *cells])
    return markdown(header, body)


def relative_lines(results: Results, base_of) -> list[str]:
    """Each row's NFE over that of its base, geometric mean over the problems where both reach the error."""
    header = ["row", "beside", *[f"at {power(target)}" for target in TARGETS[1:]]]
    body = []
    for label in results.estimators["label"]:
        base = base_of(label, list(results.estimators["label"]))
        if not base or base == label:
            continue
        cells = []
        for target in TARGETS[1:]:
            found = []
            for problem in range(len(results.problems)):
                a, b = (median(works(results, problem, row, target)) for row in (label, base))
                if not math.isnan(b):
                    found.append(a / b)
            reached = [value for value in found if not math.isnan(value)]
            mean = float(np.exp(np.mean(np.log(reached)))) if reached else math.nan
            missing = len(found) - len(reached)
            cells.append(("-" if math.isnan(mean) else f"{mean:.2f}") + (f", {missing} not reached" if missing else ""))
        body.append([f"`{label}`", f"`{base}`", *cells])
    return markdown(header, body)


def base_of_variant(label: str, labels: list[str]) -> str:
    """rk-6ve of rk-6ve-s8; of ros-* the one of order 4."""
    if label.startswith("ros-"):
        return "ros-euler4"
    known = [other for other in labels if label.startswith(other + "-")]
    return max(known, key=len, default="")


def base_of_ablation(label: str, labels: list[str]) -> str:
    return FLAGSHIP if FLAGSHIP in labels else ""


def stability_lines() -> list[str]:
    header = ["M / f_x", *[f"k = {k}" for k in ORDERS]]
    body = []
    for g in FACTORS:
        cells = []
        for k in ORDERS:
            x = real_interval(k, g)
            cells.append("all" if math.isinf(x) else f"{x:.2g}")
        body.append([f"{g:g}", *cells])
    return markdown(header, body)


def make_parts(results: Results, best: dict, variants: Results | None,
               ablations: Results | None) -> dict[str, list[str]]:
    """{name of the part: its lines of Markdown}."""
    files = [file for file in (results, variants, ablations) if file]
    tables = [{name: {label: {"nfe": [over_seeds(crossings(file, problem, label, SHOWN[0], 1, 1))]}
                      for label in file.estimators["label"]} for problem, name in enumerate(file.problems["label"])}
              for file in files]
    parts = {"sessions": session_lines(files, tables), "headline": headline_lines(results, best),
             "rows": rows_lines(results), "halving": halving_lines(results), "prototype": prototype_lines(results),
             "stability": stability_lines()}
    if variants:
        parts["variants"] = relative_lines(variants, base_of_variant)
    if ablations:
        parts["ablations"] = relative_lines(ablations, base_of_ablation)
    return parts
