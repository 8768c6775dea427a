"""baselines.py -- what is shipped beside this package: the standard suite, its policies, its baselines

Beside the folder of the package in the sources, and in share/ctpgbench where the program is installed.
"""
from __future__ import annotations

from pathlib import Path

HOME = Path(__file__).resolve().parents[3]
BASELINES = "baselines"  # kind of the files of aggregated rows
SUITE = "ctpgbench-suite-1"


def shipped_baselines() -> Path | None:
    """The file of the suite's baselines, None where there is none."""
    path = HOME / "baselines" / "suite-1.h5"
    return path if path.is_file() else None
