"""choosing.py -- which estimator to take: ctpgbench choosing [FILE ...] [--page PAGE], of the standard suite

Reads the shipped baselines, or other files of the suite (jobs/suite-1.yaml), and prints the measured parts of
docs/choosing.md: advice, choice, relative, problems, sessions. With --page it rewrites what stands on that page between
"<!-- choosing: NAME -->" and "<!-- end -->"; the text around stays. The rule is in measure/choice.py.
"""
from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.choice import Choice, Place, Ranking, typical
from ctpgbench_analysis.measure.contest import Contest, problem_of
from ctpgbench_analysis.measure.crossing import TARGETS, whole_seeds
from ctpgbench_analysis.measure.intervals import Interval
from ctpgbench_analysis.measure.quantiles import finite_median
from ctpgbench_analysis.read.several import Entry, name_entries, open_source
from ctpgbench_analysis.read.words import order_text, power
from ctpgbench_analysis.report.sentences import end_text, interval_text, problems_text
from ctpgbench_analysis.report.sessions import session_lines
from ctpgbench_analysis.report.text import markdown, or_dash

BUDGETS = (("any", math.inf), ("100 KiB", 100 * 1024), ("10 KiB", 10 * 1024), ("2 KiB", 2 * 1024))  # of storage
LITTLE = BUDGETS[2]
# Problems that the ranking of all others leaves out.
TRAP = "a trap"
APART = {"vanderpol-stiff": "stiff", "track": "not smooth", "frozen-mesh": TRAP}
TRAINED = "-trained"  # ending of the labels whose policies control
SHOWN = 3  # places of a ranking in a cell or sentence


def groups(contest: Contest) -> dict[str, list[str]]:
    """{kind: labels of the problems of this kind that have a judged case}; "smooth" for the many."""
    found: dict[str, list[str]] = {"smooth": []}
    for label in contest.labels:
        if any(contest.side(entry, label) for entry in contest.entries):
            found.setdefault(APART.get(problem_of(label), "smooth"), []).append(label)
    return found


def factor_text(place: Place, of_first: str) -> str:
    """"1.10 [1.05, 1.15] (all but 1)": the factor, `of_first` for the first of a ranking, and on how many labels it
    does not get there."""
    factor = of_first if not place.factor else interval_text(place.factor) if place.factor.n else "(ratio not known)"
    return " ".join(filter(None, (factor, f"(all but {len(place.missed)})" if place.missed else "")))


def place_text(place: Place) -> str:
    """"`ctpg` 1.10 [1.05, 1.15]"; the first of a ranking without a factor."""
    return f"`{place.entry.name}` {factor_text(place, '')}".rstrip()


def is_told_apart(place: Place) -> bool:
    """Does it need more than the first for certain?"""
    return place.factor.known and place.factor.low > 1


# ---- advice ----

def advice_at(ranking: Ranking, target: float) -> str:
    """The sentences on one error."""
    if not ranking.places:
        return f"At {power(target)}: " + ("nobody gets there on nine tenths of these." if ranking.asked
                                          else "nobody gets there.")
    first, *rest = ranking.places
    level = [place_text(place) for place in rest if not is_told_apart(place)]
    behind = [place_text(place) for place in rest if is_told_apart(place)][:SHOWN]
    return (f"At {power(target)}: take {place_text(first)}."
            + (f" Not told apart from it: {', '.join(level)}." if level else "")
            + (f" Then come {', '.join(behind)}." if behind else ""))


def jacobian_remark(choice: Choice, labels: list[str], target: int, first: Place) -> str:
    """Who is first where Jacobians are dear, if that is another one."""
    dear = choice.rank(labels, target, quantity="dear", held=0).places
    return "" if not dear or dear[0].entry is first.entry else (
        f" Who pays min(nx, nu + 1) products for each Jacobian takes `{dear[0].entry.name}`.")


def time_remark(choice: Choice, labels: list[str], target: int, budget: float, first: Place) -> str:
    """Who is first by CPU time, if that is another one for certain, and what the first by evaluations takes of it; ""
    where CPU times cannot be compared."""
    if any(map(choice.contest.time_obstacle, choice.contest.entries)):
        return ""
    ranking = choice.rank(labels, target, budget, "time", held=0)
    same = next((place for place in ranking.places[1:] if place.entry is first.entry), None)
    if not same:
        return ""
    same.factor = choice.factor(same, ranking.places[0], ranking.common, target, "time")
    return "" if not is_told_apart(same) else (
        f" By CPU time take `{ranking.places[0].entry.name}`; `{first.entry.name}` takes "
        f"{interval_text(same.factor)} times as long.")


def advice_on(choice: Choice, title: str, labels: list[str], budget: float = math.inf) -> list[str]:
    """A paragraph with a line for each error."""
    lines = [f"**{title}**", ""]
    for i, target in enumerate(choice.contest.targets):
        ranking = choice.rank(labels, i, budget)
        remarks = []
        if ranking.places:
            remarks = [time_remark(choice, labels, i, budget, ranking.places[0])]
            remarks += [jacobian_remark(choice, labels, i, ranking.places[0])] if math.isinf(budget) else []
        lines.append(f"- {advice_at(ranking, target)}{''.join(remarks)}")
    return [*lines, ""]


def absent(choice: Choice, labels: list[str], target: int) -> list[str]:
    """A line for all estimators that miss an error on the same labels, where another one reaches it."""
    ranking, same = choice.rank(labels, target, held=0), {}
    for place in (*ranking.places, *ranking.out):
        if place.missed:
            same.setdefault(tuple(place.missed), []).append(f"`{place.entry.name}`")
    lines = []
    for missed, names in sorted(same.items(), key=lambda item: -len(item[0])):
        listed = ", ".join(f"`{label}`" for label in missed)
        lines.append(f"- {', '.join(names)}: on {len(missed)} of {len(ranking.asked)}"
                     + (f" ({listed})." if len(missed) <= 2 * SHOWN else "."))
    return lines


def advice(choice: Choice, kinds: dict[str, list[str]]) -> list[str]:
    """What to take, as sentences."""
    smooth, others = kinds["smooth"], {kind: labels for kind, labels in kinds.items() if kind not in ("smooth", TRAP)}
    trained = [label for label in smooth if label.endswith(TRAINED)]
    lines = advice_on(choice, f"{basis_text(trained)}; all the memory that it takes", trained) \
        if trained and trained != smooth else []
    lines += advice_on(choice, f"{basis_text(smooth)}; all the memory that it takes", smooth)
    lines += advice_on(choice, f"The same with at most {LITTLE[0]} stored", smooth, LITTLE[1])
    for kind, labels in others.items():
        lines += advice_on(choice, f"{kind.capitalize()}: {', '.join(f'`{label}`' for label in labels)}", labels)
    first = power(choice.contest.targets[0])
    return [*lines, f"**Who does not get to {first}** on smooth problems where another one does:", "",
            *(absent(choice, smooth, 0) or ["- nobody"])]


def basis_text(labels: list[str]) -> str:
    """What the ranking rests on."""
    problems, policies = problems_text(len(set(map(problem_of, labels)))), len(labels)
    if all(label.endswith(TRAINED) for label in labels):
        return f"{problems} under policies that control, smooth and not stiff"
    under = "" if len(set(map(problem_of, labels))) == policies else f" under {policies} policies, random or trained"
    return f"{problems}{under}, smooth and not stiff"


# ---- tables ----

def choice_table(choice: Choice, labels: list[str]) -> list[str]:
    """The best three by storage and error."""
    targets = choice.contest.targets
    header = ["storage", *[f"error {power(target)}" for target in targets]]
    body = []
    for word, budget in BUDGETS:
        best = [choice.rank(labels, i, budget, held=SHOWN - 1).places[:SHOWN] for i in range(len(targets))]
        body.append([word, *(", ".join(map(place_text, places)) or "none" for places in best)])
    return markdown(header, body)


def relative_cells(choice: Choice, labels: list[str]) -> dict[str, list[str]]:
    """{estimator: its factor at each error, or on how many labels it does not get there}."""
    cells: dict[str, list[str]] = {entry.name: [] for entry in choice.contest.entries}
    for i in range(len(choice.contest.targets)):
        ranking = choice.rank(labels, i)
        for place in ranking.places:
            cells[place.entry.name].append(factor_text(place, "**1**"))
        for place in ranking.out:
            cells[place.entry.name].append(f"- ({len(place.missed)} of {len(ranking.asked)})")
    return cells


def relative_table(choice: Choice, labels: list[str]) -> list[str]:
    """Every estimator."""
    contest, cells, body = choice.contest, relative_cells(choice, labels), []
    for entry in contest.entries:
        results = entry.source.results
        rows = np.concatenate([rows_of(entry, label) for label in labels])
        fitted = float(finite_median([contest.orders(entry, label).value for label in labels]))
        failed = sum(results.failures(rows).values())
        body.append([f"`{entry.name}`", *cells[entry.name], order_text(results.estimators[entry.row]),
                     or_dash(fitted, ".1f"), f"{failed} of {len(rows)}"])
    return markdown(["estimator", *map(power, contest.targets), "claimed order", "fitted order", "not ok"], body)


def rows_of(entry: Entry, label: str) -> np.ndarray:
    """Indices of the finished runs of an estimator on a label."""
    results = entry.source.results
    problem = np.flatnonzero(results.problems["label"] == label)
    rows = results.rows(problem[0], entry.row) if len(problem) else np.zeros(0, int)
    return rows[results.run_done[rows]]


def cheapest(contest: Contest, label: str, target: int) -> str:
    """"`ctpg` 120 [110, 130]; 14 of 20": who needs least on one label, and how many get there."""
    found = {entry.name: typical(contest, entry, label, target) for entry in contest.entries
             if contest.side(entry, label)}
    there = {name: one for name, one in found.items() if not math.isnan(one.value)}
    if not there:
        return f"-; 0 of {len(found)}"
    name = min(there, key=lambda one: (there[one].value, one))
    one = there[name]
    return f"`{name}` {count_text(one)}; {len(there)} of {len(found)}"


def count_text(interval: Interval) -> str:
    """"120 [110, 130]"; an end may be infinite where seeds do not get there."""
    return f"{interval.value:.0f} [{interval.low:.0f}, {end_text(interval.high, '.0f')}]"


def problem_table(contest: Contest) -> list[str]:
    """Every problem under every policy."""
    return markdown(["problem, policy", *map(power, contest.targets)],
                    [[label, *(cheapest(contest, label, i) for i in range(len(contest.targets)))]
                     for label in contest.labels])


def session_table(contest: Contest) -> list[str]:
    """What was measured, when, where."""
    seeds = []
    for source in contest.sources:
        mine = [entry for entry in contest.entries if entry.source is source]
        sides = [[contest.side(entry, label) for entry in mine] for label in contest.labels]
        seeds.append([max((int(whole_seeds(side.grid).sum()) for side in row if side), default=0) for row in sides])
    return session_lines([source.results for source in contest.sources], seeds)


def make_parts(paths: list[str]) -> dict[str, list[str]]:
    """{name of the part: its lines of Markdown}."""
    sources = [open_source(path) for path in paths]
    entries = name_entries(sources)
    if not any(source.results.run_done.any() for source in sources):
        raise ResultsError(f"{', '.join(paths)}: no file holds a finished run.")
    contest = Contest(sources, entries, entries[0].name, list(TARGETS), everything=True)
    kinds = groups(contest)
    if not kinds["smooth"]:
        raise ResultsError(f"{', '.join(Path(path).name for path in paths)}: no problem has a reference gradient.")
    choice = Choice(contest)
    return {"advice": advice(choice, kinds), "choice": choice_table(choice, kinds["smooth"]),
            "relative": relative_table(choice, kinds["smooth"]), "problems": problem_table(contest),
            "sessions": session_table(contest)}
