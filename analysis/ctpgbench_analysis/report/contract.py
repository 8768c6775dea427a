"""contract.py -- the table of how contracts are kept; the words are those of measure/contract.py"""
from __future__ import annotations

from pathlib import Path

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.contract import OUTCOMES, Conduct, together, trials_of
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.report.page import publish
from ctpgbench_analysis.report.text import aligned, markdown, or_dash, paragraphs

LEGEND = (
    "kept: the error is allowed; noticed: it is not, and the error bar says so; silent: it does not; refused: no "
    "gradient. bar: share of error bars within a factor 3 of the true error; tight: the same where less than 1e-2 is "
    "asked for. price: NFE over that of the cheapest rtol of a label without contract that is accurate enough, known "
    "in hindsight (median). layer: error of the worst layer over what is allowed (median). 1 - cos: of the angle to "
    "the true gradient (median). signs: share of entries with the right sign (median)."
)
HEADER = ["problem", "estimator", *OUTCOMES, "bar", "tight", "price", "layer", "1 - cos", "signs"]


def words_of(found: Conduct) -> list[str]:
    """The cells behind the two labels."""
    return [*(str(found.counts[outcome]) for outcome in OUTCOMES), or_dash(found.bar_good, ".3f"),
            or_dash(found.bar_tight, ".3f"), or_dash(found.price, ".2f"), or_dash(found.layer, ".2g"),
            or_dash(found.cosine, ".1e"), or_dash(found.signs, ".4f")]


def contract_rows(results: Results) -> list[list[str]]:
    """One row for each estimator under a contract on each problem, and one for its problems together."""
    if "promise" not in results.runs.dtype.names:
        raise ResultsError(f"{results.path} has no column promise in runs/table; it is older than contracts.")
    body, all_of_it = [], []
    for estimator in range(len(results.estimators)):
        label = str(results.estimators["label"][estimator])
        found = {str(results.problems["label"][problem]): trials_of(results, problem, estimator)
                 for problem in range(len(results.problems))}
        found = {name: trials for name, trials in found.items() if trials}
        body += [[name, label, *words_of(together([trials]))] for name, trials in found.items()]
        if len(found) > 1:
            all_of_it.append(["together", label, *words_of(together(list(found.values())))])
    if not body:
        raise ResultsError(f"{results.path} holds no finished run under a contract (knob grad_rtol).")
    return body + all_of_it


def print_contract(files: list[Results], as_markdown: bool, page: Path | None = None) -> None:
    """The rows of all files in one table, or that table in a page."""
    body = [row for results in files for row in contract_rows(results)]
    if page:
        publish("contract", {"sweep": markdown(HEADER, body)}, page)
        return
    print("\n".join([*(markdown if as_markdown else aligned)(HEADER, body), "", *paragraphs(LEGEND)]))
