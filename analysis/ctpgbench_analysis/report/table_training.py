"""table_training.py -- final test losses of training, or its price

    python3 analysis/table_training.py training.h5 [--speed] [--markdown]

One row per problem and estimator: final loss (mean of the last tenth of the test losses), median over seeds with its
exact 95 % interval; runs that did not end ok and tests with a failed start count as infinite. NFE, seconds: those of a
whole training, medians over the runs that ended ok.

--speed: what training costs, medians over the runs that ended ok. s: wallclock of a run without its tests. ms of an
iteration and NFE of a gradient (of one start): means over the first and over the last tenth of the iterations. outside:
seconds of training beyond those of the gradients (and of the losses of a step search), relative to them; tests: share of
test losses, paths and audits in all seconds; both in a run's last session, and only of runs that had one rank.
"""
import argparse
import math
import sys

from intervals import median_interval
from load import ResultsError, require
from load_training import load_training, remarks, source
from table import aligned, markdown, significant

np = require("numpy")

HEADER = ["problem", "estimator", "accuracy", "seeds", "final test loss", "95 % interval", "best", "iterations", "NFE",
          "s", "not ok"]
LEGEND = "Final test loss: mean of the last tenth of the tests of a run, infinite where it failed; median over seeds."
SPEED_HEADER = ["problem", "estimator", "accuracy", "iterations x batch", "seeds", "s", "ms early", "ms late",
                "NFE early", "NFE late", "outside", "tests", "not ok"]
SPEED_LEGEND = ("Medians over the seeds that ended ok. s: a whole run without its tests; ms: of an iteration; NFE: of the "
                "gradient of one start; early, late: first and last tenth of the iterations; outside: beyond the "
                "gradients, relative to them; tests: their share of all seconds.")


def number(value):
    """Four significant digits."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def ok_median(pair, values):
    return float(np.median(values[pair.ok])) if pair.ok.any() else math.nan


def failure_text(pair):
    failures = pair.failures()
    words = ", ".join(f"{word} {count}" for word, count in failures.items())
    return f"{sum(failures.values())} of {len(pair.runs)}" + (f": {words}" if words else "")


def row(pair):
    finals, losses = pair.final_losses(), pair.test_losses()
    cells = ["-", "-", "-"]
    if finals is not None:
        interval = median_interval(finals)
        ends = f"{number(interval.low)} to {number(interval.high)}" if interval.known else "-"
        cells = [number(interval.value), ends, number(float(np.nanmin(losses)))]
    totals = [ok_median(pair, pair.work(name)[np.arange(len(pair.runs)), pair.runs["iterations_done"]])
              for name in ("nfe", "seconds")]
    return [pair.problem, pair.label, f"{pair.knob} {pair.accuracy:.3g}", str(len(pair.runs)), *cells,
            str(int(pair.runs["iterations"].max())), number(totals[0]),
            "-" if math.isnan(totals[1]) else significant(totals[1]), failure_text(pair)]


def rates(pair, work):
    """[s] mean increments of work [s, i + 1] in the first and in the last tenth of each run's iterations."""
    done = pair.runs["iterations_done"]
    tenth, rows = np.maximum(1, done // 10), np.arange(len(done))
    return work[rows, tenth] / tenth, (work[rows, done] - work[rows, done - tenth]) / tenth


def share_text(pair, part, whole):
    """Median of part / whole in percent, over the runs on one rank that ended ok."""
    chosen = pair.ok & (pair.runs["ranks"] == 1) & (whole > 0)
    return f"{100 * np.median(part[chosen] / whole[chosen]):.2g} %" if chosen.any() else "-"


def speed_row(pair):
    runs, batch, seconds = pair.runs, pair.batch(), pair.seconds()
    times = [seconds[np.arange(len(runs)), runs["iterations_done"]], *(1e3 * rate for rate in rates(pair, seconds))]
    evaluations = [rate / batch for rate in rates(pair, pair.nfe())]
    outside, tests = runs["session_seconds"] - runs["solve_seconds"], runs["test_seconds"]
    return [pair.problem, pair.label, f"{pair.knob} {pair.accuracy:.3g}", f"{int(runs['iterations'].max())} x {batch}",
            str(int(pair.ok.sum())), *("-" if math.isnan(value) else significant(value)
                                       for value in (ok_median(pair, values) for values in times)),
            *(number(ok_median(pair, values)) for values in evaluations),
            share_text(pair, outside, runs["solve_seconds"]), share_text(pair, tests, runs["session_seconds"] + tests),
            failure_text(pair)]


def lines(training, layout):
    return layout(HEADER, [row(pair) for pair in training.pairs])


def speed_lines(training, layout):
    return layout(SPEED_HEADER, [speed_row(pair) for pair in training.pairs])


def main(argv=None):
    parser = argparse.ArgumentParser(description="Final test losses of training, or what it costs.")
    parser.add_argument("training", help="HDF5 file of ctpgbench train")
    parser.add_argument("--speed", action="store_true", help="what training costs")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_args(argv)
    try:
        training = load_training(arguments.training)
    except ResultsError as error:
        sys.exit(f"{error}")
    pending = [line for line in remarks(training.pairs) if "pending" in line]
    table, legend = (speed_lines, SPEED_LEGEND) if arguments.speed else (lines, LEGEND)
    print("\n".join([*table(training, markdown if arguments.markdown else aligned), "", *pending, legend,
                     source(training)]))


if __name__ == "__main__":
    main()
