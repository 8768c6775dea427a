"""beyond.py -- does a more accurate gradient need fewer iterations?  python3 analysis/beyond.py beyond.h5 [-o figures]

From a file of `ctpgbench train` with a ladder of gradient accuracies on each problem (jobs/beyond.yaml):

  beyond_<problem>   iterations, NFE and seconds to the target against the error of the gradient, which is drawn beside the
                     standard error of the batch (audits: -audit_every); .pdf, .png and a caption .txt
  conclusion.md      the table behind it and the conclusion in words

Rules, written before any training at full scale (targets per seed and interpolation came after a short trial):
  reference   the rung with the least median error in the audits; without audits that with the smallest rtol, rk-adjoint
              before others
  target      per seed the test loss at which 90 % of the reference's improvement is made: F + 0.1 (I - F), I the test loss
              before training and F the reference's final loss; a seed that the reference does not improve is left out
  work        until the test loss is first at or below the target, interpolated between tests; a run that never gets there
              is censored: it counts as infinite in medians, and as more than the work it did in ratios
  enough      a rung is accurate enough if the 95 % interval of the median over seeds of its iterations / the reference's
              lies below 1.1; it needs more iterations if the interval lies above 1 and not below 1.1; else open
"""
import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from figures import file_name, log_axis, save, widen
from intervals import median_interval
from load import ends_with_a_sentence, finite_median, finite_quantile, require, seeds_text
from load_training import load_training, remarks, source
from style import RC, style
from table import markdown

np = require("numpy")
matplotlib = require("matplotlib")
Figure = require("matplotlib.figure").Figure
Line2D = require("matplotlib.lines").Line2D
Patch = require("matplotlib.patches").Patch

LEFT = 0.1       # of the improvement, at the target
SAME = 1.1       # ratio of iterations up to which a rung is as good as the reference
WORKS = {"iterations": "iterations", "nfe": "NFE", "seconds": "wallclock (s)"}
ENOUGH, MORE, OPEN = "enough", "more iterations", "open"
BAND = {"color": "#BBBBBB", "alpha": 0.45, "linewidth": 0}


@dataclass
class Rung:
    """One estimator at one accuracy."""
    pair: object
    following: bool   # its accuracy follows the gradient's norm
    error: float      # median over seeds and audits of the relative error of the batch gradient, NaN without audits
    spread: tuple     # its quartiles
    stderr: float     # of the batch gradient, relative, likewise
    work: dict        # {name: Interval of the median over seeds}
    ratio: dict       # {name: Interval of the median ratio to the reference}
    reached: int
    verdict: str = OPEN

    @property
    def accuracy_text(self):
        return f"{self.pair.knob} " + ("by gradient" if self.following else f"{self.pair.accuracy:.3g}")


@dataclass
class Ladder:
    problem: str
    rungs: list       # from accurate to coarse
    reference: object
    targets: dict     # {seed: test loss}

    @property
    def target(self):
        return float(np.median(list(self.targets.values())))


def audit(pair, name):
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


def ratio_of(pair, other, targets, name):
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


def climb(training, problem):
    """Ladder of a problem; None if it has fewer than two rungs or nothing to be reached."""
    pairs = sorted((pair for pair in training.of(problem) if pair.test_losses() is not None), key=rank)
    targets = find_targets(pairs[0]) if len(pairs) > 1 else {}
    if not targets:
        return None
    rungs = [make_rung(pair, pairs[0], targets) for pair in pairs]
    return Ladder(problem, rungs, rungs[0], targets)


# ---- the figure ----

def abscissa(ladder):
    """(values [rung], label): the measured error, or the accuracy where there are no audits."""
    errors = [rung.error for rung in ladder.rungs]
    if all(np.isfinite(error) and error > 0 for error in errors):
        return errors, "relative error of the batch gradient"
    return [rung.pair.accuracy for rung in ladder.rungs], "accuracy: rtol, or dt (s)"


def look_of(rung):
    look = style(rung.pair.label, rung.pair.type)
    return {"color": look["color"], "marker": look["marker"], "markersize": look["markersize"],
            "markerfacecolor": "white" if rung.following else look["color"]}


def noise(ladder):
    """Quartiles over all rungs, seeds and audits of the relative standard error of the batch; None without."""
    values = np.concatenate([audit(rung.pair, "stderr").ravel() for rung in ladder.rungs])
    values = values[np.isfinite(values) & (values > 0)]
    return tuple(np.quantile(values, (0.25, 0.75))) if len(values) else None


def draw_errors(axes, ladder):
    """Gradient error against the accuracy asked for, beside the standard error of the batch."""
    for rung in ladder.rungs:
        axes.errorbar([rung.pair.accuracy], [rung.error], np.abs(np.subtract(rung.spread, rung.error))[:, None], capsize=2,
                      linewidth=0.9, **look_of(rung))
    if noise(ladder):
        axes.axhspan(*noise(ladder), zorder=0, **BAND)
    axes.set(xscale="log", yscale="log", xlabel="accuracy: rtol, or dt (s)", ylabel="relative error of\nthe batch gradient")


def draw_work(axes, ladder, name):
    values, label = abscissa(ladder)
    intervals = [rung.work[name] for rung in ladder.rungs]
    finite = [end for one in intervals for end in (one.value, one.high) if math.isfinite(end) and end > 0]
    top = 2 * max(finite, default=1.0)
    for x, rung, one in zip(values, ladder.rungs, intervals):
        look = look_of(rung)
        if math.isinf(one.value):
            axes.plot([x], [top], **{**look, "marker": 6})
            continue
        ends = [[one.value - one.low], [min(one.high, top) - one.value]] if one.known else None
        axes.errorbar([x], [one.value], ends, capsize=2, linewidth=0.9, **look)
    if noise(ladder) and label.startswith("relative"):
        axes.axvspan(*noise(ladder), zorder=0, **BAND)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel=f"{WORKS[name]}\nto the target")
    axes.set_ylim(top=top * 1.05)


def tidy(axes):
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = widen(*limits)
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(low, high)
        log_axis(axis, low, high)


def legend_of(ladder):
    types = {rung.pair.type: look_of(rung) for rung in reversed(ladder.rungs)}
    handles = [Line2D([], [], linestyle="none", **{**look, "markerfacecolor": look["color"]}) for look in types.values()]
    texts = list(types)
    grey = {"color": "#555555", "linestyle": "none"}
    if any(rung.following for rung in ladder.rungs):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", **grey))
        texts.append("hollow: accuracy follows the gradient")
    if any(math.isinf(rung.work["iterations"].value) for rung in ladder.rungs):
        handles.append(Line2D([], [], marker=6, **grey))
        texts.append("most seeds never get there")
    if noise(ladder):
        handles.append(Patch(**BAND))
        texts.append("standard error of the batch")
    return handles, texts


def ladder_figure(ladder):
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))
    panels = figure.subplots(2, 2).ravel()
    if abscissa(ladder)[1].startswith("relative"):
        draw_errors(panels[0], ladder)
    else:
        panels[0].set_visible(False)
    for axes, name in zip(panels[1:], WORKS):
        draw_work(axes, ladder, name)
    for axes in panels:
        if axes.get_visible():
            tidy(axes)
    figure.legend(*legend_of(ladder), loc="lower center", ncol=3, borderaxespad=0.2)
    seeds = seeds_text(len(ladder.targets))
    figure.suptitle(f"{ladder.problem}: to a test loss of {ladder.target:.4g} in the median, {seeds}", fontsize=RC["axes.titlesize"])
    return figure


def caption(ladder, training):
    pairs = [rung.pair for rung in ladder.rungs]
    lines = [f"{ladder.problem}: work until {1 - LEFT:.0%} of the improvement of the test loss by "
             f"{ladder.reference.pair.label} with the same seed is made (test loss {ladder.target:.4g} in the median). "
             f"Markers: median over seeds, bars: its exact 95 % interval (from six seeds on), to the upper edge where it is "
             f"unbounded; runs that never get there count as infinite. NFE = nf + nvjp_x + nvjp_theta.",
             "Abscissa: relative error of the batch gradient against an accurate one, median over seeds and audits (bars in "
             "the first panel: quartiles). Grey: quartiles of the relative standard error of the batch gradient."
             if abscissa(ladder)[1].startswith("relative") else "The file holds no audits (-audit_every) of every rung, so "
                                                               "the accuracy itself is the abscissa."]
    return "\n".join([*lines, *conclusion_of(ladder), *remarks(pairs), source(training), ""])


# ---- the words ----

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
    return [f"Accuracy that follows the gradient ({rung.pair.label}): NFE / NFE of the cheapest constant one of its type "
            f"({best.pair.label}) = {ratio.text()}."]


def conclusion_of(ladder):
    """Sentences on one problem."""
    groups = {word: [rung for rung in ladder.rungs if rung.verdict == word] for word in (ENOUGH, MORE, OPEN)}
    loosest = groups[ENOUGH][-1]
    lines = [f"No more iterations than with {ladder.reference.pair.label} are needed with: {names(groups[ENOUGH])}; more "
             f"with: {names(groups[MORE])}; not decided: {names(groups[OPEN])}.",
             f"The coarsest gradient that is known to be accurate enough is that of {loosest.pair.label}: "
             f"{noise_text(loosest)}."]
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


def cell(interval):
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
    first = (f"On {len(more)} of {len(ladders)} problems ({', '.join(more)}) a coarse gradient of the ladder needs more "
             f"iterations" if more else f"On none of {len(ladders)} problems is it seen that a coarser gradient of the "
             f"ladder needs more iterations")
    second = (f"; the coarsest gradients that are known to need no more have errors of {min(ratios):.2g} to "
              f"{max(ratios):.2g} times the standard error of the batch." if ratios else ".")
    return first + second


def conclusion(training):
    """(lines of Markdown, ladders): tables, sentences, and the answer."""
    ladders = {problem: climb(training, problem) for problem in training.problems}
    climbed = [ladder for ladder in ladders.values() if ladder]
    lines = [answer(climbed), ""] if climbed else []
    for problem, ladder in ladders.items():
        if not ladder:
            lines += [f"{problem}: no ladder; it takes two estimators with test losses, and training that lowers them.", ""]
            continue
        lines += [f"### {problem}: to a test loss of {ladder.target:.4g} in the median", "", *ladder_table(ladder), "",
                  *[f"- {line}" for line in conclusion_of(ladder)], ""]
    return lines + ["Medians over seeds with exact 95 % intervals; runs that never get there count as infinite. The rules "
                    "are at the head of analysis/beyond.py. " + source(training)], climbed


def main(argv=None):
    parser = argparse.ArgumentParser(description="Does a more accurate gradient need fewer iterations?")
    parser.add_argument("training", help="HDF5 file of ctpgbench train")
    parser.add_argument("-o", "--out", metavar="FOLDER", default="figures/beyond", type=Path,
                        help="where to (default figures/beyond)")
    arguments = parser.parse_args(argv)
    with ends_with_a_sentence(arguments.out):
        training = load_training(arguments.training)
        lines, ladders = conclusion(training)
        arguments.out.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(RC):
            for ladder in ladders:
                save(ladder_figure(ladder), caption(ladder, training), arguments.out, f"beyond_{file_name(ladder.problem)}")
        text = "\n".join(["# Does a more accurate gradient need fewer iterations?", "", *lines, ""])
        (arguments.out / "conclusion.md").write_text(text, encoding="utf-8")
        print(arguments.out / "conclusion.md")


if __name__ == "__main__":
    main()
