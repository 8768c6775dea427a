"""table_training.py -- final test losses of training, or its price

One row per problem and estimator: final loss (mean of the last tenth of the test losses), median over seeds with its
exact 95 % interval; runs that did not end ok and tests with a failed start count as infinite. NFE, seconds: those of a
whole training, medians over the runs that ended ok.

--speed: what training costs, medians over the runs that ended ok. s: CPU time of a run without its tests (wallclock
where the file has no other). ms of an iteration and NFE of a gradient (of one start): means over the first and over the
last tenth of the iterations. tests: share of test losses, paths and audits in all seconds, by wallclock, in a run's
last session, and only of runs that had one rank. --page writes it into docs/training.md. What an iteration takes beyond
its gradients, `ctpgbench bench` measures.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ctpgbench_analysis.measure.intervals import median_interval
from ctpgbench_analysis.read.training import Pair, Training, clock_of, remarks, source
from ctpgbench_analysis.report.page import write_page
from ctpgbench_analysis.report.text import aligned, markdown, paragraphs, significant

HEADER = ["problem", "estimator", "accuracy", "seeds", "final test loss", "95 % interval", "best", "iterations", "NFE",
          "CPU s", "not ok"]
LEGEND = ("Final test loss: mean of the last tenth of the tests of a run, infinite where it failed; median over seeds. "
          "CPU s: of the training without its tests.")
SPEED_HEADER = ["problem", "estimator", "accuracy", "iterations x batch", "seeds", "s", "ms early", "ms late",
                "NFE early", "NFE late", "tests", "not ok"]
SPEED_LEGEND = (
    "Medians over the seeds that ended ok. s: {clock} of a whole run without its tests; ms: of an iteration; NFE: of "
    "the gradient of one start; early, late: first and last tenth of the iterations; tests: their share of all seconds."
)


def number(value):
    """Four significant digits."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def ok_median(pair, values):
    return float(np.median(values[pair.ok])) if pair.ok.any() else math.nan


def failure_text(pair):
    failures = pair.failures()
    words = ", ".join(f"{word} {count}" for word, count in failures.items())
    return f"{sum(failures.values())} of {len(pair.runs)}" + (f": {words}" if words else "")


def row(pair: Pair) -> list[str]:
    finals, losses = pair.final_losses(), pair.test_losses()
    cells = ["-", "-", "-"]
    if finals is not None:
        interval = median_interval(finals)
        ends = f"{number(interval.low)} to {number(interval.high)}" if interval.known else "-"
        cells = [number(interval.value), ends, number(float(np.nanmin(losses)))]
    totals = [ok_median(pair, pair.work(name)[np.arange(len(pair.runs)), pair.runs["iterations_done"]])
              for name in ("nfe", "cpu")]
    return [pair.problem, pair.label, f"{pair.knob} {pair.accuracy:.3g}", str(len(pair.runs)), *cells,
            str(int(pair.runs["iterations"].max())), number(totals[0]),
            "-" if math.isnan(totals[1]) else significant(totals[1]), failure_text(pair)]


def rates(pair: Pair, work: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[s] mean increments of work [s, i + 1] in the first and in the last tenth of each run's iterations; NaN for a run
    without any."""
    done = pair.runs["iterations_done"]
    tenth, rows = np.maximum(1, done // 10), np.arange(len(done))
    return work[rows, tenth] / tenth, (work[rows, done] - work[rows, done - tenth]) / tenth


def share_text(pair, part, whole):
    """Median of part / whole in percent, over the runs on one rank that ended ok."""
    chosen = pair.ok & (pair.runs["ranks"] == 1) & (whole > 0)
    return f"{100 * np.median(part[chosen] / whole[chosen]):.2g} %" if chosen.any() else "-"


def speed_row(pair: Pair, clock: str) -> list[str]:
    """Cells of what a pair costs by this clock, "cpu" or "seconds"."""
    runs, batch, seconds = pair.runs, pair.batch(), pair.work(clock)
    times = [seconds[np.arange(len(runs)), runs["iterations_done"]], *(1e3 * rate for rate in rates(pair, seconds))]
    evaluations = [rate / batch for rate in rates(pair, pair.nfe())]
    tests = runs["test_seconds"]
    return [pair.problem, pair.label, f"{pair.knob} {pair.accuracy:.3g}", f"{int(runs['iterations'].max())} x {batch}",
            str(int(pair.ok.sum())), *("-" if math.isnan(value) else significant(value)
                                       for value in (ok_median(pair, values) for values in times)),
            *(number(ok_median(pair, values)) for values in evaluations),
            share_text(pair, tests, runs["session_seconds"] + tests), failure_text(pair)]


def table(training: Training, speed: bool = False, as_markdown: bool = False) -> list[str]:
    """Lines of the table of final test losses, or of what training costs (speed)."""
    clock = clock_of(training.pairs)
    header, body = ((SPEED_HEADER, [speed_row(pair, clock) for pair in training.pairs]) if speed
                    else (HEADER, [row(pair) for pair in training.pairs]))
    return markdown(header, body) if as_markdown else aligned(header, body, keys=2)


def legend(training: Training, speed: bool) -> list[str]:
    """What the columns are, what is pending, where the numbers are from."""
    clock = {"cpu": "CPU time", "seconds": "wallclock"}[clock_of(training.pairs)]
    pending = [line for line in remarks(training.pairs) if "pending" in line]
    return [*pending, SPEED_LEGEND.format(clock=clock) if speed else LEGEND, source(training)]


def print_table(training: Training, speed: bool, as_markdown: bool) -> None:
    """The table with its legend."""
    words = legend(training, speed)
    print("\n".join([*table(training, speed, as_markdown), "", *(words if as_markdown else paragraphs(*words))]))


def write_speed(training: Training, page: Path) -> None:
    """What training costs, into the marked part of this page."""
    write_page(page, "training", {"speed": [*table(training, speed=True, as_markdown=True), "",
                                            " ".join(legend(training, speed=True)), ""]})
