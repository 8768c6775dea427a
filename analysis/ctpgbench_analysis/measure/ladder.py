"""ladder.py -- one problem trained at several gradient accuracies: what each of them needs to a common loss

Rules, written before any training at full scale (targets per seed and interpolation came after a short trial):
  reference   the rung with the least median error in the audits; without audits that with the smallest rtol, rk-adjoint
              before others
  target      per seed the test loss at which 90 % of the reference's improvement is made: F + 0.1 (I - F), I the test
              loss before training and F the reference's final loss; a seed that the reference does not improve is left
              out
  work        until the test loss is first at or below the target, interpolated between tests; a run that never gets
              there is censored: it counts as infinite in medians, and as more than the work it did in ratios
  enough      a rung is accurate enough if the 95 % interval of the median over seeds of its iterations / the
              reference's lies below 1.1; it needs more iterations if the interval lies above 1 and not below 1.1; else
              open
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.intervals import Interval, median_interval
from ctpgbench_analysis.measure.quantiles import finite_median, finite_quantile
from ctpgbench_analysis.read.training import Pair, Training

LEFT = 0.1       # of the improvement, at the target
SAME = 1.1       # ratio of iterations up to which a rung is as good as the reference
WORKS = {"iterations": "iterations", "nfe": "NFE", "seconds": "wallclock (s)"}
ENOUGH, MORE, OPEN = "enough", "more iterations", "open"


@dataclass
class Rung:
    """One estimator at one accuracy."""
    pair: Pair
    following: bool   # its accuracy follows the gradient's norm
    error: float      # median over seeds and audits of the relative error of the batch gradient, NaN without audits
    spread: tuple     # its quartiles
    stderr: float     # of the batch gradient, relative, likewise
    work: dict[str, Interval]   # {name: Interval of the median over seeds}
    ratio: dict[str, Interval]  # {name: Interval of the median ratio to the reference}
    reached: int
    verdict: str = OPEN

    @property
    def accuracy_text(self) -> str:
        """Knob and accuracy."""
        return f"{self.pair.knob} " + ("by gradient" if self.following else f"{self.pair.accuracy:.3g}")


@dataclass
class Ladder:
    """The rungs of one problem."""
    problem: str
    rungs: list[Rung] # from accurate to coarse
    reference: Rung
    targets: dict     # {seed: test loss}

    @property
    def target(self) -> float:
        """Median over seeds of the test loss that is to be reached."""
        return float(np.median(list(self.targets.values())))


def audit(pair: Pair, name: str) -> np.ndarray:
    """[s, a] audit of the batch gradient relative to its norm; empty without audits."""
    values, norm = pair.read(f"audit_{name}"), pair.read("audit_norm")
    if values is None or norm is None:
        return np.empty((len(pair.runs), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norm > 0, values / norm, np.nan)


def rank(pair):
    """Sorts pairs from accurate to coarse."""
    error = finite_median(audit(pair, "error"))
    return (0, float(error)) if np.isfinite(error) else (1, pair.knob != "rtol", pair.accuracy,
                                                        pair.type != "rk-adjoint")


def find_targets(reference):
    """{seed: test loss that is to be reached}, of the seeds on which the reference improves it."""
    start, final = reference.test_losses()[:, 0], reference.final_losses()
    with np.errstate(invalid="ignore"):
        targets = final + LEFT * (start - final)
        better = np.isfinite(targets) & (final < start)
    return {int(seed): target for seed, target in zip(reference.seeds[better], targets[better])}


def work_of(pair, targets, name):
    """{seed: (work to the target, infinite where censored; work that it takes at least)}."""
    wanted = np.array([targets.get(int(seed), -np.inf) for seed in pair.seeds])
    work = pair.work_to(wanted, name)
    least = np.where(np.isinf(work), np.nanmax(pair.work(name), axis=1), work)
    return {int(seed): both for seed, *both in zip(pair.seeds, work, least) if int(seed) in targets}


def median_work(pair, targets, name):
    return median_interval([work for work, _ in work_of(pair, targets, name).values()])


def ratio_of(pair: Pair, other: Pair, targets: dict[int, float], name: str) -> Interval:
    """Interval of the median over common seeds of work / work of the other."""
    mine, theirs = (work_of(one, targets, name) for one in (pair, other))
    seeds = [seed for seed in mine if seed in theirs]

    def bounds(seed):
        (work, least), (base, base_least) = mine[seed], theirs[seed]
        if pair is other:
            return 1.0, 1.0
        return (0.0 if math.isinf(base) else least / base if base else 1.0), work / base_least if base_least else 1.0

    found = [bounds(seed) for seed in seeds]
    return median_interval([low for low, _ in found], [high for _, high in found])


def judge(interval):
    if interval.high <= SAME:
        return ENOUGH
    return MORE if interval.low > 1 else OPEN


def make_rung(pair, reference, targets):
    error, stderr = audit(pair, "error"), audit(pair, "stderr")
    accuracy = pair.history("accuracy")
    rung = Rung(pair=pair, following=bool((np.nanmax(accuracy, axis=1) > np.nanmin(accuracy, axis=1)).any()),
                error=float(finite_median(error)), stderr=float(finite_median(stderr)),
                spread=tuple(float(finite_quantile(error, q)) for q in (0.25, 0.75)),
                work={name: median_work(pair, targets, name) for name in WORKS},
                ratio={name: ratio_of(pair, reference, targets, name) for name in WORKS},
                reached=sum(math.isfinite(work) for work, _ in work_of(pair, targets, "iterations").values()))
    rung.verdict = ENOUGH if pair is reference else judge(rung.ratio["iterations"])
    return rung


def climb(training: Training, problem: str) -> Ladder | None:
    """Ladder of a problem; None if it has fewer than two rungs or nothing to be reached."""
    pairs = sorted((pair for pair in training.of(problem) if pair.test_losses() is not None), key=rank)
    targets = find_targets(pairs[0]) if len(pairs) > 1 else {}
    if not targets:
        return None
    rungs = [make_rung(pair, pairs[0], targets) for pair in pairs]
    return Ladder(problem, rungs, rungs[0], targets)
