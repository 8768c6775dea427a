"""aggregate.py -- a results file made small enough to travel: `ctpgbench analysis aggregate suite.h5 -o baselines.h5`

Keeps of each finished run what `compare` asks for (error, counts, bytes, CPU time, error bar, how it ended), in single
precision and compressed; of each case its key, its reference's error and norms, and 16 random projections of its
reference gradient, by which a gradient can be recognised; tables of problems, estimators and sessions as they are. What
it holds cannot be computed further with: a sweep does not resume it.
"""
from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.draws import sketch_of
from ctpgbench_analysis.read.baselines import BASELINES
from ctpgbench_analysis.read.file import open_kind
from ctpgbench_analysis.read.sweep import Results, load

RUNS = {"case_index": "u2", "problem": "u1", "estimator": "u1", "accuracy": "f8", "repeat": "u1", "status": "i1",
        "err_rel": "f4", "error_bar": "f4", "nf": "u4", "nvjp": "u4", "njvp": "u4", "njac": "u4",
        "njac_products": "u4", "nplant": "u4", "nfe": "u4", "bytes": "f4", "cpu": "f4",
        "wall": "f4",
        "timing": "u1", "session": "u1"}
CASES = {"case_key": "u8", "problem": "u1", "seed": "i8", "row": "u2", "status": "i1", "loss": "f8", "grad_norm": "f8",
         "grad_x0_norm": "f8", "ref_err": "f4", "ref_err_x0": "f4", "flags": "i4"}
PROJECTIONS = 16
MOST_BYTES = 1 << 20
PACKED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


def smaller(rows: np.ndarray, columns: dict[str, str]) -> np.ndarray:
    """These columns of a table in these types; ResultsError where a whole number does not fit."""
    packed = np.zeros(len(rows), [(name, kind) for name, kind in columns.items()])
    for name, kind in columns.items():
        packed[name] = rows[name]
        if kind[0] in "iu" and not np.array_equal(packed[name].astype("i8"), rows[name].astype("i8")):
            raise ResultsError(f"the column {name} does not fit into {kind}; expected a smaller sweep.")
    return packed


def reference_sketches(file: h5py.File, results: Results) -> np.ndarray:
    """[case, 16] projections of the reference gradients, NaN where there is none."""
    sketches = np.full((len(results.cases), PROJECTIONS), np.nan, "f4")
    rows = file["cases/table"]["row"]
    for problem, label in enumerate(results.problems["label"]):
        gradients = file[f"cases/{label}/grad_theta"][()]
        for case in np.flatnonzero(results.judged(problem)):
            sketches[case] = sketch_of(gradients[rows[case]], PROJECTIONS)
    return sketches


def write_file(path: Path, file: h5py.File, results: Results) -> None:
    """The aggregated file at path."""
    cases, runs = file["cases/table"][()], file["runs/table"][()]
    with h5py.File(path, "w", libver=("v108", "latest")) as out:
        out.attrs.update({name: file.attrs[name] for name in ("schema", "plan_hash", "uuid", "statuses", "isa")
                          if name in file.attrs})
        out.attrs["kind"] = np.bytes_(BASELINES)
        out["plan/options"] = file["plan/options"][()]
        sessions = file["sessions"][()]
        for name, rows in (("problems", file["problems"][()]), ("estimators", file["estimators"][()]),
                           ("sessions", sessions[sessions["start"] != b""]), ("cases/table", smaller(cases, CASES)),
                           ("runs/table", smaller(runs[results.run_done], RUNS)),
                           ("cases/sketch", reference_sketches(file, results))):
            out.create_dataset(name, data=rows, **PACKED)


def aggregate(source: str, target: Path) -> str:
    """Writes the target anew, whole or not at all; one sentence on it."""
    results = load(source)
    if not results.run_done.any():
        raise ResultsError(f"{source} holds no finished run yet (0 of {len(results.runs)}).")
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
    return f"{target}: {int(results.run_done.sum())} runs of {len(results.estimators)} estimators in {size} bytes."
