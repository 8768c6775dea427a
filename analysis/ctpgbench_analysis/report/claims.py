"""claims.py -- what the paper claims, the rule for each claim, and the verdict of the data

The rules were written down before any training at full scale; one was mended after short trials, in which half of the
states stored of ctpg were beyond the cartpole's rail: equally many states on the rail are compared (MOST_ON_RAIL), and
a cart that leans against a soft end counts as on it (GIVE of episodes.py). All are about the seeds as the sample: a
median over seeds with its exact 95 % interval (from six seeds on), or a share of seeds with its Clopper-Pearson
interval. A claim is confirmed or refuted where the whole interval is on one side of the threshold, else it is not
decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.measure.crossing import seed_bounds
from ctpgbench_analysis.measure.episodes import (CELL, GIVE, MOST_STARTS, NEAR_ORIGIN, cart_and_angle, cartpole_pairs,
                                                 distances_at_end, optimum, rail_of, share_on_rail, stabilises)
from ctpgbench_analysis.measure.intervals import FEWEST, Interval, median_interval, share_interval
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.training import Pair, Training, common

CONFIRMED, REFUTED, OPEN = "confirmed", "refuted", "not decided"
FAR = 3.0                    # "far fewer" means at least this factor
TARGET = 1e-3                # relative gradient error at which the first claim is judged
BAD_GRADIENT = 1.0           # relative error from which on a gradient says nothing
TWICE = 2.0                  # a training failed if its excess over the optimum is above this multiple of ctpg's
MOST_ON_RAIL = 0.9           # share of the visited states below which they do not speak for the training
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
               f"optimum {best.mean():.4g}."] + backsolve_numbers(pairs[0], rows[0]) + numbers
    verdict = side(share, 0.5)
    return Claim(text, rule, numbers, verdict, f"share of failing seeds between {share.low:.2f} and {share.high:.2f}")


def backsolve_numbers(pair, rows):
    with np.errstate(invalid="ignore"):
        worst = np.fmax.reduce(pair.history("backsolve_error")[rows], axis=1)
    if not np.isfinite(worst).any():
        return []
    return [f"Largest backsolve error ||x_back(0) - x0|| of a training: median over seeds {np.nanmedian(worst):.3g}, "
            f"largest {np.nanmax(worst):.3g}."]


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


def claim_electric(training):
    text = "On electric ctpg wins on NFE and on wallclock."
    rule = ("Per seed: the work until the test loss is first at most the loss that both reach (the larger of the two "
            "final losses; between tests the loss is interpolated), BPTT / ctpg. Confirmed where the intervals of the "
            "median ratio are above 1 for NFE and for wallclock, refuted where one of them is below 1.")
    pairs = training.first_of("electric", "euler-bptt", "ctpg")
    if not pairs:
        return Claim(text, rule, [], OPEN, "no training of both ctpg and Euler-BPTT on electric in the file")
    intervals = {name: work_ratio(*pairs, name) for name in ("nfe", "seconds")}
    if intervals["nfe"] is None:
        return Claim(text, rule, [], OPEN, "there are no test losses (-test_every) of seeds that both have")
    names = {"nfe": "NFE", "seconds": "Wallclock"}
    numbers = [f"{names[name]}, BPTT / ctpg: {interval.text()}." for name, interval in intervals.items()]
    finals = [pair.final_losses() for pair in pairs]
    numbers += [f"Final loss of {pair.label}: {median_interval(final).text()}." for pair, final in zip(pairs, finals)]
    sides = {names[name]: side(interval) for name, interval in intervals.items()}
    verdict = next((word for word in (REFUTED, OPEN) if word in sides.values()), CONFIRMED)
    reason = "; ".join(f"{name}: {word}" for name, word in sides.items())
    if not intervals["nfe"].known:
        reason = why_open(intervals["nfe"])
    return Claim(text, rule, numbers, verdict, reason)


# ---- 4: cartpole ----

def visited_cells(plane):
    """Number of cells of the plane of position and angle that these points [n, 2] are in."""
    return len(np.unique(np.floor(plane / CELL).astype(int), axis=0))


def equally_many(*planes):
    """Of each list of points [n, 2] as many as the shortest has, spread evenly."""
    count = min(map(len, planes))
    return [plane[np.linspace(0, len(plane) - 1, count).round().astype(int)] for plane in planes]


def claim_cartpole(training):
    text = "ctpg visits fewer states than BPTT on cartpole."
    rule = (
        f"Per seed whose two runs ended ok: the number of cells of {CELL[0]:g} m by {CELL[1]:g} rad in the plane of "
        f"position and angle (modulo 2 pi) that hold one of equally many stored states on the rail (its soft ends, "
        f"{GIVE:g} m to either side, included), BPTT / ctpg. Confirmed where the interval of the median ratio is above "
        f"1, refuted where it is below; not decided where of one less than {MOST_ON_RAIL:.0%} of the states are on "
        f"the rail."
    )
    pairs = cartpole_pairs(training)
    if not pairs or any(pair.read("visited") is None for pair in pairs):
        return Claim(
            text, rule, [], OPEN, "no visited states (-visited) of both ctpg and Euler-BPTT on cartpole in the " "file"
        )
    rail = rail_of(pairs[0])
    if rail is None:
        return Claim(text, rule, [], OPEN, "the file does not say where the rail ends")
    rows = common(*pairs)
    both = pairs[0].ok[rows[0]] & pairs[1].ok[rows[1]]
    if not both.any():
        return Claim(text, rule, [], OPEN, "no seed on which both ended ok")
    runs = zip(*(pair.read("visited")[row[both]] for pair, row in zip(pairs, rows)))
    cells = list(zip(*(map(visited_cells, equally_many(*(cart_and_angle(one, rail) for one in states)))
                      for states in runs)))
    interval = median_interval(*ratio_bounds(*cells))
    numbers = [f"Cells visited, BPTT / ctpg: {interval.text()}."] + [
        f"{pair.label}: {median_interval(count).text('.4g')} cells; {share_on_rail(pair.read('visited'), rail):.1%} of "
        f"the stored states are on the rail."
        for pair, count in zip(pairs, cells)
    ]
    off = [pair.label for pair in pairs if share_on_rail(pair.read("visited"), rail) < MOST_ON_RAIL]
    if off:
        return Claim(text, rule, numbers, OPEN, f"too many of the states of {', '.join(off)} are beyond the rail")
    verdict = side(interval)
    return Claim(text, rule, numbers, verdict, why_open(interval) if verdict == OPEN else numbers[0].rstrip("."))


# ---- 5: quadrotor ----

def nfe_per_iteration(pair):
    """[s] mean over the iterations that were made: a run that diverged early had no fewer evaluations for each."""
    nfe = pair.nfe()
    return np.nanmax(nfe, axis=1) / np.maximum(1, np.isfinite(nfe).sum(axis=1) - 1)


def claim_quadrotor(training):
    text = "BPTT with the same NFE cannot stabilise the quadrotor."
    rule = (
        f"A final policy stabilises if it brings {MOST_STARTS:.0%} of its test starts within {NEAR_ORIGIN:g} m of the "
        f"origin at the end. Confirmed where the intervals of the shares of stabilising seeds are below one half for "
        f"BPTT and above it for ctpg, refuted where that for BPTT is above one half; and the NFE of BPTT per iteration "
        f"must be at least {SAME_NFE[0]:g} times that of ctpg to confirm, at most {SAME_NFE[1]:g} times to refute."
    )
    pairs = training.first_of("quadrotor", "euler-bptt", "ctpg")
    if not pairs or any(pair.read("path") is None for pair in pairs):
        return Claim(text, rule, [], OPEN, "no paths of both ctpg and Euler-BPTT on the quadrotor in the file")
    counts = [stabilises(pair) for pair in pairs]
    bptt, ctpg = (share_interval(int(good.sum()), len(good)) for good in counts)
    rows = common(*pairs)
    same = median_interval(*ratio_bounds(*(nfe_per_iteration(pair)[row] for pair, row in zip(pairs, rows))))
    numbers = [
        f"{pair.label} stabilises on {int(good.sum())} of {len(good)} seeds: share {share.text('.2f')}; distance at "
        f"the end, median over all test starts, {np.median(distances_at_end(pair)):.3g} m."
        for pair, good, share in zip(pairs, counts, (bptt, ctpg))
    ]
    numbers += [f"NFE per iteration, BPTT / ctpg: {same.text()}."]
    verdict, reason = judge_quadrotor(bptt, ctpg, same.value)
    return Claim(text, rule, numbers, verdict, reason)


def judge_quadrotor(bptt, ctpg, same):
    if bptt.low > 0.5:
        if same > SAME_NFE[1]:
            return OPEN, f"BPTT stabilises it, but with {same:.3g} times the NFE of ctpg"
        return REFUTED, "BPTT stabilises it on most seeds"
    if bptt.high >= 0.5:
        return OPEN, "the interval of BPTT's share holds one half"
    if not ctpg.low > 0.5:
        return OPEN, "ctpg does not stabilise it on most seeds either, or the interval of its share holds one half"
    if same < SAME_NFE[0]:
        return OPEN, f"BPTT had only {same:.3g} times the NFE of ctpg"
    return CONFIRMED, "ctpg stabilises it on most seeds, BPTT on fewer than half"


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
