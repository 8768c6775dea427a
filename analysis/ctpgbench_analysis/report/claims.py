"""claims.py -- what the paper's figures claim, the rule for each claim, and the verdict of the data

The first three rules were written down before any training at full scale. Those of the cartpole and of the quadrotor
are about what figures 6 and 7 show, in the set-ups that give their axes (jobs/paper.yaml); they were written when eight
seeds of these set-ups were known, by an independent program and by this one: on the quadrotor ctpg's loss was 524 to
634, BPTT's 766 to 15,868 after the same NFE and 707 to 12,650 after 1.5 times as many; on the cartpole both swung up on
7 of 8 seeds, BPTT with 2.3 to 2.8 times the NFE. All are about the seeds as the sample: a median over seeds with its
exact 95 % interval (from six seeds on), or a share of seeds with its Clopper-Pearson interval. A claim is confirmed or
refuted where the whole interval is on one side of the threshold, else it is not decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.measure.crossing import seed_bounds
from ctpgbench_analysis.measure.episodes import (MOST_STARTS, NEAR_ORIGIN, cartpole_pairs, counts_loss, optimum,
                                                 stabilises, yaw_rates_at_end)
from ctpgbench_analysis.measure.intervals import FEWEST, Interval, median_interval, share_interval
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.training import Pair, Training, clock_of, common

CONFIRMED, REFUTED, OPEN = "confirmed", "refuted", "not decided"
FAR = 3.0                    # "far fewer" means at least this factor
TARGET = 1e-3                # relative gradient error at which the first claim is judged
BAD_GRADIENT = 1.0           # relative error from which on a gradient says nothing
TWICE = 2.0                  # a training failed if its excess over the optimum is above this multiple of ctpg's
SWUNG_UP = -0.3              # loss of a cartpole that swings up
TSIT5_EVALUATIONS = 6        # of a step, the first of which is the last of the step before
LAST = 10                    # iterations whose mean loss is a run's final one in figures 6 and 7
PRINTED_TURN = 400           # iteration at which the loss of figure 3 is near its least
LEARNT = 10.0                # by what factor the loss of a quadrotor that learns has fallen
SAME_NFE = (0.8, 1.25)       # ratio of NFE that counts as the same


@dataclass
class Claim:
    """A claim of the paper and what these data say to it; all texts are sentences."""
    text: str
    rule: str
    numbers: list[str]
    verdict: str
    reason: str


def side(interval: Interval, threshold: float = 1.0) -> str:
    """CONFIRMED above the threshold, REFUTED below."""
    if interval.low > threshold:
        return CONFIRMED
    return REFUTED if interval.high < threshold else OPEN


def why_open(interval: Interval) -> str:
    return (f"only {interval.n} seeds, and a median needs {FEWEST} for a 95 % interval" if not interval.known
            else "the interval holds the threshold")


def ratio_bounds(first, second) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of first / second, work that may be infinite (never) or zero (before the first step)."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    unknown = (np.isinf(first) & np.isinf(second)) | ((first == 0) & (second == 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = first / second
    return np.where(unknown, 0.0, ratio), np.where(unknown, np.inf, ratio)


# ---- 1: gradient error against NFE ----

def find_type(results, kind):
    """First row of estimators of this type; None."""
    found = np.flatnonzero(results.estimators["type"] == kind)
    return int(found[0]) if len(found) else None


def nfe_ratio(results, problem, target):
    """Interval of NFE of Euler-BPTT / NFE of ctpg at this error, over the seeds; None without both."""
    ctpg, bptt = find_type(results, "ctpg"), find_type(results, "euler-bptt")
    if ctpg is None or bptt is None or not len(results.rows(problem, ctpg)) or not len(results.rows(problem, bptt)):
        return None
    fine, coarse = (seed_bounds(make_grid(results, problem, e), target) for e in (ctpg, bptt))
    seeds = sorted(fine.keys() & coarse.keys())
    if not seeds:
        return None
    ratios = [(coarse[s][0] / fine[s][1] if fine[s][1] else 0.0, coarse[s][1] / fine[s][0] if fine[s][0] else math.inf)
              for s in seeds]
    return median_interval([low for low, _ in ratios], [high for _, high in ratios])


def claim_gradients(results):
    text = "ctpg reaches a given gradient error with far fewer NFE than BPTT."
    rule = (
        f"Per problem: the ratio of the NFE of Euler-BPTT to that of ctpg at a relative error of {TARGET:g}, median "
        f"over the seeds of the gradient sweep; a seed on which an estimator's finest setting does not get there "
        f"counts as more than that setting's NFE. Confirmed where the interval is above {FAR:g} on every problem, "
        f"refuted where it is below {FAR:g} on one."
    )
    if results is None:
        return Claim(text, rule, [], OPEN, "no gradient sweep was given (--gradients)")
    numbers, sides = [], {}
    for p, label in enumerate(results.problems["label"]):
        interval = nfe_ratio(results, p, TARGET)
        if interval is None:
            continue
        sides[label] = side(interval, FAR)
        numbers.append(f"{label}: NFE of BPTT / NFE of ctpg = {interval.text()}: {sides[label]}.")
    if not sides:
        return Claim(text, rule, numbers, OPEN, "the gradient sweep holds no problem with finished runs of both")
    groups = {word: [label for label, found in sides.items() if found == word] for word in (CONFIRMED, REFUTED, OPEN)}
    verdict = REFUTED if groups[REFUTED] else OPEN if groups[OPEN] else CONFIRMED
    reason = "; ".join(f"{word} on {', '.join(labels)}" for word, labels in groups.items() if labels)
    return Claim(text, rule, numbers, verdict, reason)


# ---- 2: the neural ODE ----

def final_or_last(pair):
    """[s] final losses, of the tests or, without tests, of the last tenth of training."""
    finals = pair.final_losses()
    if finals is not None:
        return finals
    losses = pair.history("loss")
    mean = losses[:, -max(1, losses.shape[1] // 10):].mean(axis=1)
    return np.where(pair.ok & np.isfinite(mean), mean, np.inf)


def gradient_failures(results):
    """Sentences: how often the plain neural ODE gave no gradient worth the name in the sweep."""
    node = None if results is None else find_type(results, "neural-ode")
    lines = []
    for p, label in enumerate(results.problems["label"] if node is not None else []):
        rows = results.rows(p, node)
        rows = rows[results.run_done[rows] & results.judged(p)[results.runs["case_index"][rows]]]
        if len(rows):
            good = (results.runs["status"][rows] == results.ok) & (results.runs["err_rel"][rows] < BAD_GRADIENT)
            lines.append(f"Gradient sweep, {label}: {len(rows) - good.sum()} of {len(rows)} gradients of neural-ode "
                         f"failed or had a relative error of at least {BAD_GRADIENT:g}.")
    return lines


def claim_neural_ode(training, results):
    text = "The plain neural ODE fails on stabilising policies."
    rule = (
        f"Training on lqr: a run of neural-ode fails if it does not end ok, or if its final loss exceeds the optimum "
        f"by more than {TWICE:g} times what that of ctpg with the same seed does. Confirmed where the interval of the "
        f"share of failing seeds is above one half, refuted where it is below."
    )
    numbers = gradient_failures(results)
    pairs = training.first_of("lqr", "neural-ode", "ctpg")
    if not pairs:
        return Claim(text, rule, numbers, OPEN, "no training of both neural-ode and ctpg on lqr in the file")
    best = optimum(pairs[0])
    rows = common(*pairs)
    if best is None or not len(rows[0]):
        return Claim(text, rule, numbers, OPEN, "the optimum of this lqr is not known in closed form" if best is None
                     else "neural-ode and ctpg have no seed in common")
    best = best[rows[0]]
    neural, exact = (final_or_last(pair)[row] for pair, row in zip(pairs, rows))
    with np.errstate(invalid="ignore"):
        failed = np.isinf(neural) | (neural - best > TWICE * (exact - best))
    share = share_interval(int(failed.sum()), len(failed))
    numbers = [f"{int(failed.sum())} of {len(failed)} seeds fail: share {share.text('.2f')}.",
               f"Final loss of neural-ode: {median_interval(neural).text()}; of ctpg: {median_interval(exact).text()}; "
               f"optimum {best.mean():.4g}.", course(pairs[0], rows[0]), *backsolve_numbers(pairs[0], rows[0]),
               *numbers]
    verdict = side(share, 0.5)
    return Claim(text, rule, numbers, verdict, f"share of failing seeds between {share.low:.2f} and {share.high:.2f}")


def course(pair: Pair, rows: np.ndarray) -> str:
    """Sentence: a training's loss at the turn of figure 3, and its largest one from there on."""
    losses = pair.history("loss")[rows]
    turn = min(PRINTED_TURN, losses.shape[1] - 1)
    with np.errstate(invalid="ignore"):
        peaks = np.fmax.reduce(losses[:, turn:], axis=1)
    return (f"Training loss of {pair.label} at iteration {turn}: {span_text(losses[:, turn])}; its largest one from "
            f"there on: {span_text(peaks)}.")


def span_text(values: np.ndarray) -> str:
    """Median, least and largest, over seeds."""
    return f"{np.median(values):.3g} in the median over seeds, {np.min(values):.3g} to {np.max(values):.3g}"


def backsolve_numbers(pair, rows):
    with np.errstate(invalid="ignore"):
        worst = np.fmax.reduce(pair.history("backsolve_error")[rows], axis=1)
    if not np.isfinite(worst).any():
        return []
    what = "||(x, loss) - (x0, 0)||" if counts_loss(pair) else "||x - x0||"
    return [f"Largest backsolve error {what} of a training, of what is integrated back to t = 0: median over seeds "
            f"{np.nanmedian(worst):.3g}, largest {np.nanmax(worst):.3g}."]


# ---- 3: electric ----

def common_targets(first, second):
    """[s] the loss that both reach: the larger of two final losses; that of the other where one failed."""
    return np.where(np.isinf(first), second, np.where(np.isinf(second), first, np.maximum(first, second)))


def work_ratio(bptt: Pair, ctpg: Pair, name: str) -> Interval | None:
    """Interval of work of BPTT / work of ctpg to the loss that both reach; None without tests or common seeds."""
    rows = common(bptt, ctpg)
    finals = [pair.final_losses() for pair in (bptt, ctpg)]
    if any(final is None for final in finals) or not len(rows[0]):
        return None
    targets = common_targets(*(final[row] for final, row in zip(finals, rows)))
    works = []
    for pair, row in zip((bptt, ctpg), rows):
        wanted = np.full(len(pair.runs), -np.inf)
        wanted[row] = np.where(np.isfinite(targets), targets, -np.inf)
        works.append(np.where(pair.ok, pair.work_to(wanted, name), np.inf)[row])
    return median_interval(*ratio_bounds(*works))


def price_text(pair: Pair, clock: str, word: str) -> str:
    """Sentence: time of a whole training, and of one evaluation in it."""
    rows = np.arange(len(pair.runs)), pair.runs["iterations_done"]
    seconds, nfe = pair.work(clock)[rows], pair.work("nfe")[rows]
    return (f"{word} of a training with {pair.label}: {np.median(seconds):.3g} s in the median, "
            f"{1e6 * np.median(seconds / nfe):.2g} µs for an evaluation.")


def claim_electric(training):
    text = "On electric ctpg wins on NFE and on wallclock."
    rule = ("Per seed: the work until the test loss is first at most the loss that both reach (the larger of the two "
            "final losses; between tests the loss is interpolated), BPTT / ctpg. Confirmed where the intervals of the "
            "median ratio are above 1 for NFE and for time, refuted where one of them is below 1. Time is that of the "
            "CPU, which is wallclock on an idle machine, and wallclock itself where the file has no other.")
    pairs = training.first_of("electric", "euler-bptt", "ctpg")
    if not pairs:
        return Claim(text, rule, [], OPEN, "no training of both ctpg and Euler-BPTT on electric in the file")
    clock = clock_of(pairs)
    intervals = {name: work_ratio(*pairs, name) for name in ("nfe", clock)}
    if intervals["nfe"] is None:
        return Claim(text, rule, [], OPEN, "there are no test losses (-test_every) of seeds that both have")
    names = {"nfe": "NFE", "seconds": "Wallclock", "cpu": "CPU time"}
    numbers = [f"{names[name]}, BPTT / ctpg: {interval.text()}." for name, interval in intervals.items()]
    finals = [pair.final_losses() for pair in pairs]
    numbers += [f"Final loss of {pair.label}: {median_interval(final).text()}." for pair, final in zip(pairs, finals)]
    numbers += [price_text(pair, clock, names[clock]) for pair in pairs]
    sides = {names[name]: side(interval) for name, interval in intervals.items()}
    verdict = next((word for word in (REFUTED, OPEN) if word in sides.values()), CONFIRMED)
    reason = "; ".join(f"{name}: {word}" for name, word in sides.items())
    if not intervals["nfe"].known:
        reason = why_open(intervals["nfe"])
    return Claim(text, rule, numbers, verdict, reason)


# ---- 4: cartpole ----

def nfe_to_loss(pair: Pair, target: float) -> np.ndarray:
    """[s] NFE before the first iteration whose batch has at most this loss; infinite where none has."""
    with np.errstate(invalid="ignore"):
        below = pair.history("loss") <= target
    nfe = pair.nfe()[np.arange(len(below)), below.argmax(axis=1)]
    return np.where(below.any(axis=1), nfe, math.inf)


def points_per_rollout(pair: Pair) -> np.ndarray:
    """[s] steps of one way out, in the last tenth of the iterations: Euler's; of Tsit5 those that were tried."""
    each = 1 if pair.type == "euler-bptt" else TSIT5_EVALUATIONS
    nf = pair.history("nf")
    return np.nanmean(nf[:, -max(1, nf.shape[1] // 10):], axis=1) / pair.batch() / each


def claim_cartpole(training):
    text = "On the cartpole ctpg learns with fewer NFE, by fewer states on the way."
    rule = (
        f"Per seed, BPTT / ctpg: the NFE until the training loss is first at most {SWUNG_UP:g}, infinite where it "
        f"never is; and the integration points of a rollout, in the last tenth of the iterations. Confirmed where the "
        f"intervals of both median ratios are above 1, refuted where one of them is below."
    )
    pairs = cartpole_pairs(training)
    rows = common(*pairs) if pairs else [[]]
    if not len(rows[0]):
        return Claim(text, rule, [], OPEN, "no training of both ctpg and Euler-BPTT on cartpole in the file")
    nfe = [nfe_to_loss(pair, SWUNG_UP)[row] for pair, row in zip(pairs, rows)]
    points = [points_per_rollout(pair)[row] for pair, row in zip(pairs, rows)]
    intervals = {"NFE": median_interval(*ratio_bounds(*nfe)),
                 "Integration points": median_interval(*ratio_bounds(*points))}
    numbers = [f"{name}, BPTT / ctpg: {interval.text()}." for name, interval in intervals.items()]
    for pair, row, work, count in zip(pairs, rows, nfe, points):
        swung = final_batches(pair)[row] <= SWUNG_UP
        numbers.append(f"{pair.label}: {int(np.isfinite(work).sum())} of {len(work)} seeds get to {SWUNG_UP:g}, "
                       f"{int(swung.sum())} stay there (mean of the last {LAST} iterations); "
                       f"{median_interval(count).text()} integration points a rollout.")
    sides = {name: side(interval) for name, interval in intervals.items()}
    verdict = next((word for word in (REFUTED, OPEN) if word in sides.values()), CONFIRMED)
    reason = "; ".join(f"{name}: {word}" for name, word in sides.items())
    return Claim(text, rule, numbers, verdict, reason if intervals["NFE"].known else why_open(intervals["NFE"]))


# ---- 5: quadrotor ----

def final_batches(pair: Pair) -> np.ndarray:
    """[s] mean loss of the last batches; infinite where a run did not get there."""
    losses = pair.history("loss")[:, -LAST:].mean(axis=1)
    return np.where(pair.ok & np.isfinite(losses), losses, math.inf)


def nfe_per_iteration(pair: Pair) -> np.ndarray:
    """[s] mean over the iterations that were made: a run that diverged early had no fewer evaluations for each."""
    nfe = pair.nfe()
    return np.nanmax(nfe, axis=1) / np.maximum(1, np.isfinite(nfe).sum(axis=1) - 1)


def final_ratio(bptt: Pair, ctpg: Pair, seeds: list[int] | None = None) -> Interval:
    """Median over seeds of final loss / that of ctpg; seeds: those that count, of the common ones (None: all)."""
    rows = [row if seeds is None else row[np.isin(pair.seeds[row], seeds)]
            for pair, row in zip((bptt, ctpg), common(bptt, ctpg))]
    return median_interval(*ratio_bounds(*(final_batches(pair)[row] for pair, row in zip((bptt, ctpg), rows))))


def against(bptt: Pair, ctpg: Pair) -> list[str]:
    """Sentences on what BPTT reaches, beside ctpg: losses, NFE, who learns."""
    rows = common(bptt, ctpg)
    losses = [final_batches(pair)[row] for pair, row in zip((bptt, ctpg), rows)]
    nfe = median_interval(*ratio_bounds(*(nfe_per_iteration(pair)[row] for pair, row in zip((bptt, ctpg), rows))))
    return [f"{bptt.label}, with {nfe.estimate()} times the NFE: final loss / that of ctpg = "
            f"{final_ratio(bptt, ctpg).text()}; higher on {int((losses[0] > losses[1]).sum())} of "
            f"{len(losses[0])} seeds."]


def honest_rest(pair: Pair) -> str:
    """What else a quadrotor's training shows: who learns, who hovers, how large gradients get."""
    losses, norms = final_batches(pair), np.nanmax(pair.history("grad_norm"), axis=1)
    first = pair.history("loss")[:, 0]
    words = [f"final loss {median_interval(losses).text('.4g')}",
             f"{int((losses <= first / LEARNT).sum())} of {len(losses)} runs come below a {LEARNT:g}th of their first "
             f"loss",
             f"largest norm of a gradient {median_interval(norms).text()}"]
    if pair.read("path") is not None:
        words.append(f"{int(stabilises(pair).sum())} of {len(losses)} policies hover ({MOST_STARTS:.0%} of the test "
                     f"starts within {NEAR_ORIGIN:g} m of the origin at the end)")
        rates = yaw_rates_at_end(pair)
        words += [f"yaw at the end {np.median(rates):.3g} rad/s in the median over starts"] if len(rates) else []
    return f"{pair.label}: {'; '.join(words)}."


def claim_quadrotor(training):
    text = "On the quadrotor BPTT's training loss after the same NFE is far above that of ctpg."
    rule = (
        f"Per seed: mean training loss of the last {LAST} iterations, of BPTT with the same NFE / of ctpg. Confirmed "
        f"where the interval of the median ratio is above {FAR:g}, refuted where it is below {FAR:g}; and the NFE of "
        f"BPTT per iteration must be within {SAME_NFE[0]:g} and {SAME_NFE[1]:g} times those of ctpg."
    )
    pairs = training.first_of("quadrotor", "euler-bptt", "ctpg")
    rows = common(*pairs) if pairs else [[]]
    if not len(rows[0]):
        return Claim(text, rule, [], OPEN, "no training of both ctpg and Euler-BPTT on the quadrotor in the file")
    bptt, ctpg = pairs
    ratio = final_ratio(bptt, ctpg)
    same = float(np.median(nfe_per_iteration(bptt)[rows[0]] / nfe_per_iteration(ctpg)[rows[1]]))
    others = training.of_type("quadrotor", "euler-bptt")
    numbers = [line for other in others for line in against(other, ctpg)]
    numbers += [honest_rest(pair) for pair in (ctpg, *others)]
    if not SAME_NFE[0] <= same <= SAME_NFE[1]:
        return Claim(text, rule, numbers, OPEN, f"{bptt.label} had {same:.3g} times the NFE of ctpg")
    verdict = side(ratio, FAR)
    return Claim(text, rule, numbers, verdict,
                 f"it is {ratio.text()} times as high" + (f": {why_open(ratio)}" if verdict == OPEN else ""))


# ---- all ----

def judge_all(training: Training, results: Results | None) -> list[Claim]:
    """Every claim, in the order of the paper; results: of the gradient sweep."""
    return [claim_gradients(results), claim_neural_ode(training, results), claim_electric(training),
            claim_cartpole(training), claim_quadrotor(training)]


def iterations_text(training: Training) -> list[str]:
    """The poster's first question, of the pair that the paper trains: sentences per problem."""
    lines = []
    for problem in training.problems:
        kinds = {kind: [pair for pair in training.of(problem) if pair.type == kind] for kind in ("euler-bptt", "ctpg")}
        if not all(kinds.values()):
            continue
        interval = work_ratio(kinds["euler-bptt"][0], kinds["ctpg"][0], "iterations")
        if interval is None:
            continue
        answer = {CONFIRMED: "ctpg needs fewer iterations", REFUTED: "BPTT needs fewer iterations"}
        found = side(interval)
        lines.append(f"{problem}: iterations of BPTT / iterations of ctpg to the loss that both reach = "
                     f"{interval.text()}: {answer.get(found) or f'not decided, {why_open(interval)}'}.")
    return lines
