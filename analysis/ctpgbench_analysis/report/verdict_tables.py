"""verdict_tables.py -- the tables of `ctpgbench compare`"""
from __future__ import annotations

import math
import shlex

import numpy as np

from ctpgbench_analysis.measure import ratios
from ctpgbench_analysis.measure.contest import Contest, Duel, calibrations, machines_of
from ctpgbench_analysis.measure.intervals import median_interval
from ctpgbench_analysis.read.several import Entry, Source, assignments
from ctpgbench_analysis.read.words import order_text, power
from ctpgbench_analysis.report.sentences import interval_text
from ctpgbench_analysis.report.tabular import Table
from ctpgbench_analysis.report.text import significant

OF_A_RUN = ("seeds", "rtol", "dt", "grad_rtol", "samples", "repeats")
MOST_FAILURES = 40
NOTHING = "- (0/0)"  # no seed that counts


def p_text(p: float) -> str:
    """A p-value; small ones as powers."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def verdicts(contest: Contest, duels: list[Duel]) -> Table:
    """Every estimator on every problem."""
    rows = []
    for duel in duels:
        for match in duel.matches:
            whole = match.whole
            rows.append([duel.entry.name, match.label, str(whole.n), interval_text(whole.ratio),
                         interval_text(whole.improved), p_text(match.p_whole), match.verdict])
    return Table("verdicts", f"Ratio of NFE to that of {contest.baseline.name} at equal gradient error, over all "
                             f"errors",
                 ["estimator", "problem", "pairs", "ratio [95 %]", "probability of improvement", "p (Holm)",
                  "verdict"], rows,
                 "A seed's ratio is the median over the errors; p: sign test, corrected over the problems.")


def ratios_by_error(contest: Contest, duels: list[Duel]) -> Table:
    """Every estimator on every problem at every error."""
    rows = []
    for duel in duels:
        for match in duel.matches:
            for i, (target, cell) in enumerate(zip(contest.targets, match.cells)):
                if cell.n or cell.neither or cell.unresolved:
                    rows.append([duel.entry.name, match.label, power(target), str(cell.n), interval_text(cell.ratio),
                                 f"{cell.better}/{cell.worse}", str(cell.neither), str(cell.unresolved),
                                 p_text(match.p_cells[i]), match.verdict_at(i) if cell.n else "-"])
    return Table("ratios", f"Ratio of NFE to that of {contest.baseline.name} at equal gradient error",
                 ["estimator", "problem", "error", "pairs", "ratio [95 %]", "less/more", "neither", "unresolved",
                  "p (Holm)",
                  "verdict"], rows,
                 "less/more: seeds on which it certainly needs less or more. neither: seeds on which neither reaches "
                 "the error. "
                 "p: sign test, corrected over problems and errors.")


def median_of(contest: Contest, entry: Entry, label: str, quantity: str, target: int) -> str:
    """Median over seeds of what an error takes, "-" where half of them or more do not reach it."""
    needs = contest.needs(entry, label, quantity)[target]
    values = needs[~np.isnan(needs[:, 1]), 1]
    middle = median_interval(values).value if len(values) else math.nan
    reached = f" ({np.isfinite(values).sum()}/{len(values)})"
    if not np.isfinite(middle):
        return "-" + reached
    if quantity == "bytes" and middle == 1:  # nothing, which has no ratio
        middle = 0
    if quantity in ("work", "time"):
        return significant(1e3 * middle) + reached
    return f"{middle:.0f}" + reached


def quantity_table(contest: Contest, quantity: str, name: str, title: str, note: str) -> Table:
    """What errors take, of every entry on every problem."""
    every = [target for target in range(len(contest.targets)) if any(
        np.isfinite(contest.needs(entry, label, "nfe")[target, :, 1]).any()
        for entry in contest.entries for label in contest.labels if contest.side(entry, label))]
    rows = []
    for label in contest.labels:
        for entry in contest.entries:
            if contest.side(entry, label) and (quantity != "time" or not contest.time_obstacle(entry)):
                cells = [median_of(contest, entry, label, quantity, i) for i in every]
                rows += [[entry.name, label, *cells]] if set(cells) != {NOTHING} else []
    return Table(name, title, ["estimator", "problem", *(power(contest.targets[i]) for i in every)], rows, note)


def paired_quantity(contest: Contest, duels: list[Duel], quantity: str, name: str, title: str) -> Table:
    """Ratios of another quantity than NFE, over all errors, where there is one."""
    rows = []
    for duel in duels:
        if quantity == "time" and contest.time_obstacle(duel.entry):
            continue
        for match in duel.matches:
            whole = ratios.over_targets(*contest.both(duel.entry, match.label, quantity))
            if whole.n:
                rows.append([duel.entry.name, match.label, str(whole.n), interval_text(whole.ratio)])
    return Table(name, f"{title} over that of {contest.baseline.name}, at equal gradient error over all errors",
                 ["estimator", "problem", "pairs", "ratio [95 %]"], rows)


def order_table(contest: Contest) -> Table:
    """Claimed and fitted orders."""
    rows = []
    for entry in contest.entries:
        claimed = order_text(entry.source.results.estimators[entry.row])
        for label in contest.labels:
            if contest.side(entry, label):
                fitted = contest.orders(entry, label)
                if fitted.n:
                    rows.append([entry.name, label, claimed, interval_text(fitted)])
    return Table("orders", "Order: claimed, and fitted as -d log error / d log NFE", ["estimator", "problem", "claimed",
                                                                                  "fitted [95 %]"], rows,
                 "Median over seeds with at least three resolved errors of 0.1 or less; varies: each step has its own.")


def calibration_table(contest: Contest) -> Table | None:
    """Error bars against errors; None where nobody has bars."""
    found = calibrations(contest.entries)
    if not found:
        return None
    return Table("calibration", "Error bars that estimators give with their gradients",
                 ["estimator", "runs", "error within the bar", "bar / error, median"],
                 [[one.name, str(one.runs), interval_text(one.held), f"{one.middle:.2f}"] for one in found],
                 "Runs of one seed are not independent: the interval is the least that one has to allow for.")


# ---- failures ----

def label_words(key: str, about: dict[str, str]) -> list[str]:
    """-problem label=type -label_option value ..., of what was given."""
    label, kind = about["label"], about["type"]
    words = [key, label if label == kind else f"{label}={kind}"]
    for name, value in assignments(about["given"]).items():
        if name not in OF_A_RUN:
            words += [f"-{label}_{name}", value]
    return words


def repetition(source: Source, row: int) -> str:
    """The command that computes one run again."""
    run = source.results.runs[row]
    words = ["ctpgbench", "gradient", *label_words("-problem", source.problems[run["problem"]]), "-seed",
             str(source.results.cases["seed"][run["case_index"]]),
             *label_words("-estimator", source.estimators[run["estimator"]]),
             f"-{source.results.estimators['knob'][run['estimator']]}", repr(float(run["accuracy"]))]
    for name in ("experiment", "problem_library", "estimator_library"):
        if source.options.get(name, "0") not in ("", "0"):
            words += [f"-{name}", source.options[name]]
    return shlex.join(words)


def failure_table(contest: Contest) -> Table:
    """Failures by reason, of the candidates and the baseline, each with the command that repeats its first one."""
    found: dict[tuple[str, str, str, str], list[tuple[Source, int]]] = {}
    for entry in [*contest.candidates, contest.baseline]:
        results = entry.source.results
        bad = results.run_done & (results.runs["status"] != results.ok) & (results.runs["estimator"] == entry.row)
        for row in np.flatnonzero(bad):
            run = results.runs[row]
            key = (entry.name, str(results.problems["label"][run["problem"]]), results.statuses[run["status"]],
                   entry.source.reasons[row])
            found.setdefault(key, []).append((entry.source, row))
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    rows = [[*key, str(len(runs)), repetition(*runs[0])] for key, runs in ordered[:MOST_FAILURES]]
    more = f"{len(ordered) - MOST_FAILURES} more kinds are not listed." if len(ordered) > MOST_FAILURES else ""
    return Table("failures", "Runs that did not end ok, by reason", ["estimator", "problem", "status", "reason", "runs",
                                                                   "command that repeats the first one"], rows, more)


# ---- provenance ----

def provenance(contest: Contest) -> Table:
    """Every file."""
    rows = []
    for source in contest.sources:
        first, last = (source.sessions or [{}])[0], (source.sessions or [{}])[-1]
        results = source.results
        rows.append([
            source.name + (" (shipped baselines)" if source.shipped else ""), str(source.schema), source.suite or "-",
            f"{results.run_done.sum()} of {len(results.run_done)}", first.get("start", "-"),
            last.get("end", "-") or "-", first.get("commit", "")[:12] or "-", "; ".join(machines_of(source)) or "-",
            results.plan_hash, source.uuid or "-", source.sha256
        ])
    header = ["file", "schema", "suite", "runs done", "begun (UTC)", "ended", "commit", "machine", "plan", "uuid",
              "SHA-256"]
    return Table("provenance", "Files", header, rows)


def given_text(about: dict[str, str]) -> str:
    """Options of a label on one line."""
    return ", ".join(about["given"].split("\n")).strip(", ") or "-"


def versions(contest: Contest) -> Table:
    """What ran: types, versions and options."""
    rows = [[entry.name, entry.about["type"], entry.about["version"], given_text(entry.about), entry.source.name]
            for entry in contest.entries]
    seen = set()
    for source in contest.sources:
        for about in source.problems:
            identity = about["label"], about["version"], about["options"]
            if identity not in seen and about["label"] in contest.labels:
                rows.append([about["label"], about["type"], about["version"], given_text(about), source.name])
            seen.add(identity)
    return Table("versions", "Estimators and problems", ["label", "type", "version", "given options", "file"], rows)


def all_tables(contest: Contest, duels: list[Duel]) -> dict[str, Table]:
    """{name: table} of those that have a row."""
    nobody = "Median over seeds, in parentheses how many reach the error; -: half of them or more do not."
    tables = [verdicts(contest, duels), ratios_by_error(contest, duels),
              quantity_table(contest, "nfe", "nfe", "NFE at a gradient error", nobody),
              quantity_table(contest, "bytes", "memory", "Bytes stored at a gradient error", nobody),
              paired_quantity(contest, duels, "bytes", "memory_ratios", "Storage"),
              quantity_table(contest, "work", "work", "Weighted work at a gradient error, ms",
                             "nf and nvjp times what one of them cost on the machine of the first file. " + nobody),
              paired_quantity(contest, duels, "work", "work_ratios", "Weighted work"),
              quantity_table(contest, "time", "time", "CPU time of one gradient at an error, ms",
                             "Runs timed in a crowd are left out. " + nobody),
              paired_quantity(contest, duels, "time", "time_ratios", "CPU time"),
              order_table(contest), calibration_table(contest), failure_table(contest), versions(contest),
              provenance(contest)]
    return {table.name: table for table in tables if table and table.rows}


def bibliography(contest: Contest) -> str:
    """BibTeX of all that was used, each entry once."""
    entries = [about["bibtex"].strip() for about in (
        *(entry.about for entry in contest.entries),
        *(about for source in contest.sources for about in source.problems if about["label"] in contest.labels))]
    return "\n\n".join(dict.fromkeys(entry for entry in entries if entry))

