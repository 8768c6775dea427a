"""verify.py -- is what a file holds what was written? Its checksums, as src/store/sum.h and schema.h define them

A sum is the first 128 bits of SHA-256 as two 64-bit numbers. What is fixed when a file is made (labels, options, scales)
carries its sum as attribute `checksum`; a row of a table is vouched for by its commit, whose sum goes over the packed row
and the arrays that belong to it; what a row is from the beginning (key, seed, start) by a sum in `identity`.
"""

from __future__ import annotations

import hashlib
import sys

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError

PIECE = 4096  # entries of an array read at a time
_told = set()


def say(sentence: str) -> None:
    """A note on stderr, once."""
    if sentence not in _told:
        _told.add(sentence)
        print(f"note: {sentence}", file=sys.stderr)


def sum_of(*pieces) -> bytes:
    """16 bytes: the sum of these bytes-like pieces one after the other."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()[:16]


def bytes_of(dataset: h5py.Dataset) -> bytes:
    """All its bytes as they lie in the file: h5py itself cuts the zeros behind a text."""
    values = np.empty(dataset.shape, dataset.dtype)
    if dataset.size:
        dataset.read_direct(values)
    return values.tobytes()


def check_fixed(file: h5py.File, path) -> None:
    """ResultsError for a dataset whose bytes do not have the sum that it carries."""
    def check(name, item):
        if isinstance(item, h5py.Dataset) and "checksum" in item.attrs:
            if sum_of(bytes_of(item)) != item.attrs["checksum"].astype("<u8").tobytes():
                raise ResultsError(f"{path} is damaged: {name} fails its checksum.")
    file.visititems(check)


def prefix(table: np.ndarray, row: int, end: str) -> bytes:
    """The bytes of a row before column `end`: its identity."""
    return table[row].tobytes()[:table.dtype.fields[end][1]]


def stored(commit: np.ndarray) -> list[bytes]:
    """The sums of commits [n]."""
    return [np.array([row["checksum_0"], row["checksum_1"]], "<u8").tobytes() for row in commit]


def sound_cases(file: h5py.File) -> np.ndarray:
    """[C] cases that are what they were: row, gradients and start."""
    table, sums = file["cases/table"][()], stored(file["cases/commit"][()])
    identity = file["cases/identity"][()].astype("<u8")
    labels = [label.split(b"\0")[0].decode("utf-8", "replace") for label in file["problems"]["label"]]
    groups = {name: {key: file[f"cases/{name}/{key}"][()] for key in file[f"cases/{name}"]} for name in labels}
    sound = np.zeros(len(table), bool)
    for c, row in enumerate(table):
        if not 0 <= row["problem"] < len(labels):
            continue
        group, r = groups[labels[row["problem"]]], row["row"]
        if not 0 <= r < len(group["grad_x0"]):
            continue
        start = [group[name][r].tobytes() for name in ("x0", "task", "theta") if name in group]
        sound[c] = sum_of(prefix(table, c, "status"), *start) == identity[c].tobytes() and sums[c] == sum_of(
            row.tobytes(), group["grad_x0"][r].tobytes(), group["grad_theta"][r].tobytes())
    return sound


def gradients(file: h5py.File) -> dict[int, bytes]:
    """{run: bytes of its gradient} of a file with -save_gradients."""
    found = {}
    for group in file.get("runs/gradients", {}).values():
        values = group["gradient"][()]
        found.update({int(run): values[k].tobytes() for k, run in enumerate(group["run"][()])})
    return found


def sound_runs(file: h5py.File) -> np.ndarray:
    """[R] runs whose row, sketch and gradient are what was written."""
    table, sketch, sums = file["runs/table"][()], file["runs/sketch"][()], stored(file["runs/commit"][()])
    gradient, identity = gradients(file), file["runs/identity"][()].astype("<u8")
    return np.array([sums[r] == sum_of(row.tobytes(), sketch[r].tobytes(), gradient.get(r, b""))
                     and sum_of(prefix(table, r, "h")) == identity[r].tobytes() for r, row in enumerate(table)], bool)


def stream(arrays: list, row: int, size: int) -> bytes:
    """The sum of entries 0 .. size - 1 of one row, each with the bytes of all arrays one after the other."""
    digest = hashlib.sha256()
    for first in range(0, size, PIECE):
        piece = [array[row, first:min(first + PIECE, size)] for array in arrays]
        if len(piece) == 1:
            digest.update(np.ascontiguousarray(piece[0]).tobytes())
            continue
        packed = np.empty(len(piece[0]), [(str(i), values.dtype) for i, values in enumerate(piece)])
        for i, values in enumerate(piece):
            packed[str(i)] = values
        digest.update(packed.tobytes())
    return digest.digest()[:16]


class Wide:
    """An array of small integers, read as 64-bit ones."""

    def __init__(self, array):
        self.array = array

    def __getitem__(self, where):
        return self.array[where].astype("<i8")


def sound_training(file: h5py.File) -> np.ndarray:
    """[M] runs whose row and arrays are what was written."""
    table, sums = file["training/table"][()], stored(file["training/commit"][()])
    identity = file["training/identity"][()].astype("<u8")
    labels = [[label.split(b"\0")[0].decode("utf-8", "replace") for label in file[name]["label"]]
              for name in ("problems", "estimators")]
    history = [name.decode().rstrip("\0") for name in file["training"].attrs["history"]]
    sound = np.zeros(len(table), bool)
    for r, row in enumerate(table):
        if sum_of(prefix(table, r, "accuracy")) != identity[r].tobytes():
            continue
        pair = file[f"training/{labels[0][row['problem']]}/{labels[1][row['estimator']]}"]
        audit = [pair[name] for name in ("audit_error", "audit_stderr", "audit_norm") if name in pair]
        test = [pair["test_loss"], Wide(pair["test_failures"])] if "test_loss" in pair else []
        arrays = [[pair[name] for name in history], [pair["theta"]], test,
                  *([pair[name]] if name in pair else [] for name in ("path", "path_control")), audit,
                  [pair["visited"]] if "visited" in pair else []]
        counts = [pair[key].shape[1] if key in pair else 0 for key in
                  ("loss", "theta", "test_loss", "path", "path_control", "audit_error", "visited")]
        all_sums = [stream(parts, row["row"], count) for parts, count in zip(arrays, counts)]
        total = sum_of(*all_sums, np.array(counts, "<i8").tobytes())
        sound[r] = sums[r] == sum_of(row.tobytes(), total)
    return sound


def name_damaged(path, table: str, rows: np.ndarray) -> None:
    """Says which committed rows are left out because they fail their checksum."""
    if not len(rows):
        return
    listed = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
    one = len(rows) == 1
    say(f"{path}: {len(rows)} finished row{'' if one else 's'} of {table} fail{'s' if one else ''} the checksum and "
        f"{'is' if one else 'are'} left out: {listed}.")


def sound(file: h5py.File, path, table: str, done: np.ndarray) -> np.ndarray:
    """done [n] without the rows that are not what was written; table: cases, runs or training. A file of the schema before
    has no such sums: all of its finished rows count."""
    if int(file.attrs["schema"]) < 3:
        return done
    good = {"cases": sound_cases, "runs": sound_runs, "training": sound_training}[table](file)
    name_damaged(path, f"{table}/table", np.flatnonzero(done & ~good))
    return done & good
