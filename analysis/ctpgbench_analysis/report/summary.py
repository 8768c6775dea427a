"""summary.py -- the paper's claims as a terminal shows them"""
from __future__ import annotations

from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.training import Training, remarks, source
from ctpgbench_analysis.report.claims import iterations_text, judge_all
from ctpgbench_analysis.report.text import paragraphs


def print_claims(training: Training, gradients: Results | None) -> None:
    """Every claim with its verdict, rule and numbers; gradients: of a sweep, for the first claim."""
    for number, claim in enumerate(judge_all(training, gradients), 1):
        print("\n".join([*paragraphs(f"{number}. {claim.text}", f"{claim.verdict.upper()}: {claim.reason}.",
                                     f"Rule: {claim.rule}", *claim.numbers), ""]))
    print("\n".join(paragraphs(*iterations_text(training), *remarks(training.pairs), source(training))))
