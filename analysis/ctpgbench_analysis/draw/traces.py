"""traces.py -- a problem, and its estimators at work, from a file of `ctpgbench trace`

  problem_<label>  what the problem is: the path in its natural plane, and states and control against time; of two
                   traces of one problem, one under a random policy and one under a trained one, both paths
  trace_<label>    estimators at work: one panel per estimator with the true path in grey and the points at which the
                   estimator asked for vector-Jacobian products on its way back, joined in its order; those of steps
                   that it rejected are pale and not joined
  policies         of several problems with two such traces: the paths under the random policies over those under the
                   trained ones

LOOKS says per problem type which states span the plane and how it is drawn; names, units and constants come from the
file. Other types (plug-ins) get a plane from nq and nx. A file with solids (models of MuJoCo) is drawn by these, in two
views (bodies.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Circle, Rectangle

from ctpgbench_analysis.draw.bodies import draw_bodies, views
from ctpgbench_analysis.draw.page import file_name, is_narrow, new_figure, save, width, wrapped
from ctpgbench_analysis.draw.style import BLACK, BLUE, GREEN, GREY, KNOWN, ORANGE, PURPLE, RED, SKY, TIME_COLOURS, style
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.plants import Plant
from ctpgbench_analysis.read.traces import Back, Trace, load_trace

COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY)
PATH = {"color": "#C8C8C8", "linewidth": 5.0, "solid_capstyle": "round", "zorder": 1}  # wider than any dot on it
THIN = {"color": "#AAAAAA", "linewidth": 0.7, "zorder": 1}
MARGIN, STRAY = 0.08, 0.6  # of the true path's extent: always around it, and at most, for points that stray
CROWD = 5000               # more points than this are an image, also within a PDF
FEW = 60                   # nodes of a polygon that are worth a mark
MANY = 8, 4                # more components than this have no legend, beside one picture and beside two
MOST_ROWS = 6              # of states against time
PER_ROW = 4, 2             # panels of estimators, of a page and of a column
MOST_COLUMNS = 4           # problems in the figure of policies


@dataclass(frozen=True)
class Look:
    """What is drawn of a problem type."""
    plane: tuple                               # two of: index of the state, or None for time
    notes: dict = field(default_factory=dict)  # {index of the state: what its axis says beside name and unit}
    draw: Callable | None = None               # (axes, trace, look): the left picture, if not the path in the plane
    rods: int = 0                              # rods whose lengths that picture needs
    equal: bool = False                        # both coordinates of the plane are lengths
    goal: bool = False                         # the origin of the plane is where the plant should go
    words: str = "the path in the plane of its coordinates, from light to dark in time"


def axis_text(trace: Trace, look: Look, number: int) -> str:
    """Label of one axis of the plane."""
    index = look.plane[number]
    return "t (s)" if index is None else trace.plant.state(index) + look.notes.get(index, "")


# ---- the left picture ----

def strobe(trace, count):
    """count samples at equal times, and their colours."""
    rows = np.linspace(0, len(trace.t) - 1, count).round().astype(int)
    return rows, TIME_COLOURS(np.linspace(0, 1, count))


def draw_ends(axes, first, last, **options):
    axes.plot(*[[value] for value in first], marker="o", color=BLUE, markerfacecolor="white", markersize=5,
              linestyle="none", zorder=5, label="start", **options)
    axes.plot(*[[value] for value in last], marker="o", color="#062A4F", markersize=5, linestyle="none", zorder=5,
              label="end", **options)


def legend_above(axes, height=1.0):
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, height), ncol=3, borderaxespad=0.1, columnspacing=1.0,
                handletextpad=0.1)


def coloured_path(axes, x, y):
    """The line through (x, y), from light to dark."""
    points = np.stack([x, y], axis=1)
    axes.add_collection(LineCollection(np.stack([points[:-1], points[1:]], axis=1), linewidths=1.8, zorder=3,
                                       colors=TIME_COLOURS(np.linspace(0, 1, len(x) - 1)), capstyle="round"))
    draw_ends(axes, points[0], points[-1])
    axes.autoscale_view()


def coordinate(times, states, index):
    return times if index is None else states[:, index]


def name_axes(axes, trace, look):
    axes.set_xlabel(axis_text(trace, look, 0))
    axes.set_ylabel(axis_text(trace, look, 1))
    if look.equal:
        axes.set_aspect("equal", adjustable="datalim")


def draw_plane(axes, trace, look):
    coloured_path(axes, *(coordinate(trace.t, trace.x, index) for index in look.plane))
    if look.goal:
        axes.plot([0], [0], marker="+", color=RED, markersize=9, markeredgewidth=1.4, linestyle="none", label="goal")
    name_axes(axes, trace, look)
    axes.margins(MARGIN)
    legend_above(axes)


def draw_robot(axes, trace, look):
    """The path with the robot as triangles that point ahead."""
    draw_plane(axes, trace, look)
    rows, colours = strobe(trace, 16)
    for row, colour in zip(rows, colours):
        heading = np.degrees(trace.x[row, 2]) - 90  # the marker points up
        axes.plot(*trace.x[row, :2], marker=(3, 0, heading), markersize=8, color=colour, zorder=4, alpha=0.85)
        ahead = MarkerStyle((2, 0, heading))
        axes.plot(*trace.x[row, :2], marker=ahead, markersize=13, color=colour, zorder=4, alpha=0.85)


def chain(base, rods, *angles):
    """[m, joints, 2], m: rods of these lengths from base, at angles [m] from the upright, clockwise."""
    joints = [np.broadcast_to(np.asarray(base, float), (len(angles[0]), 2))]
    for length, angle in zip(rods, angles):
        joints.append(joints[-1] + length * np.stack([np.sin(angle), np.cos(angle)], axis=1))
    return np.stack(joints, axis=1)


SKELETONS = {
    "pendulum": lambda x, rods: chain((0, 0), rods, x[:, 0]),
    "double-pendulum": lambda x, rods: chain((0, 0), rods, x[:, 0], x[:, 1]),
    "cartpole": lambda x, rods: chain(np.stack([x[:, 0], 0 * x[:, 0]], axis=1), rods, x[:, 1]),
}


def draw_rods(axes, trace, joints):
    """Rods at equal times, light to dark, on the trail of the last joint."""
    axes.plot(*joints[:, -1].T, **THIN)
    rows, colours = strobe(trace, 22)
    for row, colour in zip(rows, colours):
        axes.plot(*joints[row].T, color=colour, linewidth=1.5, marker="o", markersize=2.2, zorder=3)
    draw_ends(axes, joints[0, -1], joints[-1, -1])
    axes.set(xlabel="m", ylabel="m")
    axes.set_aspect("equal", adjustable="datalim")
    legend_above(axes)


def draw_skeleton(name):
    def draw(axes, trace, look):
        rods = trace.plant.constant("rods", look.rods)
        draw_rods(axes, trace, SKELETONS[name](trace.x, rods))
        axes.plot([0], [0], marker="s", color=BLACK, markersize=5, zorder=4)
        reach = 1.08 * np.abs(rods).sum()
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_aspect("equal", adjustable="box")
    return draw


def draw_cartpole(axes, trace, look):
    joints, rail = SKELETONS["cartpole"](trace.x, trace.plant.constant("rods", look.rods)), trace.plant.constant(
        "rail", 2
    )
    if rail is not None:
        axes.plot(rail, [0, 0], color="#888888", linewidth=0.8, marker="|", markersize=8, zorder=1, scalex=False)
    for row, colour in zip(*strobe(trace, 22)):
        axes.add_patch(Rectangle((joints[row, 0, 0] - 0.2, -0.1), 0.4, 0.2, facecolor="white", edgecolor=colour,
                                 linewidth=0.9, zorder=2))
    draw_rods(axes, trace, joints)
    reach = 1.15 * np.abs(trace.plant.constant("rods", look.rods)).sum()
    middle, half = np.mean([joints[..., 0].min(), joints[..., 0].max()]), np.ptp(joints[..., 0]) / 2
    half = max(half + 0.3, reach)
    axes.set(xlim=(middle - half, middle + half), ylim=(-reach, reach))
    axes.set_aspect("equal", adjustable="box")


def draw_electric(axes, trace, look):
    draw_plane(axes, trace, look)
    places, core = trace.plant.constant("electrodes", None, 2), trace.plant.number("core")
    if places is None or core is None:
        return
    for number, (x, y) in enumerate(places, 1):
        axes.add_patch(Circle((x, y), core, facecolor="#EEEEEE", edgecolor="#999999", linewidth=0.6))
        axes.annotate(f"{number}", (x, y), ha="center", va="center")
    axes.update_datalim([(0, 0), (1, 1)])
    axes.autoscale_view()


def draw_space(axes, trace, _):
    """Three positions, z down, with the path's shadow on the ground and on the walls."""
    p = trace.x[:, :3]
    low, high = np.minimum(p.min(axis=0), -1), np.maximum(p.max(axis=0), 1)
    axes.plot(*p.T, color=BLUE, linewidth=1.8)
    axes.plot(p[:, 0], p[:, 1], high[2], **THIN)
    axes.plot(p[:, 0], np.full(len(p), high[1]), p[:, 2], **THIN)
    draw_ends(axes, p[0], p[-1])
    axes.plot([0], [0], [0], marker="+", color=RED, markersize=9, markeredgewidth=1.4, linestyle="none", label="goal")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(high[2], low[2]),
             xlabel=trace.plant.state(0), ylabel=trace.plant.state(1), zlabel=f"{trace.plant.state(2)}, down")
    axes.locator_params(nbins=5)
    axes.tick_params(pad=0)
    axes.set_box_aspect((1, 1, 1), zoom=0.75)
    legend_above(axes, 0.87)


# ---- the problems ----

RODS = "the rods at equal times, from light to dark, and the trail of the tip"
BODIES = "its bodies at equal times, from light to dark, in two views, and the trail of the one that goes farthest"
ROBOT = Look(plane=(0, 1), equal=True, goal=True, draw=draw_robot,
             words="the robot's way, triangles pointing ahead, from light to dark in time")
CARTPOLE = Look(plane=(1, 3), notes={1: ", 0 upright"}, draw=draw_cartpole, rods=1,
                words="cart and pole at equal times, from light to dark")


LOOKS = {
    "diffdrive": ROBOT,
    "track": ROBOT,
    "cartpole": CARTPOLE,
    "cartpole-analytic": CARTPOLE,
    "pendulum": Look(plane=(0, 1), notes={0: ", 0 upright"}, draw=draw_skeleton("pendulum"), rods=1, words=RODS),
    "double-pendulum": Look(plane=(0, 1), draw=draw_skeleton("double-pendulum"), rods=2, words=RODS),
    "vanderpol": Look(plane=(0, 1), goal=True),
    "electric": Look(
        plane=(2, 3),
        equal=True,
        draw=draw_electric,
        words="the particle among the electrodes (numbered discs, within which the force is linear, where the "
        "file says where they are), from light to dark in time; it should follow a goal that sets off "
        "where it starts",
    ),
    "quadrotor": Look(
        plane=(0, 2),
        notes={2: ", down"},
        draw=draw_space,
        words="the way in space, its third position pointing down, and its shadows",
    ),
}
STATES = {"diffdrive": 5, "track": 5, "cartpole": 4, "cartpole-analytic": 4, "pendulum": 2, "double-pendulum": 4,
          "vanderpol": 2, "electric": 4, "quadrotor": 12}


def first_position_velocity(trace):
    return (trace.nq, 0) if trace.velocity_first else (0, trace.nq)


def states_plane(trace):
    """Two coordinates of a state of which only nq and nx are known."""
    nx = trace.x.shape[1]
    q, v = first_position_velocity(trace)
    if 2 <= trace.nq <= nx // 2:
        return q, q + 1
    if trace.nq == 1 and nx >= 2:
        return q, v
    if trace.type == "lqr" and nx >= 2:
        return 0, 1
    return None, 0


def generic_look(trace):
    is_plane = trace.type == "lqr" and trace.x.shape[1] >= 2
    return Look(plane=states_plane(trace), equal=is_plane, goal=is_plane)


def find_look(trace: Trace) -> Look:
    """How this problem is drawn: as its type, if the file has what that takes."""
    look = generic_look(trace)
    if trace.bodies is not None:
        look = replace(look, words=BODIES)
    elif STATES.get(trace.type) == trace.x.shape[1]:
        look = LOOKS[trace.type]
    if look.rods and trace.plant.constant("rods", look.rods) is None:
        return replace(look, draw=None, words=Look.words)
    return look


# ---- states and controls against time ----

def runs_of_units(plant: Plant) -> list[tuple[str, list[int]]]:
    """(axis label, states): neighbouring states of one unit together."""
    groups = []
    for index, unit in enumerate(plant.state_units):
        if not groups or groups[-1][0] != unit:
            groups.append((unit, []))
        groups[-1][1].append(index)
    return [(f"{plant.state_names[states[0]]}\n({unit})" if unit and len(states) == 1 else unit or "state", states)
            for unit, states in groups]


def state_groups(trace: Trace) -> list[tuple[str, list[int]]]:
    """(axis label, indices of states) of each row of the right picture."""
    nx, nq = trace.x.shape[1], trace.nq
    by_unit = runs_of_units(trace.plant)
    if any(trace.plant.state_units) and len(by_unit) <= MOST_ROWS:
        return by_unit
    if not 0 < nq <= nx // 2:
        return [("state", list(range(nx)))]
    q, v = first_position_velocity(trace)
    ranges = (("q", q, q + nq), ("q'", v, v + nq), ("other states", 2 * nq, nx))
    return [(label, list(range(low, high))) for label, low, high in ranges if high > low]


def control_label(plant: Plant) -> str:
    """Axis label of the controls."""
    units = ", ".join(dict.fromkeys(unit for unit in plant.control_units if unit))
    name = plant.control_names[0] if len(plant.control_names) == 1 else "control"
    return f"{name}\n({units})" if units else name


# ---- the problem's figure ----

def draw_components(axes, trace, label, values, names, most):
    """values [m, n] against time, named where they are at most so many."""
    for number, (column, name) in enumerate(zip(values.T, names)):
        axes.plot(trace.t, column, linewidth=1.1, label=name, color=COLOURS[number % len(COLOURS)])
    axes.set_ylabel(label)
    axes.set_xlim(0, trace.horizon)
    axes.locator_params(axis="y", nbins=4)
    low, high = axes.get_ylim()
    centre = (low + high) / 2
    least = 1e-6 * max(1, abs(centre))  # a constant is drawn as one, not its rounding
    axes.set_ylim(min(low, centre - least), max(high, centre + least))
    if 1 < len(names) <= most:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncol=1 + (len(names) > 4), handlelength=1.0,
                    columnspacing=0.8, labelspacing=0.2, handletextpad=0.4)


def whose(trace: Trace) -> str:
    """"random policy" or "trained policy"."""
    return "trained policy" if trace.theta else "random policy"


def headline(trace: Trace) -> str:
    """Problem, policy, horizon and case, within the width of the figure."""
    words = f"{trace.problem}: policy {trace.policy}, $T$ = {trace.horizon:g} s, {trace.case}"
    return wrapped(words, width())


def draw_views(figure: Figure, place, trace: Trace, count: int):
    """The bodies of a problem in so many views, one below the other; the axes of the last."""
    for view, spot in zip(views(trace)[:count], place.subgridspec(count, 1)):
        axes = figure.add_subplot(spot)
        draw_bodies(axes, trace, view)
    return axes


def draw_picture(figure: Figure, place, trace: Trace, look: Look, most_views: int = 2):
    """The left picture of a problem at a place of a grid; its axes."""
    if trace.bodies is not None:
        return draw_views(figure, place, trace, most_views)
    draw = look.draw or draw_plane
    axes = figure.add_subplot(place, projection="3d" if draw is draw_space else None)
    draw(axes, trace, look)
    return axes


def picture_grid(pictures: int, rows: int) -> tuple[Figure, list, list]:
    """(figure, places of the pictures, of the rows of states and control): side by side, or these below where it is
    narrow."""
    if is_narrow():
        figure = new_figure(2.2 + 0.8 * rows)
        whole = figure.add_gridspec(2, 1, height_ratios=(2, 0.8 * rows))
        upper, lower = whole[0].subgridspec(1, pictures), whole[1].subgridspec(rows, 1)
    else:
        figure = new_figure(max(2.6, 0.4 + 0.8 * rows))
        whole = figure.add_gridspec(1, 2, width_ratios=(1, 1.05) if pictures == 1 else (2, 1.1))
        upper, lower = whole[0].subgridspec(1, pictures), whole[1].subgridspec(rows, 1)
    return figure, [upper[i] for i in range(pictures)], [lower[i] for i in range(rows)]


def draw_rows(figure: Figure, places: list, trace: Trace, most: int) -> list:
    """States and control against time, named where they are at most so many; their axes."""
    parts = [(label, trace.x[:, states], [trace.plant.state_names[i] for i in states])
             for label, states in state_groups(trace)]
    rows = []
    for place, (label, values, names) in zip(
        places, [*parts, (control_label(trace.plant), trace.u, trace.plant.control_names)]
    ):
        rows.append(figure.add_subplot(place, sharex=rows[0] if rows else None))
        draw_components(rows[-1], trace, label, values, names, most)
        rows[-1].tick_params(labelbottom=place is places[-1])
    rows[-1].set_xlabel("t (s)")
    return rows


def problem_figure(traces: list[Trace]) -> Figure:
    """What the problem is: of one trace, or of two, the second of which has its states and control drawn."""
    figure, pictures, rows = picture_grid(len(traces), len(state_groups(traces[-1])) + 1)
    for place, trace in zip(pictures, traces):
        axes = draw_picture(figure, place, trace, find_look(trace))
        if len(traces) > 1:
            axes.text2D(0.5, -0.22, whose(trace), transform=axes.transAxes, ha="center") if axes.name == "3d" \
                else axes.set_xlabel(f"{axes.get_xlabel()}\n{whose(trace)}")
    figure.align_ylabels(draw_rows(figure, rows, traces[-1], MANY[len(traces) - 1]))
    figure.suptitle(headline(traces[-1]))
    return figure


def origin(trace: Trace) -> str:
    """What was run."""
    file, _, place = trace.theta.partition(":/")
    policy = f"as trained ({Path(file).name}:/{place})" if trace.theta else "as drawn for this seed, untrained"
    return (f"{trace.problem} (type {trace.type}): policy {trace.policy} {policy}, T = {trace.horizon:g} s, "
            f"{trace.case}.")


def problem_caption(traces: list[Trace]) -> str:
    """The text beside problem_figure."""
    trace = traces[-1]
    names = trace.plant.state_names
    shown = ", ".join(names if len(names) <= 2 * MANY[0] else [*names[:MANY[0]], "..."])
    which = " under a random and under a trained policy" if len(traces) > 1 else ""
    of_whom = f", of the {whose(trace)}" if len(traces) > 1 else ""
    return "\n".join([f"What the problem {trace.problem} is{which}: {find_look(trace).words}. Against time{of_whom}: "
                      f"the states ({shown}) and, at the bottom, the control.", *map(origin, traces),
                      f"Data: {', '.join(Path(one.path).name for one in traces)}, the true path at rtol 1e-10.", ""])


# ---- policies of several problems ----

def policies_figure(pairs: list[tuple[Trace, Trace]]) -> Figure:
    """A column for each (random, trained): the paths under the one over those under the other."""
    pairs = pairs[:MOST_COLUMNS]
    figure = new_figure(2 * width() / max(len(pairs), 3) + 0.4)
    grid = figure.add_gridspec(2, len(pairs))
    for column, pair in enumerate(pairs):
        for row, trace in enumerate(pair):
            axes = draw_picture(figure, grid[row, column], trace, find_look(trace), 1)
            if axes.get_legend():
                axes.get_legend().remove()
            axes.set_title(wrapped(f"{trace.problem}, {whose(trace)}", width() / len(pairs) - 0.3))
    return figure


def policies_caption(pairs: list[tuple[Trace, Trace]]) -> str:
    """The text beside policies_figure."""
    return "\n".join(["Above: random policies; below: trained ones, from the same starts. "
                      + "; ".join(f"{pair[0].problem}: {find_look(pair[0]).words}" for pair in pairs) + ".",
                      *[origin(trace) for pair in pairs for trace in pair],
                      f"Data: {', '.join(Path(trace.path).name for pair in pairs for trace in pair)}.", ""])


# ---- estimators at work ----

def in_order(trace: Trace) -> list[Back]:
    """The estimators as style.py lists them, then the others."""
    place = {name: number for number, name in enumerate(KNOWN)}
    return sorted(trace.back, key=lambda back: (place.get(back.type, len(place)), back.label))


def frame(values, strays):
    """Limits of one axis around the true path's values, widened towards points that stray, up to STRAY."""
    low, high = values.min(), values.max()
    extent = max(high - low, 1e-9 * max(1, abs(low)))
    strays = strays[np.isfinite(strays)]
    low = max(low - STRAY * extent, min([low, *strays]))
    high = min(high + STRAY * extent, max([high, *strays]))
    return low - MARGIN * (high - low), high + MARGIN * (high - low)


def frames(trace, look):
    """Limits of both axes, the same for all panels."""
    limits = []
    for index in look.plane:
        strays = np.concatenate([coordinate(back.t, back.x, index)[~back.retried()] for back in trace.back])
        limits.append(frame(coordinate(trace.t, trace.x, index), strays))
    if look.equal:
        half = max(high - low for low, high in limits) / 2
        limits = [((low + high) / 2 - half, (low + high) / 2 + half) for low, high in limits]
    return limits


def leaves(points, limits):
    """Points [k, 2] of which some are outside of the limits."""
    low, high = np.transpose(limits)
    return not np.all((points >= low) & (points <= high))


def drawable(points, limits):
    """Points with those too far to be drawn by any renderer left out."""
    spans = np.ptp(limits, axis=1)
    with np.errstate(invalid="ignore"):
        return np.where((np.abs(points) < 1e9 * spans).all(axis=1, keepdims=True), points, np.nan)


def say_strays(axes, trace, look, back, limits):
    """By how much, where the true path is not."""
    height = (coordinate(trace.t, trace.x, look.plane[1]) - limits[1][0]) / np.ptp(limits[1])
    above = (height < 0.25).sum() > (height > 0.75).sum()
    axes.text(0.5, 0.98 if above else 0.02, f"strays by up to {trace.astray(back):.2g}\n× the path's size",
              transform=axes.transAxes, ha="center", va="top" if above else "bottom", zorder=6,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})


def draw_back(axes, trace, look, back, limits):
    colour, crowded = style(back.label, back.type)["color"], len(back.t) > CROWD
    points = np.stack([coordinate(back.t, back.x, index) for index in look.plane], axis=1)
    pale = back.retried()
    kept = drawable(points[~pale], limits).T
    if back.type == "euler-bptt":
        axes.plot(*kept, color=colour, linewidth=1.2, marker="s", markersize=2.2 if len(back.t) <= FEW else 1.0,
                  zorder=3, rasterized=crowded)
    else:
        dots = {"color": colour, "marker": "o", "markersize": 1.7, "linestyle": "none", "rasterized": crowded}
        axes.plot(*kept, color=colour, linewidth=0.6, alpha=0.7, zorder=2, rasterized=crowded)
        axes.plot(*kept, zorder=4, **dots)
        axes.plot(*drawable(points[pale], limits).T, zorder=3, alpha=0.25, **dots)
    if leaves(points[~pale], limits):
        say_strays(axes, trace, look, back, limits)


def end_text(back):
    """How the estimator's run ended: its error, or why it has none."""
    return f"error {back.err_rel:.1e}" if back.status == "ok" and np.isfinite(back.err_rel) else back.status


def trace_figure(trace: Trace) -> Figure:
    """Estimators at work, one panel each."""
    look = find_look(trace)
    backs, limits = in_order(trace), frames(trace, look)
    columns = min(len(backs), PER_ROW[is_narrow()])
    rows = -(-len(backs) // columns)
    figure = new_figure(0.55 + (0.3 + width() / PER_ROW[is_narrow()]) * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(backs):]:
        axes.set_visible(False)
    true_path = [coordinate(trace.t, trace.x, index) for index in look.plane]
    for axes, back in zip(grid.flat, backs):
        axes.plot(*true_path, **PATH)
        draw_back(axes, trace, look, back, limits)
        how = wrapped(f"{back.knob} {back.accuracy:g}, {end_text(back)}", width() / PER_ROW[is_narrow()] - 0.25)
        axes.set_title(f"{back.label}\n{how}")
        if look.equal:
            axes.set_aspect("equal", adjustable="box")
        axes.locator_params(nbins=4)
        axes.set(xlim=limits[0], ylim=limits[1])
    if look is LOOKS["quadrotor"]:
        grid[0, 0].invert_yaxis()
    figure.supxlabel(axis_text(trace, look, 0))
    figure.supylabel(axis_text(trace, look, 1))
    figure.suptitle(headline(trace))
    return figure


def trace_caption(trace: Trace) -> str:
    """The text beside trace_figure."""
    lines = [
        "Estimators at work. Grey: the true path. In colour: the states at which the estimator asked for "
        "vector-Jacobian products, that is where it believes the path to be on its way back, joined in its order; "
        "pale and not joined: those of steps that it rejected and tried again. euler-bptt: the nodes of its polygon "
        "but the last. Panel titles: estimator, accuracy, relative error of dL/dtheta. Points beyond the frame are "
        "said in the panel.",
        origin(trace),
    ]
    for back in in_order(trace):
        lines.append(f"{back.label} ({back.knob} {back.accuracy:g}): {end_text(back)}; {len(back.t)} products, "
                     f"{int(back.retried().sum())} of them in rejected steps; the others are at most "
                     f"{trace.astray(back):.1e} of the path's largest |x| away from it.")
    return "\n".join([*lines, "An estimator that failed before its first product is not in the file.",
                      f"Data: {Path(trace.path).name}.", ""])


# ---- all ----

def load_all(paths: Sequence[str]) -> list[list[Trace]]:
    """Traces by label, which names the figures: one, or two of which the second has a trained policy."""
    found: dict[str, list[Trace]] = {}
    for path in paths:
        trace = load_trace(path)
        mine = found.setdefault(file_name(trace.problem), [])
        same = [other for other in mine if bool(other.theta) == bool(trace.theta)]
        if same:
            raise ResultsError(f"{same[0].path} and {trace.path} are both of {trace.problem} under a {whose(trace)} "
                               f"and would overwrite each other's figures; draw them into two folders, or trace with "
                               f"labels (-problem a=lqr).")
        if not trace.back:
            raise ResultsError(f"{trace.path} holds no path of an estimator; each of them failed before its first "
                               f"vector-Jacobian product.")
        mine.append(trace)
    return [sorted(traces, key=lambda trace: bool(trace.theta)) for traces in found.values()]


def draw_all(groups: list[list[Trace]], folder: Path) -> None:
    """Both figures of each problem, and the policies of those with two traces, into the folder."""
    for traces in groups:
        name = file_name(traces[0].problem)
        save(problem_figure(traces), problem_caption(traces), folder, f"problem_{name}")
        save(trace_figure(traces[-1]), trace_caption(traces[-1]), folder, f"trace_{name}")
    pairs = [tuple(traces) for traces in groups if len(traces) == 2]
    if len(pairs) > 1:
        save(policies_figure(pairs), policies_caption(pairs), folder, "policies")
