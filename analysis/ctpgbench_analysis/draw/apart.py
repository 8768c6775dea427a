"""apart.py -- the figure of measure/apart.py: from Euler-BPTT to ctpg, one change at a time"""
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctpgbench_analysis.draw.curves import Missing
from ctpgbench_analysis.draw.page import is_narrow, legend_below, log_axis, new_figure
from ctpgbench_analysis.draw.style import BLACK, BLUE, GREEN, ORANGE, RED, style
from ctpgbench_analysis.measure.apart import ASIDE, PARTS, RUNGS, TARGET, Apart, lines_of, sentences, take_apart
from ctpgbench_analysis.read.sweep import Results

COLOURS = (BLUE, GREEN, RED)  # of PARTS
NAMES = ("order", "adaptive steps", "continuous adjoint")
LOOKS = ("euler-bptt", "alf", "rk-adjoint", "ctpg")  # of RUNGS: whose marker
SHIFT = 0.17  # of the last arrow below its row: it may go back


def arrow(axes, before: float, after: float, height: float, colour: str, above: bool) -> None:
    """From one NFE to the next, with the factor."""
    axes.annotate("", (after, height), (before, height), zorder=2,
                  arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0,
                              "mutation_scale": 8})
    factor = before / after
    axes.annotate(f"×{factor:.0f}" if factor >= 9.5 else f"×{factor:.2g}", (math.sqrt(before * after), height),
                  (0, 2 if above else -2), textcoords="offset points", ha="center", va="bottom" if above else "top",
                  color=colour)


def draw_row(axes, one: Apart, height: float) -> None:
    """One problem: arrows of what changes, marks of the estimators."""
    for k, (before, after) in enumerate(zip(one.nfe, one.nfe[1:])):
        if math.isfinite(before) and math.isfinite(after):
            last = k == len(PARTS) - 1
            arrow(axes, before, after, height - (SHIFT if last else 0), COLOURS[k], not last)
    for nfe, kind in zip(one.nfe, LOOKS):
        look = style(kind)
        if math.isfinite(nfe):
            axes.plot([nfe], [height], marker=look["marker"], color=BLACK, markersize=look["markersize"], zorder=4,
                      linestyle="none")
    if math.isfinite(one.aside):
        look = style(ASIDE[1][0])
        axes.plot([one.aside], [height], marker=look["marker"], markerfacecolor="white", markeredgecolor=ORANGE,
                  markersize=4.5, zorder=3, linestyle="none")


def legend_of(found: list[Apart]) -> tuple[list[Line2D], list[str]]:
    """Handles and texts: estimators, then what changes between them."""
    handles = [Line2D([], [], marker=style(kind)["marker"], color=BLACK, markersize=4.5, linestyle="none")
               for kind in LOOKS]
    texts = list(RUNGS)
    if any(math.isfinite(one.aside) for one in found):
        handles.append(Line2D([], [], marker=style(ASIDE[1][0])["marker"], markerfacecolor="white", linestyle="none",
                              markeredgecolor=ORANGE, markersize=4.5))
        texts.append("neural-ode-ckpt")
    handles += [Line2D([], [], color=colour, linewidth=1.6) for colour in COLOURS]
    return handles, texts + list(NAMES)


def figure_apart(results: Results) -> tuple[Figure, str]:
    """NFE to one gradient error, from Euler-BPTT to ctpg, one change at a time."""
    found = take_apart(results)
    if not found:
        raise Missing(f"{results.path} holds no problem with finished runs of Euler-BPTT, RK4-BPTT (rk-adjoint with "
                      f"fixed steps), rk-adjoint and ctpg.")
    figure = new_figure(0.5 + (0.5 if is_narrow() else 0.42) * len(found))
    axes = figure.subplots()
    for number, one in enumerate(found):
        draw_row(axes, one, len(found) - 1 - number)
    values = [nfe for one in found for nfe in (*one.nfe, one.aside) if math.isfinite(nfe)]
    axes.set(xscale="log", xlabel=f"NFE to a relative gradient error of {TARGET:g}", ylim=(-0.6, len(found) - 0.4),
             xlim=(min(values, default=1) / 1.6, max(values, default=10) * 1.6))
    log_axis(axes.xaxis, *axes.get_xlim())
    axes.set_yticks(np.arange(len(found))[::-1], [one.problem for one in found])
    axes.grid(False, axis="y")
    legend_below(figure, *legend_of(found))
    return figure, "\n".join([
        f"Why ctpg needs fewer NFE than Euler-BPTT to a relative gradient error of {TARGET:g}. Marks: median NFE over "
        f"the seeds of {', '.join(RUNGS)}, none where half of the seeds do not get there; hollow: neural-ode-ckpt, "
        f"{ASIDE[0]} between checkpoints. Arrows: what changes from one to the next, with the factor of the medians.",
        *sentences(found),
        *lines_of(found),
        f"Data: {Path(results.path).name}, plan {results.plan_hash}.", ""])
