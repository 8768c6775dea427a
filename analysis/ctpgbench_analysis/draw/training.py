"""training.py -- figures 3, 4 and 7 of the paper, and the losses of any problem, from a training file"""
from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ctpgbench_analysis.draw.curves import (
    NAMES,
    NFE_WORDS,
    QUARTILES,
    WIDE,
    Missing,
    band_words,
    both,
    common_run,
    draw_band,
    draw_losses,
    limit_linear,
    limit_log,
    looks,
    make_caption,
    need,
    seeds_of,
)
from ctpgbench_analysis.draw.page import legend_below, new_figure, row_or_column, scientific, width
from ctpgbench_analysis.draw.style import BLACK, GREY
from ctpgbench_analysis.measure.episodes import counts_loss, optimum
from ctpgbench_analysis.read.training import WINDOW, Pair, Training

STAGES = (0.5, 0.75, 1.0)  # of the iterations, as in the paper's stills
MOST_PATHS = 10            # per panel
ROOM = 1.5                 # half width of a panel of paths, in units of the farthest start: 7.5 m for starts within 5
DASHED = (0, (3, 1.5))
OPTIMUM = {"color": BLACK, "linestyle": DASHED, "linewidth": 1.0, "zorder": 4, "label": "optimum"}
BACKSOLVE = {"color": GREY, "linestyle": (0, (6, 1.5, 1, 1.5))}


# ---- losses of any problem ----

def losses_figure(training: Training, pairs: list[Pair]) -> tuple[Figure, str]:
    """Losses of one problem against NFE and against time."""
    figure, (left, right) = row_or_column((2.4, 4.2), sharey=True)
    draw_losses(left, pairs, "nfe", WIDE, WINDOW)
    draw_losses(right, pairs, "seconds", WIDE, WINDOW)
    right.set_ylabel(right.get_ylabel() if right.get_subplotspec().is_first_col() else "")
    legend_below(figure, *left.get_legend_handles_labels())
    return figure, make_caption(
        training,
        pairs,
        f"{pairs[0].problem}: training loss, moving mean of {WINDOW} iterations, against {NFE_WORDS}, and against "
        f"the wallclock of training (s), tests and interruptions left out.",
        band_words(WIDE) + " A run that failed counts as infinite beyond its end. " + seeds_of(pairs) + ".",
    )


# ---- 3: the neural ODE on lqr ----

def backsolve_of(pair: Pair) -> np.ndarray:
    """[s, i] backsolve error; 0 where the state is never integrated backwards, as it is known at 0."""
    errors = pair.history("backsolve_error")
    return errors if np.isfinite(errors).any() else np.where(np.isfinite(pair.history("loss")), 0.0, np.nan)


def draw_failure(axes, pair, best):
    """Loss on the left axis, backsolve error on the right; (right axes, drawn left, drawn right)."""
    losses = draw_band(axes, pair, looks([pair])[0], "iterations", pair.history("loss"), QUARTILES)
    axes.lines[-1].set_label(f"loss of {pair.label}")
    if best is not None:
        axes.axhline(best.mean(), **OPTIMUM)
    right = axes.twinx()
    errors = draw_band(right, pair, BACKSOLVE, "iterations", backsolve_of(pair), QUARTILES)
    right.lines[-1].set_label("backsolve error (right)")
    right.spines["right"].set_visible(True)
    right.grid(False)
    axes.set(xlim=(0, pair.history("loss").shape[1]), xlabel=NAMES["iterations"], title=pair.label)
    return right, losses, errors


def failure_words(pairs: list[Pair], best) -> list[str]:
    """The caption of figure 3."""
    goal = "" if best is None else f" Dashed: the optimum, |x0|^2 tanh T = {best.mean():.4g} (A = 0, B = Q = R = I)."
    neural = pairs[0]
    what = (
        "of state and running loss together, which the paper's code integrates backwards as one: the loss grows like "
        "the square of the state, hence the size"
        if counts_loss(neural)
        else "of the state alone; the paper's figure counts the running loss, too (-backsolve_loss)"
    )
    worst = np.fmax.reduce(neural.history("backsolve_error"), axis=1)
    return [
        "The neural ODE's failure in training. Left axes: loss of the batch against the iteration." + goal,
        f"Right axes: how far what is integrated backwards ends from the start, the largest of the batch; it is the "
        f"error {what}. Largest over a training of {neural.label}: {np.nanmedian(worst):.3g} in the median over the "
        f"seeds. ctpg never integrates the state backwards, so its error is 0.",
    ]


def figure_neural_ode(training: Training) -> tuple[Figure, str]:
    """One panel each for neural-ode and ctpg on lqr: loss on the left axis, backsolve error on the right one."""
    words = "both neural-ode and ctpg on lqr"
    pairs = need(training.first_of("lqr", "neural-ode", "ctpg"), words, "backsolve_error")
    best = optimum(pairs[0])
    figure, panels = row_or_column((2.3, 4.3), sharey=True)
    drawn = [draw_failure(axes, pair, best) for axes, pair in zip(panels, pairs)]
    rights = [right for right, _, _ in drawn]
    limit_linear(panels[0], np.concatenate([losses for _, losses, _ in drawn]))
    for right in rights:
        limit_linear(right, np.concatenate([errors for _, _, errors in drawn]))
        scientific(right.yaxis)
        right.set_ylabel("backsolve error")
    for axes in panels:
        axes.set_ylabel("training loss")
    if panels[1].get_subplotspec().is_last_col() and not panels[1].get_subplotspec().is_first_col():
        panels[1].set_ylabel("")
        rights[0].set_ylabel("")
    lines = [*panels[0].lines[:1], *panels[1].lines[:1], *panels[0].lines[1:], *rights[0].lines]
    legend_below(figure, lines, [line.get_label() for line in lines])
    return figure, make_caption(training, pairs, *failure_words(pairs, best),
                                band_words(QUARTILES) + " " + seeds_of(pairs) + ".")


# ---- 4: diffdrive ----

def stages(pair):
    """Numbers of the snapshots nearest to the paper's stages; the last one is the final policy."""
    snapshots = pair.scale("snapshot")
    return sorted({int(np.abs(snapshots - stage * snapshots[-1]).argmin()) for stage in STAGES})


def square(starts: np.ndarray) -> float:
    """Half width of a square around the origin that holds the starts, in halves."""
    return np.ceil(2 * ROOM * max(np.abs(starts[np.isfinite(starts)]).max(initial=0.0), 1e-3)) / 2


def plane_names(pair: Pair, first: int = 0, second: int = 1) -> tuple[str, str]:
    """Axis labels of the plane of two states."""
    return pair.plant.state(first), pair.plant.state(second)


def draw_paths(axes, pairs: list[Pair], paths: list[np.ndarray], half: float) -> None:
    """The paths [start, m, nx] of each pair from the same starts, in a square of this half width around the origin:
    ctpg's solid, the others' dashed."""
    for pair, look, mine in zip(pairs, looks(pairs), paths):
        dashes = "-" if pair.type == "ctpg" else DASHED
        for number, path in enumerate(mine[:MOST_PATHS]):
            axes.plot(path[:, 0], path[:, 1], color=look["color"], linestyle=dashes, linewidth=0.9, zorder=2,
                      label=None if number else pair.label)
    starts = paths[0][:MOST_PATHS, 0]
    axes.plot(starts[:, 0], starts[:, 1], marker="o", color=BLACK, markersize=2.6, linestyle="none", zorder=3,
              label="starts")
    axes.plot([0], [0], marker="+", color=BLACK, markersize=8, markeredgewidth=1.2, linestyle="none", zorder=4,
              label="origin")
    axes.set(xlim=(-half, half), ylim=(-half, half))
    axes.set_aspect("equal")
    axes.locator_params(nbins=4)


def near_origin(paths: np.ndarray, radius: float) -> int:
    """How many of the paths [start, m, nx] end within the radius of the origin."""
    return int((np.linalg.norm(paths[:MOST_PATHS, -1, :2], axis=1) <= radius).sum())


def figure_diffdrive(training: Training) -> tuple[Figure, str]:
    """Three square panels, one per stage of training: paths of both estimators from the same ten starts."""
    pairs = need(both(training, "diffdrive"), "", "path")
    runs, columns = common_run(pairs), stages(pairs[0])
    figure = new_figure(width() / 3 + 0.4)
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    half = square(pairs[0].read("path")[runs[0], -1, :, 0, :2])
    ends = []
    for axes, k in zip(panels, columns):
        paths = [pair.read("path")[run, k] for pair, run in zip(pairs, runs)]
        draw_paths(axes, pairs, paths, half)
        iteration = pairs[0].scale("snapshot")[k]
        axes.set_title(f"iteration {iteration}")
        axes.set_xlabel(plane_names(pairs[0])[0])
        ends.append(f"at {iteration} " + " and ".join(f"{near_origin(mine, half / 15)} of {pair.label}"
                                                      for pair, mine in zip(pairs, paths)))
    panels[0].set_ylabel(plane_names(pairs[0])[1])
    legend_below(figure, *panels[0].get_legend_handles_labels())
    count = min(MOST_PATHS, pairs[0].read("path").shape[2])
    return figure, make_caption(
        training,
        pairs,
        f"diffdrive: paths from {count} held-out starts (dots) under the policies at three stages of training, seed "
        f"{pairs[0].seeds[runs[0]]}; {pairs[0].label} solid, {pairs[1].label} dashed, the same starts in every panel; "
        f"+ the origin; paths are cut off at the frame.",
        f"Paths that end within {half / 15:.2g} m of the origin: {'; '.join(ends)}.",
    )


# ---- 7: quadrotor ----

def final_words(pairs: list[Pair]) -> str:
    """Median over seeds of the mean loss of the last ten iterations."""
    finals = []
    for pair in pairs:
        losses = np.where(np.isfinite(pair.history("loss")), pair.history("loss"), np.inf)
        finals.append(f"{pair.label} {np.median(losses[:, -10:].mean(axis=1)):.4g}")
    return f"Mean loss of the last 10 iterations, median over seeds: {', '.join(finals)}."


def draw_gradient_norms(axes, pairs: list[Pair]) -> list[float]:
    """Gradient norm against the iteration; the largest of each pair."""
    drawn, largest = [], []
    for pair, look in zip(pairs, looks(pairs)):
        norms = pair.history("grad_norm")
        drawn += draw_band(axes, pair, look, "iterations", norms, QUARTILES)
        largest.append(norms[np.isfinite(norms)].max(initial=0.0))
    limit_log(axes, drawn)
    axes.set(xlim=(0, pairs[0].history("loss").shape[1]), xlabel=NAMES["iterations"], ylabel="norm of the gradient")
    return largest


def figure_quadrotor(training: Training) -> tuple[Figure, str]:
    """Loss against NFE, and beside it the norm of the gradient over training."""
    pairs = both(training, "quadrotor")[:1] + training.of_type("quadrotor", "euler-bptt")
    figure, (left, right) = row_or_column((2.4, 4.4))
    draw_losses(left, pairs, "nfe", QUARTILES, limit=limit_linear)
    largest = draw_gradient_norms(right, pairs)
    legend_below(figure, *left.get_legend_handles_labels())
    norms = ", ".join(f"{pair.label} {norm:.2g}" for pair, norm in zip(pairs, largest))
    return figure, make_caption(
        training,
        pairs,
        f"quadrotor: training loss against {NFE_WORDS}. {final_words(pairs)}",
        f"Beside it: norm of the mean gradient of the batch, before clipping; largest of all seeds: {norms}.",
        band_words(QUARTILES) + " " + seeds_of(pairs) + ".",
    )
