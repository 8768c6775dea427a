"""verdict.py -- the figures of `ctpgbench compare`, each a Sheet: work and precision, paired ratios, shares of what is
reached, performance profiles"""
from __future__ import annotations

from typing import Callable

import numpy as np
from matplotlib.axes import Axes

from ctpgbench_analysis.draw.page import file_name, log_axis, widen
from ctpgbench_analysis.draw.sheet import Sheet
from ctpgbench_analysis.draw.style import OTHER_COLOURS, style
from ctpgbench_analysis.measure import contest as contests
from ctpgbench_analysis.measure.contest import Contest, Duel
from ctpgbench_analysis.measure.intervals import median_interval
from ctpgbench_analysis.measure.ratios import MARGIN, Paired
from ctpgbench_analysis.measure.quantiles import finite_quantile
from ctpgbench_analysis.read.several import Entry
from ctpgbench_analysis.read.words import drawn, power

LARGEST_ERROR = 100.0
WORK = "evaluations, NFE"
MOST_RATIOS = 6  # estimators of a figure of ratios
MOST_TICKS = 8
TICK_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7),
              (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))


def own_style(entry: Entry) -> dict:
    """Of its label where that is known, else of its own name."""
    return style(entry.label if entry.label == entry.name else entry.name)


def shown_colours(contest: Contest) -> dict[str, str]:
    """{name: colour} of the entries that are shown from the start: none has one that an earlier one has, as long as
    there are others; the baseline and who is not judged come first."""
    taken: dict[str, str] = {}
    shown = [one for one in contest.entries if not contest.is_aside(one)]
    for one in sorted(shown, key=lambda one: any(one is judged for judged in contest.candidates)):
        own = own_style(one)["color"]
        free = [colour for colour in (own, *OTHER_COLOURS) if colour not in taken.values()]
        taken[one.name] = free[0] if free and own in OTHER_COLOURS else own
    return taken


def make_looks(contest: Contest) -> list[dict]:
    """Styles of the entries by their numbers; shipped ones are thin."""
    colours, looks = shown_colours(contest), []
    for entry in contest.entries:
        own, shipped = own_style(entry), entry.source.shipped
        looks.append({**own, "color": colours.get(entry.name, own["color"]), "linewidth": 0.8 if shipped else 1.5,
                      "markersize": own["markersize"] * (0.7 if shipped else 1)})
    return looks


def finish(sheet: Sheet, axes: Axes, x: str, y: str, title: str) -> None:
    """Labels, and room for them."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=9)
    width, height = sheet.figure.get_size_inches()
    sheet.figure.subplots_adjust(left=0.75 / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.35 / height)


# ---- work and precision ----

WORK_CAPTION = (
    "Relative error of dL/dθ against NFE, one point per accuracy setting at the medians over seeds; shaded: the middle "
    "half of the errors; bars: 95 % intervals of the median NFE at that error. A line ends where most seeds failed.")


def draw_curve(sheet: Sheet, axes: Axes, number: int, contest: Contest, label: str, properties: dict) -> None:
    """Medians over seeds at each setting, the band of the middle half of errors, intervals of the NFE at the
    targets."""
    entry = contest.entries[number]
    grid = contest.side(entry, label).grid
    most = (2 * grid.reached.sum(axis=0) >= grid.done.sum(axis=0)) & grid.reached.any(axis=0)
    nfe, middle, low, high = (np.where(most, finite_quantile(values, q, axis=0), np.nan) for values, q in (
        (grid.nfe, 0.5), (grid.error, 0.5), (grid.error, 0.25), (grid.error, 0.75)))
    artists = [*axes.plot(nfe, middle, **properties), axes.fill_between(nfe, low, high, color=properties["color"],
                                                                        alpha=0.15, linewidth=0)]
    for setting, x, y, reached, done in zip(grid.settings, nfe, middle, grid.reached.sum(axis=0),
                                            grid.done.sum(axis=0)):
        sheet.point(axes, x, y, number, f"{entry.name}: setting {setting:.3g}, error {y:.2e}, NFE {x:.0f}, "
                                        f"{reached} of {done} seeds")
    for target, needs in zip(contest.targets, contest.needs(entry, label, "nfe")):
        there = needs[~np.isnan(needs[:, 0])]
        interval = median_interval(there[:, 0], there[:, 1])
        if interval.known and 0 < interval.low and np.isfinite(interval.high):
            artists += axes.plot([interval.low, interval.high], [target, target], color=properties["color"],
                                 linewidth=2.6, alpha=0.55, solid_capstyle="butt")
            sheet.point(axes, interval.value, target, number,
                        f"{entry.name} at {power(target)}: NFE {interval.text('.0f')}")
    sheet.tag(artists, number)


def work_precision(contest: Contest, label: str, looks: list[dict]) -> Sheet | None:
    """Error against NFE on one problem label; None where nobody has a run."""
    shown = [(number, entry) for number, entry in enumerate(contest.entries) if contest.side(entry, label)]
    if not shown:
        return None
    seeds = max(len(contest.side(entry, label).keys) for _, entry in shown)
    sheet = Sheet(f"work_precision_{file_name(label)}", f"Work and precision: {label}",
                  WORK_CAPTION if label == contest.labels[0] else "As the first figure here.")
    sheet.legend_at = "lower left"
    axes = sheet.figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for number, _ in shown:
        draw_curve(sheet, axes, number, contest, label, looks[number])
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 1e-16), min(max(high, 1e-15), LARGEST_ERROR))
    axes.set_xlim(*widen(*axes.get_xlim()))
    log_axis(axes.xaxis, *axes.get_xlim())
    log_axis(axes.yaxis, *axes.get_ylim())
    finish(sheet, axes, WORK, "relative error of dL/dθ", f"{drawn(label)}, {seeds} seeds")
    return sheet


# ---- paired ratios ----

RATIO_CAPTION = (
    f"NFE divided by that of {{}} at equal gradient error, paired by seed: median and 95 % interval; below 1 is "
    f"better. Grey: the margin {MARGIN[0]:g} to {MARGIN[1]:g} that counts as equal. Arrows: the interval goes on, to 0 "
    "or infinity where one of both never gets there. Hollow: fewer than six pairs, no interval.")


def ratio_limits(duels: list[Duel], each: Callable) -> tuple[float, float]:
    """Limits that hold every finite end, and 1."""
    ends = [end for duel in duels for match in duel.matches for one in each(match)
            for end in (one.ratio.value, one.ratio.low, one.ratio.high) if np.isfinite(end) and end > 0]
    return min([*ends, 0.8]) / 1.15, max([*ends, 1.25]) * 1.15


def ratio_ticks(low: float, high: float) -> list[float]:
    """The finest of TICK_STEPS of which no more than MOST_TICKS lie between; 1 is always among them."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    apart = -(-len(decades) // MOST_TICKS)
    found = [10.0 ** decade for decade in decades if decade % apart == 0 and low <= 10.0 ** decade <= high]
    for steps in TICK_STEPS:
        ticks = [float(f"{step * 10.0 ** decade:.3g}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        found = ticks if len(ticks) <= MOST_TICKS else found
    return found


def best(duels: list[Duel]) -> list[Duel]:
    """Those that a figure of ratios has room for: where there are more, the ones with the least factors."""
    ordered = sorted(duels, key=lambda duel: np.nan_to_num(duel.factor.ratio.value, nan=np.inf))
    return [duel for duel in duels if any(duel is one for one in ordered[:MOST_RATIOS])]


def draw_ratio(sheet: Sheet, axes: Axes, one: Paired, y: float, number: int, colour: str, text: str) -> None:
    """A median with its interval; ends at 0 or infinity go to the edge as arrows."""
    limits, interval = axes.get_xlim(), one.ratio
    low, high = (np.clip(end, *limits) for end in (interval.low, interval.high))
    artists = []
    if interval.known:
        artists += axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
        for end, edge, marker in ((interval.low, limits[0], "<"), (interval.high, limits[1], ">")):
            if not limits[0] <= end <= limits[1]:
                artists += axes.plot([edge], [y], marker=marker, color=colour, clip_on=False)
    value = np.clip(interval.value, *limits)
    artists += axes.plot([value], [y], linestyle="none", marker="o", markersize=4.5, color=colour,
                         markerfacecolor=colour if interval.known else "white")
    sheet.tag(artists, number)
    sheet.point(axes, value, y, number, text)


def paired_ratios(contest: Contest, duels: list[Duel], target: int | None, looks: list[dict]) -> Sheet | None:
    """Ratios on every problem label, over all errors (target None) or at one; None where no pair tells anything."""
    def each(match):
        return [match.whole if target is None else match.cells[target]]

    rest, duels = len(duels) - MOST_RATIOS, best(duels)
    labels = [label for label in contest.labels
              if any(match.label == label and each(match)[0].n for duel in duels for match in duel.matches)]
    if not labels:
        return None
    where = "over all errors" if target is None else f"at {power(contest.targets[target])}"
    sheet = Sheet("ratios" if target is None else f"ratios_{power(contest.targets[target])}",
                  f"Paired ratios {where}",
                  RATIO_CAPTION.format(contest.baseline.name)
                  + (f" Drawn are the {MOST_RATIOS} with the least factors; the other {rest} stand in the tables."
                     if rest > 0 else "") if target is None else
                  f"As the first figure here, {where} alone.",
                  height=1.0 + max(0.3, 0.07 * len(duels)) * max(2, len(labels)))
    axes = sheet.figure.subplots()
    axes.set_xscale("log")
    axes.set_xlim(*ratio_limits(duels, each))
    ticks = ratio_ticks(*axes.get_xlim())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.axvspan(*MARGIN, color="#DDDDDD", zorder=0)
    axes.axvline(1, color="#555555", linewidth=0.8, zorder=1)
    for place, duel in enumerate(duels):
        number = contest.entries.index(duel.entry)
        for match in duel.matches:
            one = each(match)[0]
            if one.n:
                y = labels.index(match.label) + 0.6 * ((place + 0.5) / len(duels) - 0.5)
                draw_ratio(sheet, axes, one, y, number, looks[number]["color"],
                           f"{duel.entry.name} / {contest.baseline.name} on {match.label}: {one.ratio.text()}")
    axes.set_yticks(range(len(labels)), [drawn(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    finish(sheet, axes, f"NFE / NFE of {drawn(contest.baseline.name)}", "", f"paired by seed, {where}")
    longest = max(map(len, labels))
    sheet.figure.subplots_adjust(left=min(0.45, (0.25 + 0.065 * longest) / sheet.figure.get_figwidth()))
    return sheet


# ---- shares ----

def share_sheet(sheet: Sheet, contest: Contest, at: np.ndarray, curves: dict, looks: list[dict],
                words: tuple[str, str]) -> Sheet:
    """Rising curves {number of the entry: (share [x], band [2, x] or None)}; words: label of the axis x, title."""
    sheet.legend_at = "lower right"
    axes = sheet.figure.subplots()
    axes.set_xscale("log")
    for number, (share, band) in curves.items():
        entry = contest.entries[number]
        properties = {**looks[number], "marker": "", "markersize": 0}
        artists = [*axes.plot(at, share, **properties)]
        if band is not None:
            artists.append(axes.fill_between(at, *band, color=properties["color"], alpha=0.12, linewidth=0))
        sheet.tag(artists, number)
        for place, value in zip(at, share):
            sheet.point(axes, place, value, number, f"{entry.name}: {value:.0%} at {place:.3g}")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(at[0], at[-1])
    log_axis(axes.xaxis, at[0], at[-1])
    finish(sheet, axes, words[0], "share of (problem, seed, error)", words[1])
    return sheet


def left_out(contest: Contest, found: dict[int, dict]) -> str:
    """A sentence on the entries that have no run on some of the common cases; "" without such."""
    names = [entry.name for number, entry in enumerate(contest.entries) if number not in found]
    return f"Without a run on some of these cases, hence not shown: {', '.join(names)}." if names else ""


def common_text(contest: Contest, cases: dict[str, list[int]]) -> str:
    """Which cases are counted."""
    return (f"Of the {sum(map(len, cases.values()))} cases (problem, policy, seed) that {contest.baseline.name} and "
            f"the estimators compared with it have in common.")


def reached_shares(contest: Contest, cases: dict[str, list[int]], looks: list[dict]) -> Sheet | None:
    """ECDF of NFE to target over (problem, seed, target)."""
    found = contests.shared_needs(contest, cases)
    values = np.concatenate([np.ravel(one) for needs in found.values() for one in needs.values()] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    at = np.geomspace(values.min(), 1.05 * values.max(), 80)
    with_band = {contest.entries.index(entry) for entry in [contest.baseline, *contest.candidates][:6]}
    grouped = {number: contests.by_problems(needs) for number, needs in found.items()}
    curves = {number: (contests.ecdf(by, at), contests.ecdf_band(by, at) if number in with_band else None)
              for number, by in grouped.items()}
    return share_sheet(Sheet("ecdf", "What is reached with how much work",
                             "Share of all (problem, seed, error) that an estimator reaches with at most so many "
                             "evaluations. What it does not reach never counts, so a curve that ends low failed or was "
                             "not tried further. Problems weigh the same. Bands: 95 %, problems drawn, then policies, "
                             f"then seeds. {common_text(contest, cases)} {left_out(contest, found)}".strip()),
                       contest, at, curves, looks, (WORK, "NFE to target, failures as never"))


def profiles(contest: Contest, cases: dict[str, list[int]], looks: list[dict]) -> Sheet | None:
    """Dolan and Moré's performance profiles."""
    found, at = contests.shared_needs(contest, cases), np.geomspace(1, 32, 80)
    if not any(np.isfinite(one).any() for needs in found.values() for one in needs.values()):
        return None
    return share_sheet(Sheet("profiles", "Performance profiles",
                             "Share of the (problem, seed, error) in which an estimator needs at most so many times "
                             "the evaluations of the best one. Problems weigh the same. "
                             f"{common_text(contest, cases)} Caveat: profiles depend on who else is in the "
                             "comparison; they say who is nearest to the best most often, not who is second best "
                             "(Gould and Scott 2016). Read paired ratios for that. "
                             f"{left_out(contest, found)}".strip()),
                       contest, at, {number: (share, None) for number, share in contests.profiles(found, at).items()},
                       looks, ("times the least NFE of all", "performance profiles"))


def all_sheets(contest: Contest, duels: list[Duel]) -> list[Sheet]:
    """Every figure, in the order of the page."""
    cases, looks = contests.common_cases(contest), make_looks(contest)
    found = [paired_ratios(contest, duels, None, looks),
             *(work_precision(contest, label, looks) for label in contest.labels),
             *(paired_ratios(contest, duels, target, looks) for target in range(len(contest.targets))),
             reached_shares(contest, cases, looks), profiles(contest, cases, looks)]
    sheets = [sheet for sheet in found if sheet]
    for sheet in sheets:
        sheet.names = [entry.name for entry in contest.entries]
        sheet.aside = {number for number, entry in enumerate(contest.entries) if contest.is_aside(entry)}
    return sheets
