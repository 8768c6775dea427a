"""flagship.py -- lia against all other rows: ctpgbench flagship judged.h5 [--variants F] [--ablations F]
[--best FILE] [--freeze] [--page FILE]

Prints the parts of docs/flagship.md, or writes them where that page has "<!-- flagship: NAME -->" ... "<!-- end -->".
Work at an error is that of measure/crossing.py, ratios are those of measure/ratios.py, seed by seed, and the ratio
that is named is that of measure/prices.py: at the first price only where the third says the same of who is cheaper.

Who lia is held against is chosen on tuning seeds, on each problem and at each error the row with the least median:
--freeze writes these rows to the file of --best, from results of tuning seeds, and from then on they are read there.
"""
from __future__ import annotations

import functools
import math
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.cells import Grid, make_grid
from ctpgbench_analysis.measure.crossing import BOUND, EXACT, Reach, over_seeds
from ctpgbench_analysis.measure.intervals import median_interval
from ctpgbench_analysis.measure.need import needs
from ctpgbench_analysis.measure.prices import PRICES, headline
from ctpgbench_analysis.measure.ratios import Paired, pair
from ctpgbench_analysis.measure.stability import ORDERS, real_interval
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import power
from ctpgbench_analysis.report.sessions import session_lines
from ctpgbench_analysis.report.text import markdown, or_dash

TARGETS = (1e-1, 1e-2, 1e-3, 1e-6, 1e-9)
PAGE_WIDTH = 116
FLAGSHIP = "lia"
TUNED = "-tuned"
# Rows that were there before lia, as they are, and with the settings that jobs/flagship-tuning.yaml found; rows that
# came with lia, because they take its Jacobians or are what others use.
PLAIN = ("ctpg", "ctpg-dop853", "rk-5bs", "rk-6ve", "rk-8ve", "rk-dop853", "tsadjoint", "cvodes")
APART = ("cvodes-newton", "cvodes-bdf", "rosenbrock-w", "rosenbrock-euler5", "rk4-bptt")
# FLAGSHIP.md's second look: medians of the prototype's NFE at 1e-2, 1e-3, 1e-6 over six seeds, random policies, and
# what that was of ctpg and of the best other row.
PROTOTYPE = {"quadrotor": ((95, 128, 387), (0.58, 0.54, 0.64), (0.58, 0.54, 0.64)),
             "pendulum": ((71, 103, 206), (0.31, 0.32, 0.24), (0.33, 0.38, 0.36)),
             "diffdrive": ((64, 94, 198), (0.36, 0.41, 0.31), (0.52, 0.59, 0.49))}
PROTOTYPE_TARGETS = (1e-2, 1e-3, 1e-6)
# Its first table: of the best other row at 1e-3, 1e-6, 1e-9 over 12 cases of 4 to 6 trained policies each.
PROTOTYPE_TRAINED = {"diffdrive-trained": (0.53, 0.48, 0.41), "diffdrive-long-trained": (0.42, 0.43, 0.38),
                     "quadrotor-trained": (0.56, 0.61, 0.58), "electric-trained": (0.54, 0.69, 0.67),
                     "pendulum-trained": (0.55, 0.53, 0.58)}
TRAINED_TARGETS = (1e-3, 1e-6, 1e-9)
FACTORS = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0)  # M / f_x
SETTINGS = re.compile(r"(-(s\d+|pi|h211|a\d+|r\d+|norm|weights|j\d+))+$")  # of jobs/flagship-tuning.yaml


@dataclass
class Choice:
    """Labels of the cheapest rows on one problem at one error; "" where nobody reaches it."""
    plain: str  # of PLAIN
    best: str   # of these and the tuned ones
    apart: str  # of APART


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
    return make_grid(results, problem, estimator, timing=results.choose_timing(problem)[0], price=price)


def needs_of(results: Results, problem: int, label: str, target: float, price: int = 1, every: int = 1,
             quantity: str = "nfe") -> np.ndarray:
    """[seed, 2] needs of the judged seeds, NaN where one is not done; empty where the label is not on this problem."""
    grid = grid_of(results, problem, label, price)
    if not grid:
        return np.zeros((0, 2))
    if every > 1:
        grid = grid.only(thinned(grid, every))
    return needs(grid, target, getattr(grid, quantity), grid.reached)


def told(needs: np.ndarray) -> np.ndarray:
    """[seed, 2] without the seeds that are not done."""
    return needs[~np.isnan(needs[:, 0])]


def median(needs: np.ndarray) -> float:
    """Of the upper ends; NaN unless more than half are finite: the rule of measure/crossing.py."""
    return reach(needs).median


def reach(needs: np.ndarray) -> Reach:
    """over_seeds of needs [seed, 2]."""
    return over_seeds([(BOUND if low == 0 else EXACT, high) for low, high in told(needs)])


def against(results: Results, problem: int, label: str, target: float, price: int = 1,
            quantity: str = "nfe") -> Paired:
    """lia over that row, seed by seed, at a price; without pairs where one of them does not reach the error on most
    seeds."""
    mine, base = (needs_of(results, problem, row, target, price, quantity=quantity) for row in (FLAGSHIP, label))
    usable = len(mine) == len(base) and not math.isnan(median(mine)) and not math.isnan(median(base))
    return pair(mine, base) if usable else pair(np.zeros((0, 2)), np.zeros((0, 2)))


# ---- the frozen choice ----

def cheapest(results: Results, problem: int, target: float, labels: tuple[str, ...]) -> str:
    """The label with the least median."""
    found = {label: median(needs_of(results, problem, label, target)) for label in labels}
    found = {label: value for label, value in found.items() if not math.isnan(value)}
    return min(found, key=found.__getitem__) if found else ""


def choose_best(results: Results) -> dict[tuple[str, float], Choice]:
    """{(problem, target): who is cheapest there}."""
    tuned = tuple(label for label in results.estimators["label"] if label.endswith(TUNED))
    best = {}
    for problem, label in enumerate(results.problems["label"]):
        for target in TARGETS:
            best[label, target] = Choice(*(cheapest(results, problem, target, rows) for rows in
                                           (PLAIN, PLAIN + tuned, APART)))
    return best


def seeds_of(results: Results) -> str:
    """"200 to 211"."""
    seeds = results.cases["seed"]
    return f"{seeds.min()} to {seeds.max()}"


def write_best(path: str, best: dict[tuple[str, float], Choice], seeds: str) -> None:
    lines = [f"# Who lia is held against, chosen on tuning seeds ({seeds}) alone, before any judging seed was run.",
             "# problem  error  best row as it is  best row, also tuned  best row that came with lia"]
    for (label, target), choice in best.items():
        rows = [row or "-" for row in (choice.plain, choice.best, choice.apart)]
        lines.append(" ".join([label, power(target), *rows]))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_best(path: str) -> dict[tuple[str, float], Choice]:
    best = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}.") from None
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        words = line.split()
        if len(words) != 5:
            raise ResultsError(f"{path} has the line \"{line}\"; expected a problem, an error and three rows.")
        best[words[0], float(words[1])] = Choice(*("" if word == "-" else word for word in words[2:]))
    return best


# ---- tables ----

def work_text(needs: np.ndarray) -> str:
    """"64 (58 to 71)": median and its 95 % interval, "<= 64" where it is a bound; "-" where most do not reach."""
    found = reach(needs)
    if math.isnan(found.median):
        return "-"
    ends = median_interval(told(needs)[:, 1])
    spread = f" ({ends.low:.0f} to {ends.high:.0f})" if ends.known else ""
    return f"{'<= ' if found.bound else ''}{found.median:.0f}{spread}".replace("inf", "never")


def ratio_value(paired: Paired) -> float:
    """The median of the ratios. Where it is known only to lie between two ends it is the upper one, the worst for lia;
    NaN without pairs, and where it may be anything above."""
    top = paired.ratio.value if math.isnan(paired.ratio.top) else paired.ratio.top
    return math.nan if math.isinf(top) and not math.isinf(paired.ratio.value) else top


def ratio_text(paired: Paired, interval: bool = False) -> str:
    """"0.49 (0.41 to 0.56)"; "<= 0.49" where it is an upper bound."""
    value = ratio_value(paired)
    if math.isnan(value):
        return "-"
    sign = "<= " if paired.ratio.value < value else ""
    ends = f" ({paired.ratio.low:.2f} to {paired.ratio.high:.2f})" if interval and paired.ratio.known else ""
    return f"{sign}{value:.2f}{ends}"


def named_ratio(results: Results, problem: int, label: str, target: float) -> float:
    """The ratio that may be named: at price 1 where price 3 has the same sign."""
    return headline(*(ratio_value(against(results, problem, label, target, price))
                      for price in (PRICES[0], PRICES[-1])))


def headline_row(results: Results, problem: int, choice: Choice, target: float) -> list[str]:
    by_price = [against(results, problem, choice.best, target, price) for price in PRICES]
    named = named_ratio(results, problem, choice.best, target)
    time = against(results, problem, choice.best, target, quantity="time")
    return [work_text(needs_of(results, problem, FLAGSHIP, target)), f"`{choice.best}`" if choice.best else "none",
            or_dash(median(needs_of(results, problem, choice.best, target)), ".0f"),
            "-" if math.isnan(named) else f"**{named:.2f}**", ratio_text(by_price[0], True),
            *map(ratio_text, by_price[1:]), ratio_text(time), f"`{choice.apart}`" if choice.apart else "none",
            ratio_text(against(results, problem, choice.apart, target), True),
            *(ratio_text(against(results, problem, other, target)) for other in ("ctpg", "ctpg-paper"))]


def headline_table(results: Results, best: dict, target: float) -> list[str]:
    header = ["problem", "seeds", "lia, NFE", "best other row", "its NFE", "named", "lia / best, price 1", "price 2",
              "price 3", "CPU", "best apart", "lia / it", "lia / ctpg", "lia / ctpg as the paper's"]
    body = []
    for problem, label in enumerate(results.problems["label"]):
        if (label, target) in best:
            seeds = len(told(needs_of(results, problem, FLAGSHIP, target)))
            body.append([label, str(seeds), *headline_row(results, problem, best[label, target], target)])
    return markdown(header, body)


def headline_lines(results: Results, best: dict) -> list[str]:
    lines = []
    for target in TARGETS:
        lines += [f"At an error of {power(target)}:", "", *headline_table(results, best, target), ""]
    return lines[:-1]


# ---- what comes out, in words ----

def geometric(values: list[float]) -> str:
    usable = [value for value in values if value > 0 and math.isfinite(value)]
    return f"{math.exp(np.mean(np.log(usable))):.2f}" if usable else "-"


def listed(cells: list[str]) -> str:
    return ", ".join(cells) if cells else "none"


def verdict_line(results: Results, best: dict, target: float, kind: str, words: str) -> str:
    """Of one kind of row of Choice at one error: on how many problems lia is cheaper, by what, and where it is not."""
    ratios, dear, times, losses, alone, behind, unknown = [], [], [], [], [], [], []
    for problem, label in enumerate(results.problems["label"]):
        choice = best.get((label, target))
        row = getattr(choice, kind) if choice else ""
        ours = median(needs_of(results, problem, FLAGSHIP, target))
        theirs = median(needs_of(results, problem, row, target)) if row else math.nan
        if math.isnan(ours) or math.isnan(theirs):
            if not math.isnan(ours):
                alone.append(label)
            elif not math.isnan(theirs):
                behind.append(f"{label} (`{row}`)")
            continue
        named = named_ratio(results, problem, row, target)
        if math.isnan(named):
            unknown.append(label)
            continue
        ratios.append(named)
        dear.append(ratio_value(against(results, problem, row, target, PRICES[-1])))
        times.append(ratio_value(against(results, problem, row, target, quantity="time")))
        if named >= 1:
            losses.append(f"{label} ({named:.2f}, `{row}`)")
    text = (f"- {power(target)}, {words}: cheaper on {len(ratios) - len(losses)} of {len(ratios)} problems; geometric "
            f"mean of the named ratios {geometric(ratios)}, at price 3 {geometric(dear)}, of CPU times "
            f"{geometric(times)}. Not cheaper: {listed(losses)}.")
    if behind:
        text += f" Reached by the other row and not by lia: {listed(behind)}."
    if alone:
        text += f" Reached by lia and not by the other: {listed(alone)}."
    if unknown:
        text += f" Not known, since the loosest setting is below the error: {listed(unknown)}."
    return text


def verdict_lines(results: Results, best: dict) -> list[str]:
    lines = [line for target in TARGETS for line in
             (verdict_line(results, best, target, "best", "against the best other row"),
              verdict_line(results, best, target, "apart", "against the best row that came with lia"))]
    return [part for line in lines for part in wrapped(line)]


def wrapped(text: str) -> list[str]:
    """Lines of a page; those of an item of a list are indented."""
    return textwrap.wrap(text, PAGE_WIDTH, break_on_hyphens=False, subsequent_indent="  " * text.startswith("- "))


def rows_lines(results: Results) -> list[str]:
    """Medians of every row."""
    labels = list(results.estimators["label"])
    header = ["problem", *[f"`{label}`" for label in labels]]
    body = []
    for problem, name in enumerate(results.problems["label"]):
        body.append([name, *[" / ".join(or_dash(median(needs_of(results, problem, label, target)), ".0f")
                                        for target in TARGETS) for label in labels]])
    return markdown(header, body)


def halving_lines(results: Results) -> list[str]:
    """What every second setting changes."""
    changes = {}
    for problem, name in enumerate(results.problems["label"]):
        for label in results.estimators["label"]:
            for target in TARGETS:
                fine, coarse = (reach(needs_of(results, problem, label, target, every=every)) for every in (1, 2))
                if fine.bound or coarse.bound:
                    continue  # a loosest setting that is below the error already says nothing of the grid
                if not math.isnan(fine.median) and not math.isnan(coarse.median):
                    changes[name, label, target] = abs(coarse.median / fine.median - 1)
    if not changes:
        return ["Nothing to compare."]
    values = np.array(list(changes.values()))
    worst = max(changes, key=changes.__getitem__)
    return wrapped(f"With every second setting alone, {np.mean(values < 0.03):.1%} of the {len(values)} medians "
                   f"(problem, row, error) change by less than 3 %, half of them by less than {np.median(values):.1%}, "
                   f"and the most by {changes[worst]:.1%} ({worst[1]} on {worst[0]} at {power(worst[2])}).")


def prototype_lines(results: Results, best: dict) -> list[str]:
    """What lia does of FLAGSHIP.md's tables: its NFE, and ratios to ctpg and to the best row as it is."""
    header = ["problem", *[f"{what} at {power(target)}" for target in PROTOTYPE_TARGETS
                           for what in ("NFE", "of ctpg", "of the best")]]
    body = []
    for problem, name in enumerate(results.problems["label"]):
        if name in PROTOTYPE:
            cells = []
            for target, *figures in zip(PROTOTYPE_TARGETS, *PROTOTYPE[name]):
                ours = [or_dash(median(needs_of(results, problem, FLAGSHIP, target)), ".0f"),
                        *(ratio_text(against(results, problem, row, target))
                          for row in ("ctpg", best[name, target].plain))]
                cells += [f"{figure} -> {mine}" for figure, mine in zip(figures, ours)]
            body.append([name, *cells])
    return markdown(header, body)


def prototype_trained_lines(results: Results, best: dict) -> list[str]:
    header = ["problem", *[f"of the best at {power(target)}" for target in TRAINED_TARGETS]]
    body = []
    for problem, name in enumerate(results.problems["label"]):
        if name in PROTOTYPE_TRAINED:
            ours = [ratio_text(against(results, problem, best[name, target].plain, target))
                    for target in TRAINED_TARGETS]
            body.append([name, *(f"{figure} -> {mine}" for figure, mine in zip(PROTOTYPE_TRAINED[name], ours))])
    return markdown(header, body)


def relative_means(results: Results, label: str, base: str) -> tuple[list[list[float]], list[int]]:
    """([target] ratios of medians of NFE over those of the base, on the problems where both reach it, and how often
    the base alone does)."""
    ratios, missing = [], []
    for target in TARGETS:
        found = []
        for problem in range(len(results.problems)):
            a, b = (median(needs_of(results, problem, row, target)) for row in (label, base))
            if not math.isnan(b):
                found.append(a / b)
        ratios.append([value for value in found if not math.isnan(value)])
        missing.append(len(found) - len(ratios[-1]))
    return ratios, missing


def relative_lines(results: Results, base_of) -> list[str]:
    """Each row's NFE over that of its base, geometric mean over the problems where both reach the error; the last
    column over all errors, where it is the least of its base in bold."""
    labels = list(results.estimators["label"])
    header = ["row", "beside", *[f"at {power(target)}" for target in TARGETS], "over all"]
    pairs = [(label, base_of(label, labels)) for label in labels]
    found = {label: relative_means(results, label, base) for label, base in pairs if base and base != label}
    overall = {label: geometric([value for cell in ratios for value in cell]) for label, (ratios, _) in found.items()}
    body = []
    for label, base in pairs:
        if label not in found:
            continue
        cells = [geometric(cell) + (f", {lost} not reached" if lost else "") for cell, lost in zip(*found[label])]
        rest = [float(overall[other]) for other, its_base in pairs if its_base == base and other in found
                and overall[other] != "-"]
        least = rest and overall[label] != "-" and float(overall[label]) == min(rest) < 1
        body.append([f"`{label}`", f"`{base}`", *cells, f"**{overall[label]}**" if least else overall[label]])
    return markdown(header, body)


def base_of_variant(label: str, labels: list[str]) -> str:
    """rk-6ve of rk-6ve-a1-s8; of all ros-* the one of order 4."""
    base = "ros-euler4" if label.startswith("ros-") else SETTINGS.sub("", label)
    return base if base in labels else ""


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


def most_seeds(results: Results, problem: int) -> int:
    """That are done on a problem, of the row with the most of them."""
    return max(len(told(needs_of(results, problem, label, TARGETS[0]))) for label in results.estimators["label"])


def make_parts(results: Results, best: dict, variants: Results | None,
               ablations: Results | None) -> dict[str, list[str]]:
    """{name of the part: its lines of Markdown}."""
    files = [file for file in (results, variants, ablations) if file]
    seeds = [[most_seeds(file, problem) for problem in range(len(file.problems))] for file in files]
    parts = {"verdict": verdict_lines(results, best), "sessions": session_lines(files, seeds),
             "headline": headline_lines(results, best), "rows": rows_lines(results),
             "halving": halving_lines(results), "prototype": prototype_lines(results, best),
             "prototype-trained": prototype_trained_lines(results, best), "stability": stability_lines()}
    if variants:
        parts["variants"] = relative_lines(variants, base_of_variant)
    if ablations:
        parts["ablations"] = relative_lines(ablations, base_of_ablation)
    return parts
