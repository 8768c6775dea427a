"""curves.py -- curves over seeds, and what else all figures of a training share

A function figure_<what>(...) of this folder gives (figure, caption), or raises Missing with the sentence why there is
none; whoever asks saves it.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ctpgbench_analysis.draw.page import log_axis, scientific
from ctpgbench_analysis.draw.style import style
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.training import Pair, Training, common, moving_mean, remarks, source
from ctpgbench_analysis.read.words import seeds_text

POINTS = 400                   # of a curve over seeds
DASHES = ("-", (0, (4, 2)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
NAMES = {"nfe": "NFE", "seconds": "wallclock (s)", "cpu": "CPU time (s)", "iterations": "iteration"}
NFE_WORDS = "NFE = nf + nvjp_x + nvjp_theta, summed over the iterations so far"
QUARTILES, WIDE = (25, 75), (5, 95)
MARGIN = 0.05                  # of a linear axis beyond what is drawn


class Missing(ResultsError):
    """Why a figure is not drawn, in one sentence."""


# ---- which runs ----

def need(pairs: list[Pair] | None, words: str, *arrays: str) -> list[Pair]:
    """The pairs, if they are there with these arrays."""
    if not pairs:
        raise Missing(f"the file holds no finished training of {words}.")
    for pair in pairs:
        for array in arrays:
            values = pair.read(array)
            if values is None or not values.size:
                raise Missing(f"training/{pair.problem}/{pair.label} has no {array}.")
    return pairs


def both(training: Training, problem: str) -> list[Pair]:
    """ctpg and Euler-BPTT on the first problem of this type."""
    return need(training.first_of(problem, "ctpg", "euler-bptt"), f"both ctpg and Euler-BPTT on {problem}")


def common_run(pairs: list[Pair]) -> list[int]:
    """Row of each pair for the first seed that all have, one on which all ended ok if there is any."""
    rows = common(*pairs)
    if not len(rows[0]):
        raise Missing(f"{pairs[0].label} and {pairs[1].label} on {pairs[0].problem} have no finished seed in common.")
    good = np.all([pair.ok[row] for pair, row in zip(pairs, rows)], axis=0)
    best = int(good.argmax())
    return [int(row[best]) for row in rows]


def looks(pairs: list[Pair]) -> list[dict]:
    """Per pair the properties of its line: the colour of its estimator; a second one of the same type is dashed."""
    seen, found = {}, []
    for pair in pairs:
        colour = style(pair.label, pair.type)["color"]
        number = seen.setdefault(colour, 0)
        seen[colour] += 1
        found.append({"color": colour, "linestyle": DASHES[number % len(DASHES)]})
    return found


# ---- curves ----

def on_grid(pair, work, values, grid):
    """[s, g] values of every run when it has done this work; beyond its end the last one, infinite if it failed."""
    curves = np.full((len(values), len(grid)), np.nan)
    for s, done in enumerate(pair.runs["iterations_done"]):
        if done:
            curves[s] = np.interp(grid, work[s, 1:done + 1], values[s, :done], right=None if pair.ok[s] else np.inf)
    return curves


def make_grid(pair, work):
    """Work up to what half of the runs that ended ok have done."""
    totals = np.nanmax(work, axis=1)
    return np.linspace(np.nanmin(work[:, 1]), np.median(totals[pair.ok]) if pair.ok.any() else totals.max(), POINTS)


def quantiles(values, percents):
    """[q, g] over seeds; infinite values count, NaN where the quantile is infinite or a run has no value."""
    values = np.where(np.isinf(values), 1e300, values)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.percentile(values, percents, axis=0)
    return np.where(found < 1e200, found, np.nan)


def draw_band(axes, pair: Pair, look: dict, abscissa: str, values, percents: tuple) -> tuple[np.ndarray, ...]:
    """Median over seeds and the band between two percentiles."""
    work = pair.work(abscissa)
    grid = make_grid(pair, work)
    low, centre, high = quantiles(on_grid(pair, work, values, grid), (percents[0], 50, percents[1]))
    axes.plot(grid, centre, linewidth=1.3, zorder=3, label=pair.label, **look)
    if len(pair.runs) > 1:
        axes.fill_between(grid, low, np.where(np.isnan(high) & ~np.isnan(low), 1e300, high), color=look["color"],
                          alpha=0.2, linewidth=0, zorder=2)
    return centre, low, high


def finite_values(drawn: list) -> np.ndarray:
    """All numbers of these arrays."""
    values = np.concatenate([np.ravel(part) for part in drawn]) if len(drawn) else np.empty(0)
    return values[np.isfinite(values)]


def limit_linear(axes, drawn: list) -> None:
    """What is finite is within the limits, and so is 0 unless it is far off."""
    values = finite_values(drawn)
    if not len(values):
        return
    low, high = values.min(), values.max()
    low = min(low, 0.0) if low < 0.5 * high else low
    margin = MARGIN * max(high - low, 1e-9)
    axes.set_ylim(low - margin, high + margin)


def limit_log(axes, drawn: list) -> None:
    """Logarithmic where all is positive and spans much; limits by what is finite."""
    values = finite_values(drawn)
    if not len(values) or values.min() <= 0 or values.max() <= 3 * values.min():
        limit_linear(axes, drawn)
        return
    low, high = values.min() / 1.15, values.max() * 1.15
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    log_axis(axes.yaxis, low, high)


def draw_losses(axes, pairs: list[Pair], abscissa: str, percents: tuple, window: int = 1,
                limit: Callable = limit_log) -> None:
    """Training losses of the pairs against their work; limit: of limit_log, limit_linear."""
    drawn = []
    for pair, look in zip(pairs, looks(pairs)):
        values = moving_mean(pair.history("loss"), window)
        if values.shape[1] >= 4 * window:
            values[:, :window - 1] = np.nan  # of fewer iterations
        drawn += draw_band(axes, pair, look, abscissa, values, percents)
    limit(axes, drawn)
    axes.set_xlim(left=0)
    scientific(axes.xaxis)
    axes.set(xlabel=NAMES[abscissa], ylabel="training loss")


# ---- words ----

def seeds_of(pairs: list[Pair]) -> str:
    """How many seeds each pair has, in words."""
    return ", ".join(f"{pair.label}: {seeds_text(len(pair.runs))}" for pair in pairs)


def band_words(percents: tuple) -> str:
    """What line and band are."""
    return (f"Lines: median over the seeds, up to the work that half of them took; a run that was done before counts "
            f"with its last value. Shaded: {percents[0]} to {percents[1]} %.")


def make_caption(training: Training, pairs: list[Pair], *sentences: str) -> str:
    """The text beside a figure: the sentences, what was trained, remarks, source."""
    accuracies = "; ".join(f"{pair.label} at {pair.knob} = {pair.accuracy:.3g}" for pair in pairs)
    setup = f"{pairs[0].problem}: policy {pairs[0].policy}, T = {pairs[0].horizon:g} s; {accuracies}."
    return "\n".join([*sentences, setup, *remarks(pairs), source(training), ""])
