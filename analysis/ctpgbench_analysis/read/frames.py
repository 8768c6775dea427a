"""frames.py -- files of ctpgbench as tables of pandas and data sets of xarray, with words for numbers

`ctpgbench_analysis.read(path)` gives a Sweep, a TrainingFrames or a TraceFrames, by the kind of the file. Only finished
(committed) rows are in the tables. Columns problem, estimator, status and timing are str; units are in
frame.attrs["units"].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pandas

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.file import (check_range, committed, decode, kind_of, open_kind, plain_text, read_rows,
                                          read_statuses)
from ctpgbench_analysis.read.plants import Plant, read_plant
from ctpgbench_analysis.read.traces import Bodies, load_trace
from ctpgbench_analysis.read.words import IMPORTED, TIMINGS

# Names of dimensions that have no scale in the file, behind those that have one.
DIMENSIONS = {
    "path": ("seed", "snapshot", "test_start", "path_time", "state"),
    "path_control": ("seed", "snapshot", "test_start", "path_time", "control"),
    "visited": ("seed", "visit", "state"),
}


@dataclass
class Sweep:
    """A file of `ctpgbench sweep`."""
    path: str
    planned: int                 # runs of the plan, finished or not
    runs: pandas.DataFrame       # one row per finished run: the columns of runs/table, words for numbers; imported
    cases: pandas.DataFrame      # one row per finished case (problem and seed) with its reference gradient
    problems: pandas.DataFrame   # one row per label
    estimators: pandas.DataFrame # likewise
    plants: dict[str, Plant]     # {problem label: names, units and constants}


@dataclass
class TrainingFrames:
    """A file of `ctpgbench train`."""
    path: str
    planned: int
    runs: pandas.DataFrame       # one row per finished run: the columns of training/table, words for numbers
    problems: pandas.DataFrame
    estimators: pandas.DataFrame
    plants: dict[str, Plant]

    def dataset(self, problem: str | None = None, estimator: str | None = None) -> Any:
        """xarray.Dataset of one pair: histories [seed, iteration], test losses [seed, test_iteration], policies
        theta [seed, snapshot, parameter], ... of its finished runs. A label may be left out where there is only one."""
        problem, estimator = only("problem", problem, self.runs["problem"]), only("estimator", estimator,
                                                                                  self.runs["estimator"])
        mine = self.runs[(self.runs["problem"] == problem) & (self.runs["estimator"] == estimator)]
        if not len(mine):
            raise ResultsError(f"{self.path} has no finished run of {estimator} on {problem}.")
        return pair_dataset(self.path, problem, estimator, mine["row"].to_numpy(), self.plants[problem])


@dataclass
class TraceFrames:
    """A file of `ctpgbench trace`."""
    path: str
    problem: str
    forward: pandas.DataFrame    # the true path: t, states and controls by name
    out: pandas.DataFrame        # estimator, t and states by name at the start and the ends of steps on its way out
    back: pandas.DataFrame       # the same where it asked for products, in its order
    estimators: pandas.DataFrame # estimator, type, knob, accuracy, status, err_rel
    plant: Plant
    bodies: Bodies | None        # of a model of MuJoCo: its solids along the true path


def only(what: str, wanted: str | None, labels) -> str:
    """The label that is wanted, or the only one."""
    known = list(dict.fromkeys(labels))
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted in known:
        return wanted
    raise ResultsError(f"{what} {'is missing' if wanted is None else wanted + ' is unknown'}; expected one of: "
                       f"{', '.join(known) or 'none, no run is finished'}.")


def units_of(dataset) -> dict[str, str]:
    """{column: unit} of a compound dataset; "" for what has none."""
    units = [plain_text(unit) for unit in np.ravel(dataset.attrs.get("units", []))]
    return dict(zip(dataset.dtype.names, units)) if len(units) == len(dataset.dtype.names) else {}


def frame_of(file: h5py.File, path, name: str) -> pandas.DataFrame:
    """All columns of a compound table, texts as str."""
    read_rows(file, path, name, ())
    dataset = file[name]
    rows = decode(dataset[()], dataset.dtype.names)
    frame = pandas.DataFrame({column: rows[column] for column in rows.dtype.names if rows[column].ndim == 1})
    frame.attrs["units"] = units_of(dataset)
    return frame


def finished(file: h5py.File, path, table: str, words: dict[str, list[str]]) -> pandas.DataFrame:
    """The committed rows of table/table; words: {column: what its numbers mean}."""
    frame, commits = frame_of(file, path, f"{table}/table"), frame_of(file, path, f"{table}/commit")
    rows = frame[["status", *[column for column in words if column != "status"]]].to_records(index=False)
    done = committed(path, table, rows, commits.to_records(index=False))
    for column, meaning in words.items():
        check_range(path, f"{table}/table", rows, column, len(meaning))
    units = frame.attrs["units"]
    frame = frame[done].reset_index(drop=True)
    for column, meaning in words.items():
        frame[column] = [meaning[number] for number in frame[column]]
    frame.attrs["units"] = units
    return frame


def read_labels(file: h5py.File, path) -> tuple[pandas.DataFrame, pandas.DataFrame, dict[str, Plant]]:
    """Tables of problems and estimators, and the plant of each problem."""
    problems, estimators = frame_of(file, path, "problems"), frame_of(file, path, "estimators")
    plants = {row.label: read_plant(file, row.label, int(row.nx), int(row.nu)) for row in problems.itertuples()}
    return problems, estimators, plants


def read_sweep(path) -> Sweep:
    """The file of `ctpgbench sweep` at path."""
    with open_kind(path, "sweep") as file:
        problems, estimators, plants = read_labels(file, path)
        words = {"problem": list(problems["label"]), "status": read_statuses(file, path)}
        cases = finished(file, path, "cases", words)
        runs = finished(file, path, "runs", {**words, "estimator": list(estimators["label"]), "timing": list(TIMINGS)})
        runs["imported"] = runs["estimator"].isin(estimators["label"][estimators["type"] == IMPORTED])
        return Sweep(str(path), len(file["runs/table"]), runs, cases, problems, estimators, plants)


def read_training(path) -> TrainingFrames:
    """The file of `ctpgbench train` at path."""
    with open_kind(path, "train") as file:
        problems, estimators, plants = read_labels(file, path)
        runs = finished(
            file,
            path,
            "training",
            {
                "problem": list(problems["label"]),
                "status": read_statuses(file, path),
                "estimator": list(estimators["label"]),
            },
        )
        return TrainingFrames(str(path), len(file["training/table"]), runs, problems, estimators, plants)


def points_frame(parts: list[tuple], names, units) -> pandas.DataFrame:
    """One frame of the points of each (estimator, t [k], x [k, nx])."""
    frames = [pandas.DataFrame({"estimator": label, "t": t, **dict(zip(names, x.T))}) for label, t, x in parts]
    frame = pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=["estimator", "t", *names])
    frame.attrs["units"] = {"t": "s", **units}
    return frame


def read_trace(path) -> TraceFrames:
    """The file of `ctpgbench trace` at path."""
    trace = load_trace(path)
    names, units = trace.plant.state_names, dict(zip(trace.plant.state_names, trace.plant.state_units))
    forward = pandas.DataFrame(
        {"t": trace.t, **dict(zip(names, trace.x.T)), **dict(zip(trace.plant.control_names, trace.u.T))}
    )
    forward.attrs["units"] = {"t": "s", **units, **dict(zip(trace.plant.control_names, trace.plant.control_units))}
    out = points_frame([(back.label, back.out_t, back.out_x) for back in trace.back], names, units)
    back = points_frame([(back.label, back.t, back.x) for back in trace.back], names, units)
    estimators = pandas.DataFrame(
        [
            {
                "estimator": one.label,
                "type": one.type,
                "knob": one.knob,
                "accuracy": one.accuracy,
                "status": one.status,
                "err_rel": one.err_rel,
            }
            for one in trace.back
        ]
    )
    return TraceFrames(trace.path, trace.problem, forward, out, back, estimators, trace.plant, trace.bodies)


def dimensions(name: str, dataset) -> list[str]:
    """Names of the dimensions of an array of a training: those of its scales, else of DIMENSIONS, else of its own."""
    given = DIMENSIONS.get(name, ())
    named = []
    for axis, dimension in enumerate(dataset.dims):
        scale = next(iter(dimension.keys()), "")
        named.append(scale or (given[axis] if axis < len(given) == dataset.ndim else f"{name}_{axis}"))
    return named


def pair_arrays(group, rows: np.ndarray) -> dict[str, tuple[list[str], np.ndarray, dict[str, str]]]:
    """{name: (dimensions, values of these runs, unit and description)} of training/<problem>/<estimator>."""
    arrays = {}
    for name, node in group.items():
        if isinstance(node, h5py.Dataset):
            names, values = dimensions(name, node), node[()]
            values = values[rows] if names and (names[0] == "seed" or name == "seed") else values
            notes = {key: plain_text(node.attrs[key]) for key in ("units", "description") if key in node.attrs}
            is_scale = plain_text(node.attrs.get("CLASS", "")) == "DIMENSION_SCALE"
            arrays[name] = ([name] if is_scale or name == "seed" else names, values, notes)
    return arrays


def pair_dataset(path: str, problem: str, estimator: str, rows: np.ndarray, plant: Plant) -> Any:
    """xarray.Dataset of these rows of a pair; states and controls by name."""
    try:
        import xarray
    except ModuleNotFoundError:
        raise ResultsError("dataset() needs the module xarray (Debian: python3-xarray; pip install xarray).") from None
    with open_kind(path, "train") as file:
        arrays = pair_arrays(file[f"training/{problem}/{estimator}"], rows)
    sizes = {name: size for names, values, _ in arrays.values() for name, size in zip(names, values.shape)}
    labels = {"state": plant.state_names, "control": plant.control_names}
    coordinates = {name: list(names) for name, names in labels.items() if sizes.get(name) == len(names)}
    return xarray.Dataset({name: array for name, array in arrays.items() if name not in sizes},
                          {**{name: array for name, array in arrays.items() if name in sizes}, **coordinates},
                          {"problem": problem, "estimator": estimator})


READERS = {"sweep": read_sweep, "train": read_training, "trace": read_trace}


def read(path) -> Sweep | TrainingFrames | TraceFrames:
    """The file at path; ResultsError says in one sentence why it cannot be read."""
    return READERS[kind_of(path)](path)
