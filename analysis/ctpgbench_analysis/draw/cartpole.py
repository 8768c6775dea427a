"""cartpole.py -- figure 6 of the paper: strobe pictures of one rollout each, from traces, and losses from a training"""
from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ctpgbench_analysis.draw.curves import (
    NFE_WORDS,
    QUARTILES,
    band_words,
    draw_losses,
    limit_linear,
    looks,
    make_caption,
    need,
    seeds_of,
)
from ctpgbench_analysis.draw.page import is_narrow, legend_below, new_figure
from ctpgbench_analysis.draw.style import GREY
from ctpgbench_analysis.measure.episodes import cartpole_pairs
from ctpgbench_analysis.read.traces import Back, Trace
from ctpgbench_analysis.read.training import Pair, Training

CART = 0.4, 0.2   # m, width and height of the cart that is drawn
DENSE = 60        # points from which on lines are thinner and fainter
WITHOUT = "The strobe pictures are missing: no trace of {} under its policy was given (--traces)."


def rollout_of(pair: Pair, traces: list[Trace]) -> tuple[Trace, Back] | None:
    """The trace of this pair's own policy, and in it the estimator of its type, with the steps of its way out."""
    for trace in traces:
        place = trace.theta.partition(":/")[2].partition("@")[0]
        if trace.type != pair.problem_type or place != f"training/{pair.problem}/{pair.label}":
            continue
        for back in trace.back:
            if back.type == pair.type and len(back.out_t):
                return trace, back
    return None


def pole_length(trace: Trace) -> float:
    """In metres."""
    rods = trace.plant.constant("rods", 1)
    return 1.0 if rods is None else float(rods[0])


def room_for(rollouts: list[tuple[Trace, Back]]) -> tuple[float, float]:
    """Positions (m) between which every cart stays, pole and all."""
    length = max(pole_length(trace) for trace, _ in rollouts)
    x = np.concatenate([back.out_x[:, 0] for _, back in rollouts])
    return x.min() - 1.1 * length, x.max() + 1.1 * length


def draw_strobe(axes, trace: Trace, back: Back, colour: str, room: tuple[float, float]) -> None:
    """Cart and pole at every point of the way out, over one another; room: limits of positions."""
    rail, length = trace.plant.constant("rail", 2), pole_length(trace)
    x, angle = back.out_x[:, 0], back.out_x[:, 1]
    alpha, thick = (0.3, 0.4) if len(x) > DENSE else (0.6, 1.2)
    for cart, pole in zip(x, angle):
        axes.add_patch(Rectangle((cart - CART[0] / 2, -CART[1] / 2), *CART, facecolor="none", edgecolor=colour,
                                 alpha=alpha, linewidth=0.7 * thick, zorder=2))
        axes.plot([cart, cart + length * np.sin(pole)], [0, length * np.cos(pole)], color=colour, alpha=alpha,
                  linewidth=thick, solid_capstyle="round", zorder=3)
    if rail is not None:
        axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    axes.set(xlim=room, ylim=(-1.2 * length, 1.2 * length), yticks=[], xlabel="position (m)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(False)


def strobe_axes(strobes: int) -> tuple[Figure, list, object]:
    """(figure, panels of strobe pictures, panel of the curve)."""
    if not strobes:
        figure = new_figure(2.4)
        return figure, [], figure.subplots()
    if is_narrow():
        figure = new_figure(3.6)
        grid = figure.add_gridspec(2, strobes, height_ratios=(1, 1.3))
        return figure, [figure.add_subplot(grid[0, i]) for i in range(strobes)], figure.add_subplot(grid[1, :])
    figure = new_figure(2.1)
    grid = figure.add_gridspec(1, strobes + 1, width_ratios=(*[1] * strobes, 1.25))
    return figure, [figure.add_subplot(grid[i]) for i in range(strobes)], figure.add_subplot(grid[strobes])


def figure_cartpole(training: Training, traces: list[Trace]) -> tuple[Figure, str]:
    """One rollout of each estimator as a strobe picture, and losses against NFE."""
    pairs = need(cartpole_pairs(training), "both ctpg and Euler-BPTT on cartpole")
    rollouts = [rollout_of(pair, traces) for pair in pairs]
    drawn = [(pair, *rollout) for pair, rollout in zip(pairs, rollouts) if rollout]
    figure, panels, curve = strobe_axes(len(drawn))
    room = room_for([rollout for rollout in rollouts if rollout]) if drawn else None
    for axes, (pair, trace, back) in zip(panels, drawn):
        draw_strobe(axes, trace, back, looks([pair])[0]["color"], room)
        axes.set_title(f"{pair.label}: {len(back.out_t)} points")
    draw_losses(curve, pairs, "nfe", QUARTILES, limit=limit_linear)
    legend_below(figure, *curve.get_legend_handles_labels())
    missing = [WITHOUT.format(pair.label) for pair, rollout in zip(pairs, rollouts) if not rollout]
    shown = [f"{pair.label}: {len(back.out_t)} points, {trace.case}, at {back.knob} = {back.accuracy:.3g}"
             for pair, trace, back in drawn]
    words = [f"cartpole: cart and pole at all integration points of one rollout under each estimator's own final "
             f"policy, drawn over one another ({'; '.join(shown)})."] if shown else []
    return figure, make_caption(
        training,
        pairs,
        *words,
        *missing,
        f"Training loss against {NFE_WORDS}. {band_words(QUARTILES)} {seeds_of(pairs)}.",
    )
