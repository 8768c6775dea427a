"""training.py -- a training file as runs, and the numbers that figures and claims are made of

Reads the HDF5 file that `ctpgbench train` writes (src/store/train_schema.h lists its arrays), also while it is being
written. A run counts once it is committed, as in sweep.py; its history ends at iterations_done.

Words used by figures, claims and tables:
  pair        a problem label and an estimator label, with one run per seed
  NFE         nf + nvjp_x + nvjp_theta, the abscissa of the paper's training figures, summed over the iterations before
  test loss   mean loss over the held-out starts, integrated accurately; infinite where one of the starts failed
  final loss  mean of the last tenth of the test losses; infinite for a run that did not end "ok"
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.file import (check_range, committed, open_hdf5, open_kind, plain_text, read_rows,
                                          read_statuses)
from ctpgbench_analysis.read.plants import Plant, read_plant
from ctpgbench_analysis.read.verify import sound

WINDOW = 64  # iterations of the moving mean of the paper's electric figure
LABELS = {
    "problems": ("label", "type", "options", "policy", "T", "nx", "nu"),
    "estimators": ("label", "type", "options", "knob"),
}
ROW = ("problem", "estimator", "row", "seed", "accuracy", "iterations", "status", "reason", "iterations_done", "loss",
       "failures", "seconds", "session_seconds", "solve_seconds", "test_seconds", "ranks")


def moving_mean(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Mean of the last `window` values along the last axis, of those there are at the beginning; NaN spreads."""
    values = np.asarray(values, float)
    parts = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.nancumsum(values, axis=-1)], axis=-1)
    last = np.arange(1, values.shape[-1] + 1)
    first = np.maximum(0, last - window)
    lost = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(~np.isfinite(values), axis=-1)], axis=-1)
    means = (parts[..., last] - parts[..., first]) / (last - first)
    return np.where(lost[..., last] > lost[..., first], np.nan, means)


def first_below(losses: np.ndarray, work: np.ndarray, target: float) -> float:
    """Work at which losses [j], known at work [j], are first at most the target."""
    with np.errstate(invalid="ignore"):
        below = np.flatnonzero(losses <= target)
    if not len(below):
        return np.inf
    b = below[0]
    if b == 0 or not np.isfinite(losses[b - 1]):
        return work[b]
    return work[b - 1] + (losses[b - 1] - target) / (losses[b - 1] - losses[b]) * (work[b] - work[b - 1])


def options_of(text: str) -> dict[str, str]:
    """{name: value} of a column of options, one "name = value" per line."""
    return dict(line.split(" = ", 1) if " = " in line else (line.rstrip(" ="), "") for line in text.splitlines())


@dataclass
class Pair:
    """One estimator on one problem: arrays [seed, ...] over the committed runs, in the order of their seeds."""
    path: str
    problem: str       # label
    problem_type: str
    policy: str
    horizon: float     # s
    problem_options: dict
    label: str
    type: str
    estimator_options: dict
    knob: str
    planned: int
    runs: np.ndarray  # rows [s] of training/table
    ok: np.ndarray    # [s] ended ok
    statuses: list[str]
    plant: Plant      # names, units, constants
    cache: dict = field(default_factory=dict, repr=False)

    @property
    def seeds(self) -> np.ndarray:
        """[s]"""
        return self.runs["seed"]

    @property
    def accuracy(self) -> float:
        """At the first iteration; the median over seeds, which differ where steps match another run's NFE."""
        return float(np.median(self.runs["accuracy"]))

    def reopened(self) -> contextlib.AbstractContextManager[h5py.File]:
        """The file, which was verified when the training was loaded: that visits all of it."""
        return open_hdf5(self.path, "a train file of ctpgbench train")

    def read(self, name: str) -> np.ndarray | None:
        """training/<problem>/<estimator>/name, rows of the committed runs only; None where it is not in the file."""
        if name not in self.cache:
            with self.reopened() as file:
                group = file[f"training/{self.problem}/{self.label}"]
                self.cache[name] = group[name][()][self.runs["row"]] if name in group else None
        return self.cache[name]

    def scale(self, name: str) -> np.ndarray:
        """A scale of the pair, such as snapshot [k]; empty where it is not in the file."""
        key = f"scale {name}"
        if key not in self.cache:
            with self.reopened() as file:
                group = file[f"training/{self.problem}/{self.label}"]
                self.cache[key] = group[name][()] if name in group else np.empty(0)
        return self.cache[key]

    def of_problem(self, name: str) -> np.ndarray:
        """training/<problem>/name, rows of the committed runs' seeds."""
        key = f"problem {name}"
        if key not in self.cache:
            with self.reopened() as file:
                group = file[f"training/{self.problem}"]
                where = {int(seed): row for row, seed in enumerate(group["seed"][()])}
                self.cache[key] = group[name][()][[where[int(seed)] for seed in self.seeds]]
        return self.cache[key]

    def batch(self) -> int:
        """Starts per iteration."""
        with self.reopened() as file:
            return int(options_of(plain_text(file[f"training/{self.problem}"].attrs["options"]))["batch"])

    def history(self, name: str) -> np.ndarray:
        """[s, i], NaN beyond the end of a run."""
        values = self.read(name).astype(float)
        done = np.arange(values.shape[1]) < self.runs["iterations_done"][:, None]
        return np.where(done, values, np.nan)

    def nfe(self) -> np.ndarray:
        """[s, i + 1] NFE before iteration i, NaN beyond the end; the last one is that of the whole run."""
        return self.before(sum(self.history(name) for name in ("nf", "nvjp_x", "nvjp_theta")))

    def seconds(self) -> np.ndarray:
        """[s, i + 1] wallclock before iteration i."""
        elapsed = self.history("elapsed")
        return np.concatenate([np.zeros((len(elapsed), 1)), elapsed], axis=1)

    def cpu(self) -> np.ndarray:
        """[s, i + 1] CPU time (s) before iteration i, which others on the machine disturb least; NaN where it was not
        measured."""
        used = self.history("cpu") if self.read("cpu") is not None else np.full_like(self.history("elapsed"), np.nan)
        return np.concatenate([np.zeros((len(used), 1)), used], axis=1)

    @staticmethod
    def before(values: np.ndarray) -> np.ndarray:
        """[s, i + 1] sums of values [s, i] over the iterations before."""
        return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)

    def work(self, name: str) -> np.ndarray:
        """[s, i + 1] work before iteration i: "iterations", "nfe", "seconds" or "cpu"."""
        if name == "iterations":
            steps = np.arange(self.history("loss").shape[1] + 1.0)
            return np.where(steps <= self.runs["iterations_done"][:, None], steps, np.nan)
        return {"nfe": self.nfe, "seconds": self.seconds, "cpu": self.cpu}[name]()

    def test_losses(self) -> np.ndarray | None:
        """[s, j], NaN where there was no test, infinite where a start failed; None without tests."""
        loss, failures = self.read("test_loss"), self.read("test_failures")
        if loss is None or not loss.shape[1]:
            return None
        tested = self.scale("test_iteration") <= self.runs["iterations_done"][:, None]
        return np.where(tested, np.where((failures > 0) | ~np.isfinite(loss), np.inf, loss), np.nan)

    def work_at_tests(self, name: str) -> np.ndarray:
        """[s, j] work before each test."""
        return self.work(name)[:, self.scale("test_iteration").astype(int)]

    def final_losses(self) -> np.ndarray | None:
        """[s] final losses; None without tests."""
        losses = self.test_losses()
        if losses is None:
            return None
        last = losses[:, -max(1, losses.shape[1] // 10):]
        return np.where(self.ok, last.mean(axis=1), np.inf)

    def work_to(self, targets: np.ndarray, name: str) -> np.ndarray:
        """[s] work at which the test loss is first at most targets [s], interpolated linearly between tests; infinite
        where it never is."""
        losses, work = self.test_losses(), self.work_at_tests(name)
        return np.array([first_below(*row) for row in zip(losses, work, np.asarray(targets, float))])

    def failures(self) -> dict[str, int]:
        """{word: number} of the runs that did not end ok."""
        counts = np.bincount(self.runs["status"], minlength=len(self.statuses))
        return {word: int(count) for word, count in zip(self.statuses, counts) if count and word != "ok"}


class Training:
    """The pairs of one training file."""

    def __init__(self, path, plan_hash: str, pairs: list[Pair]):
        self.path, self.plan_hash = str(path), plan_hash
        self.pairs = pairs

    @property
    def problems(self) -> list[str]:
        """Labels of problems that have a committed run, in the order of the file."""
        return list(dict.fromkeys(pair.problem for pair in self.pairs))

    def of(self, problem: str) -> list[Pair]:
        """Pairs of the problem of this label."""
        return [pair for pair in self.pairs if pair.problem == problem]

    def of_type(self, problem_type: str, *types: str) -> list[Pair]:
        """Pairs of the first problem of this type, of these types of estimators in this order, or of all."""
        labels = [pair.problem for pair in self.pairs if pair.problem_type == problem_type]
        pairs = [pair for pair in self.pairs if labels and pair.problem == labels[0]]
        return [pair for kind in types for pair in pairs if pair.type == kind] if types else pairs

    def first_of(self, problem_type: str, *types: str) -> list[Pair] | None:
        """The first pair of each of these types of estimators; None unless all are there."""
        found = [self.of_type(problem_type, kind) for kind in types]
        return [pairs[0] for pairs in found] if all(found) else None


def check_group(file, path, problem: str, estimator: str, runs: np.ndarray) -> None:
    """The arrays of a pair with committed runs are there and long enough."""
    name = f"training/{problem}/{estimator}"
    group = file.get(name)
    if not isinstance(group, h5py.Group) or "seed" not in file[f"training/{problem}"]:
        raise ResultsError(f"{path} is damaged: training/table has runs of {problem} with {estimator}, but there is no "
                           f"group {name}.")
    for array in ("loss", "elapsed", "nf", "nvjp_x", "nvjp_theta"):
        if array not in group:
            raise ResultsError(f"{path} has no {array} in {name}; it is not a complete file of ctpgbench train.")
        if group[array].ndim != 2 or runs["row"].max() >= len(group[array]) \
           or runs["iterations_done"].max() > group[array].shape[1]:
            raise ResultsError(f"{path} is damaged: {name}/{array} is smaller than its runs in training/table.")


def make_pairs(file, path, words: list[str]) -> list[Pair]:
    """The pairs that have a committed run."""
    problems, estimators = (read_rows(file, path, name, columns) for name, columns in LABELS.items())
    rows = read_rows(file, path, "training/table", ROW)
    done = sound(file, path, "training",
                 committed(path, "training", rows, read_rows(file, path, "training/commit", ("status",))))
    for column, table in (("problem", problems), ("estimator", estimators), ("status", words)):
        check_range(path, "training/table", rows, column, len(table), done)
    pairs = []
    for p, e in dict.fromkeys(zip(rows["problem"].tolist(), rows["estimator"].tolist())):
        mine = (rows["problem"] == p) & (rows["estimator"] == e)
        runs = rows[mine & done]
        if not len(runs):
            continue
        problem, estimator = problems[p], estimators[e]
        check_group(file, path, problem["label"], estimator["label"], runs)
        runs = runs[np.argsort(runs["seed"], kind="stable")]
        plant = read_plant(file, problem["label"], int(problem["nx"]), int(problem["nu"]))
        pairs.append(Pair(path=str(path), problem=problem["label"], problem_type=problem["type"],
                          policy=problem["policy"], horizon=float(problem["T"]),
                          problem_options=options_of(problem["options"]), label=estimator["label"],
                          type=estimator["type"], estimator_options=options_of(estimator["options"]),
                          knob=estimator["knob"], planned=int(mine.sum()), runs=runs,
                          ok=runs["status"] == words.index("ok"), statuses=words, plant=plant))
    return pairs


def load_training(path) -> Training:
    """Training of the file at path; ResultsError says in one sentence why there is none."""
    with open_kind(path, "train") as file:
        words = read_statuses(file, path)
        pairs = make_pairs(file, path, words)
        plan = f"{int(file.attrs.get('plan_hash', 0)):016x}"
    if not pairs:
        raise ResultsError(f"{path} holds no finished run of training yet.")
    return Training(path, plan, pairs)


def load_trainings(paths: list[str], problems: list[str] | None = None) -> Training:
    """The pairs of several files, or those of these problems, as those of one file; ResultsError where two files have
    the same pair, or where there is none."""
    found = [load_training(path) for path in paths]
    known = {pair.problem for training in found for pair in training.pairs}
    if problems and not known.issuperset(problems):
        raise ResultsError(f"there is no training of {', '.join(sorted(set(problems) - known))} in {', '.join(paths)}; "
                           f"expected some of {', '.join(sorted(known))}.")
    holders: dict[tuple[str, str], str] = {}
    for pair in (pair for training in found for pair in training.pairs):
        other = holders.setdefault((pair.problem, pair.label), pair.path)
        if other != pair.path:
            raise ResultsError(f"{other} and {pair.path} both hold a training of {pair.problem} with {pair.label}; "
                               f"expected it in one file.")
    return Training(", ".join(Path(training.path).name for training in found),
                    ", ".join(training.plan_hash for training in found),
                    [pair for training in found for pair in training.pairs
                     if problems is None or pair.problem in problems])


def common(*pairs: Pair) -> list[np.ndarray]:
    """Rows of each pair for the seeds that all of them have, as a list of index arrays."""
    seeds = sorted(set.intersection(*(set(pair.seeds.tolist()) for pair in pairs)))
    return [np.array([pair.seeds.tolist().index(seed) for seed in seeds], int) for pair in pairs]


def clock_of(pairs: list[Pair]) -> str:
    """The work that is their time: "cpu", which is wallclock on an idle machine; "seconds" where that is not there."""
    return "cpu" if all(np.isfinite(pair.cpu()[:, 1]).all() for pair in pairs) else "seconds"


def remarks(pairs: list[Pair]) -> list[str]:
    """Sentences about runs that are pending or did not end ok."""
    lines = []
    for pair in pairs:
        if len(pair.runs) < pair.planned:
            lines.append(f"The file is incomplete: {pair.planned - len(pair.runs)} of {pair.planned} runs of "
                         f"{pair.label} on {pair.problem} are pending.")
        if pair.failures():
            words = ", ".join(f"{count} {word}" for word, count in pair.failures().items())
            lines.append(f"{pair.label} on {pair.problem}: of {len(pair.runs)} runs did not end ok: {words}.")
    return lines


def source(training: Training) -> str:
    """The sentence on the file and its plan."""
    return f"Data: {Path(training.path).name}, plan {training.plan_hash}."
