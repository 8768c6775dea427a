"""aggregate.py -- a results file made small enough to travel: `ctpgbench analysis aggregate suite.h5 -o baselines.h5`

Keeps of each finished run what `compare` asks for (error, counts, bytes, CPU time, error bar, how it ended),
compressed; real numbers to 0.2 % (MANTISSA bits), CPU time unless it is that of a crowd, calls of the plant
where Jacobians were taken. NFE and what is not kept is filled in where the file is read (read/sweep.py). Of each case
it keeps its key, its reference's error and norms, and 16 random projections of its reference gradient, by which a
gradient can be recognised; tables of problems, estimators and sessions as they are. What it holds cannot be computed
further with: a sweep does not resume it.
"""
from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.draws import sketch_of
from ctpgbench_analysis.read.baselines import BASELINES
from ctpgbench_analysis.read.file import open_kind
from ctpgbench_analysis.read.sweep import Results, load
from ctpgbench_analysis.read.words import TIMINGS

RUNS = {"case_index": "u2", "problem": "u1", "estimator": "u1", "accuracy": "f8", "repeat": "u1", "status": "i1",
        "err_rel": "f4", "error_bar": "f4", "nf": "u4", "nvjp": "u4", "njvp": "u4", "njac": "u4",
        "njac_products": "u4", "nplant": "u4", "bytes": "f4", "cpu": "f4", "timing": "u1", "session": "u1"}
CASES = {"case_key": "u8", "problem": "u1", "seed": "i8", "row": "u2", "status": "i1", "loss": "f8", "grad_norm": "f8",
         "grad_x0_norm": "f8", "ref_err": "f4", "ref_err_x0": "f4", "flags": "i4"}
PROJECTIONS = 16
MANTISSA = 8  # bits that stay of the 23 of a single: half of 2^-8, 0.2 %, is lost at most
LARGEST = 1e38  # of a single
CROWDED = TIMINGS.index("crowded")
MOST_BYTES = 1_000_000
PACKED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


def singles(values: np.ndarray) -> np.ndarray:
    """Numbers beyond all singles become LARGEST, since an error that is infinite would be a failure."""
    return np.where(np.isfinite(values), np.fmin(values, LARGEST), values).astype("f4")


def smaller(rows: np.ndarray, columns: dict[str, str]) -> np.ndarray:
    """These columns of a table in these types; ResultsError where a whole number does not fit."""
    packed = np.zeros(len(rows), [(name, kind) for name, kind in columns.items()])
    for name, kind in columns.items():
        packed[name] = singles(rows[name]) if kind == "f4" else rows[name]
        if kind[0] in "iu" and not np.array_equal(packed[name].astype("i8"), rows[name].astype("i8")):
            raise ResultsError(f"the column {name} does not fit into {kind}; expected a smaller sweep.")
    return packed


def shortened(values: np.ndarray) -> np.ndarray:
    """Singles with MANTISSA bits, rounded to the nearest: the bytes behind them are zeros, which pack to nothing."""
    lost = 23 - MANTISSA
    bits = values.astype("f4").view("u4")
    kept = ((bits + np.uint32(1 << lost - 1)) & ~np.uint32((1 << lost) - 1)).view("f4")
    return np.where(np.isfinite(values), kept, values)


def packed_runs(runs: np.ndarray) -> np.ndarray:
    """Rows of RUNS, in the order in which neighbours are alike."""
    rows = smaller(runs[np.lexsort((runs["case_index"], runs["accuracy"], runs["problem"], runs["estimator"]))], RUNS)
    rows["cpu"][rows["timing"] == CROWDED] = np.nan
    rows["nplant"][rows["njac"] == 0] = 0
    for name in ("err_rel", "error_bar", "bytes", "cpu"):
        rows[name] = shortened(rows[name])
    return rows


def reference_sketches(file: h5py.File, results: Results) -> np.ndarray:
    """[case, 16] projections of the reference gradients, NaN where there is none."""
    sketches = np.full((len(results.cases), PROJECTIONS), np.nan, "f4")
    rows = file["cases/table"]["row"]
    for problem, label in enumerate(results.problems["label"]):
        gradients = file[f"cases/{label}/grad_theta"][()]
        for case in np.flatnonzero(results.judged(problem)):
            sketches[case] = sketch_of(gradients[rows[case]], PROJECTIONS)
    return sketches


def whole_cells(results: Results) -> np.ndarray:
    """[run] done, and so are all planned runs of its estimator on its case: half a ladder would say what is not so."""
    cell = results.runs["case_index"].astype("i8") * len(results.estimators) + results.runs["estimator"]
    missing = np.bincount(cell[~results.run_done], minlength=cell.max() + 1)
    return results.run_done & (missing[cell] == 0)


def without_places(text: bytes) -> bytes:
    """Options without the folders of the machine that they were given on."""
    return np.bytes_(re.sub(rb"(?<=[ =])/\S*/", b"", text))


def write_file(path: Path, file: h5py.File, results: Results) -> None:
    """The aggregated file at path."""
    cases, runs = file["cases/table"][()], file["runs/table"][()]
    with h5py.File(path, "w", libver=("v108", "latest")) as out:
        out.attrs.update({name: file.attrs[name] for name in ("schema", "plan_hash", "uuid", "statuses", "isa")
                          if name in file.attrs})
        out.attrs["kind"] = np.bytes_(BASELINES)
        out["plan/options"] = without_places(file["plan/options"][()])
        sessions = file["sessions"][()]
        if "hosts" in sessions.dtype.names:
            sessions["hosts"], sessions["command_line"] = b"", list(map(without_places, sessions["command_line"]))
        for name, rows in (("problems", file["problems"][()]), ("estimators", file["estimators"][()]),
                           ("sessions", sessions[sessions["start"] != b""]), ("cases/table", smaller(cases, CASES)),
                           ("runs/table", packed_runs(runs[whole_cells(results)])),
                           ("cases/sketch", reference_sketches(file, results))):
            # One chunk of all rows packs a quarter smaller than h5py's many.
            out.create_dataset(name, data=rows, chunks=rows.shape if len(rows) else True, **PACKED)


def aggregate(source: str, target: Path) -> str:
    """Writes the target anew, whole or not at all; one sentence on it."""
    results = load(source)
    if not results.run_done.any() or not whole_cells(results).any():
        raise ResultsError(f"{source} holds no case on which all runs of an estimator are finished.")
    beside = target.with_name(target.name + ".new")
    try:
        with open_kind(source, "sweep") as file:
            write_file(beside, file, results)
        size = beside.stat().st_size
        if size > MOST_BYTES:
            raise ResultsError(f"{target} would have {size} bytes; expected at most {MOST_BYTES}.")
        os.replace(beside, target)
    except OSError as error:
        raise ResultsError(f"{target} cannot be written: {error.strerror or error}.") from None
    finally:
        beside.unlink(missing_ok=True)
    return f"{target}: {int(whole_cells(results).sum())} runs of {len(results.estimators)} estimators in {size} bytes."
