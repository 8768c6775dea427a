"""peers.py -- our estimators beside those of other libraries, from a file that jobs/peers.sh merged

Times are those of the clock of the results, at equal error: crossings of measure/crossing.py. Of one start: the median
over the starts. Of a batch: where the median error of its starts is the target; ours solve the starts of a batch one
after the other, so their time for one is the mean over them. Times of others are told as multiples of our best. Both
sides have one core to themselves, and its CPU time counts; whether rows call their timing isolated or throughput hangs
on who measured them, and makes no difference.
"""
from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.crossing import BOUND, EXACT, crossing
from ctpgbench_analysis.read.frames import read
from ctpgbench_analysis.read.several import assignments, open_source
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import IMPORTED, power
from ctpgbench_analysis.report.table import measure
from ctpgbench_analysis.report.text import markdown, or_dash

TARGETS = (1e-3, 1e-6)
OURS, DEFAULT, LIKE = "our best", "ctpg", ("rk5", "diffrax-tsit5")


@dataclass
class Peers:
    """All rows, and what the labels are."""
    results: Results
    runs: pandas.DataFrame
    batches: dict[str, int]  # {label of an imported estimator: starts in one call}
    ours: list[str]


def load_peers(results: Results) -> Peers:
    """ResultsError where nothing was imported, or everything."""
    frames = read(results.path)
    about = {row.label: row for row in frames.estimators.itertuples()}
    batches = {label: int(assignments(row.options).get("batch", 1)) for label, row in about.items()
               if row.type == IMPORTED}
    ours = [label for label in about if label not in batches]
    if not batches or not ours:
        raise ResultsError(f"{results.path} holds {'no imported rows' if not batches else 'imported rows alone'}; "
                           "expected a file of jobs/peers.sh, with ours and others.")
    return Peers(results, frames.runs, batches, ours)


# ---- work at equal error ----

def one_start(peers: Peers, problem: int) -> dict[str, list[float]]:
    """{label: [target] ms of one start, NaN where it is not reached} of what was measured on one start."""
    found, results = {}, peers.results
    for row, about in enumerate(results.estimators):
        label = about["label"].removesuffix(f" ({IMPORTED})")
        if peers.batches.get(label, 1) == 1 and len(results.rows(problem, row)):
            found[label] = [entry.median for entry in
                            measure(results, problem, row, list(TARGETS), "err_rel", None)["ms"]]
    return found


def of_batch(peers: Peers, problem: str, label: str) -> list[float]:
    """[target] ms for one start of a batch."""
    runs = peers.runs[(peers.runs.problem == problem) & (peers.runs.estimator == label) & (peers.runs.status == "ok")]
    by_rtol = runs.groupby("accuracy")
    error, seconds = by_rtol.err_rel.median()[::-1].to_numpy(), by_rtol.cpu.mean()[::-1].to_numpy()
    found = [crossing(target, 0, error, seconds) for target in TARGETS]
    return [1e3 * value if kind in (EXACT, BOUND) else math.nan for kind, value in found]


def best(found: dict[str, list[float]], labels: list[str], target: int) -> tuple[str, float]:
    """(label, ms) of the quickest of these labels."""
    there = {label: found[label][target] for label in labels if label in found and found[label][target] > 0}
    return min(there.items(), key=lambda item: item[1]) if there else ("-", math.nan)


# ---- the parts of the page ----

def compared(peers: Peers, found_of: dict[str, dict[str, list[float]]], others: list[str]) -> list[str]:
    """Table: our best in ms, all others as multiples of it; found_of: {problem: {label: [target] ms}}."""
    body = []
    for problem, found in found_of.items():
        for target, error in enumerate(TARGETS):
            label, least = best(found, peers.ours, target)
            times = [found.get(other, [math.nan] * len(TARGETS))[target] / least for other in others]
            body.append([problem, power(error), label, or_dash(least, ".3g"),
                         *(or_dash(time, ".2g") for time in times)])
    return markdown(["problem", "error", OURS, "ms", *others], body)


def others_of(peers: Peers, batch: int) -> list[str]:
    """Labels that were imported with this batch, in the order of the file."""
    return [label for label, starts in peers.batches.items() if starts == batch]


def part_one(peers: Peers) -> list[str]:
    """One start."""
    labels = peers.results.problems["label"]
    ours = [label for label in (DEFAULT, "cvodes") if label in peers.ours]
    return compared(peers, {labels[p]: one_start(peers, p) for p in range(len(labels))}, ours + others_of(peers, 1))


def part_many(peers: Peers) -> list[str]:
    """Batches: of the solvers of one library the quicker one counts, at each error."""
    columns = [(batch, library) for batch in sorted(set(peers.batches.values()) - {1})
               for library in dict.fromkeys(label.partition("-")[0] for label in others_of(peers, batch))]
    found_of = {}
    for problem in peers.results.problems["label"]:
        found = {label: of_batch(peers, problem, label) for label in peers.ours}
        for batch, library in columns:
            of_library = {label: of_batch(peers, problem, label) for label in others_of(peers, batch)
                          if label.startswith(library)}
            found[f"{library}, {batch}"] = [best(of_library, list(of_library), t)[1] for t in range(len(TARGETS))]
        found_of[problem] = found
    return compared(peers, found_of, [DEFAULT, *(f"{library}, {batch}" for batch, library in columns)])


def part_alike(peers: Peers) -> list[str]:
    """One method at one tolerance on both sides: what is left is the implementation."""
    body = []
    for problem in peers.results.problems["label"]:
        for rtol in TARGETS:
            rows = [peers.runs[(peers.runs.problem == problem) & (peers.runs.estimator == label)
                               & np.isclose(peers.runs.accuracy, rtol)] for label in LIKE]
            error, nfe, cpu = ([float(one[name].median()) for one in rows] for name in ("err_rel", "nfe", "cpu"))
            body.append([problem, power(rtol), *(or_dash(value, ".1e") for value in error),
                         *(or_dash(value, ".0f") for value in nfe), *(or_dash(1e3 * value, ".3g") for value in cpu),
                         or_dash(cpu[1] / cpu[0], ".2g")])
    names = [f"{what}, {who}" for what in ("error", "NFE", "ms") for who in ("ours", "Diffrax")]
    return markdown(["problem", "rtol", *names, "ratio"], body)


def part_compile(peers: Peers) -> list[str]:
    """Seconds of compilation, which are in no other number."""
    runs = peers.runs[np.isfinite(peers.runs["compile"])] if "compile" in peers.runs else peers.runs[:0]
    table = runs.groupby(["estimator", "problem"])["compile"].median().unstack()
    labels = [label for label in peers.batches if label in table.index]
    problems = [label for label in peers.results.problems["label"] if label in table.columns]
    return markdown(["compiled", *problems],
                    [[label, *(or_dash(float(table.loc[label, problem]), ".2g") for problem in problems)]
                     for label in labels])


def drift(peers: Peers, before: str | None) -> str:
    """How far the times of ours before and after the others agree; before: the same sweep."""
    if not before:
        return ""
    key = ["problem", "estimator", "seed", "accuracy"]
    both = peers.runs.merge(read(before).runs[[*key, "cpu"]], on=key, suffixes=("", "_before"))
    low, middle, high = np.nanquantile(both.cpu / both.cpu_before, (0.25, 0.5, 0.75))
    return (f"Ours were timed before and after the others, problem by problem: the later times are {middle:.2f} of the "
            f"earlier ones (middle half {low:.2f} to {high:.2f}).")


def part_set_up(peers: Peers, before: str | None) -> list[str]:
    """The machine, the versions, and how still it was."""
    source = open_source(peers.results.path)
    cpu = next((row["isa"].partition(", ")[2] for row in source.sessions if row["isa"]), "") or "an unknown CPU"
    versions = list(dict.fromkeys(assignments(row["options"]).get("source", "") for row in source.estimators
                                  if row["type"] == IMPORTED))
    ok = peers.runs[peers.runs.status == "ok"]
    crowd = {who: float((rows.wall / rows.cpu).median()) for who, rows in (("ours", ok[~ok.imported]),
                                                                           ("theirs", ok[ok.imported]))}
    starts = peers.runs.groupby("problem").seed.nunique().max()
    text = (f"One core of an {cpu}. {peers.results.clock_text()[0].upper()}{peers.results.clock_text()[1:]}, medians, "
            f"{starts} starts of one policy. {'; '.join(versions)}. Wallclock over CPU time: {crowd['ours']:.2f} for "
            f"ours, {crowd['theirs']:.2f} for theirs. {drift(peers, before)}")
    return textwrap.wrap(text, 120, break_on_hyphens=False)


def make_parts(results: Results, before: str | None) -> dict[str, list[str]]:
    """{name: lines of Markdown} of the page."""
    peers = load_peers(results)
    return {"set-up": part_set_up(peers, before), "one": part_one(peers), "many": part_many(peers),
            "alike": part_alike(peers), "compile": part_compile(peers)}
