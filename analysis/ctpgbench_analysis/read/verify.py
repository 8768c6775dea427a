"""verify.py -- is what a file holds what was written? Its checksums, as src/store/sum.h and schema.h define them

A sum is the first 128 bits of SHA-256 as two 64-bit numbers. What is fixed when a file is made (labels, options,
scales) carries its sum as attribute `checksum`; a row of a table is vouched for by its commit, whose sum goes over the
packed row and the arrays that belong to it; what a row is from the beginning (key, seed, start) by a sum in `identity`.
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
    """ResultsError for a dataset whose bytes do not have the sum that it carries.

    Visits all of the file, and in the order of the disk: in that of the alphabet, HDF5 1.10 dies of a damaged heap of
    links instead of saying so.
    """
    def check(link):
        name = link.decode("utf-8", "replace")
        item = file[link]
        if isinstance(item, h5py.Dataset) and "checksum" in item.attrs:
            if sum_of(bytes_of(item)) != item.attrs["checksum"].astype("<u8").tobytes():
                raise ResultsError(f"{path} is damaged: {name} fails its checksum.")
    h5py.h5o.visit(file.id, check, order=h5py.h5.ITER_NATIVE)


def texts(values: np.ndarray) -> list[str]:
    """str of fixed-length texts."""
    return [value.split(b"\0")[0].decode("utf-8", "replace") for value in values]


def prefix(table: np.ndarray, row: int, end: str) -> bytes:
    """The bytes of a row before column `end`: its identity."""
    return table[row].tobytes()[:table.dtype.fields[end][1]]


def stored(commit: np.ndarray) -> list[bytes]:
    """The sums of commits [n]."""
    return [np.array([row["checksum_0"], row["checksum_1"]], "<u8").tobytes() for row in commit]


class CaseSums:
    """The sums of the cases of a file as it is: of what a case is, with its start; of its row, with its gradients."""

    def __init__(self, file: h5py.File):
        self.table, self.labels = file["cases/table"][()], texts(file["problems"]["label"])
        self.groups = {name: {key: node[()] for key, node in file[f"cases/{name}"].items()} for name in self.labels}

    def arrays(self, row: int, *names: str) -> list[bytes] | None:
        """What the arrays of these names hold of a case; None where it points nowhere."""
        p, r = self.table["problem"][row], self.table["row"][row]
        group = self.groups[self.labels[p]] if 0 <= p < len(self.labels) else {"grad_x0": ()}
        return [group[name][r].tobytes() for name in names if name in group] if 0 <= r < len(group["grad_x0"]) else None

    def identity(self, row: int) -> bytes:
        """Of its first columns and its start."""
        start = self.arrays(row, "x0", "task", "theta")
        return b"" if start is None else sum_of(prefix(self.table, row, "status"), *start)

    def whole(self, row: int) -> bytes:
        """Of its row and its gradients."""
        return sum_of(self.table[row].tobytes(), *self.arrays(row, "grad_x0", "grad_theta"))


def gradients(file: h5py.File) -> dict[int, bytes]:
    """{run: bytes of its gradient} of a file with -save_gradients."""
    found = {}
    for group in file.get("runs/gradients", {}).values():
        values = group["gradient"][()]
        found.update({int(run): values[k].tobytes() for k, run in enumerate(group["run"][()])})
    return found


class RunSums:
    """The sums of the runs of a file as it is."""

    def __init__(self, file: h5py.File):
        self.table, self.sketch, self.gradient = file["runs/table"][()], file["runs/sketch"][()], gradients(file)

    def identity(self, row: int) -> bytes:
        """Of its first columns."""
        return sum_of(prefix(self.table, row, "h"))

    def whole(self, row: int) -> bytes:
        """Of its row, its sketch and its gradient."""
        return sum_of(self.table[row].tobytes(), self.sketch[row].tobytes(), self.gradient.get(row, b""))


def stream(arrays: list, row: int, size: int) -> bytes:
    """The sum of entries 0 .. size - 1 of one row, each with the bytes of all arrays one after the other."""
    digest = hashlib.sha256()
    for first in range(0, size, PIECE):
        piece = [array[row, first:min(first + PIECE, size)] for array in arrays]
        if len(piece) == 1:
            digest.update(np.ascontiguousarray(piece[0]).tobytes())
            continue
        packed = np.empty(len(piece[0]), [(str(i), values.dtype, values.shape[1:]) for i, values in enumerate(piece)])
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


class TrainingSums:
    """The sums of the runs of a training file as it is."""

    def __init__(self, file: h5py.File):
        self.file, self.table = file, file["training/table"][()]
        self.problems, self.estimators = texts(file["problems"]["label"]), texts(file["estimators"]["label"])
        self.history = texts(file["training"].attrs["history"])
        self.pairs = {}

    def identity(self, row: int) -> bytes:
        """Of its first columns."""
        return sum_of(prefix(self.table, row, "accuracy"))

    def whole(self, row: int) -> bytes:
        """Of its row and all that its arrays hold."""
        line = self.table[row]
        arrays, counts = self.arrays(f"{self.problems[line['problem']]}/{self.estimators[line['estimator']]}")
        sums = [stream(parts, line["row"], count) for parts, count in zip(arrays, counts)]
        return sum_of(line.tobytes(), sum_of(*sums, np.array(counts, "<i8").tobytes()))

    def arrays(self, name: str) -> tuple[list[list], list[int]]:
        """The arrays of a pair in the order in which they are summed, and their entries in a row."""
        if name not in self.pairs:
            pair = self.file[f"training/{name}"]
            test = [pair["test_loss"], Wide(pair["test_failures"])] if "test_loss" in pair else []
            audit = [pair[name] for name in ("audit_error", "audit_stderr", "audit_norm") if name in pair]
            history = [pair[name] for name in self.history if name in pair]
            self.pairs[name] = [history, [pair["theta"], pair["theta_checksum"]], test,
                                *([pair[name]] if name in pair else [] for name in ("path", "path_control")), audit,
                                [pair["visited"]] if "visited" in pair else []], [
                pair[key].shape[1] if key in pair else 0 for key in
                ("loss", "theta", "test_loss", "path", "path_control", "audit_error", "visited")]
        return self.pairs[name]


SUMS = {"cases": CaseSums, "runs": RunSums, "training": TrainingSums}


def name_damaged(path, table: str, rows: np.ndarray) -> None:
    """Says which committed rows are left out because they fail their checksum."""
    if not len(rows):
        return
    listed = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
    one = len(rows) == 1
    say(f"{path}: {len(rows)} finished row{'' if one else 's'} of {table} fail{'s' if one else ''} the checksum and "
        f"{'is' if one else 'are'} left out: {listed}.")


def sound(file: h5py.File, path, table: str, done: np.ndarray) -> np.ndarray:
    """done [n] without the rows that are not what was written; table: cases, runs or training. A file of the schema
    before has no such sums: all of its finished rows count."""
    if int(file.attrs["schema"]) < 3:
        return done
    sums, commits = SUMS[table](file), stored(file[f"{table}/commit"][()])
    identity = [pair.tobytes() for pair in file[f"{table}/identity"][()].astype("<u8")]
    good = np.array([bool(is_done) and sums.identity(row) == identity[row] and sums.whole(row) == commits[row]
                     for row, is_done in enumerate(done)], bool)
    name_damaged(path, f"{table}/table", np.flatnonzero(done & ~good))
    return good
