"""sentences.py -- what a comparison says, in words made from its numbers: better where, by how much, how sure, what
failed, what is not known"""
from __future__ import annotations

import math

import numpy as np

from ctpgbench_analysis.measure.contest import Contest, Duel, Match
from ctpgbench_analysis.measure.intervals import FEWEST, Interval
from ctpgbench_analysis.measure.ratios import BETTER, EQUAL, MARGIN, UNKNOWN, WORSE
from ctpgbench_analysis.read.words import power, seeds_text

FAR = 0.5  # a factor from the baseline that is told even where the median is near 1
MARGIN_TEXT = f"{MARGIN[0]:g} to {MARGIN[1]:g}"


def end_text(value: float, form: str = ".2f") -> str:
    """One end of an interval."""
    return "infinite" if math.isinf(value) else f"{value:{form}}"


def interval_text(interval: Interval) -> str:
    """"0.71 [0.62, 0.83]"; without an interval the estimate alone, and why."""
    if math.isnan(interval.value):
        return "-"
    estimate = interval.estimate(".2f")
    if math.isinf(interval.value) or f"{interval.value:.2f}" == f"{interval.top:.2f}":
        estimate = end_text(interval.value)
    if not interval.known:
        return f"{estimate} (no interval: n = {interval.n})"
    ends = [interval.low] if math.isinf(interval.low) else [interval.low, interval.high]
    return f"{estimate} [{', '.join(map(end_text, ends))}]"


def seeds_of(matches: list[Match]) -> str:
    """"8 seeds", "4 to 20 seeds" of the pairs behind these."""
    counts = sorted(match.mine.shape[1] for match in matches)
    return seeds_text(counts[-1]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]} seeds"


def headline(contest: Contest, duel: Duel) -> str:
    """The one sentence on everything."""
    mine, base, factor = duel.entry.name, contest.baseline.name, duel.factor
    if not duel.matches:
        return f"Nothing can be said about {mine} against {base}: they have no case in common."
    if not factor.ratio.n:
        return without_factor(mine, base, duel)
    basis = f"95 %; {problems_text(factor.ratio.n)}, {seeds_of(duel.matches)}" + (" each" if factor.ratio.n > 1 else "")
    estimate, rest = interval_text(factor.ratio), beyond_factor(base, duel)
    if factor.verdict == EQUAL:
        return (f"{mine} and {base} need equally many evaluations at equal gradient error: factor {estimate} "
                f"({basis}), "
                f"within the declared margin {MARGIN_TEXT}{rest}.")
    if factor.verdict == UNKNOWN:
        return (f"Whether {mine} needs fewer evaluations than {base} is not known: factor {estimate} ({basis}); the "
                f"interval holds 1 and reaches beyond the margin {MARGIN_TEXT}{rest}.")
    if (factor.ratio.value < 1) != (duel.dear.ratio.value < 1):
        return (f"Whether {mine} is better than {base} hangs on what a Jacobian costs: factor {estimate} ({basis}) "
                f"where it "
                f"costs the products that it took, {interval_text(duel.dear.ratio)} where it costs one product for "
                f"each "
                f"state, or for each control and one{rest}.")
    if against := on_the_contrary(base, duel):
        amount = {BETTER: "fewer", WORSE: "more"}[factor.verdict]
        return (f"Whether {mine} is better than {base} depends on the problem: where both get there it needs {amount} "
                f"evaluations, {estimate} times as many ({basis}); {against}.")
    return (f"{mine} is {factor.verdict} than {base}: at equal gradient error it needs {estimate} times its "
            f"evaluations ({basis}){rest}.")


def on_the_contrary(base: str, duel: Duel) -> str:
    """Problems without a factor that say the opposite of it; "" where there are none."""
    behind, alone = only_one(duel)
    if duel.factor.verdict == BETTER and behind:
        return f"on {problems_text(len(behind))} more it does not always reach what {base} reaches"
    if duel.factor.verdict == WORSE and alone:
        return f"on {problems_text(len(alone))} more it often gets there alone"
    return ""


def only_one(duel: Duel) -> tuple[list[str], list[str]]:
    """Labels that have no part in the factor since seeds reach their middle error with the baseline alone; with this
    estimator alone; where seeds of both kinds are there, with whom more do."""
    behind, alone = [], []
    for match in duel.matches:
        if match.whole.ratio.known and match.label in duel.factor.left_out:
            ends = match.whole.ratios
            lost, won = int(np.isinf(ends[:, 0]).sum()), int((ends[:, 1] == 0).sum())
            (behind if lost > won else alone if won > lost else []).append(match.label)
    return behind, alone


def beyond_factor(base: str, duel: Duel) -> str:
    """What the factor does not hold: problems where one of both does not get there."""
    behind, alone = only_one(duel)
    return ((f"; on {problems_text(len(behind))} more it does not always reach what {base} reaches" if behind else "")
            + (f"; on {problems_text(len(alone))} more it often gets there alone" if alone else ""))


def without_factor(mine: str, base: str, duel: Duel) -> str:
    """The headline where no problem has a ratio that is a number."""
    behind, alone = only_one(duel)
    if behind and not alone:
        return (f"{mine} is worse than {base}: on {problems_text(len(behind))} it does not reach the errors that "
                f"{base} reaches.")
    if alone and not behind:
        return (f"{mine} is better than {base}: on {problems_text(len(alone))} it alone reaches the errors that were "
                "asked for.")
    if any(match.whole.ratio.known for match in duel.matches):
        return (f"Whether {mine} is better than {base} is not known: on no problem do both get there on enough seeds, "
                f"with the settings that were run ({seeds_of(duel.matches)}).")
    return (f"Whether {mine} is better than {base} is not known: on no problem do {FEWEST} seeds or more tell, with "
            f"{seeds_of(duel.matches)}.")


def problems_text(count: int) -> str:
    """"1 problem", "6 problems"."""
    return f"{count} problem" + ("" if count == 1 else "s")


def scope(contest: Contest, duel: Duel) -> str:
    """What the interval of the headline covers."""
    factor, errors = duel.factor, f"{power(max(contest.targets))} to {power(min(contest.targets))}"
    if not factor.ratio.n:
        return ""
    drawn = ("The interval draws problems, policies and seeds: it speaks of problems like these."
             if factor.resampled else f"With fewer than {FEWEST} problems it speaks of these alone, not of others.")
    left = (f" Left out of the factor, since on too many seeds only one of both gets there or the ratio is known to "
            f"one side only, or fewer than {FEWEST} pairs tell: "
            f"{', '.join(factor.left_out)}." if factor.left_out else "")
    return (f"The factor is the geometric mean over problems of the median over seeds; a seed's ratio is the median "
            f"over the errors from {errors} that tell. {drawn}{left}")


def listed(matches: list[Match]) -> str:
    """"lqr 0.71 [0.62, 0.83], pendulum (reached by it alone), ..."."""
    return ", ".join(f"{match.label} {ratio_words(match.whole.ratio)}" for match in matches)


def ratio_words(ratio: Interval) -> str:
    """As `interval_text`; where only one of both gets there, that."""
    if ratio.known and math.isinf(ratio.low):
        return "(not reached by it)"
    return "(reached by it alone)" if ratio.known and ratio.high == 0 else interval_text(ratio)


def dearer(duel: Duel) -> str:
    """The factor where Jacobians are dear, where that is another one."""
    if not duel.dear.ratio.n or abs(duel.dear.ratio.value / duel.factor.ratio.value - 1) < 0.005:
        return ""
    return (f"For a user who has nothing but vector-Jacobian products, and pays min(nx, nu + 1) of them for each "
            f"Jacobian, the "
            f"factor is {interval_text(duel.dear.ratio)}.")


def beside(contest: Contest, duel: Duel) -> str:
    """Storage and CPU time at equal error."""
    said = [f"{verb} {interval_text(factor.ratio)} times its {what}"
            for verb, what, factor in (("stores", "bytes", duel.bytes), ("takes", "CPU time", duel.time))
            if factor.ratio.n]
    return f"Against {contest.baseline.name}, at equal gradient error, it {' and '.join(said)}." if said else ""


def by_problem(duel: Duel) -> list[str]:
    """A sentence for each verdict that occurs."""
    words = {BETTER: "Better on", WORSE: "Worse on", EQUAL: f"Equal (within {MARGIN_TEXT}) on", UNKNOWN: "Not known on"}
    found = []
    for verdict, word in words.items():
        matches = [match for match in duel.matches if match.verdict == verdict]
        if matches:
            found.append(f"{word} {len(matches)} of {problems_text(len(duel.matches))}: {listed(matches)}.")
    return found


def by_error(contest: Contest, duel: Duel) -> str:
    """How many single comparisons tell, after correction."""
    counts = {verdict: sum(match.verdict_at(i) == verdict and cell.n > 0 for match in duel.matches
                           for i, cell in enumerate(match.cells)) for verdict in (BETTER, WORSE, EQUAL)}
    pairs = [cell.n for match in duel.matches for cell in match.cells if cell.n]
    if max(pairs, default=0) < FEWEST:
        return ""
    least, remark = 2 * 0.5 ** min(pairs), ""
    if least * duel.tests > 0.05:
        who = "none can" if min(pairs) == max(pairs) else "some cannot"
        remark = (f" With {min(pairs)} pairs and {duel.tests} comparisons {who} be called better or worse, "
                  f"whatever the data: the smallest p-value there, {least:.2g}, times {duel.tests} is above 0.05; more "
                  f"seeds are needed for that.").replace(" 1 pairs", " 1 pair")
    return (f"At single errors, after Holm's correction over {duel.tests} comparisons (problems and errors): better in "
            f"{counts[BETTER]}, worse in {counts[WORSE]}, equal in {counts[EQUAL]}.{remark}")


def factors_by_error(contest: Contest, duel: Duel) -> str:
    """The factor at each error, each over the problems where both get there."""
    told = [f"{power(target)} {interval_text(factor.ratio)}"
            + ("" if factor.ratio.n == duel.factor.ratio.n else f" ({problems_text(factor.ratio.n)})")
            for target, factor in zip(contest.targets, duel.by_target) if factor.ratio.n]
    return f"The factor at each error: {', '.join(told)}." if len(told) > 1 else ""


def chance(contest: Contest, duel: Duel) -> str:
    """Probability of improvement."""
    least, most = duel.improvement
    if math.isnan(least) or not any(match.whole.ratio.known for match in duel.matches):
        return ""
    return (f"On a problem and a seed drawn at random it needs fewer evaluations than {contest.baseline.name} with "
            f"probability {least:.2f}" + (f" to {most:.2f}." if f"{least:.2f}" != f"{most:.2f}" else "."))


def far_off(contest: Contest, duel: Duel) -> str:
    """Seeds that the factor does not show: far from it, to either side."""
    if not FAR < duel.factor.ratio.value < 1 / FAR:
        return ""
    pairs = np.concatenate([match.whole.ratios for match in duel.matches])
    less, more = int((pairs[:, 1] < FAR).sum()), int((pairs[:, 0] > 1 / FAR).sum())
    return "" if not less and not more else (
        f"Medians do not show it: of {len(pairs)} pairs (problem, policy, seed) it needs less than {FAR:g} times the "
        f"evaluations of {contest.baseline.name} in {less}, more than {1 / FAR:g} times in {more}.")


def failed(contest: Contest, duel: Duel) -> list[str]:
    """What did not end ok, and who never reached an error that the other did."""
    results, found = duel.entry.source.results, []
    rows = (results.runs["estimator"] == duel.entry.row).nonzero()[0]
    failures = results.failures(rows)
    done, pending = int(results.run_done[rows].sum()), int((~results.run_done[rows]).sum())
    if failures:
        words = ", ".join(f"{count} {word}" for word, count in failures.items())
        found.append(f"{sum(failures.values())} of its {done} runs did not end ok: {words}.")
    if done and sum(failures.values()) == done:
        found.append("Nothing else can be said about it: all of its runs failed.")
    if pending:
        found.append(f"{pending} of its runs are not done yet; seeds count when all of their runs are.")
    if duel.alone or duel.behind:
        found.append(f"Of all seeds and errors, {duel.alone} are reached by it alone, {duel.behind} by "
                     f"{contest.baseline.name} alone.")
    return found


def unknown(contest: Contest, duel: Duel) -> list[str]:
    """What the data do not tell."""
    found = []
    few = [match.label for match in duel.matches if match.whole.n < FEWEST]
    if few:
        found.append(f"Fewer than {FEWEST} pairs, hence no interval and no verdict: {', '.join(few)}.")
    if duel.neither:
        found.append(f"In {duel.neither} of the seeds and errors neither reaches the error within the settings that "
                     f"were run.")
    if duel.unresolved:
        found.append(f"In {duel.unresolved} the reference gradient is not accurate enough to tell.")
    obstacle = contest.time_obstacle(duel.entry)
    if obstacle or not duel.time.ratio.n:
        found.append("CPU times are not compared: "
                     + (obstacle or f"on no problem were {FEWEST} seeds of both timed outside a crowd") + ".")
    attempt = duel.entry.source.options.get("final_attempt", "0")
    if attempt in ("", "0"):
        found.append("These are seeds to compare on; a final claim takes held-out ones (try -final).")
    else:
        found.append(f"Final claim, attempt {attempt}: held-out seeds, drawn from the source."
                     + (" Each further attempt makes luck likelier." if attempt != "1" else ""))
    return found


def paragraph(contest: Contest, duel: Duel) -> list[str]:
    """All sentences on one estimator, the headline first."""
    if not duel.matches:
        return [headline(contest, duel), *failed(contest, duel)]
    sentences = [headline(contest, duel), dearer(duel), beside(contest, duel), *by_problem(duel),
                 factors_by_error(contest, duel), by_error(contest, duel), chance(contest, duel),
                 far_off(contest, duel), *failed(contest, duel), *unknown(contest, duel), scope(contest, duel)]
    return [sentence for sentence in sentences if sentence]
