"""batch_contract.py -- tables of contracts on a batch's mean gradient and of trainings to one loss: ctpgbench analysis
contract FILE.. for files of training, whose words are those of measure/batch_contract.py"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.batch_contract import DESCENT, TERMS, batch_conduct, race_of
from ctpgbench_analysis.read.training import Training
from ctpgbench_analysis.report.page import publish
from ctpgbench_analysis.report.text import aligned, markdown, or_dash, paragraphs, significant

LEGEND = (
    "kept, noticed, silent: audits in which the error of the mean was allowed; was not, and the foretold error said "
    "so; was not, and it did not. bar: share of foretold errors (root mean squares) within a factor 3. judge: its "
    "evaluations over all others. again: share of batches that were solved more than once. allowed by: the terms. "
    "NFE: of one gradient, all told; price: over that of the constant tolerance that is cheapest in hindsight among "
    "those that would have kept the contract in 95 % of the audits."
)
RACE_LEGEND = (
    f"To the loss at {100 * DESCENT:.0f} % of the way from the reference's first to its last one, seed by seed: test "
    "losses, or where there are none means of batch losses. Medians over the seeds, those of a judge included; CPU "
    "time of the leading thread."
)
KEPT_HEADER = ["problem", "estimator", "kept", "noticed", "silent", "bar", "judge", "again", "allowed by", "NFE",
               "price", "best constant"]
RACE_HEADER = ["problem", "estimator", "reached", "iterations", "evaluations", "CPU s"]


def number(value: float) -> str:
    return "-" if not np.isfinite(value) else significant(value)


def kept_rows(trainings: list[Training]) -> list[list[str]]:
    """One row for each pair under a contract that was audited."""
    body = []
    for training in trainings:
        for pair in training.pairs:
            found = batch_conduct(training, pair)
            if not found:
                continue
            terms = ", ".join(f"{name} {share:.2f}" for name, share in zip(TERMS, found.terms) if share >= 0.005)
            body.append([pair.problem, pair.label, *(str(count) for count in found.counts.values()),
                         f"{found.bar_good:.2f}", f"{found.judge:.3f}", f"{found.again:.3f}", terms,
                         number(found.per_gradient), or_dash(found.price, ".2f"),
                         found.best or "none"])
    return body


def race_rows(trainings: list[Training], reference: str) -> list[list[str]]:
    """One row for each pair of the problems on which the reference was trained."""
    return [[problem, label, f"{found.reached} of {found.of}", number(found.iterations), number(found.evaluations),
             number(found.cpu)]
            for training in trainings for problem in training.problems
            for label, found in race_of(training, problem, reference).items()]


def print_batch_contract(trainings: list[Training], reference: str, as_markdown: bool,
                         page: Path | None = None) -> None:
    """Both tables, or what a page shows of them."""
    tables = {"kept": (KEPT_HEADER, kept_rows(trainings)), "race": (RACE_HEADER, race_rows(trainings, reference))}
    if not any(body for _, body in tables.values()):
        raise ResultsError(f"{trainings[0].path} has no contract on a batch (-batch_grad_rtol) that was audited "
                           f"(-audit_every), and no label {reference}.")
    if page or as_markdown:
        parts = {name: markdown(header, body) for name, (header, body) in tables.items() if body}
        publish("contract", parts, page)
        return
    for name, legend in (("kept", LEGEND), ("race", RACE_LEGEND)):
        header, body = tables[name]
        if body:
            print("\n".join([*aligned(header, body), "", *paragraphs(legend), ""]))
