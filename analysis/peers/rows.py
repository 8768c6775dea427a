"""rows.py -- what was measured, as the rows that `ctpgbench import` takes; and the clocks"""
import csv
import statistics
import time
from dataclasses import asdict, dataclass, fields
from typing import Callable

import numpy as np

RTOLS = tuple(10.0 ** -k for k in range(2, 10))


@dataclass
class Row:
    """The columns of docs/import.md."""
    problem: str
    estimator: str
    seed: int
    accuracy: float
    nfe: int
    error: float
    seconds: float        # of CPU time, one gradient of one start
    wall: float
    compile: float | None = None
    batch: int = 1


def timed(call: Callable, repeats: int) -> tuple[float, float]:
    """Medians of the CPU time of this process and of the wallclock, s; the first call is a warm-up."""
    call()
    cpu, wall = [], []
    for _ in range(repeats):
        start, moment = time.process_time(), time.perf_counter()
        call()
        cpu.append(time.process_time() - start)
        wall.append(time.perf_counter() - moment)
    return statistics.median(cpu), statistics.median(wall)


def median_error(rows: list[Row], rtol: float) -> float:
    """Over the starts, at one tolerance."""
    return float(np.median([row.error for row in rows if row.accuracy == rtol]))


def check(rows: list[Row], enough: float) -> None:
    """Ends the program where the gradients of a problem do not come close to ours at the tightest tolerance."""
    found = median_error(rows, RTOLS[-1])
    if not found < enough:
        raise SystemExit(f"{rows[0].estimator} on {rows[0].problem}: at rtol {RTOLS[-1]:g} half of the gradients are "
                         f"{found:.1e} or more off the references; expected less than {enough:g}: the problem is not "
                         "the same")


def write(rows: list[Row], path) -> None:
    """As comma-separated values, empty where nothing is known."""
    names = [field.name for field in fields(Row)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
