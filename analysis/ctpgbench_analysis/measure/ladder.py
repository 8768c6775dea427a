"""ladder.py -- one problem trained at several gradient accuracies: what each of them needs to a common loss

Rules, written before the data of jobs/accuracy.yaml:
  loss        the test loss; of a problem without tests, or with those of start and end alone, the training loss, mean
              of SMOOTH iterations, as the estimator itself computes it
  reference   the rung with the least median error in the audits; without audits that with the smallest rtol, rk-adjoint
              before others
  target      per seed the loss at which 90 % of the best rung's improvement is made: F + 0.1 (I - F), I the reference's
              loss before training and F the least final loss of a rung; a seed that no rung improves is left out
  work        until the loss is first at or below the target, interpolated between tests; a run that never gets there is
              censored: it counts as infinite in medians, and as more than the work it did in ratios
  tests       paired by seed, against the reference: McNemar's exact test of who reaches the target; the log-rank test
              of the iterations, stratified by seed. p-values are those of Holm over the rungs of a problem.
  equal       the 95 % interval of the median over seeds of its iterations / the reference's lies within SAME, and
              McNemar's test sees no difference
  more        iterations: McNemar's test says it reaches the target on fewer seeds, or the log-rank test says it is
              later and the interval lies above 1; fewer: the other way round
  open        all else
Added when these data were known, and no part of the verdicts:
  pooled      exact test of who reaches the target, of a rung against all more accurate ones together, within each seed;
              Holm over the rungs of a problem
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ctpgbench_analysis.measure.intervals import Interval, median_interval
from ctpgbench_analysis.measure.paired import among_p, earlier_p, holm, reached_p
from ctpgbench_analysis.measure.quantiles import finite_median, finite_quantile
from ctpgbench_analysis.read.training import Pair, Training, common, first_below, moving_mean

LEFT = 0.1           # of the improvement, at the target
SAME = (0.9, 1.1)    # ratios of iterations that count as equal
LEVEL = 0.05         # of a test
SMOOTH = 10          # iterations of the mean of a training loss
WORKS = {"iterations": "iterations", "nfe": "NFE", "cpu": "CPU time (s)"}
EQUAL, MORE, FEWER, OPEN = "equal", "more iterations", "fewer iterations", "open"


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
    works: dict[str, dict]      # {name: work_of}
    reached: int
    reached_p: float = 1.0  # McNemar's test against the reference, after Holm
    earlier_p: float = 1.0  # the stratified log-rank test, likewise
    pooled_p: float = 1.0   # against all more accurate rungs together, after Holm
    finer: tuple[int, int] = (0, 0)  # how often those reach the target, of how many trainings
    verdict: str = OPEN

    @property
    def in_noise(self) -> float:
        """The error as a multiple of the standard error of the batch; NaN where it was not audited."""
        return self.error / self.stderr if self.stderr > 0 else math.nan

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
    targets: dict     # {seed: loss}
    tested: bool      # is it a test loss?

    @property
    def target(self) -> float:
        """Median over seeds of the loss that is to be reached."""
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


@dataclass
class Curve:
    """Losses of a pair over its training."""
    losses: np.ndarray   # [s, j]
    updates: np.ndarray  # [j] of theta before each
    final: np.ndarray    # [s] infinite where a run did not end ok


def is_tested(pair: Pair) -> bool:
    """Do its tests say when a loss is reached?"""
    losses = pair.test_losses()
    return losses is not None and losses.shape[1] > 2


def curve_of(pair: Pair, tested: bool) -> Curve:
    """Test losses, or those of training, smoothed."""
    if tested:
        return Curve(pair.test_losses(), pair.scale("test_iteration").astype(int), pair.final_losses())
    losses = moving_mean(pair.history("loss"), SMOOTH)
    return Curve(losses, np.arange(losses.shape[1]), np.where(pair.ok, losses[:, -1], np.inf))


def find_targets(curves: list[Curve], pairs: list[Pair]) -> dict[int, float]:
    """{seed: loss that is to be reached}, of the seeds that all rungs have and the best of them improves."""
    rows = common(*pairs)
    start = curves[0].losses[rows[0], 0]
    best = np.nanmin([np.where(np.isnan(curve.final[row]), np.inf, curve.final[row])
                      for curve, row in zip(curves, rows)], axis=0)
    with np.errstate(invalid="ignore"):
        targets = best + LEFT * (start - best)
        better = np.isfinite(targets) & (best < start)
    return {int(seed): target for seed, target in zip(pairs[0].seeds[rows[0]][better], targets[better])}


def work_of(pair: Pair, curve: Curve, targets: dict[int, float], name: str) -> dict[int, tuple[float, float]]:
    """{seed: (work to the target, infinite where censored; work that it takes at least)}."""
    spent = pair.work(name)
    found = {}
    for row, seed in enumerate(pair.seeds.tolist()):
        if seed in targets:
            work = first_below(curve.losses[row], spent[row, curve.updates], targets[seed])
            found[seed] = work, float(np.nanmax(spent[row])) if math.isinf(work) else work
    return found


def ratio_of(mine: dict[int, tuple], theirs: dict[int, tuple]) -> Interval:
    """Interval of the median over seeds of work / work of the other, each as work_of gives it."""
    if mine is theirs:
        return median_interval([1.0] * len(mine))

    def bounds(seed):
        (work, least), (base, base_least) = mine[seed], theirs[seed]
        return (0.0 if math.isinf(base) else least / base if base else 1.0), work / base_least if base_least else 1.0

    found = [bounds(seed) for seed in mine if seed in theirs]
    return median_interval([low for low, _ in found], [high for _, high in found])


def compare(mine: dict[int, tuple], theirs: dict[int, tuple]) -> tuple[float, float]:
    """p-values of the two paired tests, of iterations as work_of gives them."""
    seeds = [seed for seed in mine if seed in theirs]
    first, second = ((np.array([work[seed][1] for seed in seeds]),
                      np.array([math.isfinite(work[seed][0]) for seed in seeds], bool)) for work in (mine, theirs))
    return reached_p(first[1], second[1]), earlier_p(first, second)


def pool(rungs: list[Rung]) -> None:
    """Each rung against all more accurate ones together; rungs from accurate to coarse."""
    seeds = sorted(set.intersection(*(set(rung.works["iterations"]) for rung in rungs)))
    reached = np.array([[math.isfinite(rung.works["iterations"][seed][0]) for rung in rungs] for seed in seeds])
    found = holm([among_p(reached[:, r], reached[:, :r]) for r in range(1, len(rungs))])
    for r, p in enumerate(found, 1):
        rungs[r].pooled_p, rungs[r].finer = p, (int(reached[:, :r].sum()), reached[:, :r].size)


def judge(rung: Rung, reference: Rung) -> str:
    """The verdict on a rung whose tests are made."""
    ratio = rung.ratio["iterations"]
    if rung.reached_p < LEVEL:
        return MORE if rung.reached < reference.reached else FEWER
    if ratio.low >= SAME[0] and ratio.high <= SAME[1]:
        return EQUAL
    if rung.earlier_p < LEVEL and (ratio.low > 1 or ratio.high < 1):
        return MORE if ratio.low > 1 else FEWER
    return OPEN


def make_rung(pair: Pair, works: dict[str, dict], references: dict[str, dict]) -> Rung:
    """A rung without its verdict; works, references: of work_of, its own and the reference's."""
    error, stderr = audit(pair, "error"), audit(pair, "stderr")
    accuracy = pair.history("accuracy")
    return Rung(pair=pair, following=bool((np.nanmax(accuracy, axis=1) > np.nanmin(accuracy, axis=1)).any()),
                error=float(finite_median(error)), stderr=float(finite_median(stderr)),
                spread=tuple(float(finite_quantile(error, q)) for q in (0.25, 0.75)),
                work={name: median_interval([work for work, _ in found.values()]) for name, found in works.items()},
                ratio={name: ratio_of(works[name], references[name]) for name in works}, works=works,
                reached=sum(math.isfinite(work) for work, _ in works["iterations"].values()))


def climb(training: Training, problem: str) -> Ladder | None:
    """Ladder of a problem; None if it has fewer than two rungs or nothing to be reached."""
    pairs = sorted(training.of(problem), key=rank)
    tested = any(is_tested(pair) for pair in pairs)
    pairs = [pair for pair in pairs if not tested or is_tested(pair)]
    curves = [curve_of(pair, tested) for pair in pairs]
    targets = find_targets(curves, pairs) if len(pairs) > 1 else {}
    if not targets:
        return None
    works = [{name: work_of(pair, curve, targets, name) for name in WORKS} for pair, curve in zip(pairs, curves)]
    rungs = [make_rung(pair, work, works[0]) for pair, work in zip(pairs, works)]
    tests = [compare(work["iterations"], works[0]["iterations"]) for work in works[1:]]
    for rung, reached, earlier in zip(rungs[1:], *(holm(list(values)) for values in zip(*tests))):
        rung.reached_p, rung.earlier_p = reached, earlier
    pool(rungs)
    for rung in rungs:
        rung.verdict = EQUAL if rung is rungs[0] else judge(rung, rungs[0])
    return Ladder(problem, rungs, rungs[0], targets, tested)
