"""trace.py -- a problem, and its estimators at work: python3 analysis/trace.py trace.h5 [more.h5 ...] [-o figures]

From each file of `ctpgbench trace`, each as .pdf, .png and a caption .txt:

  problem_<label>  what the problem is: the path in its natural plane, and states and control against time
  trace_<label>    estimators at work (Figure 1 of the paper): one panel per estimator with the true path in grey and
                   the points at which the estimator asked for vector-Jacobian products on its way back, joined in its
                   order; those of steps that it rejected are pale and not joined

LOOKS says per problem type which coordinates are drawn and how. Other types (plug-ins) get a plane from nq and nx. A
problem of type mujoco is drawn as its skeleton if its label is that of a model we ship (reacher, acrobot): the file
does not name the model.
"""
import argparse
from dataclasses import dataclass
from pathlib import Path

from figures import file_name, save
from load import ResultsError, ends_with_a_sentence, load_trace, require
from style import BLACK, BLUE, GREEN, GREY, KNOWN, ORANGE, PURPLE, RC, RED, SKY, style

np = require("numpy")
matplotlib = require("matplotlib")
Figure = require("matplotlib.figure").Figure
LineCollection = require("matplotlib.collections").LineCollection
Rectangle = require("matplotlib.patches").Rectangle
Colormap = require("matplotlib.colors").LinearSegmentedColormap

COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY)
TIME_COLOURS = Colormap.from_list("time", ["#BFD9EE", BLUE, "#062A4F"])
PATH = {"color": "#BBBBBB", "linewidth": 2.6, "solid_capstyle": "round", "zorder": 1}
THIN = {"color": "#AAAAAA", "linewidth": 0.7, "zorder": 1}
ELECTRODES = ((.1, .1), (.1, .9), (.9, .9), (.9, .1), (.5, .9), (.5, .1), (.1, .5), (.9, .5))
TIME = (None, "t (s)")
MARGIN, STRAY = 0.08, 0.6  # of the true path's extent: always around it, and at most, for points that stray
CROWD = 5000               # more points than this are an image, also within a PDF
FEW = 60                   # nodes of a polygon that are worth a mark
MANY = 8                   # more components than this have no legend
PER_ROW = 4


@dataclass
class Look:
    """What is drawn of a problem type."""
    plane: tuple                               # two of (index of the state or None for time, axis label)
    groups: list                               # states against time: (axis label, {index: name})
    control: str = "control"                   # axis label
    first: int = 1                             # number of the first control
    draw: object = None                        # (axes, trace, look): the left picture, if not the path in the plane
    equal: bool = False                        # both coordinates of the plane are lengths
    goal: bool = False                         # the origin of the plane is where the plant should go
    words: str = "the path in the plane of its coordinates, from light to dark in time"


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


def name_axes(axes, look):
    axes.set_xlabel(look.plane[0][1])
    axes.set_ylabel(look.plane[1][1])
    if look.equal:
        axes.set_aspect("equal", adjustable="datalim")


def draw_plane(axes, trace, look):
    coloured_path(axes, *(coordinate(trace.t, trace.x, index) for index, _ in look.plane))
    if look.goal:
        axes.plot([0], [0], marker="+", color=RED, markersize=9, markeredgewidth=1.4, linestyle="none", label="goal")
    name_axes(axes, look)
    axes.margins(MARGIN)
    legend_above(axes)


def draw_robot(axes, trace, look):
    """The path with the robot as triangles that point ahead."""
    draw_plane(axes, trace, look)
    rows, colours = strobe(trace, 16)
    for row, colour in zip(rows, colours):
        heading = np.degrees(trace.x[row, 2]) - 90  # the marker points up
        axes.plot(*trace.x[row, :2], marker=(3, 0, heading), markersize=8, color=colour, zorder=4, alpha=0.85)
        ahead = matplotlib.markers.MarkerStyle((2, 0, heading))
        axes.plot(*trace.x[row, :2], marker=ahead, markersize=13, color=colour, zorder=4, alpha=0.85)


def chain(base, length, *angles):
    """[m, joints, 2]: rods of this length from base, at angles [m] from the upright, clockwise."""
    joints = [np.broadcast_to(np.asarray(base, float), (len(angles[0]), 2))]
    for angle in angles:
        joints.append(joints[-1] + length * np.stack([np.sin(angle), np.cos(angle)], axis=1))
    return np.stack(joints, axis=1)


SKELETONS = {
    "pendulum": lambda x: chain((0, 0), 1, x[:, 0]),
    "double-pendulum": lambda x: chain((0, 0), 1, x[:, 0], x[:, 1]),
    "acrobot": lambda x: chain((0, 0), 1, x[:, 0], x[:, 0] + x[:, 1]),
    "reacher": lambda x: chain((0, 0), 0.5, np.pi / 2 - x[:, 0], np.pi / 2 - x[:, 0] - x[:, 1]),
    "cartpole": lambda x: chain(np.stack([x[:, 0], 0 * x[:, 0]], axis=1), 1, x[:, 1]),
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
    def draw(axes, trace, _):
        draw_rods(axes, trace, SKELETONS[name](trace.x))
        axes.plot([0], [0], marker="s", color=BLACK, markersize=5, zorder=4)
        reach = 1.08 * np.linalg.norm(np.diff(SKELETONS[name](trace.x[:1])[0], axis=0), axis=1).sum()
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_aspect("equal", adjustable="box")
    return draw


def draw_cartpole(axes, trace, _):
    joints = SKELETONS["cartpole"](trace.x)
    axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)
    for row, colour in zip(*strobe(trace, 22)):
        axes.add_patch(Rectangle((joints[row, 0, 0] - 0.2, -0.1), 0.4, 0.2, facecolor="white", edgecolor=colour,
                                 linewidth=0.9, zorder=2))
    draw_rods(axes, trace, joints)


def draw_electric(axes, trace, look):
    draw_plane(axes, trace, look)
    for number, (x, y) in enumerate(ELECTRODES, 1):
        axes.add_patch(matplotlib.patches.Circle((x, y), 0.1, facecolor="#EEEEEE", edgecolor="#999999", linewidth=0.6))
        axes.annotate(f"{number}", (x, y), ha="center", va="center", fontsize=7)
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
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(high[2], low[2]), xlabel="px (m)", ylabel="py (m)",
             zlabel="pz (m), down")
    axes.locator_params(nbins=5)
    axes.tick_params(pad=0)
    axes.set_box_aspect((1, 1, 1), zoom=0.85)
    legend_above(axes, 0.87)


# ---- the problems ----

ROBOT = Look(plane=((0, "px (m)"), (1, "py (m)")), equal=True, goal=True, draw=draw_robot,
             groups=[("m", {0: "px", 1: "py"}), ("heading\n(rad)", {2: "heading"}),
                     ("rad/s", {3: "left wheel", 4: "right wheel"})],
             control="rad/s²", words="the robot's way, triangles pointing ahead, from light to dark in time")
CARTPOLE = Look(plane=((1, "angle of the pole (rad), 0 upright"), (3, "its rate (rad/s)")), draw=draw_cartpole,
                groups=[("m, rad", {0: "cart", 1: "pole"}), ("m/s, rad/s", {2: "cart'", 3: "pole'"})],
                control="force\n/ 10 N", words="cart and pole at equal times, from light to dark")
RODS = "the rods at equal times, from light to dark, and the trail of the tip"


def two_rods(skeleton, first, second):
    return Look(plane=((0, f"{first} (rad)"), (1, f"{second} (rad)")), draw=draw_skeleton(skeleton), words=RODS,
                groups=[("rad", {0: first, 1: second}), ("rad/s", {2: f"{first}'", 3: f"{second}'"})])


LOOKS = {
    "diffdrive": ROBOT,
    "track": ROBOT,
    "cartpole": CARTPOLE,
    "cartpole-analytic": CARTPOLE,
    "pendulum": Look(plane=((0, "angle (rad), 0 upright"), (1, "rate (rad/s)")), draw=draw_skeleton("pendulum"),
                     groups=[("angle\n(rad)", {0: "angle"}), ("rate\n(rad/s)", {1: "rate"})], control="torque\n/ limit",
                     words=RODS),
    "double-pendulum": two_rods("double-pendulum", "angle a", "angle b"),
    "vanderpol": Look(plane=((0, "y"), (1, "y'")), groups=[("y", {0: "y"}), ("y'", {1: "y'"})], goal=True),
    "electric": Look(plane=((2, "px"), (3, "py")), equal=True, draw=draw_electric, control="charge",
                     groups=[("position", {2: "px", 3: "py"}), ("velocity", {0: "vx", 1: "vy"})],
                     words="the particle among the electrodes (numbered discs, within which the force is linear), from "
                           "light to dark in time; it should follow a goal that sets off where it starts"),
    "quadrotor": Look(plane=((0, "px (m)"), (2, "pz (m), down")), draw=draw_space, control="N, N m",
                      groups=[("m", {0: "px", 1: "py", 2: "pz"}), ("rad", {3: "yaw", 4: "pitch", 5: "roll"}),
                              ("m/s", {6: "vx", 7: "vy", 8: "vz"}), ("rad/s", {9: "p", 10: "q", 11: "r"})],
                      words="the way in space, pz pointing down, and its shadows"),
}
MODELS = {"reacher": two_rods("reacher", "shoulder", "elbow"), "acrobot": two_rods("acrobot", "shoulder", "elbow")}


def first_position_velocity(trace):
    return (trace.nq, 0) if trace.velocity_first else (0, trace.nq)


def states_plane(trace):
    """Two coordinates of a state of which only nq and nx are known."""
    nx = trace.x.shape[1]
    q, v = first_position_velocity(trace)
    if trace.nq >= 2:
        return (q, "$q_0$"), (q + 1, "$q_1$")
    if trace.nq == 1 and nx >= 2:
        return (q, "$q_0$"), (v, "$q_0'$")
    if trace.type == "lqr" and nx >= 2:
        return (0, "$x_0$"), (1, "$x_1$")
    return TIME, (0, "$x_0$")


def generic_look(trace):
    nx, nq = trace.x.shape[1], trace.nq
    names = {i: f"$x_{{{i}}}$" for i in range(nx)}
    groups = [("state", names)]
    if nq:
        q, v = first_position_velocity(trace)
        ranges = (("q", q, q + nq), ("q'", v, v + nq), ("other states", 2 * nq, nx))
        groups = [(label, {i: names[i] for i in range(low, high)}) for label, low, high in ranges if high > low]
    is_plane = trace.type == "lqr" and nx >= 2
    return Look(plane=states_plane(trace), groups=groups, equal=is_plane, goal=is_plane, first=0)


def find_look(trace):
    if trace.type == "mujoco" and trace.problem in MODELS and trace.x.shape[1] == 4:
        return MODELS[trace.problem]
    return LOOKS.get(trace.type) or generic_look(trace)


# ---- the problem's figure ----

def draw_components(axes, trace, label, values, names):
    """values [m, n] against time, named where they are few."""
    for number, (column, name) in enumerate(zip(values.T, names)):
        axes.plot(trace.t, column, linewidth=1.1, label=name, color=COLOURS[number % len(COLOURS)])
    axes.set_ylabel(label)
    axes.set_xlim(0, trace.horizon)
    axes.locator_params(axis="y", nbins=4)
    low, high = axes.get_ylim()
    centre = (low + high) / 2
    least = 1e-6 * max(1, abs(centre))  # a constant is drawn as one, not its rounding
    axes.set_ylim(min(low, centre - least), max(high, centre + least))
    if 1 < len(names) <= MANY:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncol=1 + (len(names) > 4), handlelength=1.0,
                    columnspacing=0.8, labelspacing=0.2, handletextpad=0.4)


def control_names(trace, look):
    count = trace.u.shape[1]
    return ["$u$"] if count == 1 else [f"$u_{{{look.first + i}}}$" for i in range(count)]


def headline(trace):
    return f"{trace.problem}: policy {trace.policy}, $T$ = {trace.horizon:g} s, {trace.case}"


def problem_figure(trace, look):
    rows = len(look.groups) + 1
    figure = Figure(figsize=(7.2, max(3.0, 0.4 + 0.88 * rows)), layout="constrained")
    grid = figure.add_gridspec(rows, 2, width_ratios=(1, 1.05))
    draw = look.draw or draw_plane
    draw(figure.add_subplot(grid[:, 0], projection="3d" if draw is draw_space else None), trace, look)
    first = None
    for row, (label, names) in enumerate([*look.groups, (look.control, None)]):
        axes = figure.add_subplot(grid[row, 1], sharex=first)
        first = first or axes
        values = trace.u if names is None else trace.x[:, list(names)]
        draw_components(axes, trace, label, values, control_names(trace, look) if names is None else names.values())
        axes.tick_params(labelbottom=row == rows - 1)
    axes.set_xlabel("t (s)")
    figure.align_ylabels()
    figure.suptitle(headline(trace), fontsize=RC["axes.titlesize"])
    return figure


def origin(trace):
    return (f"{trace.problem} (type {trace.type}): policy {trace.policy} as drawn for this seed, untrained, "
            f"T = {trace.horizon:g} s, {trace.case}.")


def problem_caption(trace, look):
    names = [name.replace("$", "") for _, group in look.groups for name in group.values()]
    shown = ", ".join(names if len(names) <= 2 * MANY else [*names[:MANY], "..."])
    return "\n".join([f"What the problem {trace.problem} is. Left: {look.words}. Right, against time: the states "
                      f"({shown}) and, at the bottom, the control.",
                      origin(trace), f"Data: {Path(trace.path).name}, the true path at rtol 1e-10.", ""])


# ---- estimators at work ----

def in_order(trace):
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
    for index, _ in look.plane:
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
    height = (coordinate(trace.t, trace.x, look.plane[1][0]) - limits[1][0]) / np.ptp(limits[1])
    above = (height < 0.25).sum() > (height > 0.75).sum()
    axes.text(0.5, 0.98 if above else 0.02, f"strays, by up to {trace.astray(back):.2g}\n× the size of the path",
              fontsize=7, transform=axes.transAxes, ha="center", va="top" if above else "bottom", zorder=6,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})


def draw_back(axes, trace, look, back, limits):
    colour, crowded = style(back.label, back.type)["color"], len(back.t) > CROWD
    points = np.stack([coordinate(back.t, back.x, index) for index, _ in look.plane], axis=1)
    pale = back.retried()
    kept = drawable(points[~pale], limits).T
    if back.type == "euler-bptt":
        axes.plot(*kept, color=colour, linewidth=1.2, marker="s", markersize=2.6 if len(back.t) <= FEW else 1.2,
                  zorder=3, rasterized=crowded)
    else:
        dots = {"color": colour, "marker": "o", "markersize": 2.2, "linestyle": "none", "rasterized": crowded}
        axes.plot(*kept, color=colour, linewidth=0.6, alpha=0.7, zorder=2, rasterized=crowded)
        axes.plot(*kept, zorder=4, **dots)
        axes.plot(*drawable(points[pale], limits).T, zorder=3, alpha=0.25, **dots)
    if leaves(points[~pale], limits):
        say_strays(axes, trace, look, back, limits)


def end_text(back):
    """How the estimator's run ended: its error, or why it has none."""
    return f"error {back.err_rel:.1e}" if back.status == "ok" and np.isfinite(back.err_rel) else back.status


def trace_figure(trace, look):
    backs, limits = in_order(trace), frames(trace, look)
    columns = min(len(backs), PER_ROW)
    rows = -(-len(backs) // columns)
    figure = Figure(figsize=(max(3.0, 1.8 * columns), 0.45 + 2.25 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(backs):]:
        axes.set_visible(False)
    true_path = [coordinate(trace.t, trace.x, index) for index, _ in look.plane]
    for axes, back in zip(grid.flat, backs):
        axes.plot(*true_path, **PATH)
        draw_back(axes, trace, look, back, limits)
        axes.set_title(f"{back.label}\n{back.knob} {back.accuracy:g}, {end_text(back)}", fontsize=8)
        if look.equal:
            axes.set_aspect("equal", adjustable="box")
        axes.locator_params(nbins=4)
        axes.set(xlim=limits[0], ylim=limits[1])
    if look is LOOKS["quadrotor"]:
        grid[0, 0].invert_yaxis()
    figure.supxlabel(look.plane[0][1], fontsize=9)
    figure.supylabel(look.plane[1][1], fontsize=9)
    figure.suptitle(headline(trace), fontsize=RC["axes.titlesize"])
    return figure


def trace_caption(trace):
    lines = ["Estimators at work. Grey: the true path. In colour: the states at which the estimator asked for "
             "vector-Jacobian products, that is where it believes the path to be on its way back, joined in its order; "
             "pale and not joined: those of steps that it rejected and tried again. euler-bptt: the nodes of its polygon "
             "but the last. Panel titles: estimator, accuracy, relative error of dL/dtheta. Points beyond the frame are said "
             "in the panel.", origin(trace)]
    for back in in_order(trace):
        lines.append(f"{back.label} ({back.knob} {back.accuracy:g}): {end_text(back)}; {len(back.t)} products, "
                     f"{int(back.retried().sum())} of them in rejected steps; the others are at most "
                     f"{trace.astray(back):.1e} of the path's largest |x| away from it.")
    return "\n".join([*lines, "An estimator that failed before its first product is not in the file.",
                      f"Data: {Path(trace.path).name}.", ""])


# ---- the program ----

def load_all(paths):
    """Traces of different labels: the label names the figures."""
    traces = [load_trace(path) for path in paths]
    seen = {}
    for trace in traces:
        name = file_name(trace.problem)
        if name in seen:
            raise ResultsError(f"{seen[name]} and {trace.path} are both of {trace.problem} and would overwrite each "
                               f"other's figures; draw them into two folders, or trace with labels (-problem a=lqr).")
        seen[name] = trace.path
        if not trace.back:
            raise ResultsError(f"{trace.path} holds no path of an estimator; each of them failed before its first "
                               f"vector-Jacobian product.")
    return traces


def draw_all(traces, folder):
    for trace in traces:
        look, name = find_look(trace), file_name(trace.problem)
        save(problem_figure(trace, look), problem_caption(trace, look), folder, f"problem_{name}")
        save(trace_figure(trace, look), trace_caption(trace), folder, f"trace_{name}")


def main(argv=None):
    parser = argparse.ArgumentParser(description="Pictures of problems, and of estimators on their way back.")
    parser.add_argument("traces", nargs="+", metavar="trace.h5", help="HDF5 files of ctpgbench trace")
    parser.add_argument("-o", "--out", metavar="FOLDER", default="figures", type=Path,
                        help="where to (default figures)")
    parser.add_argument("--dpi", type=int, default=RC["savefig.dpi"], help="resolution of the PNGs (default 200)")
    arguments = parser.parse_args(argv)
    with ends_with_a_sentence(arguments.out):
        traces = load_all(arguments.traces)
        arguments.out.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({**RC, "savefig.dpi": arguments.dpi}):
            draw_all(traces, arguments.out)


if __name__ == "__main__":
    main()
