"""ladder.py -- the figure of a ladder of gradient accuracies (measure/ladder.py)"""
from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctpgbench_analysis.draw.page import log_axis, widen
from ctpgbench_analysis.draw.style import style
from ctpgbench_analysis.measure.ladder import WORKS, Ladder, audit
from ctpgbench_analysis.read.words import seeds_text

BAND = {"color": "#BBBBBB", "alpha": 0.45, "linewidth": 0}


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
    grey = {"color": "#555555", "linestyle": "none"}
    if any(rung.following for rung in ladder.rungs):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", **grey))
        texts.append("hollow: accuracy follows the gradient")
    if any(math.isinf(rung.work["iterations"].value) for rung in ladder.rungs):
        handles.append(Line2D([], [], marker=6, **grey))
        texts.append("most seeds never get there")
    if noise(ladder):
        handles.append(Patch(**BAND))
        texts.append("standard error of the batch")
    return handles, texts


def ladder_figure(ladder: Ladder) -> Figure:
    """Gradient errors, and the work to the target against them."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))
    panels = figure.subplots(2, 2).ravel()
    if abscissa(ladder)[1].startswith("relative"):
        draw_errors(panels[0], ladder)
    else:
        panels[0].set_visible(False)
    for axes, name in zip(panels[1:], WORKS):
        draw_work(axes, ladder, name)
    for axes in panels:
        if axes.get_visible():
            tidy(axes)
    figure.legend(*legend_of(ladder), loc="lower center", ncol=3, borderaxespad=0.2)
    seeds = seeds_text(len(ladder.targets))
    figure.suptitle(
        f"{ladder.problem}: to a {'test' if ladder.tested else 'training'} loss of {ladder.target:.4g} in the median, "
        f"{seeds}")
    return figure
