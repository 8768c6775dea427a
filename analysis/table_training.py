"""table_training.py -- final test losses of training: python3 analysis/table_training.py training.h5 [--markdown]

One row per problem and estimator: final loss (mean of the last tenth of the test losses), median over seeds with its
exact 95 % interval; runs that did not end ok and tests with a failed start count as infinite. NFE, seconds: those of a
whole training, medians over the runs that ended ok.
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


def lines(training, layout):
    return layout(HEADER, [row(pair) for pair in training.pairs])


def main(argv=None):
    parser = argparse.ArgumentParser(description="Final test losses of training.")
    parser.add_argument("training", help="HDF5 file of ctpgbench train")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_args(argv)
    try:
        training = load_training(arguments.training)
    except ResultsError as error:
        sys.exit(f"{error}")
    pending = [line for line in remarks(training.pairs) if "pending" in line]
    print("\n".join([*lines(training, markdown if arguments.markdown else aligned), "", *pending,
                     "Final test loss: mean of the last tenth of the tests of a run, infinite where it failed; median over "
                     "seeds.", source(training)]))


if __name__ == "__main__":
    main()
