"""joined.py -- several results files as one, for tables and figures

Estimators get names that differ (several.py). Problems of one label, type, version and options are one problem, others
of one label get the name of their file. Cases of one key on such a problem are one case: its reference gradient is that
of the first file that has it. What a row says stays as it was; rows only point elsewhere.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.file import PENDING
from ctpgbench_analysis.read.several import Entry, Source, name_entries, open_source
from ctpgbench_analysis.read.sweep import Results, load_finished

IDENTITY = ("label", "type", "version", "options")


def stacked(tables: list[np.ndarray]) -> np.ndarray:
    """Rows of all tables, with the columns of any; what a table does not have is NaN, or -1 in whole numbers."""
    names = dict.fromkeys(name for table in tables for name in table.dtype.names)
    kinds = {name: np.result_type(*(table.dtype[name] for table in tables if name in table.dtype.names))
             for name in names}
    rows = np.empty(sum(map(len, tables)), list(kinds.items()))
    for name, kind in kinds.items():
        missing = -1 if kind.kind == "i" else 0 if kind.kind == "u" else np.nan
        rows[name] = np.concatenate([table[name] if name in table.dtype.names else np.full(len(table), missing)
                                     for table in tables])
    return rows


def join_problems(sources: list[Source]) -> tuple[np.ndarray, list[np.ndarray]]:
    """(the table, per source the rows there of its problems)."""
    rows, known, labels, places = [], {}, set(), []
    for source in sources:
        place = []
        for about, row in zip(source.problems, source.results.problems):
            identity = tuple(about[name] for name in IDENTITY)
            if identity not in known:
                row = row.copy()
                row["label"] = free_label(about["label"], source, labels)
                labels.add(row["label"])
                known[identity] = len(rows)
                rows.append(np.array([row], row.dtype))
            place.append(known[identity])
        places.append(np.array(place, int))
    return stacked(rows), places


def free_label(label: str, source: Source, taken: set[str]) -> str:
    """The label, with the name of the file where another problem has it, with a number where that is taken, too."""
    names = [label, f"{label} [{Path(source.results.path).stem}]"]
    free = [name for name in names if name not in taken]
    count = 2
    while not free and f"{names[1]} {count}" in taken:
        count += 1
    return free[0] if free else f"{names[1]} {count}"


def join_estimators(sources: list[Source], entries: list[Entry]) -> tuple[np.ndarray, list[np.ndarray]]:
    """(the table of those that have a run, per source the rows there of its estimators)."""
    rows, places = [], [np.zeros(len(source.estimators), int) for source in sources]
    for number, entry in enumerate(entries):
        row = entry.source.results.estimators[entry.row:entry.row + 1].copy()
        row["label"] = entry.name
        rows.append(row)
        places[sources.index(entry.source)][entry.row] = number
    return stacked(rows), places


def join_cases(cases: np.ndarray, keys: np.ndarray, done: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows that stay, [case] the row there of each): equal keys on a problem are one case, the first that is done.
    Key 0, of files that have none, equals no other."""
    stays, found = np.arange(len(cases)), {}
    for row in [*np.flatnonzero(done), *np.flatnonzero(~done)]:
        if keys[row]:
            stays[row] = found.setdefault((int(cases["problem"][row]), int(keys[row])), row)
    kept, place = np.unique(stays, return_inverse=True)
    return kept, place


def pointing(rows: np.ndarray, source: Source, words: list[str], **places: np.ndarray) -> np.ndarray:
    """A copy whose columns point to the joined tables: {column: new row of each old one}; statuses by their words."""
    rows = rows.astype([(name, "i8" if name in places else rows.dtype[name]) for name in rows.dtype.names])
    for name, place in places.items():
        rows[name] = place[rows[name]]
    numbers = np.array([words.index(word) for word in source.results.statuses])
    rows["status"] = np.where(rows["status"] == PENDING, PENDING, numbers[rows["status"]])
    return rows


def committed(rows: np.ndarray, done: np.ndarray) -> np.ndarray:
    """The table of commits that says so."""
    commits = np.empty(len(rows), [("status", "i4")])
    commits["status"] = np.where(done, rows["status"], PENDING)
    return commits


class Joined(Results):
    """Several files as one."""

    def __init__(self, sources: list[Source]):
        self.sources, self.entries = sources, name_entries(sources)
        problems, self.problem_places = join_problems(sources)
        estimators, places = join_estimators(sources, self.entries)
        words = list(dict.fromkeys(word for source in sources for word in source.results.statuses))
        every = stacked([pointing(source.results.cases, source, words, problem=place)
                         for source, place in zip(sources, self.problem_places)])
        done = np.concatenate([source.results.case_done for source in sources])
        kept, case_places = join_cases(every, np.concatenate([source.keys for source in sources]), done)
        runs, first, machines = [], 0, []
        for source, problem, estimator in zip(sources, self.problem_places, places):
            count = len(source.results.cases)
            rows = pointing(source.results.runs, source, words, problem=problem, estimator=estimator,
                            case_index=case_places[first:first + count])
            if "session" in rows.dtype.names:
                own = source.results.machines or [""] * (1 + int(rows["session"].max(initial=0)))
                rows["session"] += len(machines)
                machines += own
            runs.append(rows)
            first += count
        rows, cases = stacked(runs), every[kept]
        run_done = np.concatenate([source.results.run_done for source in sources])
        super().__init__(", ".join(source.results.path for source in sources), "", words, {
            "problems": problems, "estimators": estimators, "cases/table": cases, "runs/table": rows,
            "cases/commit": committed(cases, done[kept]), "runs/commit": committed(rows, run_done)})
        self.machines = machines

    def origin(self, problem: int, estimator: int) -> tuple[Results, int, int]:
        """The file that an estimator is of, with the rows there; a problem that it does not have has row -1."""
        entry = self.entries[estimator]
        place = np.flatnonzero(self.problem_places[self.sources.index(entry.source)] == problem)
        return entry.source.results, int(place[0]) if len(place) else -1, entry.row

    def data_text(self) -> str:
        """Files, schemas, plans."""
        return "Data: " + "; ".join(f"{source.name}, schema {source.schema}, plan {source.results.plan_hash}"
                                    for source in self.sources) + "."


def load_together(paths: list[str], clock: str = "cpu") -> Results:
    """One file, or several as one, in which at least one run is finished."""
    paths = list(dict.fromkeys(paths))
    if len(paths) == 1:
        return load_finished(paths[0], clock)
    joined = Joined([open_source(path) for path in paths])
    if not joined.run_done.any():
        raise ResultsError(f"{joined.path}: none holds a finished run yet.")
    joined.choose_clock(clock)
    joined.part_imported()
    return joined
