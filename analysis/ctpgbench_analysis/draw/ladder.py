"""ladder.py -- the figure of a ladder of gradient accuracies (measure/ladder.py)"""
from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctpgbench_analysis.draw.page import is_narrow, legend_below, log_axis, new_figure, widen, width, wrapped
from ctpgbench_analysis.draw.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, style
from ctpgbench_analysis.measure.ladder import EQUAL, MORE, SAME, WORKS, Ladder, Rung, audit
from ctpgbench_analysis.read.words import seeds_text

BAND = {"color": "#BBBBBB", "alpha": 0.45, "linewidth": 0}
GREY_MARK = {"color": "#555555", "linestyle": "none"}  # of a legend


def abscissa(ladder: Ladder) -> tuple[list[float], str]:
    """(values [rung], label): the measured error, or the accuracy where there are no audits."""
    errors = [rung.error for rung in ladder.rungs]
    if all(np.isfinite(error) and error > 0 for error in errors):
        return errors, "relative error of the batch gradient"
    return [rung.pair.accuracy for rung in ladder.rungs], "accuracy: rtol, or dt (s)"


def look_of(rung):
    look = style(rung.pair.label, rung.pair.type)
    return {"color": look["color"], "marker": look["marker"], "markersize": look["markersize"],
            "markerfacecolor": "white" if rung.following else look["color"]}


def noise(ladder):
    """Quartiles over all rungs, seeds and audits of the relative standard error of the batch; None without."""
    values = np.concatenate([audit(rung.pair, "stderr").ravel() for rung in ladder.rungs])
    values = values[np.isfinite(values) & (values > 0)]
    return tuple(np.quantile(values, (0.25, 0.75))) if len(values) else None


def draw_errors(axes, ladder):
    """Gradient error against the accuracy asked for, beside the standard error of the batch."""
    for rung in ladder.rungs:
        axes.errorbar(
            [rung.pair.accuracy],
            [rung.error],
            np.abs(np.subtract(rung.spread, rung.error))[:, None],
            capsize=2,
            linewidth=0.9,
            **look_of(rung),
        )
    if noise(ladder):
        axes.axhspan(*noise(ladder), zorder=0, **BAND)
    axes.set(
        xscale="log", yscale="log", xlabel="accuracy: rtol, or dt (s)", ylabel="relative error of\nthe batch gradient"
    )


def draw_work(axes, ladder, name):
    values, label = abscissa(ladder)
    intervals = [rung.work[name] for rung in ladder.rungs]
    finite = [end for one in intervals for end in (one.value, one.high) if math.isfinite(end) and end > 0]
    top = 2 * max(finite, default=1.0)
    for x, rung, one in zip(values, ladder.rungs, intervals):
        look = look_of(rung)
        if math.isinf(one.value):
            axes.plot([x], [top], **{**look, "marker": 6})
            continue
        ends = [[one.value - one.low], [min(one.high, top) - one.value]] if one.known else None
        axes.errorbar([x], [one.value], ends, capsize=2, linewidth=0.9, **look)
    if noise(ladder) and label.startswith("relative"):
        axes.axvspan(*noise(ladder), zorder=0, **BAND)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel=f"{WORKS[name]}\nto the target")
    axes.set_ylim(top=top * 1.05)


def tidy(axes):
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = widen(*limits)
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(low, high)
        log_axis(axis, low, high)


def legend_of(ladder):
    types = {rung.pair.type: look_of(rung) for rung in reversed(ladder.rungs)}
    handles = [
        Line2D([], [], linestyle="none", **{**look, "markerfacecolor": look["color"]}) for look in types.values()
    ]
    texts = list(types)
    if any(rung.following for rung in ladder.rungs):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", **GREY_MARK))
        texts.append("hollow: accuracy follows the gradient")
    if any(math.isinf(rung.work["iterations"].value) for rung in ladder.rungs):
        handles.append(Line2D([], [], marker=6, **GREY_MARK))
        texts.append("most seeds never get there")
    if noise(ladder):
        handles.append(Patch(**BAND))
        texts.append("standard error of the batch")
    return handles, texts


def ladder_figure(ladder: Ladder) -> Figure:
    """Gradient errors, and the work to the target against them."""
    figure = new_figure(8.0 if is_narrow() else 4.6)
    panels = figure.subplots(*((4, 1) if is_narrow() else (2, 2))).ravel()
    if abscissa(ladder)[1].startswith("relative"):
        draw_errors(panels[0], ladder)
    else:
        panels[0].set_visible(False)
    for axes, name in zip(panels[1:], WORKS):
        draw_work(axes, ladder, name)
    for axes in panels:
        if axes.get_visible():
            tidy(axes)
    seeds = seeds_text(len(ladder.targets))
    figure.suptitle(wrapped(
        f"{ladder.problem}: to a {'test' if ladder.tested else 'training'} loss of {ladder.target:.4g} in the median, "
        f"{seeds}", width()))
    legend_below(figure, *legend_of(ladder))
    return figure


# ---- all problems in one ----

PROBLEMS = ((BLUE, "s"), (ORANGE, "^"), (GREEN, "D"), (RED, "o"), (PURPLE, "v"), (SKY, "h"), (BLACK, "P"))
TOP = 4.0     # of the ratios that are drawn
FLOOR = 1e-7  # of the errors that are drawn: those of the reference are as small as one likes


def draw_ratio(axes, rung: Rung, colour: str, marker: str) -> None:
    """One rung: its ratio of iterations over its error."""
    one, x = rung.ratio["iterations"], max(rung.in_noise, FLOOR)
    if one.value <= 0:  # where neither it nor the reference gets there on half of the seeds, it is not known
        return
    y = min(one.value, TOP)
    if one.known:
        axes.plot([x, x], [max(one.low, 1 / TOP), min(one.high, TOP)], color=colour, linewidth=0.8, zorder=2)
    if rung.verdict == MORE:
        look = {"marker": "x", "markersize": 6, "markeredgewidth": 1.6}
    else:
        look = {"marker": marker, "markersize": 4.5, "markerfacecolor": colour if rung.verdict == EQUAL else "white"}
    axes.plot([x], [y], color=colour, linestyle="none", zorder=3, clip_on=False, **look)


def suffices_figure(ladders: list[Ladder]) -> Figure:
    """Which accuracy suffices: ratios of iterations over the error in units of the batch's standard error."""
    figure = new_figure(2.6)
    axes = figure.subplots()
    handles = []
    for number, ladder in enumerate(ladders):
        colour, marker = PROBLEMS[number % len(PROBLEMS)]
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4.5, linestyle="none"))
        for rung in ladder.rungs:
            if math.isfinite(rung.in_noise):
                draw_ratio(axes, rung, colour, marker)
    axes.axhspan(*SAME, zorder=0, **BAND)
    axes.axvline(1, color="#555555", linewidth=0.8, linestyle=(0, (3, 1.5)), zorder=1)
    axes.set(xscale="log", yscale="log", xlabel="error of the gradient / standard error of the batch",
             ylabel="iterations /\nthose of the most accurate", ylim=(0.5, TOP))
    log_axis(axes.xaxis, *axes.get_xlim())
    axes.set_yticks((0.5, 1, 2, 4), ("0.5", "1", "2", "4"))
    axes.set_yticks((), minor=True)
    handles += [Line2D([], [], marker="o", markersize=4.5, **GREY_MARK),
                Line2D([], [], marker="o", markersize=4.5, markerfacecolor="white", **GREY_MARK),
                Line2D([], [], marker="x", markersize=6, markeredgewidth=1.6, **GREY_MARK)]
    legend_below(figure, handles, [*[ladder.problem for ladder in ladders], "equal", "not decided, or fewer",
                                   "more iterations"])
    return figure
