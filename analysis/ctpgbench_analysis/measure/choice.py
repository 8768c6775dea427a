"""choice.py -- who needs least at an error, of all estimators of a file, on a group of problem labels

An estimator gets to an error on a label where more than half of the seeds reach it, of those whose reference can tell
(FEWEST or more). A label is asked where anybody gets there; ranked is who gets there on every label asked, by the
geometric mean over problems, and over policies of a problem, of the median over seeds. The first of the ranking is what
the others are held against, seed by seed: each factor has the interval of together.py. That the first was chosen on the
same seeds makes it look better than it is, by less than the intervals are wide.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ctpgbench_analysis.measure import ratios, together
from ctpgbench_analysis.measure.contest import Contest, by_problems, problem_of
from ctpgbench_analysis.measure.intervals import FEWEST, Interval, median_interval
from ctpgbench_analysis.measure.quantiles import finite_median
from ctpgbench_analysis.read.several import Entry

REPLICATES = 1000  # of the bootstrap: intervals are told to three digits


@dataclass
class Place:
    """One estimator in a ranking."""
    entry: Entry
    work: float                      # geometric mean; NaN where it does not get there everywhere
    bytes: float                     # the most that it stores on any label, median over seeds
    missed: list[str]                # labels asked on which it does not get there
    factor: Interval | None = None   # over the first of the ranking; None for that one itself


@dataclass
class Ranking:
    """All estimators at one error."""
    asked: list[str]                 # labels on which anybody gets there
    places: list[Place] = field(default_factory=list)  # best first
    out: list[Place] = field(default_factory=list)     # those that do not get there everywhere


def high_needs(contest: Contest, entry: Entry, label: str, target: int, quantity: str) -> np.ndarray:
    """[seed] the most that each seed may need, inf where it does not get there; without those that nobody can tell."""
    needs = contest.needs(entry, label, quantity)[target]
    return needs[~(np.isnan(needs).any(axis=-1) | ratios.is_unknown(needs)), 1]


def typical(contest: Contest, entry: Entry, label: str, target: int, quantity: str = "nfe") -> Interval:
    """Median over seeds, with its interval; NaN where the entry does not get there, or has no run."""
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    if not contest.side(entry, label):
        return nothing
    found = high_needs(contest, entry, label, target, quantity)
    gets_there = len(found) >= FEWEST and 2 * np.isfinite(found).sum() > len(found)
    return median_interval(found) if gets_there else nothing


def stored(contest: Contest, entry: Entry, label: str, target: int) -> float:
    """Bytes; infinite for an interpreted estimator, whose bytes are its own word."""
    if entry.label.endswith(")"):  # read/sweep.py: "mine (python)"
        return math.inf
    return float(finite_median(high_needs(contest, entry, label, target, "bytes")))


def mean_over_problems(values: dict[str, float]) -> float:
    """Geometric mean of {label: value}; problems weigh the same, and so do policies of one."""
    groups: dict[str, list[float]] = {}
    for label, value in values.items():
        groups.setdefault(problem_of(label), []).append(math.log(value))
    return math.exp(np.mean([np.mean(group) for group in groups.values()])) if groups else math.nan


def make_place(contest: Contest, entry: Entry, medians: dict[str, float], asked: list[str], target: int) -> Place:
    """An estimator whose median is {label: NFE}."""
    missed = [label for label in asked if math.isnan(medians[label])]
    most = max((stored(contest, entry, label, target) for label in asked if label not in missed), default=math.nan)
    work = math.nan if missed or not asked else mean_over_problems({label: medians[label] for label in asked})
    return Place(entry, work, most, missed)


def factor(contest: Contest, pair: tuple[Entry, Entry], labels: list[str], target: int, quantity: str) -> Interval:
    """The first of a pair over the second, on these labels."""
    paired = {}
    for label in labels:
        sides = contest.both(pair[0], label, quantity, pair[1])
        if sides:
            paired[label] = ratios.pair(sides[0][target], sides[1][target]).ratios
    return together.factor(by_problems(paired), REPLICATES).ratio


class Choice:
    """Rankings of the entries of a contest, and the factors that they need, each computed once."""

    def __init__(self, contest: Contest):
        self.contest = contest
        self.medians: dict[tuple, float] = {}
        self.factors: dict[tuple, Interval] = {}

    def median(self, entry: Entry, label: str, target: int, quantity: str) -> float:
        """As `typical`."""
        key = entry.name, label, target, quantity
        if key not in self.medians:
            self.medians[key] = typical(self.contest, entry, label, target, quantity).value
        return self.medians[key]

    def factor(self, place: Place, first: Place, asked: list[str], target: int, quantity: str) -> Interval:
        """As the function of that name."""
        key = place.entry.name, first.entry.name, *asked, target, quantity
        if key not in self.factors:
            self.factors[key] = factor(self.contest, (place.entry, first.entry), asked, target, quantity)
        return self.factors[key]

    def rank(self, labels: list[str], target: int, budget: float = math.inf, quantity: str = "nfe",
             held: int | None = None) -> Ranking:
        """Of the entries that store at most `budget` bytes anywhere, at the error with this number, on these labels.
        held: how many places behind the first get their factor; None: all."""
        entries = self.contest.entries
        medians = {entry.name: {label: self.median(entry, label, target, quantity) for label in labels}
                   for entry in entries}
        asked = [label for label in labels if any(not math.isnan(one[label]) for one in medians.values())]
        found = [make_place(self.contest, entry, medians[entry.name], asked, target) for entry in entries]
        ranked = sorted((place for place in found if not math.isnan(place.work) and place.bytes <= budget),
                        key=lambda place: (place.work, place.entry.name))
        for place in ranked[1:][:held]:
            place.factor = self.factor(place, ranked[0], asked, target, quantity)
        return Ranking(asked, ranked, [place for place in found if math.isnan(place.work)])
