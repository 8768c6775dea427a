"""paper_data.py -- what the data of docs/paper.md are: their seeds, those that were known before, set-ups of our own"""
from __future__ import annotations

import numpy as np

from ctpgbench_analysis.measure.episodes import MOST_STARTS, NEAR_ORIGIN, cartpole_pairs, stabilises
from ctpgbench_analysis.measure.intervals import median_interval
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.training import Pair, Training
from ctpgbench_analysis.read.words import seeds_text, without_reference_text
from ctpgbench_analysis.report.claims import LAST, SWUNG_UP, final_batches, final_ratio

KNOWN = range(8)  # seeds of quadrotor and cartpole that were known when the rules of claims 4 and 5 were made


# ---- seeds ----

def by_count(counts: dict[str, int]) -> str:
    """"lqr and diffdrive with 8 seeds, electric with 32 seeds" of {label: seeds}."""
    groups: dict[int, list[str]] = {}
    for label, count in counts.items():
        groups.setdefault(count, []).append(label)
    return ", ".join(" and ".join([*([", ".join(labels[:-1])] if labels[1:] else []), labels[-1]])
                     + f" with {seeds_text(count)}" for count, labels in groups.items())


def seeds_trained(training: Training) -> dict[str, int]:
    """{problem: how many seeds any estimator has}."""
    return {label: len({int(seed) for pair in training.of(label) for seed in pair.seeds})
            for label in training.problems}


def data_lines(training: Training, gradients: Results | None) -> list[str]:
    """How much the files hold."""
    words = [f"Training: {by_count(seeds_trained(training))}."]
    if gradients is not None:
        labels = gradients.problems["label"]
        judged = {label: int(gradients.judged(p).sum()) for p, label in enumerate(labels)}
        words.append(f"Gradients: {by_count(judged)}.")
        words += [f"On {label} {without_reference_text(gradients.without_reference(p))}"
                  for p, label in enumerate(labels) if gradients.without_reference(p)]
    return [" ".join(words), ""]


# ---- seeds that were known ----

def known(pair: Pair) -> np.ndarray:
    """[s] Was this seed known?"""
    return np.isin(pair.seeds, KNOWN)


def known_quadrotor(bptt: Pair, ctpg: Pair) -> str:
    """Final losses of the known seeds, and the ratio of the others."""
    spans = []
    for pair in (ctpg, bptt):
        losses = final_batches(pair)[known(pair)]
        spans += [f"{pair.label} {losses.min():.4g} to {losses.max():.4g}"] if len(losses) else []
    others = final_ratio(bptt, ctpg, sorted(set(bptt.seeds.tolist()) - set(KNOWN)))
    return (f"Quadrotor, final losses of the known seeds: {'; '.join(spans) or 'none is there'}. "
            + (f"Of the others alone, BPTT / ctpg: {others.text()}." if others.n else "There are no others."))


def known_cartpole(pairs: list[Pair]) -> str:
    """Who swings up, of the known seeds and of the others."""
    words = []
    for pair in pairs:
        swung, old = final_batches(pair) <= SWUNG_UP, known(pair)
        words.append(f"{pair.label} on {int(swung[old].sum())} of {int(old.sum())} known seeds"
                     + ("" if old.all() else f" and on {int(swung[~old].sum())} of {int((~old).sum())} others"))
    return f"Cartpole, who swings up: {'; '.join(words)}."


def known_lines(training: Training) -> list[str]:
    """What the seeds that were known say in these data, and what the others say."""
    quadrotor, cartpole = training.first_of("quadrotor", "euler-bptt", "ctpg"), cartpole_pairs(training)
    lines = [known_quadrotor(*quadrotor)] if quadrotor else []
    lines += [known_cartpole(cartpole)] if cartpole else []
    return [*[f"- {line}" for line in lines], ""]


# ---- beyond the paper ----

def beyond_line(pair: Pair) -> str | None:
    """What a pair of jobs/paper-beyond.yaml comes to; None of another problem."""
    if pair.problem_type == "quadrotor" and pair.read("path") is not None:
        hover = stabilises(pair)
        return (f"{int(hover.sum())} of {len(hover)} policies hover ({MOST_STARTS:.0%} of the test starts within "
                f"{NEAR_ORIGIN:g} m of the origin at the end); final test loss "
                f"{median_interval(pair.final_losses()).text()}")
    if pair.problem_type == "cartpole":
        swung = final_batches(pair) <= SWUNG_UP
        return (f"{int(swung.sum())} of {len(swung)} seeds swing up (loss of at most {SWUNG_UP:g}, mean of the last "
                f"{LAST} iterations)")
    return None


def beyond_lines(more: Training | None) -> list[str]:
    """What the set-ups of our own come to."""
    if more is None:
        return ["No file of jobs/paper-beyond.yaml was given (--more).", ""]
    found = [(pair, beyond_line(pair)) for pair in more.pairs]
    return [*[f"- {pair.problem}, {pair.label}: {line}." for pair, line in found if line], ""]
