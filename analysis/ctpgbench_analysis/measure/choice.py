"""choice.py -- who needs least at an error, of all estimators of a file, on a group of problem labels

An estimator gets to an error on a label where more than half of the seeds reach it, of those whose reference can tell
(FEWEST or more), and where there is a limit on storage, within it. A label is asked where anybody gets there, with
whatever storage. Ranked is who gets there on MOST of what is asked, by the geometric mean over problems, and over
policies of a problem, of the median over seeds, on the labels that all ranked get to. Where the loosest setting is good
enough already, what that takes counts: the settings are those of one plan. The first of the ranking is what the others
are held against, seed by seed: each factor has the interval of together.py. That the first was chosen on the same seeds
makes it look better than it is, by less than the intervals are wide.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure import ratios, together
from ctpgbench_analysis.measure.contest import Contest, by_problems, problem_of
from ctpgbench_analysis.measure.intervals import FEWEST, Interval, median_interval
from ctpgbench_analysis.measure.quantiles import finite_median
from ctpgbench_analysis.read.several import Entry

REPLICATES = 1000  # of the bootstrap: intervals are told to three digits
MOST = 0.9  # of the labels asked, problems of the same weight, policies of a problem likewise


@dataclass
class Place:
    """One estimator in a ranking."""
    entry: Entry
    missed: list[str]                # labels asked on which it does not get there
    work: float = math.nan           # geometric mean; NaN where it is not ranked
    factor: Interval | None = None   # over the first of the ranking; None for that one itself


@dataclass
class Ranking:
    """All estimators at one error."""
    asked: list[str]                 # labels on which anybody gets there
    common: list[str]                # of them those on which all ranked do
    places: list[Place]              # best first
    out: list[Place]                 # those that get there too seldom


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
    """Mean of {label: value}; problems weigh the same, and so do policies of one."""
    groups: dict[str, list[float]] = {}
    for label, value in values.items():
        groups.setdefault(problem_of(label), []).append(value)
    return float(np.mean([np.mean(group) for group in groups.values()])) if groups else math.nan


def is_ranked(place: Place, asked: list[str]) -> bool:
    """Does it get there on MOST of what is asked?"""
    return bool(asked) and mean_over_problems({label: float(label not in place.missed) for label in asked}) >= MOST


def counted(needs: np.ndarray) -> np.ndarray:
    """Needs [seed, 2] of which what the loosest setting took is no bound, but what counts."""
    high = needs[..., 1]
    return np.stack([np.where(np.isfinite(high), high, needs[..., 0]), high], axis=-1)


def factor(contest: Contest, pair: tuple[Entry, Entry], labels: list[str], target: int, quantity: str) -> Interval:
    """The first of a pair over the second, on these labels."""
    paired = {}
    for label in labels:
        sides = contest.both(pair[0], label, quantity, pair[1])
        if sides:
            paired[label] = ratios.pair(*(counted(side[target]) for side in sides)).ratios
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

    def gets_there(self, entry: Entry, label: str, target: int, quantity: str, budget: float = math.inf) -> bool:
        """Within `budget` bytes."""
        return not math.isnan(self.median(entry, label, target, quantity)) and (
            math.isinf(budget) or stored(self.contest, entry, label, target) <= budget)

    def rank(self, labels: list[str], target: int, budget: float = math.inf, quantity: str = "nfe",
             held: int | None = None) -> Ranking:
        """Of all entries, with at most `budget` bytes, at the error with this number, on these labels. held: how many
        places behind the first get their factor; None: all."""
        entries = self.contest.entries
        asked = [label for label in labels
                 if any(self.gets_there(entry, label, target, quantity) for entry in entries)]
        found = [Place(entry, [label for label in asked if not self.gets_there(entry, label, target, quantity, budget)])
                 for entry in entries]
        ranked = [place for place in found if is_ranked(place, asked)]
        common = [label for label in asked if not any(label in place.missed for place in ranked)]
        for place in ranked:
            place.work = math.exp(mean_over_problems({label: math.log(self.median(place.entry, label, target, quantity))
                                                      for label in common}))
        ranked.sort(key=lambda place: (place.work, place.entry.name))
        for place in ranked[1:][:held]:
            place.factor = self.factor(place, ranked[0], common, target, quantity)
        return Ranking(asked, common, ranked, [place for place in found if not is_ranked(place, asked)])
