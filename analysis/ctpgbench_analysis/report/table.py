"""table.py -- work and time at equal gradient error, of a file of `ctpgbench sweep`; the rule is in
measure/crossing.py"""

from __future__ import annotations

import csv
import math
from typing import Callable

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.cells import floors, make_grid
from ctpgbench_analysis.measure.crossing import Reach, fitted_order, reach
from ctpgbench_analysis.measure.draws import draws_of
from ctpgbench_analysis.measure.quantiles import finite_median
from ctpgbench_analysis.measure.ratios import MARGIN
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import (ERRORS, TIMING_TEXT, claimed_order, order_text, plain, power, seeds_text,
                                           without_reference_text)
from ctpgbench_analysis.report.text import aligned, markdown, or_dash, paragraphs, significant

def describe(results: Results, problem: int, error: str, timing: str | None) -> tuple[str, list[str]]:
    """The timing that is shown, and the lines above the table of one problem."""
    info, judged = results.problems[problem], results.judged(problem)
    kind, mixed = results.choose_timing(problem, timing)
    resolved = floors(results, judged, error)
    lines = [f"{info['label']}: policy {info['policy']}, T = {info['T']:g}, {seeds_text(judged.sum())}",
             f"{plain(ERRORS[error])}; resolved above {finite_median(resolved):.1e} (median); "
             f"{TIMING_TEXT[kind]}; times are {results.clock_text()}"]
    if mixed:
        lines.append(f"WARNING: {mixed}")
    if results.machine_remark(problem):
        lines.append(f"WARNING: {results.machine_remark(problem)}")
    if results.without_reference(problem):
        lines.append(without_reference_text(results.without_reference(problem)))
    rows = results.rows(problem)
    pending = len(rows) - results.run_done[rows].sum()
    if pending:
        lines.append(f"The file is incomplete: {pending} of {len(rows)} runs are pending; "
                     "seeds count when all runs are there.")
    return kind, lines


def measure(results: Results, problem: int, estimator: int, targets: list[float], error: str,
            kind: str | None, price: int = 1) -> dict:
    """One row of the table, as a dict of plain values and one Reach per target for NFE and for ms."""
    rows = results.rows(problem, estimator)
    info = results.estimators[estimator]
    grid = make_grid(results, problem, estimator, error, kind, price)
    failed = ~np.isfinite(grid.error)
    return {
        "problem": results.problems["label"][problem], "estimator": info["label"], "knob": info["knob"],
        "price": price,
        "order": claimed_order(info), "order_text": order_text(info),
        "fitted_order": fitted_order(grid, math.inf if error == "err_abs" else 0.1),
        "runs": int(results.run_done[rows].sum()), "failures": results.failures(rows),
        "nfe": [reach(grid, target, grid.nfe, grid.done) for target in targets],
        "ms": [reach(grid, target, 1e3 * grid.time, grid.timed | failed) for target in targets],
    }


def measure_all(results: Results, problem: int, targets: list[float], error: str, kind: str,
                prices: list[int]) -> list[dict]:
    """A row for each estimator and price; prices beyond the first only where they differ from it."""
    found = []
    for estimator in range(len(results.estimators)):
        rows = results.rows(problem, estimator)
        same = not results.runs["njac"][rows].any()
        if len(rows):
            found += [measure(results, problem, estimator, targets, error, kind, price)
                      for price in (prices[:1] if same else prices)]
    return found


def reach_text(entry: Reach, number: Callable[[float], str]) -> str:
    """"<=1234 (7/8)"; "-" where the median does not exist, "?" where the reference cannot tell."""
    if not entry.seeds:
        return "-"
    if not math.isnan(entry.median):
        value = ("<=" if entry.bound else "") + number(entry.median)
    else:
        value = "?" if 2 * (entry.reached + entry.unresolved) > entry.seeds else "-"
    return f"{value} ({entry.reached}/{entry.seeds})"


def failure_text(row):
    if not row["failures"]:
        return f"0 of {row['runs']}"
    reasons = ", ".join(f"{word} {count}" for word, count in row["failures"].items())
    return f"{sum(row['failures'].values())} of {row['runs']}: {reasons}"


def text_rows(rows, targets):
    """Header and rows as lists of str."""
    header = ["estimator", "order", "fitted", *[f"NFE at {power(target)}" for target in targets],
              "not ok", *[f"ms at {power(target)}" for target in targets]]
    body = []
    priced = len({row["price"] for row in rows}) > 1
    for row in rows:
        name = f"{row['estimator']}, price {row['price']}" if priced and row["price"] != rows[0]["price"] else \
            str(row["estimator"])
        cells = [name, row["order_text"], or_dash(row["fitted_order"], ".2f")]
        cells += [reach_text(nfe, lambda value: f"{value:.0f}") for nfe in row["nfe"]]
        body.append([*cells, failure_text(row), *[reach_text(ms, significant) for ms in row["ms"]]])
    return header, body


LEGEND = (
    "NFE = nf + nvjp + njvp + njac_products, ms = {clock} of one gradient, both where the error is reached for good; "
    "median over seeds (seeds that reach it / all).",
    "<=: an upper bound; -: half of the seeds or more do not reach it; ?: below what the reference gradient "
    "resolves. order, fitted: claimed (varies: each step has its own), and -d log error / d log NFE.",
)


PRICE_TEXT = {
    1: "1, the products that it took (njac_products)",
    2: "2, these, the plant's calls and a product for theta",
    3: "3, min(nx, nu + 1) products, for who has a vjp alone",
}


def csv_row(row, targets, error, timing, clock):
    """Flat dict of one row: numbers as numbers, NaN as an empty cell."""
    flat = {"problem": row["problem"], "estimator": row["estimator"], "knob": row["knob"], "price": row["price"],
            "error": error,
            "timing": timing, "clock": clock, "order": row["order"], "fitted_order": row["fitted_order"],
            "runs": row["runs"], "not_ok": sum(row["failures"].values()),
            "failures": "; ".join(f"{word} {count}" for word, count in row["failures"].items())}
    for i, target in enumerate(targets):
        for work in ("nfe", "ms"):
            entry, name = row[work][i], f"{work}_{power(target)}"
            flat.update({name: entry.median, f"{name}_upper_bound": int(entry.bound), f"{name}_reached": entry.reached,
                         f"{name}_unresolved": entry.unresolved, f"{name}_seeds": entry.seeds})
    return {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in flat.items()}


def write_csv(path, rows):
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise ResultsError(f"{path} cannot be written: {error.strerror}.") from None


def draw_rows(results, problem, estimators):
    """Header and rows of the table of bias and variance over the repeats; no rows without a stochastic estimator."""
    header = ["estimator", "samples", "repeats", "bias", "not seen below", "standard deviation"]
    return header, [[str(results.estimators["label"][e]), f"{d.samples:.0f}", str(d.repeats), f"{d.bias:.1e}",
                     f"{d.unseen:.1e}", f"{d.spread:.1e}"] for e in estimators for d in draws_of(results, problem, e)]


def least(rows: list[dict], work: str, target: int) -> dict | None:
    """The row whose median is the least; None where nobody gets there. work: "nfe" or "ms"."""
    there = [row for row in rows if not math.isnan(row[work][target].median)]
    return min(there, key=lambda row: row[work][target].median, default=None)


def longer_text(rows: list[dict], targets: list[float], clock: str) -> str:
    """Where who needs the fewest evaluations takes longer than another one, by more than what counts as equal: by how
    much; else ""."""
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    rows = [row for row in rows if row["price"] == rows[0]["price"]]
    for i, target in enumerate(targets):
        few, fast = least(rows, "nfe", i), least(rows, "ms", i)
        ratio = few["ms"][i].median / fast["ms"][i].median if few and fast else math.nan
        if ratio > MARGIN[1]:
            found.setdefault((few["estimator"], fast["estimator"]), []).append((ratio, power(target)))
    told = []
    for (few, fast), ratios in found.items():
        (first, at), *rest = ratios
        told.append(f"{few} takes {first:.2f} times as long as {fast} at {at}"
                    + "".join(f", {ratio:.2f} at {error}" for ratio, error in rest))
    return f"The fewest evaluations are not the least {clock}: {'; '.join(told)}." if told else ""


def print_problem(results: Results, problem: int, rows: list[dict], lines: list[str], targets: list[float],
                  as_markdown: bool) -> None:
    """The tables of one problem under these lines."""
    header, body = text_rows(rows, targets)
    lines_of = markdown(header, body) if as_markdown else aligned(header, body, part=len(header) - len(targets))
    title = ["### " + lines[0], "", *[line + "  " for line in lines[1:]], ""] if as_markdown else paragraphs(*lines)
    print("\n".join([*title, *lines_of, ""]))
    longer = longer_text(rows, targets, results.clock_text())
    if longer:
        print("\n".join([*([longer] if as_markdown else paragraphs(longer)), ""]))
    estimators = [e for e in range(len(results.estimators)) if len(results.rows(problem, e))]
    header, body = draw_rows(results, problem, estimators)
    if body:
        print("Bias and standard deviation of one repeat, relative to the true gradient, median over seeds:\n")
        print("\n".join([*(markdown if as_markdown else aligned)(header, body), ""]))


def print_tables(results: Results, targets: list[float], error: str, timing: str | None, as_markdown: bool,
                 csv_path: str | None, prices: list[int]) -> None:
    """The tables of all problems; error: of ERRORS, timing: of TIMINGS or None, prices: some of PRICES. csv_path: the
    same with plain numbers."""
    flat = []
    for problem in range(len(results.problems)):
        kind, lines = describe(results, problem, error, timing)
        rows = measure_all(results, problem, targets, error, kind, prices)
        flat += [csv_row(row, targets, error, kind, results.clock) for row in rows]
        print_problem(results, problem, rows, lines, targets, as_markdown)
    legend = [line.format(clock=results.clock_text()) for line in LEGEND]
    if prices != [1]:
        legend.append(f"Prices of a full Jacobian: {'; '.join(PRICE_TEXT[price] for price in prices)}.")
    print("\n".join(paragraphs(*legend, results.data_text())))
    if csv_path:
        write_csv(csv_path, flat)
