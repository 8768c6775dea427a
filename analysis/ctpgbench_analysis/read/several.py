"""several.py -- many results files at once: what each of them is, and its estimators under names that differ

An estimator keeps its label where no other file has it; else the name of the file is added, and a number where even
that is not enough. Two files never share an estimator: equal labels do not say that the code was equal.
"""
from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.baselines import BASELINES
from ctpgbench_analysis.read.file import open_kind, plain_text
from ctpgbench_analysis.read.sweep import Results, load

LABEL_COLUMNS = ("label", "type", "version", "options", "given", "bibtex")
SESSION_COLUMNS = ("start", "end", "commit", "isa", "hosts", "command_line", "machine", "ranks")


@dataclass
class Source:
    """One results file: its rows, and what it says of itself."""
    results: Results
    shipped: bool                     # the baselines of the suite
    schema: int
    uuid: str
    sha256: str
    options: dict[str, str]           # of the command that began it
    problems: list[dict[str, str]]    # per row of problems: LABEL_COLUMNS
    estimators: list[dict[str, str]]
    sessions: list[dict[str, str]]    # SESSION_COLUMNS of those that wrote
    keys: np.ndarray                  # [case] what identifies each case
    error_bars: np.ndarray            # [run] the estimator's own estimate of err_rel, NaN where it has none
    reasons: np.ndarray               # [run] why it ended so
    library: str                      # plug-ins, as -estimator_library took them

    @property
    def name(self) -> str:
        """Of the file, without its folder."""
        return Path(self.results.path).name

    @property
    def suite(self) -> str:
        """Name and version of the standard suite, "" where it is of none."""
        return self.options.get("suite", "")


@dataclass
class Entry:
    """One estimator of one file."""
    name: str  # differs from those of all others
    source: Source
    row: int

    @property
    def label(self) -> str:
        """In its file."""
        return str(self.source.results.estimators["label"][self.row])

    @property
    def about(self) -> dict[str, str]:
        """LABEL_COLUMNS."""
        return self.source.estimators[self.row]


def texts(table, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of an HDF5 table as texts; columns that an older file does not have are ""."""
    rows = table[()]
    return [{name: plain_text(row[name]) if name in rows.dtype.names else "" for name in columns} for row in rows]


def writing_sessions(file) -> list[dict[str, str]]:
    """SESSION_COLUMNS of the sessions that wrote into an HDF5 file."""
    rows = texts(file["sessions"], SESSION_COLUMNS) if "sessions" in file else []
    return [row for row in rows if row["start"]]


def assignments(text: str) -> dict[str, str]:
    """{name: value} of lines "name = value"."""
    return dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)


def column(table, name: str, missing) -> np.ndarray:
    """A column of an HDF5 table; `missing` throughout where an older file does not have it."""
    rows = table[()]
    return rows[name] if name in rows.dtype.names else np.full(len(rows), missing)


def open_source(path, shipped: bool = False) -> Source:
    """The file at path; ResultsError says why there is none."""
    results = load(path)
    with open_kind(path, "sweep", BASELINES) as file:
        options = assignments(plain_text(file["plan/options"][()])) if "plan/options" in file else {}
        reasons = column(file["runs/table"], "reason", b"")
        return Source(results=results, shipped=shipped, schema=int(file.attrs["schema"]),
                      uuid=plain_text(file.attrs.get("uuid", "")), sha256=hash_of(path), options=options,
                      problems=texts(file["problems"], LABEL_COLUMNS),
                      estimators=texts(file["estimators"], LABEL_COLUMNS),
                      sessions=writing_sessions(file),
                      keys=column(file["cases/table"], "case_key", 0),
                      error_bars=column(file["runs/table"], "error_bar", np.nan).astype(float),
                      reasons=np.array([plain_text(text) for text in reasons], object),
                      library=options.get("estimator_library", ""))


def hash_of(path) -> str:
    """SHA-256 of the bytes of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_suites(sources: list[Source]) -> None:
    """Files of different versions of the suite are not compared."""
    found = {source.suite: source.name for source in sources if source.suite}
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise ResultsError(f"{first} is of {one} and {second} of {other}; expected files of one version of the suite.")


def name_entries(sources: list[Source]) -> list[Entry]:
    """Every estimator that has a run, in the order of the files."""
    entries = [Entry("", source, row) for source in sources for row in range(len(source.estimators))
               if (source.results.runs["estimator"] == row).any()]
    labels = Counter(entry.label for entry in entries if not entry.source.shipped)
    taken: Counter[str] = Counter()
    for entry in entries:
        stem = "suite" if entry.source.shipped else Path(entry.source.results.path).stem
        alone = labels[entry.label] == (0 if entry.source.shipped else 1)
        name = entry.label if alone else f"{entry.label} [{stem}]"
        taken[name] += 1
        entry.name = name if taken[name] == 1 else f"{name} {taken[name]}"
    return entries
