"""scheme.py -- figure 1 of the paper: four estimators in a scheme of two by two, with real paths from a trace

Rows: what an estimator stores of its way out, points or a path. Columns: whether its adjoint is that of the path that
was integrated, or of another. In blue the way out: stored points are filled, a stored path is solid. In red the way
back: where the estimator believes the state to be.
"""
from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctpgbench_analysis.draw.curves import Missing
from ctpgbench_analysis.draw.page import is_narrow, legend_below, new_figure, width
from ctpgbench_analysis.draw.style import BLUE, RED
from ctpgbench_analysis.read.traces import Back, Trace

# [row][column]: type of the estimator, its name, what of its way out is stored
CELLS = (
    (("neural-ode-ckpt", "neural ODE with checkpoints", "points"), ("euler-bptt", "Euler-BPTT", "points")),
    (("neural-ode", "neural ODE", "end"), ("ctpg", "CTPG", "path")),
)
ROWS, COLUMNS = ("discrete checkpoints", "continuous path"), ("inexact adjoint", "exact adjoint")
OUT = {"color": BLUE, "linewidth": 1.4, "zorder": 2}
BACK = {"color": RED, "linewidth": 0.9, "marker": "o", "markersize": 2.0, "zorder": 4}
DASHED = (0, (3, 1.6))
ROOM = 0.12     # of the path's extent around it
SHAPE = 1.6, 1  # width of a panel in units of its height: of a page, of a column


def find(trace: Trace, kind: str) -> Back | None:
    """The estimator of this type, if its way out is in the file."""
    return next((back for back in trace.back if back.type == kind and len(back.out_t)), None)


def way_out(trace: Trace, back: Back) -> np.ndarray:
    """[m, nx] the way out between its steps: Euler's polygon; else the true path, bent so that it meets each step."""
    if back.type == "euler-bptt":
        return back.out_x
    off = back.out_x - trace.at(back.out_t)
    times = np.union1d(back.out_t, trace.t)
    return trace.at(times) + np.stack([np.interp(times, back.out_t, column) for column in off.T], axis=1)


def draw_out(axes, trace: Trace, back: Back, stored: str, plane: tuple[int, int]) -> None:
    """The way out: solid where the path is stored; its steps, filled where they are stored."""
    axes.plot(*way_out(trace, back)[:, plane].T, linestyle="-" if stored == "path" else DASHED, **OUT)
    path = back.out_x[:, plane]
    filled = np.zeros(len(path), bool)
    filled[{"points": slice(None), "end": slice(-1, None), "path": slice(0, 0)}[stored]] = True
    mark = {"color": BLUE, "linestyle": "none", "marker": "o", "markersize": 4.2, "zorder": 3}
    axes.plot(*path[filled].T, **mark)
    if stored == "end":
        axes.plot(*path[~filled].T, markerfacecolor="white", markeredgewidth=0.8, **{**mark, "markersize": 3.4})


def limits_of(trace: Trace, plane: tuple[int, int]) -> list[tuple[float, float]]:
    """Of both axes: the true path, the ways out, and some room; equal scales."""
    path = np.concatenate([trace.x, *[back.out_x for back in trace.back if np.isfinite(back.out_x).all()]])[:, plane]
    centre, half = (path.max(axis=0) + path.min(axis=0)) / 2, (1 + ROOM) * np.ptp(path, axis=0).max() / 2
    shape = SHAPE[1] if is_narrow() else SHAPE[0]
    return [(centre[0] - shape * half, centre[0] + shape * half), (centre[1] - half, centre[1] + half)]


def draw_cell(axes, trace: Trace, back: Back, stored: str, plane: tuple[int, int]) -> None:
    """One estimator."""
    limits = limits_of(trace, plane)
    draw_out(axes, trace, back, stored, plane)
    spans = np.ptp(limits, axis=1)
    points = back.x[~back.retried()][:, plane]
    with np.errstate(invalid="ignore"):
        points = np.where((np.abs(points) < 1e3 * spans).all(axis=1, keepdims=True), points, np.nan)
    axes.plot(*points.T, linestyle=(0, (1, 1)), **BACK)
    axes.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(True)


def scheme_legend() -> tuple[list[Line2D], list[str]]:
    """Handles and texts."""
    return [
        Line2D([], [], **OUT),
        Line2D([], [], **{**OUT, "linestyle": DASHED}),
        Line2D([], [], color=BLUE, marker="o", linestyle="none", markersize=4.2),
        Line2D([], [], linestyle=(0, (1, 1)), **BACK),
    ], ["primal path, stored", "primal path, not stored", "stored point", "adjoint: where it believes the state"]


def figure_scheme(trace: Trace, plane: tuple[int, int] = (0, 1)) -> tuple[Figure, str]:
    """Four estimators of one trace."""
    found = {kind: find(trace, kind) for row in CELLS for kind, _, _ in row}
    lost = [kind for kind, back in found.items() if back is None]
    if lost:
        raise Missing(f"{trace.path} holds no way out and back of {', '.join(lost)}, which figure 1 needs.")
    if trace.x.shape[1] < 2:
        raise Missing(f"{trace.path} has one state, and figure 1 is drawn in the plane of two.")
    figure = new_figure(width() if is_narrow() else 4.6)
    grid = figure.subplots(2, 2)
    for row, cells in enumerate(CELLS):
        for column, (kind, name, stored) in enumerate(cells):
            axes = grid[row, column]
            draw_cell(axes, trace, found[kind], stored, plane)
            axes.set_title(f"{COLUMNS[column]}\n{name}" if row == 0 else name)
        grid[row, 0].set_ylabel(ROWS[row])
    legend_below(figure, *scheme_legend())
    errors = "; ".join(f"{back.label} {back.err_rel:.1e}" for back in found.values())
    return figure, "\n".join([
        "Four ways to a gradient. Rows: what is stored of the way out, discrete checkpoints or a continuous path (the "
        "neural ODE stores its end alone, and integrates the path anew). Columns: whether the adjoint is that of the "
        "path that was integrated. Blue: the way out, its stored points filled, a stored path solid. Red: the way "
        "back, where the estimator asks for vector-Jacobian products; those of rejected steps are left out.",
        f"{trace.problem}: policy {trace.policy}, T = {trace.horizon:g} s, {trace.case}, plane of "
        f"{trace.plant.state_names[plane[0]]} and {trace.plant.state_names[plane[1]]}. Relative errors of dL/dtheta: "
        f"{errors}.",
        f"Data: {trace.path.rpartition('/')[2]}.", ""])
