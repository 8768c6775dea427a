"""trial.py -- `ctpgbench try my_method.so`: check, sweep on the standard suite, compare; minutes for a first verdict

A first verdict is of SIX problems under trained policies, 8 seeds (a Python file: 3), errors 1e-3 to 1e-8, beside
BESIDE on the same cases and the same machine. -full: the whole suite with its 20 seeds. -final: 20 seeds that nobody
has seen, drawn from a hash of the plug-in's source and the suite's version, so that another source has others; how
often that was done with other sources is counted in attempts.csv and in the results file.
"""
from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.baselines import HOME, SUITE
from ctpgbench_analysis.trial import program

PLAN = HOME / "jobs" / "suite-1.yaml"
SIX = ("lqr-trained=lqr", "diffdrive-trained=diffdrive", "pendulum-trained=pendulum",
       "vanderpol-trained=vanderpol", "electric-trained=electric", "quadrotor-trained=quadrotor")
BESIDE = ("ctpg", "rk-adjoint", "lia")
TARGETS = [10.0 ** -digits for digits in range(3, 9)]
SUITE_TARGETS = [10.0 ** -digits for digits in range(1, 11)]
LADDERS = ["-rtol", "1e-9:1e-1:9", "-dt", "1e-4:0.1:7"]
SEEDS, PYTHON_SEEDS, FINAL_SEEDS = 8, 3, 20
FIRST_FINAL, FINAL_BLOCKS = 1000, 40000


@dataclass
class Method:
    """The plug-in that is tried."""
    file: Path
    name: str            # of the estimator
    words: list[str]     # that load it
    interpreted: bool


def find_method(file: Path) -> Method:
    """What is in a shared library, or a Python file; ResultsError where it is neither."""
    if not file.is_file():
        raise ResultsError(f"{file} is not there; expected a plug-in, my_method.so or my_method.py.")
    path = str(file.resolve())
    if file.suffix == ".py":
        label = file.stem if file.stem not in program.estimators() else f"my-{file.stem}"
        return Method(file, label, [f"-{label}_file", path], True)
    new = [name for name in program.estimators(path) if name not in program.estimators()]
    if len(new) != 1:
        raise ResultsError(f"{file} holds {len(new)} estimators that are not in the tree"
                           + (f" ({', '.join(new)})" if new else "") + "; expected one.")
    return Method(file, new[0], ["-estimator_library", path], False)


def assignment(method: Method) -> str:
    """As -estimators takes it."""
    return f"{method.name}=python" if method.interpreted else method.name


def check(method: Method) -> None:
    """Conformance on the smallest problems; ResultsError where it fails, after what the program said."""
    print(f"1 of 3: check of {method.name}", flush=True)
    if program.run(["check", "-estimators", assignment(method), *method.words]):
        raise ResultsError(f"{method.file} does not pass `ctpgbench check`; what is wrong stands above. A comparison "
                           f"of a "
                           "method that is not what it claims would say nothing.")


def source_of(method: Method, given: Path | None) -> Path:
    """The source that a final claim stands for: given, the file itself, or <name>.c beside the library or above."""
    if given or method.interpreted:
        return given or method.file
    folder = method.file.resolve().parent
    for place in (folder, folder.parent):
        if (place / f"{method.file.stem}.c").is_file():
            return place / f"{method.file.stem}.c"
    raise ResultsError(f"there is no {method.file.stem}.c beside {method.file} or in the folder above; expected "
                       f"-source FILE.")


def hash_of(file: Path) -> str:
    """SHA-256 of a source and the suite's version."""
    try:
        return hashlib.sha256(SUITE.encode() + b"\0" + file.read_bytes()).hexdigest()
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror}.") from None


def final_seeds(digest: str) -> tuple[int, int]:
    """(first, last) of FINAL_SEEDS seeds, half open."""
    first = FIRST_FINAL + FINAL_SEEDS * (int(digest[:15], 16) % FINAL_BLOCKS)
    return first, first + FINAL_SEEDS


def count_attempt(folder: Path, digest: str) -> int:
    """Which attempt this is: one more than the other sources that were claimed for in this folder."""
    path, rows = folder / "attempts.csv", []
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
    known = [row[1] for row in rows]
    if digest not in known:
        rows.append([datetime.now(timezone.utc).isoformat(timespec="seconds"), digest])
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["time", "sha256 of suite and source"], *rows])
        known.append(digest)
    return known.index(digest) + 1


def sweep_words(method: Method, full: bool, seeds: tuple[int, int], attempt: int, out: Path) -> list[str]:
    """Options of the sweep. -allow_unused: the plan has options of problems that are not taken."""
    problems = [] if full else ["-problems", ",".join(SIX)]
    ladders = [] if full else LADDERS
    beside = [name for name in BESIDE if name != method.name]
    return ["sweep", "-options_file", str(PLAN), *problems, "-estimators", ",".join([assignment(method), *beside]),
            *method.words, *ladders, "-seeds", f"{seeds[0]}:{seeds[1]}", "-final_attempt", str(attempt),
            "-allow_unused",
            "-out", str(out)]


def choose_seeds(method: Method, full: bool, seeds: int | None) -> tuple[int, int]:
    """Those to compare on."""
    count = seeds or (FINAL_SEEDS if full else PYTHON_SEEDS if method.interpreted else SEEDS)
    return 0, count


def measure(method: Method, folder: Path, full: bool, seeds: tuple[int, int], attempt: int, ranks: int) -> Path:
    """The results file of the method and of those beside it. A changed plug-in has a file of its own."""
    content = hashlib.sha256(method.file.read_bytes()).hexdigest()[:8]
    name = f"{method.name}-{content}{'-full' if full else ''}{f'-final{attempt}' if attempt else ''}.h5"
    out = (folder / name).resolve()
    problems = "the whole suite" if full else f"{len(SIX)} problems"
    print(f"2 of 3: sweep over {problems}, seeds {seeds[0]} to {seeds[1] - 1}, into {out.name}", flush=True)
    code = program.run(sweep_words(method, full, seeds, attempt, out), ranks, HOME)
    if code == 75:
        raise ResultsError(f"the sweep was stopped; the same command goes on where it was, in {out}.")
    if code:
        raise ResultsError("the sweep failed; what is wrong stands above.")
    return out


def missing_policies() -> list[str]:
    """Files of trained policies that the six problems need and that are not there."""
    names = [label.split("-trained")[0] for label in SIX]
    return [name for name in names if not (HOME / "policies" / f"{name}.h5").is_file()]


def prepare(file: Path) -> Method:
    """The method, checked; ResultsError where something is missing."""
    if not PLAN.is_file():
        raise ResultsError(f"{PLAN} is not there; try needs the suite beside the package.")
    if missing_policies():
        raise ResultsError(f"{HOME / 'policies'} has no policy for {', '.join(missing_policies())}; expected the "
                           f"suite's.")
    method = find_method(file)
    check(method)
    return method
