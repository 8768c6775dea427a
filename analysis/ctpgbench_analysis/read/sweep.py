"""sweep.py -- a results file as arrays

Reads the HDF5 file that `ctpgbench sweep` writes, also while it is being written. A row counts once it is committed:
its commit holds the same status as the row, and that is not "pending".
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.baselines import BASELINES
from ctpgbench_analysis.read.file import (PENDING, check_range, committed, open_kind, plain_text, read_rows,
                                          read_statuses)
from ctpgbench_analysis.read.machines import same_machine
from ctpgbench_analysis.read.verify import sound
from ctpgbench_analysis.read.words import CLOCKS, ERRORS, IMPORTED, TIMINGS

NEEDED = {
    "problems": ("label", "nx", "nu", "policy", "T", "cost_f", "cost_vjp"),
    "estimators": ("label", "type", "knob", "order"),
    "cases/table": ("problem", "seed", "status", "grad_norm", "grad_x0_norm", "ref_err", "ref_err_x0",
                    "flags"),
    "cases/commit": ("status",),
    "runs/table": ("case_index", "problem", "estimator", "accuracy", "repeat", "status", *ERRORS, "nf", "nvjp", "njvp",
                   "njac", "njac_products", "nplant", "nfe", "bytes", "wall", "timing"),
    "runs/commit": ("status",),
}


# Of files of aggregated rows (report/aggregate.py): all that they hold is finished, one error of four is there, no
# wallclock; NFE is the sum of its COUNTS.
COUNTS = ("nf", "nvjp", "njvp", "njac_products")
LEFT_OUT = (*(name for name in ERRORS if name != "err_rel"), "wall")
QUARTER = 0.25  # of the timings at a setting: as many must be of a crowd to be worth a remark
CONTRACT = ("promise", "cosine", "error_bar", "err_layer", "sign_share")
AGGREGATED = {**{name: columns for name, columns in NEEDED.items() if not name.endswith("commit")},
              "runs/table": tuple(name for name in NEEDED["runs/table"] if name not in (*LEFT_OUT, "nfe"))}


def fill_up(tables: dict[str, np.ndarray]) -> None:
    """Makes tables of aggregated rows those of a sweep: what is missing is NaN, every row is committed."""
    runs = tables["runs/table"]
    whole = np.empty(len(runs), [*((name, runs.dtype[name]) for name in runs.dtype.names), ("nfe", "i8"),
                                 *((name, "f4") for name in LEFT_OUT)])
    for name in whole.dtype.names:
        whole[name] = runs[name] if name in runs.dtype.names else 0 if name == "nfe" else np.nan
    whole["nfe"] = sum(runs[name].astype("i8") for name in COUNTS)
    tables["runs/table"] = whole
    for name in ("runs", "cases"):
        tables[f"{name}/commit"] = tables[f"{name}/table"][["status"]]


def name_languages(dataset, estimators: np.ndarray) -> None:
    """Labels of interpreted estimators say so, "mine (python)": their wallclock is not to be compared with C's."""
    if "language" not in dataset.dtype.names:
        return
    for row, language in enumerate(map(plain_text, dataset["language"])):
        if language not in ("", "C"):
            estimators["label"][row] += f" ({language})"


def check_rows(results: Results) -> None:
    """Every row points to rows that exist, so that nothing below has to ask."""
    for column, size in (("problem", len(results.problems)), ("estimator", len(results.estimators)),
                         ("case_index", len(results.cases)), ("status", len(results.statuses))):
        check_range(results.path, "runs/table", results.runs, column, size)
    for column, size in (("problem", len(results.problems)), ("status", len(results.statuses))):
        check_range(results.path, "cases/table", results.cases, column, size)


def load(path, clock: str = "cpu") -> Results:
    """Results of the file at path, with the times of this clock, of CLOCKS; ResultsError says in one sentence why there
    are none."""
    with open_kind(path, "sweep", BASELINES) as file:
        aggregated = plain_text(file.attrs["kind"]) == BASELINES
        needed = dict(AGGREGATED if aggregated else NEEDED)
        for columns in (("cpu", "session"), CONTRACT):
            if has_column(file, columns[0]):
                needed["runs/table"] += columns
        tables = {name: read_rows(file, path, name, columns) for name, columns in needed.items()}
        if aggregated:
            fill_up(tables)
        name_languages(file["estimators"], tables["estimators"])
        words, plan = read_statuses(file, path), f"{int(file.attrs.get('plan_hash', 0)):016x}"
        results = Results(path, plan, words, tables)
        if not aggregated:
            results.case_done = sound(file, path, "cases", results.case_done)
            results.run_done = sound(file, path, "runs", results.run_done)
        results.machines = read_machines(file)
    results.leave_out()
    check_rows(results)
    results.choose_clock(clock)
    results.part_imported()
    return results


def read_machines(file) -> list[str]:
    """Fingerprint of the machine of each session, "" where it is not known."""
    sessions = file.get("sessions")
    if "machine" not in (getattr(sessions, "dtype", np.dtype(float)).names or ()):
        return []
    return [plain_text(text) for text in sessions["machine"]]


def has_column(file, name: str) -> bool:
    """Whether the runs of the file have a column that is younger than others."""
    return name in (getattr(file.get("runs/table"), "dtype", np.dtype(float)).names or ())


def load_finished(path, clock: str = "cpu") -> Results:
    """Results of a file in which at least one run is finished."""
    results = load(path, clock)
    if not results.run_done.any():
        raise ResultsError(f"{path} holds no finished run yet (0 of {len(results.runs)}).")
    return results


def read_sketches(results: Results, problem: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sketches of gradients [run, 16]; per case its row [c] in the last: reference gradients of the problem [row,
    np]."""
    with open_kind(results.path, "sweep") as file:
        rows, gradients = file["cases/table"]["row"], file[f"cases/{results.problems['label'][problem]}/grad_theta"][()]
        return file["runs/sketch"][()], rows, gradients


class Results:
    """Tables of one file with decoded texts, and what is asked of them.

    problems [P], estimators [E], cases [C], runs [R]: compound arrays with the columns of NEEDED; case_done [C] and
    run_done [R]: committed; times [R]: s, of the clock of CLOCKS that is shown. Problems
    and estimators are named by their rows.
    """

    def __init__(self, path, plan_hash: str, statuses: list[str], tables: dict[str, np.ndarray]):
        self.path, self.plan_hash = str(path), plan_hash
        self.statuses, self.ok = statuses, statuses.index("ok")
        self.eval_limit = statuses.index("eval_limit") if "eval_limit" in statuses else len(statuses)
        self.problems, self.estimators = tables["problems"], tables["estimators"]
        self.cases, self.runs = tables["cases/table"], tables["runs/table"]
        self.case_done = committed(path, "cases", self.cases, tables["cases/commit"])
        self.machines: list[str] = []
        self.run_done = committed(path, "runs", self.runs, tables["runs/commit"])
        self.imported = np.zeros(len(self.runs), bool)  # measured by another program
        self.apart = np.zeros(len(self.runs), bool)     # of them those whose times may not stand beside measured ones

    def choose_clock(self, wanted: str) -> None:
        """Times are of the wanted clock; where no CPU time was measured (older files), of the wall."""
        measured = "cpu" in self.runs.dtype.names and np.isfinite(self.runs["cpu"][self.run_done]).any()
        self.clock = "wall" if wanted == "cpu" and not measured and self.run_done.any() else wanted
        self.times = self.runs[self.clock] if self.clock in self.runs.dtype.names else np.full(len(self.runs), np.nan)

    def part_imported(self) -> None:
        """Times of imported rows stand beside measured ones only where both are known to be of one machine."""
        self.imported = (self.estimators["type"] == IMPORTED)[self.runs["estimator"]]
        measured, foreign = self.run_done & ~self.imported, self.run_done & self.imported
        if not foreign.any() or not measured.any():
            return
        here, machines = self.machines_of(measured), self.machine_column()
        for name in self.machines_of(foreign):
            if not (name and all(one and same_machine(name, one) for one in here)):
                self.apart |= foreign & (machines == name)
        self.times = np.where(self.apart, np.nan, self.times)

    def machine_column(self) -> np.ndarray:
        """[R] fingerprint of the machine of each run, "" where it is not known."""
        if not self.machines or "session" not in self.runs.dtype.names:
            return np.full(len(self.runs), "", object)
        names, session = np.array([*self.machines, ""], object), self.runs["session"]
        return names[np.where((session >= 0) & (session < len(self.machines)), session, len(self.machines))]

    def machines_of(self, rows: np.ndarray) -> list[str]:
        """Machines of runs (mask or indices of runs/table), each once, "" among them where one is not known."""
        return list(dict.fromkeys(self.machine_column()[rows]))

    def clock_text(self) -> str:
        """What the times are."""
        return CLOCKS[self.clock]

    def origin(self, problem: int, estimator: int) -> tuple[Results, int, int]:
        """The results of the file that an estimator is of, with the rows of problem and estimator there."""
        return self, problem, estimator

    def data_text(self) -> str:
        """File and plan."""
        return f"Data: {Path(self.path).name}, plan {self.plan_hash}."

    def leave_out(self) -> None:
        """Rows that are not done may be damaged: they point to the first of everything, and are pending."""
        for rows, done in ((self.cases, self.case_done), (self.runs, self.run_done)):
            lost = (rows["status"] != PENDING) & ~done
            for name in set(rows.dtype.names) & {"problem", "estimator", "case_index"}:
                rows[name][lost & ((rows[name] < 0) | (rows[name] >= self.size_of(name)))] = 0
            rows["status"][lost] = PENDING

    def size_of(self, column: str) -> int:
        """Number of rows that a column points to."""
        return len({"problem": self.problems, "estimator": self.estimators, "case_index": self.cases}[column])

    def rows(self, problem: int, estimator: int | None = None) -> np.ndarray:
        """Indices of the planned runs of a problem, and of one estimator there."""
        rows = self.rows_of_problems[problem] if problem >= 0 else np.zeros(0, int)
        return rows if estimator is None else rows[self.runs["estimator"][rows] == estimator]

    @cached_property
    def rows_of_problems(self) -> list[np.ndarray]:
        """[P] indices of the planned runs of each problem, ascending."""
        ordered = np.argsort(self.runs["problem"], kind="stable")
        ends = np.searchsorted(self.runs["problem"][ordered], np.arange(1, len(self.problems)))
        return np.split(ordered, ends)

    def judged(self, problem: int) -> np.ndarray:
        """[C] mask of the cases of a problem that have a reference gradient."""
        return (self.cases["problem"] == problem) & self.case_done & (self.cases["status"] == self.ok)

    def without_reference(self, problem: int) -> int:
        """How many cases ended without a reference gradient."""
        failed = self.case_done & (self.cases["status"] != self.ok)
        return int((failed & (self.cases["problem"] == problem)).sum())

    def failures(self, rows: np.ndarray) -> dict[str, int]:
        """{word: number} over the committed runs among rows that did not end ok, in the order of the enumeration."""
        counts = np.bincount(self.runs["status"][rows[self.run_done[rows]]], minlength=len(self.statuses))
        return {word: int(count) for word, count in zip(self.statuses, counts) if count and word != "ok"}

    def ok_rows(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that are committed and ended ok."""
        return rows[self.run_done[rows] & (self.runs["status"][rows] == self.ok)]

    def timings(self, rows: np.ndarray) -> dict[str, int]:
        """{kind: number} over the runs among rows that ended ok."""
        ok = self.ok_rows(rows)
        return {kind: int((self.runs["timing"][ok] == code).sum()) for code, kind in enumerate(TIMINGS)
                if (self.runs["timing"][ok] == code).any()}

    def choose_timing(self, problem: int, wanted: str | None = None) -> tuple[str, str]:
        """(kind, sentence or ""): the timing that is shown, wanted or the commoner one; isolated and throughput are
        never mixed. Crowded rows, whose wallclock is that of a crowd, are shown with both, and remarked on where they
        can matter."""
        counts = self.timings(self.rows(problem))
        crowded = counts.pop("crowded", 0)
        kind = wanted or max(counts, key=counts.get, default="crowded" if crowded else TIMINGS[0])
        remarks = []
        if sum(counts.values()) > counts.get(kind, 0):
            remarks.append(f"The file mixes {counts.get('isolated', 0)} isolated and {counts.get('throughput', 0)} "
                           f"throughput timings; times are of the {kind} runs only.")
        if crowded:
            remarks.append(self.crowd_remark(problem, kind))
        return kind, " ".join(filter(None, remarks))

    def crowd_remark(self, problem: int, kind: str) -> str:
        """Says how many timings are of a crowd where they can move a median out of the middle half of its seeds:
        where they are a QUARTER or more of those at a setting; else ""."""
        rows = self.ok_rows(self.rows(problem))
        shown, crowded = self.shown(kind, rows)
        rows, crowded = rows[shown], crowded[shown]
        setting = np.unique(self.runs[["estimator", "accuracy"]][rows], return_inverse=True)[1]
        shares = np.bincount(setting, crowded) / np.bincount(setting)
        touched = int((shares >= QUARTER).sum())
        return "" if not touched else (
            f"{crowded.sum()} of {len(rows)} runs were timed in a crowd, at {touched} of {len(shares)} settings (one "
            "estimator at one accuracy) a quarter of the seeds or more: their wallclock is far above their CPU time, "
            "or there were more processes than cores (-retime).")

    def machine_remark(self, problem: int) -> str:
        """Says when times of a problem are of machines that cannot be compared, or are left out for that, else ""."""
        rows, remarks = self.rows(problem), []
        names = [name for name in self.machines_of(rows[self.run_done[rows] & ~self.apart[rows]]) if name]
        different = [name for name in names if not same_machine(names[0], name)]
        if different:
            remarks.append(f"Times are of machines that cannot be compared: {names[0]}, and {different[0]} (status "
                           "names the sessions; -retime measures all on one).")
        if self.apart[rows].any():
            remarks.append(f"Times of {self.apart[rows].sum()} imported runs are left out: they are not known to be of "
                           "the machine of the others (import -measured_here).")
        return " ".join(remarks)

    def shown(self, timing: str | None, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Masks over rows: those whose times are shown with this timing (None: with any), and those timed in a
        crowd."""
        crowded = self.runs["timing"][rows] == TIMINGS.index("crowded")
        if timing is None:
            return np.ones(len(rows), bool), crowded
        return crowded | (self.runs["timing"][rows] == TIMINGS.index(timing)), crowded
