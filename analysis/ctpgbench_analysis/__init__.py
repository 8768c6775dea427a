"""ctpgbench_analysis -- figures, tables and claims from the files of ctpgbench

    python3 -m ctpgbench_analysis --help        (or: ctpgbench figures sweep.h5, ctpgbench-analysis figures sweep.h5)

    import ctpgbench_analysis
    sweep = ctpgbench_analysis.read("sweep.h5")             # pandas: sweep.runs, sweep.cases, sweep.problems, ...
    sweep.runs[(sweep.runs.status == "ok") & (sweep.runs.estimator == "ctpg")]

Rooms, each of which knows those before it: read (files), measure (numbers), draw (figures), report (tables and texts).
"""
from ctpgbench_analysis import read
from ctpgbench_analysis.errors import ResultsError

__all__ = ["ResultsError", "read"]
