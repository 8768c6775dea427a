"""contract.py -- the table of how contracts are kept; the words are those of measure/contract.py"""
from __future__ import annotations

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.contract import OUTCOMES, conduct
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.report.text import aligned, markdown, paragraphs

LEGEND = (
    "kept: the error is allowed; noticed: it is not, and the error bar says so; silent: it does not; refused: no "
    "gradient. bar: share of error bars within a factor 3 of the true error. price: NFE over that of the cheapest "
    "rtol of a label without contract that is accurate enough, known in hindsight (median). layer: error of the "
    "worst layer over what is allowed (median). signs: share of entries with the right sign (median)."
)


def print_contract(results: Results, as_markdown: bool) -> None:
    """One row for each problem and each estimator under a contract."""
    body = []
    if "promise" not in results.runs.dtype.names:
        raise ResultsError(f"{results.path} has no column promise in runs/table; it is older than contracts.")
    for problem in range(len(results.problems)):
        for estimator in range(len(results.estimators)):
            found = conduct(results, problem, estimator)
            if found:
                body.append([str(results.problems["label"][problem]), str(results.estimators["label"][estimator]),
                             *[str(found.counts[outcome]) for outcome in OUTCOMES], f"{found.bar_good:.3f}",
                             f"{found.price:.2f}", f"{found.layer:.2g}", f"{found.signs:.4f}"])
    if not body:
        raise ResultsError(f"{results.path} holds no finished run under a contract (knob grad_rtol).")
    header = ["problem", "estimator", *OUTCOMES, "bar", "price", "layer", "signs"]
    print("\n".join([*(markdown if as_markdown else aligned)(header, body), "", *paragraphs(LEGEND)]))
