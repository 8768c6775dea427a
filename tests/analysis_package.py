"""analysis_package.py -- the package ctpgbench_analysis for tests, found through PYTHONPATH, which ctest sets"""
import os
import subprocess
import sys
from pathlib import Path

try:
    import ctpgbench_analysis  # noqa: F401
except ModuleNotFoundError:
    sys.exit(f"{Path(sys.argv[0]).name} needs the package in analysis/: run it by ctest, or with "
             f"PYTHONPATH=analysis python3 tests/{Path(sys.argv[0]).name}")

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "analysis" / "ctpgbench_analysis"


def analysis(*words, folder=None, **variables):
    """(exit code, stdout, stderr) of python3 -m ctpgbench_analysis with these words, in this folder."""
    ended = subprocess.run(
        [sys.executable, "-m", "ctpgbench_analysis", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **variables},
        timeout=120,
    )
    return ended.returncode, ended.stdout, ended.stderr
