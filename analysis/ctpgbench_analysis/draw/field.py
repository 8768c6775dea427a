"""field.py -- figure 5 of the paper: losses on electric, and the field of its electrodes along a path"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctpgbench_analysis.draw.curves import (
    NFE_WORDS,
    WIDE,
    Missing,
    band_words,
    both,
    common_run,
    draw_losses,
    finite_values,
    limit_linear,
    make_caption,
    need,
    seeds_of,
)
from ctpgbench_analysis.draw.page import is_narrow, legend_below, new_figure
from ctpgbench_analysis.draw.style import BLACK, BLUE, RED
from ctpgbench_analysis.read.plants import Plant
from ctpgbench_analysis.read.training import WINDOW, Pair, Training, clock_of

POSITIVE, NEGATIVE, ARROW = "#F5B25C", "#8E7CC3", "#777777"
LARGEST = 190  # points^2: area of the disc of the largest charge
MOMENT = 0.4   # of the horizon, at which a figure shows the field


@dataclass(frozen=True)
class Electrodes:
    """What the file says of electric's plant."""
    places: np.ndarray  # [8, 2]
    coulomb: float      # K
    core: float         # distance below which the force is linear


def electrodes_of(plant: Plant) -> Electrodes:
    """The electrodes; Missing where the file does not say where they are."""
    places, coulomb, core = plant.constant("electrodes", None, 2), plant.number("coulomb"), plant.number("core")
    if places is None or coulomb is None or not core:
        raise Missing("the file does not say where the electrodes are and how they act (plants/<label>/constants).")
    return Electrodes(places, coulomb, core)


def field_of(electrodes: Electrodes, charges: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[n, 2] acceleration of the particle at points [n, 2] by electrodes of these charges [8], friction left out."""
    r = points[:, None] - electrodes.places
    length = np.maximum(np.linalg.norm(r, axis=2), electrodes.core)
    return electrodes.coulomb * (charges[None, :, None] * r / length[..., None] ** 3).sum(axis=1)


def goal_at(goals: np.ndarray, times: np.ndarray, horizon: float) -> np.ndarray:
    """[n, 2] the goal on its way over three points [3, 2], half of the horizon for each segment."""
    return np.stack([np.interp(times, [0, horizon / 2, horizon], goals[:, i]) for i in range(2)], axis=1)


class Scene:
    """One test start of electric: what the particle did under a policy."""

    def __init__(self, pair, run, k, start):
        self.electrodes = electrodes_of(pair.plant)
        self.times = pair.scale("path_time")
        self.path, self.charges = (pair.read(name)[run, k, start] for name in ("path", "path_control"))
        self.goal = goal_at(pair.of_problem("test_task")[run, start].reshape(3, 2), self.times, pair.horizon)


def scenes(pairs: list[Pair], runs: list[int], start: int = 0) -> list[Scene]:
    """The same test start under the final policy of each pair."""
    return [Scene(pair, run, -1, start) for pair, run in zip(pairs, runs)]


def field_pairs(training: Training) -> tuple[list[Pair], list[int]]:
    """ctpg and Euler-BPTT on electric with their paths, and the row of each for a common seed."""
    pairs = need(both(training, "electric"), "", "path", "path_control")
    return pairs, common_run(pairs)


def largest_charge(scenes_drawn: list[Scene]) -> float:
    """Of all of them, so that discs can be compared between panels and frames."""
    return max(max(np.nanmax(np.abs(scene.charges)) for scene in scenes_drawn), 1e-300)


def moment(scene: Scene) -> int:
    """The sample at which a figure shows it."""
    return int(MOMENT * (len(scene.times) - 1))


def draw_arrows(axes, scene: Scene, m: int, count: int) -> None:
    """The acceleration at a grid of points, as long as the root of its size."""
    ticks = np.linspace(0.02, 0.98, count)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    points = points[(np.linalg.norm(points[:, None] - scene.electrodes.places, axis=2) > 0.045).all(axis=1)]
    field = field_of(scene.electrodes, scene.charges[m], points)
    size = np.linalg.norm(field, axis=1, keepdims=True)
    arrows = 0.8 / count * field / np.maximum(size, 1e-300) * np.sqrt(size / max(size.max(), 1e-300))
    axes.quiver(*points.T, *arrows.T, color=ARROW, angles="xy", scale_units="xy", scale=1, pivot="mid", width=0.005,
                headwidth=4, zorder=1)


def draw_field(axes, scene: Scene, m: int, largest: float, count: int = 13) -> None:
    """Electrodes as large as their charge, the field, and the particle with its goal at sample m of the path."""
    draw_arrows(axes, scene, m, count)
    charges = scene.charges[m]
    axes.scatter(*scene.electrodes.places.T, s=12 + LARGEST * np.abs(charges) / largest, linewidths=0.7, zorder=3,
                 c=[POSITIVE if charge > 0 else NEGATIVE for charge in charges], edgecolors=BLACK)
    axes.plot(*scene.goal.T, color=BLUE, linewidth=1.0, linestyle=(0, (3, 2)), zorder=2)
    axes.plot(*scene.path[:m + 1, 2:4].T, color=RED, linewidth=1.4, zorder=4)
    axes.plot(*scene.goal[m], marker="X", color=BLUE, markeredgecolor="white", markersize=8, zorder=5)
    axes.plot(*scene.path[m, 2:4], marker="o", color=RED, markeredgecolor="white", markersize=7, zorder=6)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_aspect("equal")
    axes.grid(False)


def field_legend() -> tuple[list[Line2D], list[str]]:
    """Handles and texts of draw_field's marks."""
    disc = {"marker": "o", "linestyle": "none", "markeredgecolor": BLACK, "markeredgewidth": 0.7, "markersize": 7}
    handles = [
        Line2D([], [], color=RED, linewidth=1.4, marker="o", markersize=5),
        Line2D([], [], color=BLUE, linewidth=1.0, linestyle=(0, (3, 2)), marker="X", markersize=6),
        Line2D([], [], markerfacecolor=POSITIVE, **disc),
        Line2D([], [], markerfacecolor=NEGATIVE, **disc),
    ]
    return handles, ["charge", "goal", "electrode, +", "electrode, \N{MINUS SIGN}"]


FIELD_WORDS = (
    "Discs: the electrodes, as large as the charges that the policy gives them; arrows: the acceleration by them, as "
    "long as the root of its size; the way of the charge so far, its goal and the goal's way (dashed)."
)


def field_axes(with_field: bool) -> tuple[Figure, list]:
    """Figure and panels of figure 5: two of losses, and the field beside or below them."""
    if not with_field:
        figure = new_figure(2.3)
        return figure, list(figure.subplots(1, 2, sharey=True))
    if is_narrow():
        figure = new_figure(4.6)
        grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.7))
        left = figure.add_subplot(grid[0, 0])
        return figure, [left, figure.add_subplot(grid[0, 1], sharey=left), figure.add_subplot(grid[1, :])]
    figure = new_figure(2.3)
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.95))
    left = figure.add_subplot(grid[0])
    return figure, [left, figure.add_subplot(grid[1], sharey=left), figure.add_subplot(grid[2])]


PRINTED = 0.0, 0.5  # loss axis of the paper's figure


def limit_printed(axes, drawn: list) -> None:
    """The paper's axis, unless most of what is drawn lies beyond it."""
    limit_linear(axes, drawn)
    if np.median(finite_values(drawn)) < PRINTED[1]:
        axes.set_ylim(*PRINTED)


CLOCKS = {"cpu": "CPU time, which is wallclock on an idle machine,", "seconds": "wallclock"}


def scene_of(training: Training) -> tuple[Scene | None, str]:
    """ctpg's first test start, and the sentence on the panel that shows it, or on why there is none."""
    try:
        pairs, runs = field_pairs(training)
        scene = scenes(pairs, runs)[0]
    except Missing as why:
        return None, f"The field is not drawn: {why}"
    return scene, (f"Third panel: the field at t = {scene.times[moment(scene)]:.3g} s under the final policy of "
                   f"{pairs[0].label}, seed {pairs[0].seeds[runs[0]]}, first held-out start. {FIELD_WORDS}")


def figure_electric(training: Training) -> tuple[Figure, str]:
    """Losses against NFE and time, and the field at one moment under ctpg's final policy."""
    pairs = need(training.of_type("electric"), "electric")
    scene, words = scene_of(training)
    figure, (left, centre, *rest) = field_axes(scene is not None)
    draw_losses(left, pairs, "nfe", WIDE, WINDOW, limit_printed)
    clock = clock_of(pairs)
    draw_losses(centre, pairs, clock, WIDE, WINDOW, limit_printed)
    centre.set_ylabel("")
    centre.tick_params(labelleft=False)
    lines, names = left.get_legend_handles_labels()
    if scene is not None:
        draw_field(rest[0], scene, moment(scene), largest_charge([scene]))
        marks, more = field_legend()
        lines, names = [*lines, *marks], [*names, *more]
    legend_below(figure, lines, names)
    return figure, make_caption(
        training,
        pairs,
        f"electric: training loss, moving mean of {WINDOW} iterations, against {NFE_WORDS}, and against the "
        f"{CLOCKS[clock]} of training (s), tests and interruptions left out. {band_words(WIDE)} {seeds_of(pairs)}.",
        *(["Loss axes as in the paper; what lies above is cut off."] if left.get_ylim() == PRINTED else []),
        words,
    )


def figure_field(training: Training) -> tuple[Figure, str]:
    """The field of the electrodes at one moment under the final policies of both."""
    pairs, runs = field_pairs(training)
    drawn = scenes(pairs, runs)
    largest, m = largest_charge(drawn), moment(drawn[0])
    figure = new_figure(2.0 if is_narrow() else 3.9)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, pair, scene in zip(panels, pairs, drawn):
        draw_field(axes, scene, m, largest)
        axes.set_xlabel("x")
        axes.set_title(f"final policy of {pair.label}")
    panels[0].set_ylabel("y")
    legend_below(figure, *field_legend())
    return figure, make_caption(
        training,
        pairs,
        f"electric: the field at t = {drawn[0].times[m]:.3g} s. {FIELD_WORDS} Seed {pairs[0].seeds[runs[0]]}, first "
        f"held-out start, under the final policies.",
    )
