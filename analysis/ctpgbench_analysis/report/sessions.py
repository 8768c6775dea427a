"""sessions.py -- what was measured, when and where, as a table of pages: from the files alone"""
from __future__ import annotations

import numpy as np

from ctpgbench_analysis.read.baselines import BASELINES
from ctpgbench_analysis.read.file import open_kind, plain_text
from ctpgbench_analysis.report.text import markdown


def seeds_counted(part: dict) -> str:
    """Over the problems of a file: the seeds that count, for the estimator with the most of them."""
    seeds = sorted(max((row["nfe"][0].seeds for row in rows.values()), default=0) for rows in part.values())
    return "-" if not seeds else f"{seeds[0]}" if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"


def sessions_of(path: str) -> list[np.void]:
    """Rows of the sessions that wrote."""
    with open_kind(path, "sweep", BASELINES) as file:
        return [row for row in file["sessions"][()] if plain_text(row["start"])] if "sessions" in file else []


def session_lines(files: list, tables: list) -> list[str]:
    """files: results; tables: of each {problem: {estimator: {"nfe": [Reach, ...]}}}."""
    header = ["file", "problems", "seeds counted", "runs done", "begun (UTC)", "ended", "ranks", "instruction set, CPU",
              "commit"]
    body = []
    for results, part in zip(files, tables):
        sessions = sessions_of(results.path)
        where = ["-"] * 5
        if sessions:
            first, last = sessions[0], sessions[-1]
            where = [plain_text(first["start"]), plain_text(last["end"]) or "-",
                     ", ".join(sorted({str(row["ranks"]) for row in sessions})), plain_text(last["isa"]),
                     plain_text(last["commit"])[:12]]
        body.append([results.path.rpartition("/")[2], str(len(part)), seeds_counted(part),
                     f"{int(results.run_done.sum())} of {len(results.run_done)}", *where])
    return markdown(header, body)
