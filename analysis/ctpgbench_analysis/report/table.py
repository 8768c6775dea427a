"""table.py -- work and time at equal gradient error: python3 table.py results.h5 [--csv FILE] [--markdown]

NFE at error e, per seed. Its settings run from loose to tight; a setting is below e if every repeat ended ok with an
error <= e. If the tightest setting is not below e, the seed is censored. Otherwise let b be the setting from which on
all are below, a the one before. The crossing is interpolated linearly in (log10 error, log10 NFE) between

    (error_a, NFE_a)   and   (max(error_b, floor), NFE_b),      floor = 3 times the error of the reference gradient,

so that no digit beyond the reference enters. Where a does not exist or failed, NFE_b is an upper bound ("<="). Where e
is below the floor and so is the error of the tightest setting, nobody knows whether the seed reaches e: unresolved.

Over seeds: the median, with seeds that do not reach e (censored, unresolved) as infinite, printed only where more than
half of them reach e, with "reached/all". Time likewise, with the wallclock of a gradient in place of the NFE; isolated
and throughput timings are never mixed. Seeds whose runs are not all committed yet, and seeds without a reference
gradient, are left out.
"""
import argparse
import csv
import math
import sys
from dataclasses import dataclass

from load import (ERRORS, TIMING_TEXT, TIMINGS, ResultsError, draws_of, finite_median, load, plain, require,
                  seeds_text, without_reference_text)

np = require("numpy")

TARGETS = (1e-3, 1e-6, 1e-9)
EXACT, BOUND, CENSORED, UNRESOLVED = "exact", "bound", "censored", "unresolved"


def crossing(target, floor, error, work):
    """(kind, work at error `target`) of one seed; error and work [setting] from loose to tight, NaN where it failed."""
    tightest = error[-1] if len(error) else np.nan
    if target < floor:
        return (UNRESOLVED if tightest < floor else CENSORED), math.inf
    below = np.less_equal(error, target)
    if not len(below) or not below[-1]:
        return CENSORED, math.inf
    above = np.flatnonzero(~below)
    b = above[-1] + 1 if len(above) else 0
    if b == 0 or np.isnan(error[b - 1]):
        return BOUND, float(work[b])
    lower = max(error[b], floor)
    fraction = math.log10(error[b - 1] / target) / math.log10(error[b - 1] / lower)
    return EXACT, float(work[b - 1] * (work[b] / work[b - 1]) ** fraction)


@dataclass
class Reach:
    """Work at one error over the seeds."""
    median: float  # NaN unless more than half of the seeds reach the error
    bound: bool    # the median is an upper bound
    reached: int
    seeds: int
    unresolved: int


def over_seeds(crossings):
    kinds = [kind for kind, _ in crossings]
    values = np.array([value for _, value in crossings])
    reached = int(np.isfinite(values).sum())
    median = float(np.median(values)) if 2 * reached > len(values) else math.nan
    bound = any(kind == BOUND and value >= median for kind, value in crossings)
    return Reach(median, bound, reached, len(values), kinds.count(UNRESOLVED))


def reach(grid, target, work, usable):
    """Reach of a grid with work [seed, setting], over the seeds whose cells are all usable."""
    seeds = np.flatnonzero((usable | ~grid.done).all(axis=1) & grid.complete.all(axis=1) & grid.done.any(axis=1))
    cells = [(seed, grid.done[seed]) for seed in seeds]
    return over_seeds([crossing(target, grid.floors[seed], grid.error[seed, done], work[seed, done])
                       for seed, done in cells])


def fitted_order(grid, largest):
    """Median over seeds of -d log error / d log NFE, from at least three resolved settings each; else NaN."""
    slopes = []
    for floor, error, nfe in zip(grid.floors, grid.error, grid.nfe):
        with np.errstate(invalid="ignore"):
            use = (error >= floor) & (error <= largest)
        if use.sum() >= 3 and np.ptp(nfe[use]) > 0:
            slopes.append(-np.polyfit(np.log10(nfe[use]), np.log10(error[use]), 1)[0])
    return float(np.median(slopes)) if 2 * len(slopes) > len(grid.floors) else math.nan


def describe(results, problem, error, timing):
    """The lines above the table of one problem."""
    info, judged = results.problems[problem], results.judged(problem)
    kind, mixed = results.choose_timing(problem, timing)
    floors = results.floors(judged, error)
    lines = [f"{info['label']}: policy {info['policy']}, T = {info['T']:g}, {seeds_text(judged.sum())}",
             f"{plain(ERRORS[error])}; resolved above {finite_median(floors):.1e} (median); {TIMING_TEXT[kind]}"]
    if mixed:
        lines.append(f"WARNING: {mixed}")
    if results.without_reference(problem):
        lines.append(without_reference_text(results.without_reference(problem)))
    rows = results.rows(problem)
    pending = len(rows) - results.run_done[rows].sum()
    if pending:
        lines.append(f"The file is incomplete: {pending} of {len(rows)} runs are pending; "
                     "seeds count when all runs are there.")
    return kind, lines


def measure(results, problem, estimator, targets, error, kind):
    """One row of the table, as a dict of plain values and one Reach per target for NFE and for ms."""
    rows = results.rows(problem, estimator)
    info = results.estimators[estimator]
    grid = results.grid(problem, estimator, error, kind)
    failed = ~np.isfinite(grid.error)
    return {
        "problem": results.problems["label"][problem], "estimator": info["label"], "knob": info["knob"],
        "order": float(info["order"]), "fitted_order": fitted_order(grid, math.inf if error == "err_abs" else 0.1),
        "runs": int(results.run_done[rows].sum()), "failures": results.failures(rows),
        "nfe": [reach(grid, target, grid.nfe, grid.done) for target in targets],
        "ms": [reach(grid, target, 1e3 * grid.wall, grid.timed | failed) for target in targets],
    }


def significant(value):
    """Three significant digits, never an exponent."""
    if value <= 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(value))
    return f"{round(value, digits):.{max(0, digits)}f}"


def power(target):
    """1e-3 for 0.001."""
    mantissa, exponent = f"{target:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def reach_text(entry, number):
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


def order_text(value, form):
    return "-" if math.isnan(value) else format(value, form)


def text_rows(rows, targets):
    """Header and rows as lists of str."""
    header = ["estimator", "order", "fitted"]
    for target in targets:
        header += [f"NFE at {power(target)}", "ms"]
    body = []
    for row in rows:
        cells = [str(row["estimator"]), order_text(row["order"], "g"), order_text(row["fitted_order"], ".2f")]
        for nfe, ms in zip(row["nfe"], row["ms"]):
            cells += [reach_text(nfe, lambda value: f"{value:.0f}"), reach_text(ms, significant)]
        body.append(cells + [failure_text(row)])
    return header + ["not ok"], body


def aligned(header, body):
    last = len(header) - 1
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(last + 1)]

    def line(cells):
        return "  ".join(cell.ljust(width) if i in (0, last) else cell.rjust(width)
                         for i, (cell, width) in enumerate(zip(cells, widths))).rstrip()
    return [line(header), "-" * (sum(widths) + 2 * last), *map(line, body)]


def markdown(header, body):
    rule = [":--" if i in (0, len(header) - 1) else "--:" for i in range(len(header))]
    return ["| " + " | ".join(cells) + " |" for cells in [header, rule, *body]]


LEGEND = ("NFE = nf + nvjp + njvp + nu njac, ms = wallclock of one gradient, both where the error is reached for good; "
          "median over seeds (seeds that reach it / all).\n"
          "<=: an upper bound; -: half of the seeds or more do not reach it; ?: below what the reference gradient "
          "resolves. order, fitted: claimed, and -d log error / d log NFE.")


def csv_row(row, targets, error, timing):
    """Flat dict of one row: numbers as numbers, NaN as an empty cell."""
    flat = {"problem": row["problem"], "estimator": row["estimator"], "knob": row["knob"], "error": error,
            "timing": timing, "order": row["order"], "fitted_order": row["fitted_order"], "runs": row["runs"],
            "not_ok": sum(row["failures"].values()),
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


def print_tables(results, arguments):
    flat, targets = [], arguments.at
    for problem in range(len(results.problems)):
        kind, lines = describe(results, problem, arguments.error, arguments.timing)
        estimators = [e for e in range(len(results.estimators)) if len(results.rows(problem, e))]
        rows = [measure(results, problem, e, targets, arguments.error, kind) for e in estimators]
        flat += [csv_row(row, targets, arguments.error, kind) for row in rows]
        layout = markdown if arguments.markdown else aligned
        title = ["### " + lines[0], "", *[line + "  " for line in lines[1:]], ""] if arguments.markdown else lines
        print("\n".join([*title, *layout(*text_rows(rows, targets)), ""]))
        header, body = draw_rows(results, problem, estimators)
        if body:
            print("Bias and standard deviation of one repeat, relative to the true gradient, median over seeds:\n")
            print("\n".join([*layout(header, body), ""]))
    print(LEGEND)
    if arguments.csv:
        write_csv(arguments.csv, flat)


def target_list(text):
    targets = [float(word) for word in text.split(",")]
    if not all(0 < target < math.inf for target in targets):
        raise ValueError
    return targets


target_list.__name__ = "list of positive errors"


def main(argv=None):
    parser = argparse.ArgumentParser(description="Work and time at equal gradient error.")
    parser.add_argument("results", help="HDF5 file of ctpgbench sweep")
    parser.add_argument("--csv", metavar="FILE", help="write the table to FILE, too, with plain numbers")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--error", choices=ERRORS, default="err_rel", help="which error (default err_rel)")
    parser.add_argument("--at", type=target_list, default=TARGETS, metavar="E,E",
                        help="errors (default 1e-3,1e-6,1e-9)")
    parser.add_argument("--timing", choices=TIMINGS, help="which timings, if the file mixes (default: the commoner)")
    arguments = parser.parse_args(argv)
    try:
        results = load(arguments.results)
        if not results.run_done.any():
            raise ResultsError(f"{arguments.results} holds no finished run yet (0 of {len(results.runs)}).")
        print_tables(results, arguments)
    except ResultsError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
