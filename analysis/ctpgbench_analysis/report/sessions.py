"""sessions.py -- what was measured, when and where, as a table of pages: from the files alone"""
from __future__ import annotations

from ctpgbench_analysis.read.baselines import BASELINES
from ctpgbench_analysis.read.file import open_kind
from ctpgbench_analysis.read.several import writing_sessions
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.report.text import markdown


def range_text(counts: list[int]) -> str:
    """"20", "0 to 20"; "-" without any."""
    least, most = min(counts, default=0), max(counts, default=0)
    return "-" if not counts else f"{least}" if least == most else f"{least} to {most}"


def session_lines(files: list[Results], seeds: list[list[int]]) -> list[str]:
    """seeds: of each file, for each problem, how many count for the estimator with the most of them."""
    header = ["file", "problems", "seeds counted", "runs done", "begun (UTC)", "ended", "ranks", "instruction set, CPU",
              "commit"]
    body = []
    for results, counts in zip(files, seeds):
        with open_kind(results.path, "sweep", BASELINES) as file:
            sessions = writing_sessions(file)
        where = ["-"] * 5
        if sessions:
            first, last = sessions[0], sessions[-1]
            where = [first["start"], last["end"] or "-", ", ".join(sorted({row["ranks"] for row in sessions})),
                     last["isa"], last["commit"][:12]]
        body.append([results.path.rpartition("/")[2], str(len(counts)), range_text(counts),
                     f"{int(results.run_done.sum())} of {len(results.run_done)}", *where])
    return markdown(header, body)
