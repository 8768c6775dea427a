"""beyond.py -- does a more accurate gradient need fewer iterations?

  ctpgbench beyond accuracy.h5 [-o figures] [--page docs/accuracy.md]

From a file of `ctpgbench train` with a ladder of gradient accuracies on each problem (jobs/accuracy.yaml):

  beyond             which accuracy suffices: iterations against the reference's over the error of the gradient in units
                     of the standard error of the batch, all problems in one
  beyond_<problem>   iterations, NFE and seconds to the target against the error of the gradient, which is drawn beside
                     the standard error of the batch (audits: -audit_every); .pdf, .png and a caption .txt
  conclusion.md      the table behind it and the conclusion in words

The rules are at the head of measure/ladder.py.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ctpgbench_analysis.draw.ladder import abscissa, ladder_figure, suffices_figure
from ctpgbench_analysis.draw.page import file_name, save
from ctpgbench_analysis.measure.intervals import Interval
from ctpgbench_analysis.measure.ladder import (EQUAL, FEWER, LEFT, LEVEL, MORE, OPEN, SAME, WORKS, Ladder, Rung, climb,
                                               ratio_of)
from ctpgbench_analysis.read.training import Training, remarks, source
from ctpgbench_analysis.report.page import copy_pictures, picture_lines, write_page
from ctpgbench_analysis.report.text import markdown, or_dash


def names(rungs):
    return ", ".join(rung.pair.label for rung in rungs) or "none"


def loss_word(ladder: Ladder) -> str:
    """Which loss is to be reached."""
    return "test loss" if ladder.tested else "training loss"


def noise_text(rung):
    if not np.isfinite(rung.in_noise):
        return f"gradient error {rung.error:.1e}" if np.isfinite(rung.error) else "gradient error not audited"
    return f"gradient error {rung.error:.1e}, {rung.in_noise:.2g} times the standard error of the batch"


def cheapest(ladder, name):
    """The rung with the least median work among those that are as good as the reference."""
    return min((rung for rung in ladder.rungs if rung.verdict == EQUAL), key=lambda rung: rung.work[name].value)


def coarsest_equal(ladder: Ladder) -> Rung:
    """The coarsest rung that is as good as the reference, as are all between them."""
    last = ladder.reference
    for rung in ladder.rungs:
        if rung.verdict != EQUAL:
            return last
        last = rung
    return last


def pooled_text(ladder: Ladder) -> str:
    """Who reaches the target on more or fewer seeds than all more accurate rungs together."""
    found = [f"{rung.pair.label} ({rung.reached} of {rung.work['nfe'].n}, the others {rung.finer[0]} of "
             f"{rung.finer[1]}; {noise_text(rung)})" for rung in ladder.rungs if rung.pooled_p < LEVEL]
    return ", ".join(found) or "none"


def following_text(ladder, rung):
    """A rung that follows the gradient against the cheapest constant one of its type."""
    others = [other for other in ladder.rungs if other.pair.type == rung.pair.type and not other.following]
    if not others:
        return []
    best = min(others, key=lambda other: other.work["nfe"].value)
    ratio = ratio_of(rung.works["nfe"], best.works["nfe"])
    return [
        f"Accuracy that follows the gradient ({rung.pair.label}): NFE / NFE of the cheapest constant one of its type "
        f"({best.pair.label}) = {ratio.text()}."
    ]


def conclusion_of(ladder):
    """Sentences on one problem."""
    groups = {word: [rung for rung in ladder.rungs if rung.verdict == word] for word in (EQUAL, MORE, FEWER, OPEN)}
    lines = [
        f"As many iterations as {ladder.reference.pair.label} ({SAME[0]:g} to {SAME[1]:g} times) take: "
        f"{names(groups[EQUAL])}; more: {names(groups[MORE])}; fewer: {names(groups[FEWER])}; not decided: "
        f"{names(groups[OPEN])}.",
        f"The coarsest gradient that is as good, as are all between, is that of {coarsest_equal(ladder).pair.label}: "
        f"{noise_text(coarsest_equal(ladder))}.",
    ]
    for word, rungs in ((MORE, groups[MORE]), (FEWER, groups[FEWER])):
        if rungs:
            lines.append(f"The most accurate gradient that needs {word} is that of {rungs[0].pair.label}: "
                         f"{noise_text(rungs[0])}; {rungs[0].reached} of {rungs[0].work['nfe'].n} seeds reach the "
                         f"target, {ladder.reference.reached} with {ladder.reference.pair.label}.")
    lines.append(f"Not as often there as all more accurate rungs together (pooled test): {pooled_text(ladder)}.")
    for name, word in (("nfe", "NFE"), ("cpu", "CPU time (s)")):
        rung = cheapest(ladder, name)
        lines.append(f"Least {word} to the target among those that are as good: {rung.pair.label}, "
                     f"{rung.work[name].text('.4g')}.")
    for rung in ladder.rungs:
        lines += following_text(ladder, rung) if rung.following else []
    return lines


def cell(interval: Interval) -> str:
    if not interval.n:
        return "-"
    ends = f" ({interval.low:.3g} to {interval.high:.3g})" if interval.known else ""
    return f"{interval.estimate()}{ends}"


def ladder_table(ladder):
    header = ["rung", "accuracy", "gradient error", "error / standard error", "reached", "p (reached)", "iterations",
              "NFE", "CPU s", "iterations / reference's", "p (earlier)", "p (pooled)", "verdict"]

    def row(rung):
        values = (rung.reached_p, rung.earlier_p, rung.pooled_p)
        tests = ["-" if rung is ladder.reference else f"{p:.2g}" for p in values]
        return [rung.pair.label, rung.accuracy_text, or_dash(rung.error, ".1e"),
                or_dash(rung.in_noise, ".2g"), f"{rung.reached}/{rung.work['nfe'].n}", tests[0],
                *[cell(rung.work[name]) for name in WORKS], cell(rung.ratio["iterations"]), *tests[1:], rung.verdict]
    return markdown(header, [row(rung) for rung in ladder.rungs])


def answer(ladders):
    """The question, answered over all problems: which accuracy suffices, in units of the batch's standard error."""
    more = {ladder.problem: [rung for rung in ladder.rungs if rung.verdict == MORE] for ladder in ladders}
    good = {ladder.problem: coarsest_equal(ladder).in_noise for ladder in ladders
            if coarsest_equal(ladder) is not ladder.reference}
    good = {problem: value for problem, value in good.items() if math.isfinite(value)}
    silent = [ladder for ladder in ladders if {rung.verdict for rung in ladder.rungs[1:]} == {OPEN}]
    bad = {problem: np.nanmin([rung.in_noise for rung in rungs]) for problem, rungs in more.items()
           if rungs and any(math.isfinite(rung.in_noise) for rung in rungs)}
    found = [problem for problem, rungs in more.items() if rungs]
    words = [f"On {len(found)} of {len(ladders)} problems ({', '.join(found) or 'none'}) a gradient of the ladder "
             f"needs more iterations than the reference, or does not get there."]
    if good:
        worst = min(good, key=good.get)
        words.append(f"In units of the standard error of the batch, gradients with errors up to "
                     f"{', '.join(f'{value:.2g} ({problem})' for problem, value in good.items())} are as good as the "
                     f"most accurate ones: {good[worst]:.2g} suffices on {'all of them' if len(good) > 1 else 'it'}.")
    for ladder in silent:
        words.append(f"Nothing is decided on {ladder.problem}, where the reference itself reaches the target on "
                     f"{ladder.reference.reached} of {ladder.reference.work['nfe'].n} seeds; not as often there as all "
                     f"more accurate rungs together: {pooled_text(ladder)}.")
    if bad:
        words.append(f"The least error that is known to cost iterations is "
                     f"{', '.join(f'{value:.2g} ({problem})' for problem, value in bad.items())}.")
    return " ".join(words)


def conclusion(training: Training) -> tuple[list[str], list[Ladder]]:
    """(lines of Markdown, ladders): tables, sentences, and the answer."""
    ladders = {problem: climb(training, problem) for problem in training.problems}
    climbed = [ladder for ladder in ladders.values() if ladder]
    lines = [answer(climbed), ""] if climbed else []
    for problem, ladder in ladders.items():
        if not ladder:
            lines += [f"{problem}: no ladder; it takes two estimators, and training that lowers the loss.", ""]
            continue
        lines += [f"### {problem}: to a {loss_word(ladder)} of {ladder.target:.4g} in the median", "",
                  *ladder_table(ladder), "",
                  *[f"- {line}" for line in conclusion_of(ladder)], ""]
    return (
        lines
        + [
            "Medians over seeds with exact 95 % intervals; runs that never get there count as infinite. p (reached): "
            "McNemar's exact test; p (earlier): log-rank test stratified by seed; both against the reference, after "
            "Holm. p (pooled): exact test of who gets there, against all more accurate rungs together, added when the "
            "data were known. The rules are at the head of measure/ladder.py. " + source(training)
        ],
        climbed,
    )


def caption(ladder, training):
    pairs = [rung.pair for rung in ladder.rungs]
    lines = [
        f"{ladder.problem}: work until {1 - LEFT:.0%} of the best improvement of the {loss_word(ladder)} with the same "
        f"seed is made ({loss_word(ladder)} {ladder.target:.4g} in the median). "
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


def suffices_caption(ladders: list[Ladder], training: Training) -> str:
    """Of the figure of all problems."""
    return "\n".join([
        f"Which accuracy suffices. Iterations to the target as a multiple of those that the most accurate gradient "
        f"takes, against the error of the gradient as a multiple of the standard error of the batch: median over the "
        f"seeds and its exact 95 % interval. Filled: equal by the rule ({SAME[0]:g} to {SAME[1]:g}, shaded); crosses: "
        f"more iterations, or fewer seeds that get there; hollow: all else. Beyond the upper edge: at least so many.",
        answer(ladders), source(training), ""])


def write(training: Training, folder: Path, page: Path | None = None) -> None:
    """Figures and conclusion.md into the folder, within our_style; page: of which the marked part is rewritten."""
    lines, ladders = conclusion(training)
    for ladder in ladders:
        save(ladder_figure(ladder), caption(ladder, training), folder, f"beyond_{file_name(ladder.problem)}")
    audited = [ladder for ladder in ladders if any(math.isfinite(rung.in_noise) for rung in ladder.rungs)]
    if audited:
        save(suffices_figure(audited), suffices_caption(audited, training), folder, "beyond")
    text = "\n".join(["# Does a more accurate gradient need fewer iterations?", "", *lines, ""])
    (folder / "conclusion.md").write_text(text, encoding="utf-8")
    print(folder / "conclusion.md")
    if page is not None:
        pictures = picture_lines("beyond", folder, page.stem) if audited else []
        write_page(page, "accuracy", {"ladder": [*lines[:2], *pictures, *lines[2:]]})
        copy_pictures(["beyond"] if audited else [], folder, page.with_suffix(""))
        print(page)
