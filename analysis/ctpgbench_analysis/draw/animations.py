"""animations.py -- two GIFs from a training file: paths over training (diffdrive), the field along a path (electric)

Each function animate_<what>(training, path) writes the file and gives its caption, or raises Missing.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ctpgbench_analysis.draw.curves import both, common_run, make_caption, need
from ctpgbench_analysis.draw.field import FIELD_WORDS, draw_field, field_legend, field_pairs, largest_charge, scenes
from ctpgbench_analysis.draw.page import legend_below
from ctpgbench_analysis.draw.training import draw_paths, plane_names, square
from ctpgbench_analysis.read.training import Training

DPI = 100
FRAMES = 64        # at most
SECONDS = 6.0      # that all frames take, but no frame longer than one
LAST = 8           # times the last frame is shown


def chosen(count):
    """Numbers of at most FRAMES of `count` things, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, FRAMES)).round().astype(int))


def write_gif(figure, draw, numbers, path):
    """draw(number) changes the figure into the frame of this number."""
    FigureCanvasAgg(figure)
    writer = PillowWriter(fps=max(1.0, len(numbers) / SECONDS))
    draw(numbers[0])
    for _ in range(2):  # titles find their places in the first pass, and need room in the second
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # else axes would move from frame to frame
    with writer.saving(figure, path, DPI):
        for number in [*numbers, *[numbers[-1]] * LAST]:
            draw(number)
            writer.grab_frame()
    print(path)


def animate_paths(training: Training, path: Path) -> str:
    """diffdrive's paths under the policies of a training; the caption."""
    pairs = need(both(training, "diffdrive"), "", "path")
    runs = common_run(pairs)
    half = square(pairs[0].read("path")[runs[0], -1, :, 0, :2])
    figure = Figure(figsize=(4.0, 3.9), layout="constrained")
    axes = figure.subplots()

    def draw(k):
        axes.clear()
        draw_paths(axes, pairs, [pair.read("path")[run, k] for pair, run in zip(pairs, runs)], half)
        axes.set(xlabel=plane_names(pairs[0])[0], ylabel=plane_names(pairs[0])[1],
                 title=f"iteration {pairs[0].scale('snapshot')[k]}")

    draw(0)
    legend_below(figure, *axes.get_legend_handles_labels())
    count = min(pair.read("path").shape[1] for pair in pairs)
    write_gif(figure, draw, chosen(count), path)
    return make_caption(
        training,
        pairs,
        f"diffdrive: paths from held-out starts (dots) to the origin (+), over {count} policies of a training, seed "
        f"{pairs[0].seeds[runs[0]]}; {pairs[0].label} solid, {pairs[1].label} dashed; cut off at the frame.",
    )


def animate_field(training: Training, path: Path) -> str:
    """electric's field along a path under the final policies; the caption."""
    pairs, runs = field_pairs(training)
    drawn = scenes(pairs, runs)
    largest, times = largest_charge(drawn), drawn[0].times
    figure = Figure(figsize=(6.0, 3.1), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    draw_field(panels[0], drawn[0], 0, largest)
    legend_below(figure, *field_legend())

    def draw(m):
        for axes, pair, scene in zip(panels, pairs, drawn):
            axes.clear()
            draw_field(axes, scene, m, largest)
            axes.set_xlabel("x")
            axes.set_title(f"{pair.label}, t = {times[m]:5.2f} s")
        panels[0].set_ylabel("y")

    write_gif(figure, draw, chosen(len(times)), path)
    return make_caption(
        training,
        pairs,
        f"electric: the particle and its goal under the final policies, seed {pairs[0].seeds[runs[0]]}, first held-out "
        f"start. {FIELD_WORDS}",
    )
