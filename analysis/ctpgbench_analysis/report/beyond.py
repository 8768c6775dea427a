"""beyond.py -- does a more accurate gradient need fewer iterations?  ctpgbench beyond beyond.h5 [-o figures]

From a file of `ctpgbench train` with a ladder of gradient accuracies on each problem (jobs/beyond.yaml):

  beyond_<problem>   iterations, NFE and seconds to the target against the error of the gradient, which is drawn beside
                     the standard error of the batch (audits: -audit_every); .pdf, .png and a caption .txt
  conclusion.md      the table behind it and the conclusion in words

The rules are at the head of measure/ladder.py.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ctpgbench_analysis.draw.ladder import abscissa, ladder_figure
from ctpgbench_analysis.draw.page import file_name, save
from ctpgbench_analysis.measure.intervals import Interval
from ctpgbench_analysis.measure.ladder import ENOUGH, LEFT, MORE, OPEN, WORKS, Ladder, climb, ratio_of
from ctpgbench_analysis.read.training import Training, remarks, source
from ctpgbench_analysis.report.text import markdown


def names(rungs):
    return ", ".join(rung.pair.label for rung in rungs) or "none"


def noise_text(rung):
    if not (np.isfinite(rung.error) and np.isfinite(rung.stderr) and rung.stderr > 0):
        return f"gradient error {rung.error:.1e}" if np.isfinite(rung.error) else "gradient error not audited"
    return f"gradient error {rung.error:.1e}, {rung.error / rung.stderr:.2g} times the standard error of the batch"


def cheapest(ladder, name):
    """The rung with the least median work among those that are accurate enough."""
    return min((rung for rung in ladder.rungs if rung.verdict == ENOUGH), key=lambda rung: rung.work[name].value)


def following_text(ladder, rung):
    """A rung that follows the gradient against the cheapest constant one of its type."""
    others = [other for other in ladder.rungs if other.pair.type == rung.pair.type and not other.following]
    if not others:
        return []
    best = min(others, key=lambda other: other.work["nfe"].value)
    ratio = ratio_of(rung.pair, best.pair, ladder.targets, "nfe")
    return [
        f"Accuracy that follows the gradient ({rung.pair.label}): NFE / NFE of the cheapest constant one of its type "
        f"({best.pair.label}) = {ratio.text()}."
    ]


def conclusion_of(ladder):
    """Sentences on one problem."""
    groups = {word: [rung for rung in ladder.rungs if rung.verdict == word] for word in (ENOUGH, MORE, OPEN)}
    loosest = groups[ENOUGH][-1]
    lines = [
        f"No more iterations than with {ladder.reference.pair.label} are needed with: {names(groups[ENOUGH])}; more "
        f"with: {names(groups[MORE])}; not decided: {names(groups[OPEN])}.",
        f"The coarsest gradient that is known to be accurate enough is that of {loosest.pair.label}: "
        f"{noise_text(loosest)}.",
    ]
    if groups[MORE]:
        lines.append(f"The most accurate gradient that is known to need more is that of {groups[MORE][0].pair.label}: "
                     f"{noise_text(groups[MORE][0])}; iterations / those of {ladder.reference.pair.label} = "
                     f"{groups[MORE][0].ratio['iterations'].text()}.")
    for name, word in (("nfe", "NFE"), ("seconds", "seconds")):
        rung = cheapest(ladder, name)
        lines.append(f"Fewest {word} to the target among them: {rung.pair.label}, {rung.work[name].text('.4g')}.")
    for rung in ladder.rungs:
        lines += following_text(ladder, rung) if rung.following else []
    return lines


def cell(interval: Interval) -> str:
    if not interval.n:
        return "-"
    ends = f" ({interval.low:.3g} to {interval.high:.3g})" if interval.known else ""
    return f"{interval.estimate()}{ends}"


def ladder_table(ladder):
    header = ["rung", "accuracy", "gradient error", "error / standard error", "reached", "iterations", "NFE", "s",
              "iterations / reference's", "verdict"]

    def row(rung):
        against = rung.error / rung.stderr if rung.stderr > 0 else math.nan
        return [rung.pair.label, rung.accuracy_text, "-" if math.isnan(rung.error) else f"{rung.error:.1e}",
                "-" if math.isnan(against) else f"{against:.2g}", f"{rung.reached}/{rung.work['nfe'].n}",
                *[cell(rung.work[name]) for name in WORKS], cell(rung.ratio["iterations"]), rung.verdict]
    return markdown(header, [row(rung) for rung in ladder.rungs])


def answer(ladders):
    """The question, answered over all problems."""
    more = [ladder.problem for ladder in ladders if any(rung.verdict == MORE for rung in ladder.rungs)]
    coarsest = [[rung for rung in ladder.rungs if rung.verdict == ENOUGH][-1] for ladder in ladders]
    ratios = [rung.error / rung.stderr for rung, ladder in zip(coarsest, ladders)
              if rung is not ladder.reference and rung.stderr > 0]
    first = (
        f"On {len(more)} of {len(ladders)} problems ({', '.join(more)}) a coarse gradient of the ladder needs more "
        f"iterations"
        if more
        else f"On none of {len(ladders)} problems is it seen that a coarser gradient of the "
        f"ladder needs more iterations"
    )
    second = (f"; the coarsest gradients that are known to need no more have errors of {min(ratios):.2g} to "
              f"{max(ratios):.2g} times the standard error of the batch." if ratios else ".")
    return first + second


def conclusion(training: Training) -> tuple[list[str], list[Ladder]]:
    """(lines of Markdown, ladders): tables, sentences, and the answer."""
    ladders = {problem: climb(training, problem) for problem in training.problems}
    climbed = [ladder for ladder in ladders.values() if ladder]
    lines = [answer(climbed), ""] if climbed else []
    for problem, ladder in ladders.items():
        if not ladder:
            lines += [
                f"{problem}: no ladder; it takes two estimators with test losses, and training that lowers them.",
                "",
            ]
            continue
        lines += [f"### {problem}: to a test loss of {ladder.target:.4g} in the median", "", *ladder_table(ladder), "",
                  *[f"- {line}" for line in conclusion_of(ladder)], ""]
    return (
        lines
        + [
            "Medians over seeds with exact 95 % intervals; runs that never get there count as infinite. The rules "
            "are at the head of measure/ladder.py. " + source(training)
        ],
        climbed,
    )


def caption(ladder, training):
    pairs = [rung.pair for rung in ladder.rungs]
    lines = [
        f"{ladder.problem}: work until {1 - LEFT:.0%} of the improvement of the test loss by "
        f"{ladder.reference.pair.label} with the same seed is made (test loss {ladder.target:.4g} in the median). "
        f"Markers: median over seeds, bars: its exact 95 % interval (from six seeds on), to the upper edge where it is "
        f"unbounded; runs that never get there count as infinite. NFE = nf + nvjp_x + nvjp_theta.",
        (
            "Abscissa: relative error of the batch gradient against an accurate one, median over seeds and audits "
            "(bars in the first panel: quartiles). Grey: quartiles of the relative standard error of the "
            "batch gradient."
            if abscissa(ladder)[1].startswith("relative")
            else "The file holds no audits (-audit_every) of every rung, so " "the accuracy itself is the abscissa."
        ),
    ]
    return "\n".join([*lines, *conclusion_of(ladder), *remarks(pairs), source(training), ""])


def write(training: Training, folder: Path) -> None:
    """Figures and conclusion.md into the folder, within our_style."""
    lines, ladders = conclusion(training)
    for ladder in ladders:
        save(ladder_figure(ladder), caption(ladder, training), folder, f"beyond_{file_name(ladder.problem)}")
    text = "\n".join(["# Does a more accurate gradient need fewer iterations?", "", *lines, ""])
    (folder / "conclusion.md").write_text(text, encoding="utf-8")
    print(folder / "conclusion.md")
