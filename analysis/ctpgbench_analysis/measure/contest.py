"""contest.py -- estimators of several files against one baseline, on the cases that both have

Cases are the same where their keys are: hashes of problem, version, policy, start and horizon. A label of the suite is
a problem and a policy, lqr-trained; policies of one problem share its weight.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure import need, paired, ratios, together
from ctpgbench_analysis.measure.cells import Grid, make_grid
from ctpgbench_analysis.measure.crossing import fitted_orders
from ctpgbench_analysis.measure.intervals import Interval, median_interval, share_interval
from ctpgbench_analysis.measure.ratios import Paired
from ctpgbench_analysis.read.machines import same_machine
from ctpgbench_analysis.read.several import Entry, Source
from ctpgbench_analysis.read.words import TIMINGS

POLICIES = ("random", "small", "trained")
FEWER_REPLICATES = 1000  # of the bootstrap at each single error
LARGEST_FITTED = 0.1  # relative errors above are no part of a fitted order


def problem_of(label: str) -> str:
    """lqr of lqr-trained."""
    name, _, policy = label.rpartition("-")
    return name if name and policy in POLICIES else label


@dataclass
class Side:
    """One estimator on one problem label."""
    grid: Grid
    keys: list[int]              # of the cases, as the rows of the grid
    needs: dict[str, np.ndarray] # {quantity: [target, seed, 2]}, filled as they are asked for


@dataclass
class Match:
    """One estimator against the baseline on one problem label."""
    label: str
    mine: np.ndarray   # [target, seed, 2] needs of NFE on the cases that both have
    base: np.ndarray
    whole: Paired      # over all errors
    cells: list[Paired]
    p_whole: float = 1.0  # corrected over the problems
    p_cells: list[float] = field(default_factory=list)  # over problems and errors

    @property
    def verdict(self) -> str:
        """On this problem, over all errors."""
        return ratios.verdict(self.whole.ratio, self.p_whole)

    def verdict_at(self, target: int) -> str:
        """At one error."""
        return ratios.verdict(self.cells[target].ratio, self.p_cells[target])


@dataclass
class Duel:
    """One estimator against the baseline everywhere."""
    entry: Entry
    matches: list[Match]
    factor: together.Factor
    by_target: list[together.Factor]  # at each error
    dear: together.Factor  # at the dearest price of a Jacobian
    bytes: together.Factor  # of what is stored, over all errors
    time: together.Factor   # of CPU time, likewise; n is 0 where nothing can be compared
    improvement: tuple[float, float]  # probability of improvement, least and most
    alone: int           # seeds x errors that only it reaches
    behind: int          # that only the baseline reaches
    neither: int
    unresolved: int

    @cached_property
    def tests(self) -> int:
        """Comparisons at single errors."""
        return sum(cell.n > 0 for match in self.matches for cell in match.cells)


def same_costs(sources: list[Source]) -> None:
    """Weighted work is of the costs of f and vjp that the first file with a problem measured: one scale for all."""
    first: dict[str, tuple[float, float]] = {}
    for source in sources:
        for row in source.results.problems:
            costs = first.setdefault(row["label"], (row["cost_f"], row["cost_vjp"]))
            row["cost_f"], row["cost_vjp"] = costs


class Contest:
    """All entries, and what is asked of them."""

    def __init__(self, sources: list[Source], entries: list[Entry], baseline: str, targets: list[float],
                 mine: str = "", everything: bool = False):
        """mine: the one candidate, "" for all beside the baseline; everything: also cases that no candidate has."""
        self.sources, self.entries, self.targets = sources, entries, targets
        self.baseline = self.find(baseline)
        self.candidates = [self.find(mine, "-mine")] if mine else [
            entry for entry in entries if entry is not self.baseline and not entry.source.shipped
        ]
        same_costs(sources)
        self.sides: dict[tuple[str, str], Side | None] = {}
        self.asked: dict[str, set[int]] = {}  # {label: keys of the cases that a candidate has}: others tell nothing
        labels = [str(label) for source in sources for label in source.results.problems["label"]]
        self.labels = list(dict.fromkeys(labels))
        if not everything:
            self.ask()

    def ask(self) -> None:
        """Leaves out the cases, and the labels, that no candidate has."""
        asked = {label: {key for entry in self.candidates for key in keys_of(self.side(entry, label))}
                 for label in self.labels}
        self.asked = {label: keys for label, keys in asked.items() if keys}
        self.labels = list(self.asked)

    def find(self, label: str, option: str = "-baseline") -> Entry:
        """The first entry of that name, or else of that label, which an option asks for."""
        for key in (lambda entry: entry.name, lambda entry: entry.label, lambda entry: entry.about["label"]):
            for entry in self.entries:
                if key(entry) == label:
                    return entry
        known = ", ".join(entry.name for entry in self.entries)
        raise ResultsError(f"{option} {label} is in none of these files; expected one of {known}.")

    def is_aside(self, entry: Entry) -> bool:
        """Shipped, and not what others are compared with: shown on demand."""
        return entry.source.shipped and entry is not self.baseline

    def side(self, entry: Entry, label: str) -> Side | None:
        """An entry on a problem label; None where it has no run there."""
        if (entry.name, label) not in self.sides:
            self.sides[entry.name, label] = self.make_side(entry, label)
        return self.sides[entry.name, label]

    def make_side(self, entry: Entry, label: str) -> Side | None:
        """As `side`, made."""
        results, problem = entry.source.results, problem_with_runs(entry, label)
        if problem < 0:
            return None
        grid = make_grid(results, problem, entry.row, timing=results.choose_timing(problem)[0])
        keys = [int(key) for key in entry.source.keys[grid.cases]]
        kept = [row for row, key in enumerate(keys) if key in self.asked.get(label, keys)]
        return Side(grid.of_seeds(kept), [keys[row] for row in kept], {}) if kept else None

    def needs(self, entry: Entry, label: str, quantity: str) -> np.ndarray:
        """[target, seed, 2] of a side that is there."""
        side = self.side(entry, label)
        if quantity == "dear" and np.array_equal(side.grid.dear, side.grid.nfe, equal_nan=True):
            quantity = "nfe"
        if quantity not in side.needs:
            grid = side.grid
            usable = grid.timed & ~grid.crowded if quantity == "time" else grid.reached
            work = np.fmax(grid.bytes, 1) if quantity == "bytes" else getattr(grid, quantity)
            side.needs[quantity] = np.stack([need.needs(grid, target, work, usable) for target in self.targets])
        return side.needs[quantity]

    def both(self, entry: Entry, label: str, quantity: str,
             other: Entry | None = None) -> tuple[np.ndarray, np.ndarray] | None:
        """Needs [target, seed, 2] of the entry and of the other one, the baseline unless it is given, on the cases that
        both have; None without any."""
        other = other or self.baseline
        mine, base = self.side(entry, label), self.side(other, label)
        if mine is None or base is None:
            return None
        shared = [key for key in mine.keys if key in set(base.keys)]
        if not shared:
            return None
        rows = [mine.keys.index(key) for key in shared], [base.keys.index(key) for key in shared]
        return self.needs(entry, label, quantity)[:, rows[0]], self.needs(other, label, quantity)[:, rows[1]]

    def duel(self, entry: Entry) -> Duel:
        """An entry against the baseline on every label where both have a case."""
        matches = []
        for label in self.labels:
            sides = self.both(entry, label, "nfe")
            if sides:
                cells = [ratios.pair(*one) for one in zip(*sides)]
                matches.append(Match(label, *sides, ratios.over_targets(*sides), cells))
        correct(matches)
        by_problem = by_problems({match.label: match.whole.ratios for match in matches})
        by_target = [together.factor(by_problems({match.label: match.cells[target].ratios for match in matches}),
                                     FEWER_REPLICATES) for target in range(len(self.targets))]
        cells = [cell for match in matches for cell in match.cells]
        return Duel(entry, matches, together.factor(by_problem), by_target,
                    *(self.factor_of(entry, matches, quantity) for quantity in ("dear", "bytes", "time")),
                    improvement=together.improvement_share(by_problem),
                    alone=sum(int((cell.ratios[:, 1] == 0).sum()) for cell in cells),
                    behind=sum(int(np.isinf(cell.ratios[:, 0]).sum()) for cell in cells),
                    neither=sum(cell.neither for cell in cells), unresolved=sum(cell.unresolved for cell in cells))

    def factor_of(self, entry: Entry, matches: list[Match], quantity: str) -> together.Factor:
        """Of another quantity than NFE, over all errors; of nothing where CPU times cannot be compared."""
        found = {match.label: ratios.over_targets(*self.both(entry, match.label, quantity)).ratios for match in matches}
        return together.factor(by_problems({} if quantity == "time" and self.time_obstacle(entry) else found))

    def time_obstacle(self, entry: Entry) -> str:
        """Why the CPU times of an entry are not compared with the baseline's, "" where they are."""
        mine, base = machines_behind(entry), machines_behind(self.baseline)
        if not mine or not base:
            return "it is not known on which machine one of the two was measured"
        for machine in mine:
            if not same_machine(machine, base[0]):
                return f"they were measured on machines that differ, {machine} and {base[0]}"
        kinds = [commonest_timing(one.source) for one in (entry, self.baseline)]
        if "crowded" in kinds:
            return "most of one file's were taken in a crowd"
        if kinds[0] != kinds[1]:
            return f"one file holds {kinds[0]} timings, the other {kinds[1]} ones"
        return ""

    def orders(self, entry: Entry, label: str) -> Interval:
        """Fitted order over the seeds."""
        side = self.side(entry, label)
        return median_interval(fitted_orders(side.grid, LARGEST_FITTED) if side else [])

    def strangers(self) -> list[str]:
        """Labels on which an entry shares no case with the baseline, each with the reason, in words."""
        found = []
        for entry in self.candidates:
            for label in self.labels:
                if self.side(entry, label) and not self.both(entry, label, "nfe"):
                    found.append(f"{entry.name} on {label}: {self.why_apart(entry, label)}")
        return found

    def why_apart(self, entry: Entry, label: str) -> str:
        """Why an entry has no case of a label in common with the baseline."""
        if problem_with_runs(self.baseline, label) < 0:
            return f"{self.baseline.name} has no run there"
        mine, base = (about_problem(one.source, label) for one in (entry, self.baseline))
        for key in ("type", "version", "options"):
            if mine[key] != base[key]:
                return f"the problem differs in its {key} ({difference(mine[key], base[key])})"
        return "the seeds differ, or what is drawn from them"


def by_problems(labels: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """{problem: {label: ratios}} of {label: ratios}."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for label, values in labels.items():
        found.setdefault(problem_of(label), {})[label] = values
    return found


def correct(matches: list[Match]) -> None:
    """Fills in the corrected p-values."""
    for match, p in zip(matches, paired.holm([match.whole.p for match in matches])):
        match.p_whole = float(p)
        match.p_cells = [1.0] * len(match.cells)
    tested = [(match, i) for match in matches for i, cell in enumerate(match.cells) if cell.n]
    for (match, i), p in zip(tested, paired.holm([match.cells[i].p for match, i in tested])):
        match.p_cells[i] = float(p)


def about_problem(source: Source, label: str) -> dict[str, str]:
    """LABEL_COLUMNS of a problem."""
    return next(row for row in source.problems if row["label"] == label)


def difference(one: str, other: str) -> str:
    """The first lines in which two texts differ."""
    for first, second in zip(one.splitlines(), other.splitlines()):
        if first != second:
            return f"{first} against {second}"
    return f"{one.strip() or 'nothing'} against {other.strip() or 'nothing'}"


def machines_of(source: Source) -> list[str]:
    """Machines of the sessions that wrote, each once."""
    return list(dict.fromkeys(row["machine"] for row in source.sessions if row["machine"]))


def problem_with_runs(entry: Entry, label: str) -> int:
    """Row of the problem of this label, -1 where the entry has no run on it."""
    results = entry.source.results
    rows = np.flatnonzero(results.problems["label"] == label)
    return int(rows[0]) if len(rows) and len(results.rows(rows[0], entry.row)) else -1


def keys_of(side: Side | None) -> list[int]:
    """Keys of the cases of a side; [] where there is none."""
    return side.keys if side else []


def machines_behind(entry: Entry) -> list[str]:
    """Machines that an entry was measured on, each once; [] where that is not known."""
    results = entry.source.results
    rows = results.run_done & (results.runs["estimator"] == entry.row)
    names = results.machines_of(rows)
    if results.imported[rows].any():
        return [] if "" in names else names
    return [name for name in names if name] or machines_of(entry.source)


def commonest_timing(source: Source) -> str:
    """Isolated, throughput or crowded: what most of the runs are."""
    results = source.results
    counts = np.bincount(results.runs["timing"][results.run_done], minlength=len(TIMINGS))
    return TIMINGS[int(np.argmax(counts))]


@dataclass
class Calibration:
    """Error bars of one entry against the errors that they promise."""
    name: str
    held: Interval   # share of runs whose error is at most the bar
    middle: float    # median of bar / error
    runs: int


def calibrations(entries: list[Entry]) -> list[Calibration]:
    """Of the entries whose runs have error bars; runs whose error the reference does not resolve are left out."""
    found = []
    for entry in entries:
        results, bars = entry.source.results, entry.source.error_bars
        runs = results.runs
        cases = results.cases[runs["case_index"]]
        with np.errstate(invalid="ignore"):
            good = (results.run_done & (runs["status"] == results.ok) & (runs["estimator"] == entry.row) & (bars > 0)
                    & (runs["err_rel"] > 3 * cases["ref_err"]) & (runs["err_rel"] > 0))
        if good.any():
            ratio = bars[good] / runs["err_rel"][good]
            found.append(Calibration(entry.name, share_interval(int((ratio >= 1).sum()), int(good.sum())),
                                     float(np.median(ratio)), int(good.sum())))
    return found


def common_cases(contest: Contest) -> dict[str, list[int]]:
    """{label: keys} of the cases that the baseline and all candidates have; labels without one are left out."""
    found = {}
    for label in contest.labels:
        each = [set(keys_of(contest.side(entry, label))) for entry in [contest.baseline, *contest.candidates]]
        if shared := set.intersection(*each):
            found[label] = sorted(shared)
    return found


def shared_needs(contest: Contest, cases: dict[str, list[int]]) -> dict[int, dict[str, np.ndarray]]:
    """{number of the entry: {label: NFE [seed, target]}} on common cases, of the entries that have them all; infinite
    where the error is not reached, NaN where nobody can tell."""
    found = {}
    for number, entry in enumerate(contest.entries):
        keys = {label: keys_of(contest.side(entry, label)) for label in cases}
        if all(set(shared) <= set(keys[label]) for label, shared in cases.items()):
            found[number] = {label: need_on(contest, entry, label, [keys[label].index(key) for key in shared])
                             for label, shared in cases.items()}
    return found


def need_on(contest: Contest, entry: Entry, label: str, rows: list[int]) -> np.ndarray:
    """NFE [seed, target] of these rows of a side, as `shared_needs`."""
    needs = contest.needs(entry, label, "nfe")[:, rows]
    unknown = np.isnan(needs[..., 1]) | ratios.is_unknown(needs)
    return np.where(unknown, np.nan, needs[..., 1]).T


def shares(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """[seed, x] share of the targets of each seed that take at most x; values [seed, target], NaN left out."""
    there = ~np.isnan(values)
    hits = ((values[:, :, None] <= at) & there[:, :, None]).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return hits / there.sum(axis=1)[:, None]


def ecdf(found: dict[str, dict[str, np.ndarray]], at: np.ndarray) -> np.ndarray:
    """[x] share of (seed, target) that take at most x; problems weigh the same, and so do policies of one."""
    each = []
    for policies in found.values():
        curves = [np.nanmean(shares(values, at), axis=0) for values in policies.values()
                  if not np.isnan(values).all()]
        if curves:
            each.append(np.mean(curves, axis=0))
    return np.mean(each, axis=0) if each else np.full(len(at), math.nan)


def ecdf_band(found: dict[str, dict[str, np.ndarray]], at: np.ndarray, replicates: int = 200) -> np.ndarray:
    """[2, x] bootstrap interval of `ecdf`: problems are drawn, then policies, then seeds."""
    generator = np.random.Generator(np.random.Philox(together.RANDOM_SEED))
    curves = [[shares(values, at) for values in policies.values()] for policies in found.values()]
    curves = [[one[~np.isnan(one).any(axis=1)] for one in policies] for policies in curves]
    curves = [kept for kept in ([one for one in policies if len(one)] for policies in curves) if kept]
    if not curves:
        return np.full((2, len(at)), math.nan)
    drawn = np.empty((replicates, len(at)))
    for replicate in range(replicates):
        total = np.zeros(len(at))
        for problem in generator.integers(len(curves), size=len(curves)):
            policies = curves[problem]
            for policy in generator.integers(len(policies), size=len(policies)):
                one = policies[policy]
                total += one[generator.integers(len(one), size=len(one))].mean(axis=0) / len(policies)
        drawn[replicate] = total / len(curves)
    return np.quantile(drawn, [0.025, 0.975], axis=0)


def profiles(found: dict[int, dict[str, np.ndarray]], at: np.ndarray) -> dict[int, np.ndarray]:
    """{number: [x] share of (seed, target) where it needs at most x times the least of all entries} of `shared_needs`,
    where anybody gets there; problems weigh the same, and so do policies of one."""
    best = {label: np.fmin.reduce([needs[label] for needs in found.values()]) for label in next(iter(found.values()))}
    best = {label: np.where(np.isfinite(least), least, np.nan) for label, least in best.items()}
    return {number: ecdf(by_problems({label: values / best[label] for label, values in needs.items()}), at)
            for number, needs in found.items()}
