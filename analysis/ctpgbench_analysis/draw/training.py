"""training.py -- figures 3 to 7 of the paper, from a training file; whoever asks saves them

Each function figure_<what>(training) gives (figure, caption), or raises Missing with the sentence why there is none.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from ctpgbench_analysis.draw.page import log_axis
from ctpgbench_analysis.draw.style import BLACK, BLUE, GREEN, GREY, style
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.episodes import (
    CELL,
    GIVE,
    NEAR_ORIGIN,
    cart_and_angle,
    cartpole_pairs,
    distances_at_end,
    optimum,
    rail_of,
    share_on_rail,
    stabilises,
)
from ctpgbench_analysis.read.plants import Plant
from ctpgbench_analysis.read.training import WINDOW, Pair, Training, common, moving_mean, remarks, source
from ctpgbench_analysis.read.words import seeds_text

POINTS = 400                   # of a curve over seeds
STAGES = (0.5, 0.75, 1.0)      # of the iterations, as in the paper's stills
DASHES = ("-", (0, (4, 2)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
NAMES = {"nfe": "NFE", "seconds": "wallclock (s)", "iterations": "iteration"}
NFE_WORDS = "NFE = nf + nvjp_x + nvjp_theta, summed over the iterations so far"
QUARTILES, WIDE = (25, 75), (5, 95)
MOST_PATHS = 10                # per panel
LEGEND_HEIGHT = 0.25           # inches
CHARGE_MAP, ARROW = "PuOr", "#555555"


class Missing(ResultsError):
    """Why a figure is not drawn, in one sentence."""


def need(pairs: list[Pair] | None, words: str, *arrays: str) -> list[Pair]:
    """The pairs, if they are there with these arrays."""
    if not pairs:
        raise Missing(f"the file holds no finished training of {words}.")
    for pair in pairs:
        for array in arrays:
            values = pair.read(array)
            if values is None or not values.size:
                raise Missing(f"training/{pair.problem}/{pair.label} has no {array}.")
    return pairs


def looks(pairs: list[Pair]) -> list[dict]:
    """Per pair the properties of its line: the colour of its estimator; a second one of the same type is dashed."""
    seen, found = {}, []
    for pair in pairs:
        colour = style(pair.label, pair.type)["color"]
        number = seen.setdefault(colour, 0)
        seen[colour] += 1
        found.append({"color": colour, "linestyle": DASHES[number % len(DASHES)]})
    return found


# ---- curves over seeds ----

def on_grid(pair, work, values, grid):
    """[s, g] values of every run where it has done this work; infinite beyond the end of a run that failed."""
    curves = np.full((len(values), len(grid)), np.nan)
    for s, done in enumerate(pair.runs["iterations_done"]):
        if done:
            curves[s] = np.interp(grid, work[s, 1:done + 1], values[s, :done], right=np.nan if pair.ok[s] else np.inf)
    return curves


def make_grid(pair, work):
    """Work up to what every run that ended ok has done."""
    totals = np.nanmax(work, axis=1)
    return np.linspace(np.nanmin(work[:, 1]), totals[pair.ok].min() if pair.ok.any() else totals.max(), POINTS)


def quantiles(values, percents):
    """[q, g] over seeds; infinite values count, NaN where the quantile is infinite or a run has no value."""
    values = np.where(np.isinf(values), 1e300, values)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.percentile(values, percents, axis=0)
    return np.where(found < 1e200, found, np.nan)


def draw_band(axes, pair, look, abscissa, values, percents):
    """Median over seeds and the band between two percentiles."""
    work = pair.work(abscissa)
    grid = make_grid(pair, work)
    low, centre, high = quantiles(on_grid(pair, work, values, grid), (percents[0], 50, percents[1]))
    axes.plot(grid, centre, linewidth=1.3, zorder=3, label=pair.label, **look)
    if len(pair.runs) > 1:
        axes.fill_between(grid, low, np.where(np.isnan(high) & ~np.isnan(low), 1e300, high), color=look["color"],
                          alpha=0.2, linewidth=0, zorder=2)
    return centre, low, high


def limit_loss(axes, drawn):
    """Logarithmic where all is positive and spans much; limits by what is finite."""
    values = np.concatenate([np.ravel(part) for part in drawn])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = values.min(), values.max()
    if low > 0 and high > 3 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.15)
        log_axis(axes.yaxis, low / 1.15, high * 1.15)
    else:
        margin = 0.05 * max(high - low, 1e-9)
        axes.set_ylim(low - margin, high + margin)


def draw_losses(axes, pairs, abscissa, percents, window=1):
    drawn = []
    for pair, look in zip(pairs, looks(pairs)):
        values = moving_mean(pair.history("loss"), window)
        if values.shape[1] >= 4 * window:
            values[:, :window - 1] = np.nan  # of fewer iterations
        drawn += draw_band(axes, pair, look, abscissa, values, percents)
    limit_loss(axes, drawn)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=5)
    axes.set(xlabel=NAMES[abscissa], ylabel="training loss")


def legend_below(figure: Figure, axes) -> None:
    """The legend of these axes under the whole figure, which leaves room for it."""
    share = LEGEND_HEIGHT / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncol=4, borderaxespad=0.2)


def seeds_of(pairs):
    return ", ".join(f"{pair.label}: {seeds_text(len(pair.runs))}" for pair in pairs)


def band_words(percents):
    return f"Lines: median over the seeds; shaded: {percents[0]} to {percents[1]} %."


def make_caption(training: Training, pairs: list[Pair], *sentences: str) -> str:
    """The text beside a figure: the sentences, what was trained, remarks, source."""
    accuracies = "; ".join(f"{pair.label} at {pair.knob} = {pair.accuracy:.3g}" for pair in pairs)
    setup = f"{pairs[0].problem}: policy {pairs[0].policy}, T = {pairs[0].horizon:g} s; {accuracies}."
    return "\n".join([*sentences, setup, *remarks(pairs), source(training), ""])


# ---- 3: the neural ODE on lqr ----

def figure_neural_ode(training: Training) -> tuple[Figure, str]:
    """Losses of neural-ode and ctpg on lqr, and how far the state that is integrated backwards is off."""
    pairs = need(training.of_type("lqr", "ctpg", "neural-ode"), "neural-ode and ctpg on lqr", "backsolve_error")
    if {pair.type for pair in pairs} != {"neural-ode", "ctpg"}:
        raise Missing("the file holds no finished training of both neural-ode and ctpg on lqr.")
    figure = Figure(figsize=(6.4, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_losses(left, pairs, "iterations", QUARTILES)
    best = optimum(pairs[0])
    if best is not None:
        left.axhline(best.mean(), color=BLACK, linestyle=":", linewidth=1.0, label="optimum")
        low, high = left.get_ylim()
        left.set_ylim(min(low, best.mean() / 1.15), high)
    left.set_title("training loss", fontsize=8)
    backwards = [pair for pair in pairs if np.isfinite(pair.history("backsolve_error")).any()]
    drawn = []
    for pair, look in zip(pairs, looks(pairs)):
        if pair in backwards:
            drawn += draw_band(right, pair, look, "iterations", pair.history("backsolve_error"), QUARTILES)
    limit_loss(right, [np.maximum(part, 1e-16) for part in drawn])
    right.set(xlabel="iteration", ylabel=r"$\Vert x_\mathrm{back}(0) - x_0\Vert$", xlim=left.get_xlim())
    right.locator_params(axis="x", nbins=5)
    right.set_title("backsolve error", fontsize=8)
    legend_below(figure, left)
    optimum_words = (
        "" if best is None else (f" Dotted: the optimum, |x0|^2 tanh T = {best.mean():.4g} (A = 0, B = Q = R = " f"I).")
    )
    return figure, make_caption(
        training, pairs, "The neural ODE's failure in training. Left: loss of the batch against the iteration." +
        optimum_words, "Right: how far the path that is integrated backwards ends from the start, the largest of the "
        "batch; ctpg never integrates the state backwards.", band_words(QUARTILES) + " " + seeds_of(pairs) + ".")


# ---- 4: diffdrive ----

def both(training: Training, problem: str) -> list[Pair]:
    """ctpg and Euler-BPTT on the first problem of this type."""
    return need(training.first_of(problem, "ctpg", "euler-bptt"), f"both ctpg and Euler-BPTT on {problem}")


def common_run(pairs: list[Pair]) -> list[int]:
    """Row of each pair for the first seed that all have, one on which all ended ok if there is any."""
    rows = common(*pairs)
    if not len(rows[0]):
        raise Missing(f"{pairs[0].label} and {pairs[1].label} on {pairs[0].problem} have no finished seed in common.")
    good = np.all([pair.ok[row] for pair, row in zip(pairs, rows)], axis=0)
    best = int(good.argmax())
    return [int(row[best]) for row in rows]


def stages(pair):
    """Numbers of the snapshots nearest to the paper's stages; the last one is the final policy."""
    snapshots = pair.scale("snapshot")
    return sorted({int(np.abs(snapshots - stage * snapshots[-1]).argmin()) for stage in STAGES})


def square(starts: np.ndarray, room: float = 1.3) -> float:
    """Half width of a square around the origin that holds the starts."""
    return room * max(np.abs(starts[np.isfinite(starts)]).max(initial=0.0), 1e-3)


def draw_paths(axes, paths, colour, first=0, second=1):
    """paths [start, m, nx] in the plane of two states, to the origin."""
    for path in paths[:MOST_PATHS]:
        axes.plot(path[:, first], path[:, second], color=colour, linewidth=1.0, alpha=0.85, zorder=2)
        axes.plot(
            *path[0, [first, second]], marker="o", color=colour, markerfacecolor="white", markersize=3.6, zorder=3
        )
        axes.plot(*path[-1, [first, second]], marker="o", color=colour, markersize=3.0, zorder=3)
    axes.plot([0], [0], marker="+", color=BLACK, markersize=9, markeredgewidth=1.4, zorder=4)


def plane_names(pair: Pair, first: int = 0, second: int = 1) -> tuple[str, str]:
    """Axis labels of the plane of two states."""
    return pair.plant.state(first), pair.plant.state(second)


def path_panel(axes, paths: np.ndarray, colour: str, half: float, first: int = 0, second: int = 1) -> None:
    """Paths [start, m, nx] in a square of this half width around the origin."""
    draw_paths(axes, paths, colour, first, second)
    axes.set(xlim=(-half, half), ylim=(-half, half))
    axes.set_aspect("equal")
    axes.locator_params(nbins=4)


def figure_diffdrive(training: Training) -> tuple[Figure, str]:
    """Paths at stages of training, and losses."""
    pairs = need(both(training, "diffdrive"), "", "path")
    runs, columns = common_run(pairs), stages(pairs[0])
    figure = Figure(figsize=(5.6, 5.9), layout="constrained")
    grid = figure.add_gridspec(3, len(columns), height_ratios=(1, 1, 1.05))
    half = square(pairs[0].read("path")[runs[0], -1, :, 0, :2])
    for line, (pair, run, look) in enumerate(zip(pairs, runs, looks(pairs))):
        for column, k in enumerate(columns):
            axes = figure.add_subplot(grid[line, column])
            path_panel(axes, pair.read("path")[run, k], look["color"], half)
            axes.set_title(f"{pair.label}, iteration {pair.scale('snapshot')[k]}", fontsize=8)
            axes.tick_params(labelbottom=line == 1, labelleft=column == 0)
            across, upright = plane_names(pair)
            axes.set_xlabel(across if line == 1 else "")
            axes.set_ylabel(upright if column == 0 else "")
    losses = figure.add_subplot(grid[2, :])
    draw_losses(losses, pairs, "nfe", QUARTILES, WINDOW)
    losses.legend(loc="upper right")
    return figure, make_caption(
        training,
        pairs,
        f"diffdrive: paths to the origin (+) from {min(MOST_PATHS, pairs[0].read('path').shape[2])} "
        f"held-out starts (hollow; filled: the end) under the policies at stages of training, seed "
        f"{pairs[0].seeds[runs[0]]}; paths are cut off at the frame.",
        f"Below: training loss, moving mean of {WINDOW} iterations, against {NFE_WORDS}. "
        + band_words(QUARTILES)
        + " "
        + seeds_of(pairs)
        + ".",
    )


# ---- 5: electric ----

def losses_figure(training: Training, pairs: list[Pair]) -> tuple[Figure, str]:
    """Losses of one problem against NFE and against time."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw_losses(left, pairs, "nfe", WIDE, WINDOW)
    draw_losses(right, pairs, "seconds", WIDE, WINDOW)
    right.set_ylabel("")
    legend_below(figure, left)
    return figure, make_caption(
        training,
        pairs,
        f"{pairs[0].problem}: training loss, moving mean of {WINDOW} iterations, left against {NFE_WORDS}, right "
        f"against the wallclock of training (s), tests and interruptions left out.",
        band_words(WIDE) + " A run that failed counts as infinite beyond its end. " + seeds_of(pairs) + ".",
    )


def figure_electric(training: Training) -> tuple[Figure, str]:
    """Losses against NFE and against time."""
    return losses_figure(training, need(training.of_type("electric"), "electric"))


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


def draw_field(axes, scene: Scene, m: int, norm: Normalize, count: int = 17) -> None:
    """Electrodes, field, and the particle with its goal at sample m of the path."""
    ticks = np.linspace(0.02, 0.98, count)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    places = scene.electrodes.places
    points = points[(np.linalg.norm(points[:, None] - places, axis=2) > 0.045).all(axis=1)]
    field = field_of(scene.electrodes, scene.charges[m], points)
    size = np.linalg.norm(field, axis=1, keepdims=True)
    arrows = 0.05 * field / np.maximum(size, 1e-300) * np.sqrt(size / max(size.max(), 1e-300))
    axes.quiver(*points.T, *arrows.T, color=ARROW, angles="xy", scale_units="xy", scale=1, pivot="mid", width=0.004,
                headwidth=4, zorder=1)
    axes.scatter(*places.T, c=scene.charges[m], cmap=CHARGE_MAP, norm=norm, s=75, edgecolors=BLACK,
                 linewidths=0.7, zorder=3)
    axes.plot(*scene.goal.T, color=GREEN, linewidth=1.0, linestyle=(0, (3, 2)), zorder=2, label="way of the goal")
    axes.plot(*scene.path[:m + 1, 2:4].T, color=BLUE, linewidth=1.4, zorder=4, label="path")
    axes.plot(
        *scene.goal[m],
        marker="X",
        color=GREEN,
        markeredgecolor="white",
        markersize=8,
        linestyle="none",
        zorder=5,
        label="goal",
    )
    axes.plot(*scene.path[m, 2:4], marker="o", color=BLUE, markeredgecolor="white", markersize=7, linestyle="none",
              zorder=6, label="particle")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_aspect("equal")
    axes.grid(False)


def charge_norm(scenes_drawn: list[Scene]) -> Normalize:
    """Symmetric about zero, the same for all panels and frames."""
    largest = max(np.nanmax(np.abs(scene.charges)) for scene in scenes_drawn)
    return Normalize(-max(largest, 1e-300), max(largest, 1e-300))


def add_charge_scale(figure: Figure, axes, norm: Normalize) -> None:
    """The colour bar of charges."""
    bar = figure.colorbar(ScalarMappable(norm, CHARGE_MAP), ax=axes, shrink=0.85, pad=0.02)
    bar.set_label("charge")


def field_pairs(training: Training) -> tuple[list[Pair], list[int]]:
    """ctpg and Euler-BPTT on electric with their paths, and the row of each for a common seed."""
    pairs = need(both(training, "electric"), "", "path", "path_control")
    return pairs, common_run(pairs)


def figure_field(training: Training) -> tuple[Figure, str]:
    """The field of the electrodes at one moment under the final policies."""
    pairs, runs = field_pairs(training)
    drawn = scenes(pairs, runs)
    norm, m = charge_norm(drawn), int(0.4 * (len(drawn[0].times) - 1))
    figure = Figure(figsize=(6.4, 3.1), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, pair, scene in zip(panels, pairs, drawn):
        draw_field(axes, scene, m, norm)
        axes.set_xlabel("x")
        axes.set_title(f"final policy of {pair.label}", fontsize=8)
    panels[0].set_ylabel("y")
    add_charge_scale(figure, panels, norm)
    legend_below(figure, panels[0])
    return figure, make_caption(
        training,
        pairs,
        f"electric: the field at t = {drawn[0].times[m]:.3g} s. Discs: the electrodes with the charges "
        f"that the policy gives them; arrows: the acceleration by them, as long as the root of its size; the path of "
        f"the particle so far, its goal and the goal's way. Seed {pairs[0].seeds[runs[0]]}, first held-out start, "
        f"under the final policies.",
    )


# ---- 6: cartpole ----

def rail_words(pairs: list[Pair], rail: np.ndarray | None) -> str:
    """What the caption says of the rail."""
    if rail is None:
        return "; all are drawn, as the file does not say where the rail ends"
    shares = ", ".join(f"{share_on_rail(pair.read('visited'), rail):.1%} of those of {pair.label}" for pair in pairs)
    return (f"; {shares} are on the rail (dotted: its ends, {rail[0]:g} and {rail[1]:g} m; soft, {GIVE:g} m beyond are "
            f"included) and drawn")


def figure_cartpole(training: Training) -> tuple[Figure, str]:
    """States visited in training, and losses."""
    pairs = need(cartpole_pairs(training), "both ctpg and Euler-BPTT on cartpole", "visited")[::-1]
    rail = rail_of(pairs[0])
    planes = [cart_and_angle(pair.read("visited"), rail) for pair in pairs]
    if not all(map(len, planes)):
        raise Missing("none of the visited states of cartpole is on the rail.")
    figure = Figure(figsize=(6.4, 2.7), layout="constrained")
    left, centre, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    reach = max(np.abs(plane[:, 0]).max() for plane in planes) * 1.02
    edges = (np.arange(-np.ceil(reach / CELL[0]), np.ceil(reach / CELL[0]) + 1) * CELL[0],
             np.arange(np.floor(-np.pi / CELL[1]), np.ceil(np.pi / CELL[1]) + 1) * CELL[1])
    counts = [np.histogram2d(*plane.T, bins=edges)[0] for plane in planes]
    norm = LogNorm(1, max(2, max(count.max() for count in counts)))
    for axes, pair, count in zip((left, centre), pairs, counts):
        image = axes.pcolormesh(*edges, np.ma.masked_equal(count, 0).T, norm=norm, cmap="viridis_r", rasterized=True)
        axes.set(xlabel=pair.plant.state(0), xlim=(-reach, reach), ylim=(-np.pi, np.pi), yticks=(-np.pi, 0, np.pi))
        axes.set_yticklabels((r"$-\pi$", "0", r"$\pi$"))
        axes.grid(False)
        axes.set_title(f"visited: {pair.label}", fontsize=8)
    left.set_ylabel(f"{pairs[0].plant.state(1)}, 0 upright")
    if rail is not None:
        for axes in (left, centre):
            for end in rail:
                axes.axvline(end, color=GREY, linestyle=":", linewidth=0.8)
    centre.tick_params(labelleft=False)
    bar = figure.colorbar(image, ax=[left, centre], pad=0.02, aspect=30)
    bar.set_label("states per cell", fontsize=8)
    draw_losses(right, pairs, "iterations", QUARTILES)
    right.legend()
    right.set_title("training loss", fontsize=8)
    return figure, make_caption(
        training,
        pairs,
        f"cartpole: states visited in training, all seeds together, in cells of {CELL[0]:g} m by "
        f"{CELL[1]:g} rad, angle modulo 2 pi; of both estimators equally many states are stored, spread evenly over "
        f"all samples{rail_words(pairs, rail)}.",
        "Right: training loss against the iteration. " + band_words(QUARTILES) + " " + seeds_of(pairs) + ".",
    )


# ---- 7: quadrotor ----

PLANES = ((0, 2), (1, 2))  # pairs of positions, the second one points down


def draw_distances(axes, pairs):
    for pair, look in zip(pairs, looks(pairs)):
        distance = np.linalg.norm(pair.read("path")[:, -1, :, :, :3], axis=-1).reshape(-1, len(pair.scale("path_time")))
        low, centre, high = quantiles(np.where(np.isfinite(distance), distance, np.inf), (WIDE[0], 50, WIDE[1]))
        axes.plot(pair.scale("path_time"), centre, linewidth=1.3, label=pair.label, **look)
        axes.fill_between(pair.scale("path_time"), low, np.where(np.isnan(high), 1e300, high), color=look["color"],
                          alpha=0.2, linewidth=0)
        axes.set_yscale("log")
    lines = np.concatenate([line.get_ydata() for line in axes.lines])
    lines = lines[np.isfinite(lines) & (lines > 0)]
    axes.axhline(NEAR_ORIGIN, color=GREY, linestyle=":", linewidth=1.0, label=f"{NEAR_ORIGIN:g} m")
    limits = min(lines.min(initial=NEAR_ORIGIN) / 3, NEAR_ORIGIN / 2), max(lines.max(initial=1.0) * 3, 3)
    axes.set_ylim(*limits)
    log_axis(axes.yaxis, *limits)
    axes.set(xlabel="t (s)", ylabel="distance to\nthe origin (m)", xlim=(0, pairs[0].horizon))


def figure_quadrotor(training: Training) -> tuple[Figure, str]:
    """Paths under the final policies, and distances to the origin."""
    pairs = need(both(training, "quadrotor"), "", "path")
    runs = common_run(pairs)
    figure = Figure(figsize=(5.0, 6.4), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1, 1, 0.8))
    half = square(pairs[0].read("path")[runs[0], -1, :, 0, :3])
    for column, (pair, run, look) in enumerate(zip(pairs, runs, looks(pairs))):
        for line, (first, second) in enumerate(PLANES):
            across, upright = plane_names(pair, first, second)
            axes = figure.add_subplot(grid[line, column])
            path_panel(axes, pair.read("path")[run, -1], look["color"], half, first, second)
            axes.invert_yaxis()
            axes.set_xlabel(across)
            axes.set_ylabel(f"{upright}, down" if column == 0 else "")
            axes.tick_params(labelleft=column == 0)
            if line == 0:
                axes.set_title(f"final policy of {pair.label}", fontsize=8)
    distances = figure.add_subplot(grid[2, :])
    draw_distances(distances, pairs)
    legend_below(figure, distances)
    reached = "; ".join(f"{pair.label} stabilises on {int(stabilises(pair).sum())} of {len(pair.runs)} seeds, median "
                        f"distance at the end {np.median(distances_at_end(pair)):.3g} m" for pair in pairs)
    return figure, make_caption(
        training,
        pairs,
        f"quadrotor: paths from {min(MOST_PATHS, pairs[0].read('path').shape[2])} held-out starts "
        f"(hollow; filled: the end) under the final policies, seed {pairs[0].seeds[runs[0]]}, in two planes, cut off "
        f"at the frame; + the origin.",
        f"Below: distance to the origin, median and {WIDE[0]} to {WIDE[1]} % over all starts of all "
        f"seeds. {reached}.",
    )


FIGURES = {
    "figure3": figure_neural_ode,
    "figure4": figure_diffdrive,
    "figure5": figure_electric,
    "figure5_field": figure_field,
    "figure6": figure_cartpole,
    "figure7": figure_quadrotor,
}
