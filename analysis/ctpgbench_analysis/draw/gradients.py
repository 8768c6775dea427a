"""gradients.py -- gradient error against work and against time, from a file of `ctpgbench sweep`

Per problem error_nfe_<problem> and error_time_<problem>, and overview (all problems: error against NFE, below against
time), each as .pdf, .png and a caption .txt. One line per estimator; one point per accuracy setting at the medians of
work and of error over the seeds that finished; the band holds the middle half of their errors (25 to 75 %). Failures
are drawn, not dropped:

  full marker     every seed finished
  small marker    some seeds failed; the point is of those that finished, at least half
  no marker       most seeds failed; the line is interrupted
  hollow marker   the median error is below 3 times the error of the reference gradients (dotted line): not resolved;
                  against time also: most of what was timed was timed in a crowd
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctpgbench_analysis.draw.page import file_name, is_narrow, log_axis, place_legend, save, widen, width, wrapped
from ctpgbench_analysis.draw.style import style
from ctpgbench_analysis.measure.cells import floors, make_grid
from ctpgbench_analysis.measure.quantiles import finite_median, finite_quantile
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import ERRORS, TIMING_TEXT, plain, seeds_text, without_reference_text

WORK_LABEL = {
    "nfe": "evaluations: $f$ + products with its Jacobian (NFE)",
    "time": "{clock} of one gradient (s)",
}
LARGEST_ERROR = 100.0  # relative errors above are drawn as a mark on the upper edge
FLOOR = {"color": "#555555", "linestyle": ":", "linewidth": 0.9}
MARGINS = (0.7, 0.15, 0.5, 0.15)  # inches left, right, below and above the axes, legend and lines of titles apart
LONGEST_LABEL = 14     # of a problem, whose panel's title has one line
LINE = 0.16            # inches of a line of a title
BETWEEN = 0.52         # inches between two rows of an overview: the axis' numbers and its label
DROP = 0.25            # inches from an axis to its label
SMALL = 0.6            # size of a marker that stands for fewer seeds than there are


@dataclass
class Curve:
    """One estimator on one problem: arrays [setting], NaN where most seeds failed."""
    label: str
    counts: np.ndarray  # [3] runs, failed, skipped
    work: np.ndarray    # medians over the seeds that finished
    error: np.ndarray
    low: np.ndarray     # quartiles of the error
    high: np.ndarray
    partial: np.ndarray # some seeds failed
    hollow: np.ndarray  # the median is not resolved by the reference
    crowded: np.ndarray # against time: most of it was timed in a crowd


@dataclass
class Panel:
    """All that is drawn of one problem."""
    label: str
    policy: str
    horizon: float
    seeds: int
    curves: list[Curve]
    floor: float  # median over seeds of what the reference resolves
    timing: str
    clock: str    # what times are, in words
    remarks: list[str]


def make_curve(results: Results, problem: int, estimator: int, error: str, work: str, timing: str) -> Curve:
    grid = make_grid(results, problem, estimator, error, timing)
    values = getattr(grid, work)
    finished = grid.timed if work == "time" else grid.reached
    tried = grid.done if work == "nfe" else grid.done & (grid.timed | ~grid.reached)
    drawn = (2 * finished.sum(axis=0) >= tried.sum(axis=0)) & finished.any(axis=0)

    def at(quantile, numbers):
        return np.where(drawn, finite_quantile(np.where(finished, numbers, np.nan), quantile, axis=0), np.nan)

    median = at(0.5, grid.error)
    floor = at(0.5, np.broadcast_to(grid.floors[:, None], grid.error.shape))
    counts = count_runs(results, results.rows(problem, estimator))
    return Curve(label=results.estimators["label"][estimator], counts=counts, work=at(0.5, values), error=median,
                 low=at(0.25, grid.error), high=at(0.75, grid.error),
                 partial=drawn & (finished.sum(axis=0) < tried.sum(axis=0)), hollow=median < floor,
                 crowded=drawn & (work == "time") & (2 * (finished & grid.crowded).sum(axis=0) > finished.sum(axis=0)))


def count_runs(results, rows):
    """(runs, failed, skipped) over the committed ones among rows."""
    failures, runs = results.failures(rows), int(results.run_done[rows].sum())
    skipped = failures.pop("skipped", 0)
    return np.array([runs, sum(failures.values()), skipped])


def note(counts):
    """What the legend says about runs without a result, or ""."""
    runs, failed, skipped = counts
    words = [f"{failed} of {runs} runs failed"] if failed else []
    return ", ".join(words + (["skipped" if skipped == runs else f"{skipped} skipped"] if skipped else []))


def make_panel(results: Results, problem: int, error: str, work: str, wanted: str | None) -> Panel:
    info, judged, rows = results.problems[problem], results.judged(problem), results.rows(problem)
    timing, mixed = results.choose_timing(problem, wanted)
    done = rows[results.run_done[rows]]
    curves = [make_curve(results, problem, e, error, work, timing) for e in np.unique(results.runs["estimator"][done])]
    remarks = [words for words in (mixed, results.machine_remark(problem)) if words and work == "time"]
    if results.without_reference(problem):
        remarks.append(without_reference_text(results.without_reference(problem)))
    if len(done) < len(rows):
        remarks.append(f"The file is incomplete: {len(rows) - len(done)} of {len(rows)} runs are pending.")
    cases = np.unique(results.runs["case_index"][done])
    return Panel(label=info["label"], policy=info["policy"], horizon=info["T"], seeds=int(judged[cases].sum()),
                 curves=curves, floor=float(finite_median(floors(results, judged, error))), timing=timing,
                 clock=results.clock_text(), remarks=remarks)


def draw_curve(axes, curve, top):
    look = style(curve.label)
    colour, marker, size = look["color"], look["marker"], look["markersize"]
    axes.plot(curve.work, curve.error, color=colour, linestyle=look["linestyle"], linewidth=1.2, zorder=3)
    axes.fill_between(curve.work, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    for partial in (False, True):
        for hollow in (False, True):
            here = (curve.partial == partial) & ((curve.hollow | curve.crowded) == hollow)
            axes.plot(curve.work[here], curve.error[here], marker=marker, linestyle="none", color=colour, zorder=4,
                      markersize=size * (SMALL if partial else 1), markerfacecolor="white" if hollow else colour,
                      markeredgewidth=0.8)
    beyond = curve.error > top
    axes.plot(curve.work[beyond], np.full(beyond.sum(), top), marker=6, linestyle="none", color=colour, clip_on=False,
              markersize=5, zorder=5)


def error_limits(panels, error):
    """(bottom, top) of the error axis; the floor is in it if it is near the data."""
    values = np.concatenate([np.r_[curve.error, curve.low, curve.high] for panel in panels for curve in panel.curves])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 1e-12, 1.0
    top = 2 * values.max() if error == "err_abs" else min(2 * values.max(), LARGEST_ERROR)
    bottom = min(values.min(), top / 10)
    floors = [panel.floor for panel in panels if bottom / 1e3 < panel.floor < bottom]
    return 0.5 * min([bottom, *floors]), top


def draw_panel(axes, panel, limits):
    bottom, top = limits
    axes.set_xscale("log")
    axes.set_yscale("log")
    for one in panel.curves:
        draw_curve(axes, one, top)
    axes.set_ylim(bottom, top)
    if panel.floor > bottom:
        axes.axhline(panel.floor, **FLOOR, zorder=1)
    axes.set_xlim(*widen(*axes.get_xlim()))
    log_axis(axes.yaxis, bottom, top)
    log_axis(axes.xaxis, *axes.get_xlim())
    if not any(np.isfinite(one.error).any() for one in panel.curves):
        axes.text(0.5, 0.5, "nothing finished on half of the seeds", transform=axes.transAxes, ha="center",
                  backgroundcolor="white")


def legend_entries(panels, bottom, times=()):
    """Handles and texts: estimators in the order of the file, then the marks that occur in these panels and in those
    of times; bottom of the axes."""
    counts = {}
    for curve in (curve for panel in panels for curve in panel.curves):
        counts[curve.label] = counts.get(curve.label, 0) + curve.counts
    every = [curve for panel in (*panels, *times) for curve in panel.curves]
    handles = [Line2D([], [], linewidth=1.2, **style(label)) for label in counts]
    texts = [f"{label} ({note(total)})" if note(total) else label for label, total in counts.items()]
    grey = {"color": "#555555", "linestyle": "none", "marker": "o", "markersize": 4.8}
    if any(curve.partial.any() for curve in every):
        handles.append(Line2D([], [], **{**grey, "markersize": 4.8 * SMALL}))
        texts.append("small: some seeds failed")
    reasons = [words for words, some in (("not resolved", any(curve.hollow.any() for curve in every)),
                                         ("timed in a crowd", any(curve.crowded.any() for curve in every))) if some]
    if reasons:
        handles.append(Line2D([], [], markerfacecolor="white", **grey))
        texts.append("hollow: " + " or ".join(reasons))
    if any(panel.floor > bottom for panel in panels):
        handles.append(Line2D([], [], **FLOOR))
        texts.append("3 × error of the reference")
    return handles, texts


def add_legend(figure, entries, lines):
    """Legend of handles and texts under the axes and so many lines of titles above, for which the figure grows; the
    legend's share of its height."""
    legend = place_legend(figure, *entries, 3)
    figure.set_figheight(figure.get_figheight() + legend + lines * LINE)
    across, height = figure.get_size_inches()
    left, right, bottom, top = MARGINS
    figure.subplots_adjust(left=left / across, right=1 - right / across, bottom=(bottom + legend) / height,
                           top=1 - (top + lines * LINE) / height)
    return legend / height


def work_label(work, panel):
    """Of the axis of work."""
    return WORK_LABEL[work].format(clock=panel.clock) + (f", {panel.timing} timing" if work == "time" else "")


def problem_figure(panel, error, work):
    figure = Figure(figsize=(width(), 2.6 if is_narrow() else 3.3))
    axes, limits = figure.subplots(), error_limits([panel], error)
    draw_panel(axes, panel, limits)
    title = f"{panel.label}: policy {panel.policy}, $T$ = {panel.horizon:g}, {seeds_text(panel.seeds)}"
    title = wrapped(title, width() - 1)
    axes.set_title(title)
    add_legend(figure, legend_entries([panel], limits[0]), title.count("\n") + 1)
    axes.set_xlabel(work_label(work, panel))
    axes.set_ylabel(ERRORS[error])
    return figure


def overview_rows(panels, columns):
    """[(kind of work, its panels)] from top to bottom; panels: {kind of work: of all problems}."""
    count = len(next(iter(panels.values())))
    return [(work, some[first:first + columns]) for first in range(0, count, columns) for work, some in panels.items()]


def row_label(work, row):
    """What all panels of a row share; kinds of timing that differ stand in the caption."""
    return work_label(work, row[0]) if len({panel.timing for panel in row}) == 1 else \
        WORK_LABEL[work].format(clock=row[0].clock)


def overview_figure(panels, error):
    """All problems; panels: {kind of work: one of each problem}."""
    columns = min(len(panels["nfe"]), 2 if is_narrow() else 3)
    rows = overview_rows(panels, columns)
    # Two lines where one would reach into the next panel.
    lines = 2 if is_narrow() or max(len(panel.label) for panel in panels["nfe"]) > LONGEST_LABEL else 1
    tall = 1.3 if is_narrow() else 1.75
    gap = BETWEEN + (lines * LINE if len(rows) > len(panels) else 0)
    figure = Figure(figsize=(width(), MARGINS[2] + MARGINS[3] + len(rows) * tall + (len(rows) - 1) * gap))
    grid = figure.subplots(len(rows), columns, sharey=True, squeeze=False,
                           gridspec_kw={"wspace": 0.06, "hspace": gap / tall})
    limits = error_limits([panel for some in panels.values() for panel in some], error)
    legend = add_legend(figure, legend_entries(panels["nfe"], limits[0], panels["time"]), lines)
    for (work, row), line in zip(rows, grid):
        for axes in line[len(row):]:
            axes.set_visible(False)
        for axes, panel in zip(line, row):
            draw_panel(axes, panel, limits)
            if work == "nfe":
                axes.set_title(f"{panel.label}, $T$ = {panel.horizon:g}" + (",\n" if lines > 1 else ", ")
                               + seeds_text(panel.seeds))
        figure.text(0.5, line[0].get_position().y0 - DROP / figure.get_figheight(), row_label(work, row), ha="center",
                    va="top")
    figure.supylabel(ERRORS[error], x=0.012, y=0.5 + legend / 2)
    return figure


QUANTITIES = {
    "nfe": "the number of evaluations, NFE = nf + nvjp + njvp + njac_products (evaluations of f, vector-Jacobian "
           "products, directional derivatives, products that Jacobians took)",
    "time": "the {clock} of one gradient",
}


def caption(panels, error, results):
    """What a reader has to know, as text; panels: {kind of work: one of each problem}."""
    against = ", and below it against ".join(QUANTITIES[work].format(clock=results.clock_text()) for work in panels)
    lines = [f"{plain(ERRORS[error])} ({error}) against {against}.",
             "One line per estimator, one point per accuracy setting, at the medians over the seeds that finished; "
             "shaded: the middle half (25 to 75 %) of their errors. Small markers: some seeds failed there. No marker: "
             "most seeds failed. Hollow markers: the median error is below 3 times the error of the reference "
             "gradients (dotted), which cannot resolve it"
             + (", or most of it was timed in a crowd" if "time" in panels else "")
             + ". Triangles on the upper edge: the error is larger still."]
    for same in zip(*panels.values()):
        panel = same[0]
        lines.append(f"{panel.label}: policy {panel.policy}, T = {panel.horizon:g}, {seeds_text(panel.seeds)}; the "
                     f"reference resolves errors above {panel.floor:.1e} (median).")
        notes = [(curve.label, note(curve.counts)) for curve in panel.curves]
        lines += [f"{panel.label}, {label}: {words}." for label, words in notes if words]
        lines += [f"{panel.label}: {TIMING_TEXT[panel.timing]}."] if "time" in panels else []
        lines += [f"{panel.label}: {words}" for words in dict.fromkeys(sum((one.remarks for one in same), []))]
    return "\n".join([*lines, results.data_text(), ""])


def draw_all(results: Results, folder: Path, error: str, timing: str | None, prefix: str = "") -> None:
    """Every figure of the file into the folder, under names that begin with the prefix; error: of ERRORS, timing: of
    TIMINGS."""
    finished = np.unique(results.runs["problem"][results.run_done])
    panels = {work: [make_panel(results, problem, error, work, timing) for problem in finished] for work in WORK_LABEL}
    for work, some in panels.items():
        for panel in some:
            save(problem_figure(panel, error, work), caption({work: [panel]}, error, results), folder,
                 f"{prefix}error_{work}_{file_name(panel.label)}")
    save(overview_figure(panels, error), caption(panels, error, results), folder, f"{prefix}overview")
