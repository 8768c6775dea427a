"""program.py -- the program, run from here: who asked for `ctpgbench try` says where it is (src/commands/analysis.c)"""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.baselines import HOME


def path() -> str:
    """The program that handed over to this package."""
    found = os.environ.get("CTPGBENCH_PROGRAM")
    if not found:
        raise ResultsError("try runs the program; expected to be started by it: ctpgbench try FILE.")
    return found


def command(words: list[str], ranks: int = 0) -> list[str]:
    """The program with these words; ranks 0: alone, else under mpirun with all cores as jobs/mpirun.sh takes them."""
    return ["bash", str(HOME / "jobs" / "mpirun.sh"), path(), *words] if ranks else [path(), *words]


def run(words: list[str], ranks: int = 0, folder: Path | None = None) -> int:
    """Exit code; what the program prints is seen as it comes."""
    environment = {**os.environ, **({"CTPG_RANKS": str(ranks)} if ranks > 0 else {})}
    if ranks < 0:
        environment.pop("CTPG_RANKS", None)
    return subprocess.run(command(words, ranks), cwd=folder, env=environment, check=False).returncode


def estimators(library: str = "") -> dict[str, dict]:
    """{name: what `list -json` says} of the estimators of the tree, and of a plug-in."""
    words = ["list", "-estimators", "-json", *(["-estimator_library", library] if library else [])]
    ended = subprocess.run(command(words), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ResultsError(f"{library or path()} cannot be loaded: "
                           f"{' '.join(ended.stderr.split()) or 'the program says nothing'}")
    return {row["name"]: row for row in json.loads(ended.stdout)["estimators"]}
