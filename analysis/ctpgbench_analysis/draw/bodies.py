"""bodies.py -- the solids of a robot along its path, as a strobe picture: outlines seen along an axis of the world

Every solid is convex: its outline is the polygon of its points that lie farthest in each direction of the plane of the
picture. That point is known in closed form in the solid's own axes (farthest).
"""
from __future__ import annotations

import numpy as np
from matplotlib.collections import PolyCollection

from ctpgbench_analysis.draw.style import TIME_COLOURS
from ctpgbench_analysis.read.traces import SOLIDS, Bodies, Trace

VIEWS = ((0, 2), (1, 2), (0, 1))  # from the side, from the front, from above
INSTANTS = 9
CORNERS = 72                      # directions of an outline
ENDLESS = 1e3                     # half width of a plane that has no end, in sizes of what moves
STILL = {"facecolor": "#EEEEEE", "edgecolor": "#999999", "linewidth": 0.5}


def unit(vectors):
    """Vectors [..., k] at length 1; those of length 0 stay."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def farthest(solid: str, size: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """[k, 3] the point of a solid that lies farthest in each direction [k, 3], both in its own axes."""
    if solid == "ellipsoid":
        return size * unit(size * directions)
    ends = np.sign(directions)
    if solid == "sphere":
        return size[0] * unit(directions)
    if solid == "capsule":
        return size[0] * unit(directions) + [0, 0, size[1]] * ends
    if solid == "cylinder":
        return size[0] * unit(directions * [1, 1, 0]) + [0, 0, size[1]] * ends
    return size * ([1, 1, 0] if solid == "plane" else 1) * ends


def outline(solid: str, size: np.ndarray, middle: np.ndarray, axes: np.ndarray, view: tuple[int, int]) -> np.ndarray:
    """[CORNERS, 2] the outline of a solid in the plane of two axes of the world."""
    angles = 2 * np.pi * (np.arange(CORNERS) + 0.37) / CORNERS  # none along an axis, where corners would be tied
    directions = np.zeros((CORNERS, 3))
    directions[:, view[0]], directions[:, view[1]] = np.cos(angles), np.sin(angles)
    points = middle + farthest(solid, size, directions @ axes) @ axes.T
    return points[:, view]


def moving(bodies: Bodies) -> np.ndarray:
    """[g] the solids that are not at the same place all the time."""
    return (np.ptp(bodies.middle, axis=0) > 1e-9).any(axis=1) | (np.ptp(bodies.axes, axis=0) > 1e-9).any(axis=(1, 2))


def extents(bodies: Bodies) -> np.ndarray:
    """[3, 2] what the moving solids need along each axis of the world, from and to; of all solids where none moves."""
    chosen = moving(bodies) & (bodies.solid != SOLIDS.index("plane"))
    chosen = chosen if chosen.any() else np.ones(len(chosen), bool)
    radius = np.array([np.linalg.norm(farthest(SOLIDS[solid], size, np.ones((1, 3))))
                       for solid, size in zip(bodies.solid[chosen], bodies.size[chosen])])[None, :, None]
    middle = bodies.middle[:, chosen]
    return np.stack([(middle - radius).min(axis=(0, 1)), (middle + radius).max(axis=(0, 1))], axis=1)


def views(trace: Trace) -> list[tuple[int, int]]:
    """The two of VIEWS in which most is seen, the better one first."""
    spans = np.ptp(extents(trace.bodies), axis=1)
    return sorted(VIEWS, key=lambda view: -spans[view[0]] * spans[view[1]])[:2]


def draw_still(axes, bodies: Bodies, view, size: float) -> None:
    """What does not move: grey; a plane without end is a line from the side and nothing from above."""
    for g in np.flatnonzero(~moving(bodies)):  # beyond the limits, which what moves has set
        solid, half = SOLIDS[bodies.solid[g]], bodies.size[g].copy()
        if solid == "plane":
            if abs(bodies.axes[0, g, 3 - sum(view), 2]) > 0.99:
                continue
            half = np.where(half > 0, half, ENDLESS * size)
        shape = outline(solid, half, bodies.middle[0, g], bodies.axes[0, g], view)
        axes.add_collection(PolyCollection([shape], zorder=1, **STILL), autolim=False)


def draw_instant(axes, bodies: Bodies, view, row: int, colour, zorder: float, fill: float) -> None:
    """The moving solids at one instant, the far ones first."""
    along = 3 - sum(view)
    towards = 1 if along != 1 else -1  # seen from the front of x and z, y points away
    chosen = np.flatnonzero(moving(bodies))
    chosen = chosen[np.argsort(towards * bodies.middle[row, chosen, along], kind="stable")]
    shapes = [outline(SOLIDS[bodies.solid[g]], bodies.size[g], bodies.middle[row, g], bodies.axes[row, g], view)
              for g in chosen]
    axes.add_collection(PolyCollection(shapes, facecolor=(*colour[:3], fill), edgecolor=colour, linewidth=0.7,
                                       zorder=zorder), autolim=False)


def trail(bodies: Bodies) -> np.ndarray:
    """[m, 3] the middle of the solid that goes farthest."""
    lengths = np.linalg.norm(np.diff(bodies.middle, axis=0), axis=2).sum(axis=0)
    return bodies.middle[:, lengths.argmax()]


def draw_bodies(axes, trace: Trace, view: tuple[int, int]) -> None:
    """The robot at equal times, from light to dark, on the trail of the solid that goes farthest."""
    bodies, limits = trace.bodies, extents(trace.bodies)
    size = np.ptp(limits, axis=1).max()
    draw_still(axes, bodies, view, size)
    way = trail(bodies)
    axes.plot(way[:, view[0]], way[:, view[1]], color="#AAAAAA", linewidth=0.7, zorder=2)
    rows = np.linspace(0, len(trace.t) - 1, INSTANTS).round().astype(int)
    for number, (row, colour) in enumerate(zip(rows, TIME_COLOURS(np.linspace(0, 1, INSTANTS)))):
        draw_instant(axes, bodies, view, row, colour, 3 + number / INSTANTS, 0.25 + 0.5 * number / INSTANTS)
    axes.update_datalim(limits[list(view)].T)
    axes.margins(0.04)
    axes.autoscale_view()
    axes.set(xlabel=f"{'xyz'[view[0]]} (m)", ylabel=f"{'xyz'[view[1]]} (m)")
    axes.set_aspect("equal", adjustable="datalim")
