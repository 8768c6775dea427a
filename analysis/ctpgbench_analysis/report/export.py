"""export.py -- the tables of a results file for other programs: `ctpgbench export FILE -o FOLDER --format csv`

One file per table (runs, cases, problems, estimators, sessions of a sweep; forward, back of a trace), with words for
numbers and finished rows only, as `ctpgbench_analysis.read` gives them. csv: RFC 4180, empty where nothing is known;
jsonl: one JSON object a line, null there; parquet needs pyarrow.
"""
from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.frames import read

FORMATS = ("csv", "jsonl", "parquet")


def tables(path: str) -> dict[str, pandas.DataFrame]:
    """{name: table} of a results file."""
    return {name: value for name, value in vars(read(path)).items() if isinstance(value, pandas.DataFrame)}


def write_table(table: pandas.DataFrame, path: Path, kind: str) -> None:
    """One table in one of FORMATS."""
    if kind == "csv":
        table.to_csv(path, index=False, lineterminator="\r\n")
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        table.to_parquet(path, index=False)


def export(path: str, folder: Path, kind: str) -> list[str]:
    """Writes the tables into the folder, made where it is missing; a line for each."""
    if kind == "parquet" and not importlib.util.find_spec("pyarrow"):
        raise ResultsError("--format parquet needs the module pyarrow (pip install pyarrow), which is not here; csv "
                           "and jsonl need nothing.")
    found, lines = tables(path), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in found.items():
            write_table(table, folder / f"{name}.{kind}", kind)
            lines.append(f"{folder / f'{name}.{kind}'}: {len(table)} rows, {len(table.columns)} columns")
    except OSError as error:
        raise ResultsError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return lines
