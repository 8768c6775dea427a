"""file.py -- a file of ctpgbench, opened: its kind, its schema, and one sentence about whatever is wrong with it

Everything that reads HDF5 does so inside `open_kind`: HDF5 answers damaged bytes with exceptions of many kinds, and
there each of them becomes a ResultsError that names the file.
"""

from __future__ import annotations

import contextlib
from typing import Iterator, Sequence

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.verify import check_fixed, say

SCHEMA = 3
UNVERIFIED = 2  # the schema before, in which nothing vouches for what these scripts read
PENDING = -1  # status of a row without a result
KINDS = ("sweep", "train", "trace")


def plain_text(value) -> str:
    """str from what HDF5 strings turn into: bytes of fixed length, or str."""
    return value.decode("utf-8", "replace").rstrip("\0") if isinstance(value, bytes) else str(value)


def decode(table: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """These columns of a compound table [n], bytes as str."""
    def column_type(name):
        kind = table.dtype[name]
        return object if kind.kind in "SO" else kind

    decoded = np.empty(table.shape, [(name, column_type(name)) for name in columns])
    for name in columns:
        is_text = table.dtype[name].kind in "SO"
        decoded[name] = [plain_text(value) for value in table[name]] if is_text else table[name]
    return decoded


@contextlib.contextmanager
def damage_is_told(path) -> Iterator[None]:
    """Whatever is raised within, by HDF5 on damaged bytes, becomes a ResultsError with one sentence."""
    try:
        yield
    except ResultsError:
        raise
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise ResultsError(f"{path} is damaged or cannot be read any further ({what}).") from error


def check_readable(path, expected: str) -> None:
    """ResultsError unless there is an HDF5 file at path that may be read; expected: "a results file of ..."."""
    try:
        open(path, "rb").close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ResultsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if not h5py.is_hdf5(path):
        raise ResultsError(f"{path} is not an HDF5 file; expected {expected}.")


@contextlib.contextmanager
def open_hdf5(path, expected: str) -> Iterator[h5py.File]:
    """The HDF5 file at path for reading, whatever its kind."""
    check_readable(path, expected)
    with damage_is_told(path):
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise ResultsError(f"{path} cannot be opened by HDF5 ({str(error).strip()}).") from None
        with file:
            yield file


def kind_in(file: h5py.File, path, expected: str) -> str:
    """Its kind, one of KINDS or another word, once its schema is known to be ours."""
    if "schema" not in file.attrs:
        raise ResultsError(f"{path} is an HDF5 file without the attribute schema; expected a file of ctpgbench "
                           f"{expected}.")
    schema = file.attrs["schema"]
    if np.shape(schema) or schema not in (SCHEMA, UNVERIFIED):
        raise ResultsError(f"{path} has schema {schema}; these scripts read schema {SCHEMA}.")
    if schema == UNVERIFIED:
        say(f"{path} is of schema {UNVERIFIED}: what it holds is not verified.")
    elif "unverified" in file.attrs:
        say(f"{path} is not verified: {plain_text(file.attrs['unverified'])}.")
    return plain_text(file.attrs.get("kind", "unknown"))


def kind_of(path) -> str:
    """Kind of the file at path, one of KINDS; ResultsError where it is another."""
    expected = "sweep, ctpgbench train or ctpgbench trace"
    with open_hdf5(path, f"a file of ctpgbench {expected}") as file:
        kind = kind_in(file, path, expected)
    if kind not in KINDS:
        raise ResultsError(f"{path} is of kind {kind}; expected a file of kind {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    return kind


@contextlib.contextmanager
def open_kind(path, kind: str, other: str = "") -> Iterator[h5py.File]:
    """The HDF5 file at path, of this kind or of the other one; ResultsError says in one sentence why it cannot be
    read."""
    what = {"sweep": "results"}.get(kind, kind)
    with open_hdf5(path, f"a {what} file of ctpgbench {kind}") as file:
        found = kind_in(file, path, kind)
        if found not in (kind, other):
            raise ResultsError(f"{path} is of kind {found}; expected a file of kind {kind}.")
        check_fixed(file, path)
        yield file


def read_statuses(file: h5py.File, path) -> list[str]:
    """The words of @statuses; the number in a column `status` is a place in this list."""
    words = [plain_text(word) for word in np.ravel(file.attrs.get("statuses", []))]
    if "ok" not in words:
        raise ResultsError(f"{path} has no attribute statuses with the word ok in it, which names how a run can end.")
    return words


def read_rows(file: h5py.File, path, name: str, columns: Sequence[str]) -> np.ndarray:
    """These columns of the compound table `name` [n], texts as str."""
    dataset, command = file.get(name), plain_text(file.attrs["kind"])
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.names is None or dataset.ndim != 1:
        raise ResultsError(f"{path} has no table {name}; it is not a complete results file of ctpgbench {command}.")
    missing = [column for column in columns if column not in dataset.dtype.names]
    if missing:
        raise ResultsError(f"{path} has no column {', '.join(missing)} in {name}; "
                           f"expected the columns of schema {SCHEMA}.")
    return decode(dataset[()], columns)


def check_range(path, table: str, rows: np.ndarray, column: str, size: int, done: np.ndarray | bool = True) -> None:
    """The column points to rows 0 to size - 1 of something where the row counts; a status may be pending, too."""
    lowest = PENDING if column == "status" else 0
    bad = np.flatnonzero(done & ((rows[column] < lowest) | (rows[column] >= size)))
    if len(bad):
        raise ResultsError(f"{path} is damaged: row {bad[0]} of {table} has {column} {rows[column][bad[0]]}; expected "
                           f"{lowest} to {size - 1}.")


def committed(path, table: str, rows: np.ndarray, commits: np.ndarray) -> np.ndarray:
    """[n] the rows that are finished: their commit holds the same status, and that is not pending."""
    if len(rows) != len(commits):
        raise ResultsError(f"{path} is damaged: {table}/table has {len(rows)} rows, {table}/commit {len(commits)}.")
    return (commits["status"] == rows["status"]) & (rows["status"] != PENDING)
