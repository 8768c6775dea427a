"""words.py -- the words of files and of what is said about them: errors, timings, seeds; needs no other module"""
import math
from typing import Mapping

# Columns of runs/table that hold an error: its name in figures.
ERRORS = {
    "err_rel": "relative error of $\\mathrm{d}L/\\mathrm{d}\\theta$",
    "err_abs": "absolute error of $\\mathrm{d}L/\\mathrm{d}\\theta$",
    "err_x0": "relative error of $\\mathrm{d}L/\\mathrm{d}x_0$",
    "err_joint": "relative error of $(\\mathrm{d}L/\\mathrm{d}x_0, \\mathrm{d}L/\\mathrm{d}\\theta)$",
}
TIMINGS = ("isolated", "throughput", "crowded")
IMPORTED = "imported"  # type of the estimators whose rows another program measured
VARIABLE_ORDER = ("lia", "cvodes")  # types that choose the order of each step; `check` alone needs what they claim
CLOCKS = {"cpu": "CPU time", "wall": "wallclock"}
TIMING_TEXT = {
    "isolated": "isolated timing, one rank",
    "throughput": "throughput timing, others worked at the same time",
    "crowded": "crowded timing, more processes than cores",
}


def claimed_order(estimator: Mapping) -> float:
    """Of a row of estimators; NaN where it claims none, and where the order follows the error."""
    return float(estimator["order"]) if estimator["order"] > 0 and estimator["type"] not in VARIABLE_ORDER else math.nan


def order_text(estimator: Mapping) -> str:
    """"5", "varies" where the order follows the error, "-" where none is claimed."""
    order = claimed_order(estimator)
    return "varies" if estimator["type"] in VARIABLE_ORDER else "-" if math.isnan(order) else f"{order:g}"


def plain(formula: str) -> str:
    """An entry of ERRORS for a terminal or a text file."""
    return formula.replace("$", "").replace("\\mathrm{d}", "d").replace("\\theta", "theta").replace("x_0", "x0")


def seeds_text(count: int) -> str:
    """"1 seed", "3 seeds"."""
    return f"{count} seed" + ("" if count == 1 else "s")


def without_reference_text(count: int) -> str:
    """The remark on seeds that no reference gradient was found for."""
    return f"{seeds_text(count)} without a reference gradient {'is' if count == 1 else 'are'} left out."


def power(target: float) -> str:
    """1e-3 for 0.001."""
    mantissa, exponent = f"{target:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def drawn(label: str) -> str:
    """A label in a figure, where a dollar would begin a formula."""
    return label.replace("$", r"\$")
