"""verdict.py -- the folder of `ctpgbench compare`: one page that opens from disk, its figures as PDF and PNG, its
tables
as LaTeX and CSV, its sentences as text"""
from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

from ctpgbench_analysis.draw.sheet import Sheet
from ctpgbench_analysis.draw.verdict import all_sheets, make_looks
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.contest import Contest, Duel
from ctpgbench_analysis.measure.intervals import FEWEST
from ctpgbench_analysis.measure.ratios import MARGIN
from ctpgbench_analysis.read.baselines import shipped_baselines
from ctpgbench_analysis.read.several import Source, check_suites, name_entries, open_source
from ctpgbench_analysis.report import sentences
from ctpgbench_analysis.report.tabular import Table, as_csv, as_html, as_latex
from ctpgbench_analysis.report.verdict_tables import all_tables, bibliography
from ctpgbench_analysis.report.web import SCRIPT, STYLE

HOW = (
    "NFE counts evaluations of the right-hand side, products with its Jacobian from either side, and the products "
    "that whole "
    "Jacobians took. The error is that of dL/dθ, relative to the reference gradient of the same case.",
    "NFE at an error, per seed: the settings of an estimator run from loose to tight; the error is reached if the "
    "tightest "
    "setting reaches it. log NFE is fitted by a line in log error over the settings within 2.5 decades, and read off "
    "at the "
    "error, so that it does not hang on where the settings lie.",
    "What is not reached: if the tightest setting ended ok, NFE is at least what that took; if it failed, infinite. "
    "Where the "
    "loosest setting is good enough already, its NFE is an upper bound. Ratios carry these bounds: they may be 0, "
    "infinite, or "
    "known to one side only, and the interval is that of the worse case.",
    f"Ratios are paired by seed: same start, same policy. Estimate: the median. Interval: between two order "
    f"statistics, exact "
    f"for any distribution; fewer than {FEWEST} pairs have none. p: two-sided sign test; undecided pairs count "
    f"against the claim. "
    "Holm's correction over the problems, and at single errors over problems and errors.",
    f"Equal: the whole interval lies within the margin {MARGIN[0]:g} to {MARGIN[1]:g}, which was declared beforehand. "
    f"Better or worse: it does not, the corrected p is at most 0.05, and the interval does not hold 1. Else: not "
    f"known.",
    "The factor over all problems: geometric mean over problems, of the same weight each, of the mean over policies "
    "of the median "
    "over seeds. Its interval is a seeded bootstrap (4000 replicates) that draws problems, then policies, then seeds.",
    "Storage, weighted work and CPU time: the same rules, with these in place of NFE.",
    "Several estimators in one comparison are judged each for itself; the more of them there are, the more a single "
    "verdict "
    "must be doubted.",
)


MOST_OPEN = 4  # estimators of whom all sentences stand open at the top of a page
WIDE = ("failures", "provenance", "versions")  # tables that no page of a paper holds


def open_files(paths: list[str], with_baselines: bool) -> tuple[list[Source], list[str]]:
    """The files, with the shipped baselines behind them where they are of the same suite; and what is to be said."""
    sources, remarks = [open_source(path) for path in dict.fromkeys(paths)], []
    check_suites(sources)
    suite, shipped = next((source.suite for source in sources if source.suite), ""), shipped_baselines()
    if not any(source.results.run_done.any() for source in sources):
        raise ResultsError(f"{', '.join(map(str, paths))}: no file holds a finished run yet.")
    if with_baselines and suite and shipped:
        baselines = open_source(shipped, shipped=True)
        if any(source.sha256 == baselines.sha256 for source in sources):
            pass  # they were given
        elif baselines.suite == suite:
            sources.append(baselines)
        else:
            remarks.append(f"The shipped baselines are of {baselines.suite}, these files of {suite}: not compared "
                           f"with them.")
    return sources, remarks


def make_contest(paths: list[str], baseline: str, targets: list[float],
                 with_baselines: bool, mine: str = "") -> tuple[Contest, list[str]]:
    """The contest of these files, and remarks on them; mine: the one estimator that is judged, "" for all."""
    sources, remarks = open_files(paths, with_baselines)
    contest = Contest(sources, name_entries(sources), baseline, targets, mine)
    if not contest.candidates:
        raise ResultsError(f"{contest.sources[0].name} holds no estimator beside the baseline {baseline}.")
    mixed = [source.name for source in sources if source.schema != sources[0].schema]
    if mixed:
        remarks.append(f"Files have different schema versions: {sources[0].name} {sources[0].schema}, "
                       + ", ".join(f"{source.name} {source.schema}" for source in sources[1:]) + ".")
    return contest, [*remarks, *(f"Not compared: {text}." for text in contest.strangers())]


# ---- the page ----

def figure_html(sheet: Sheet) -> str:
    """One figure with its caption."""
    svg, points = sheet.svg()
    names = f"<a href=\"{sheet.name}.pdf\">PDF</a> <a href=\"{sheet.name}.png\">PNG</a>"
    return (f"<figure "
            f"id=\"figure-{sheet.name}\"><figcaption>{html.escape(sheet.title)}<small>{html.escape(sheet.caption)} "
            f"{names}"
            f"</small></figcaption><div class=plot>{svg}<div class=tip></div><script type=\"application/json\">{points}"
            f"</script></div></figure>")


def switches(contest: Contest) -> str:
    """A box for each curve."""
    boxes = [f"<label><input type=checkbox{'' if contest.is_aside(entry) else ' checked'} value=\"{number}\"><i "
             f"style=\"background:{look['color']}\"></i>{html.escape(entry.name)}</label>"
             for number, (entry, look) in enumerate(zip(contest.entries, make_looks(contest)))]
    return f"<nav aria-label=\"curves\">{''.join(boxes)}</nav>"


def prose(text: str) -> str:
    """A sentence, in which powers stay on one line."""
    return re.sub(r"\b1e-\d+", r"<span class=together>\g<0></span>", html.escape(text))


def shortened(table: Table, contest: Contest) -> Table:
    """Without the rows of what is shown on demand; where the others are is said."""
    aside = {entry.name for entry in contest.entries if contest.is_aside(entry)}
    rows = [row for row in table.rows if row[0] not in aside]
    rest = f" The shipped baselines stand in {table.name}.csv." if len(rows) < len(table.rows) else ""
    return replace(table, rows=rows, note=(table.note + rest).strip())


def opening(contest: Contest, duels: list[Duel], remarks: list[str]) -> str:
    """Title and first sentences."""
    names = ", ".join(duel.entry.name for duel in duels[:4]) + (", ..." if len(duels) > 4 else "")
    parts = [f"<h1>{html.escape(names)} against {html.escape(contest.baseline.name)}</h1>"]
    for duel in duels:
        first, *rest = sentences.paragraph(contest, duel)
        items = f"<ul>{''.join(f'<li>{prose(sentence)}</li>' for sentence in rest)}</ul>"
        if len(duels) > MOST_OPEN:
            items = f"<details class=printed><summary>More on {html.escape(duel.entry.name)}</summary>{items}</details>"
        parts.append(f"<p class=lead>{prose(first)}</p>{items}")
    parts += [f"<p class=note>{html.escape(remark)}</p>" for remark in remarks]
    return "\n".join(parts)


def section(title: str, *parts: str) -> str:
    """A heading and what is there; "" where there is nothing."""
    there = [part for part in parts if part]
    return f"<h2>{html.escape(title)}</h2>" + "\n".join(there) if there else ""


def nothing(why: str) -> str:
    """In place of a table."""
    return f"<p>{html.escape(why)}</p>"


def page(contest: Contest, duels: list[Duel], remarks: list[str], sheets: list[Sheet], tables: dict[str, Table]) -> str:
    """The whole page."""
    def figures(*prefixes):
        chosen = [figure_html(sheet) for sheet in sheets if sheet.name.startswith(prefixes)]
        return f"<div class=grid>{''.join(chosen)}</div>" if chosen else ""

    def table(*names):
        return "".join(as_html(shortened(tables[name], contest)) for name in names if name in tables)

    def folded(title, *names):
        inside = table(*names)
        return f"<details class=printed><summary>{title}</summary>{inside}</details>" if inside else ""

    how = "".join(f"<li>{html.escape(text)}</li>" for text in HOW)
    judged = ", ".join(entry.name for entry in [*contest.candidates, contest.baseline])
    body = [opening(contest, duels, remarks), switches(contest),
            section("Paired ratios", table("verdicts"), figures("ratios"), folded("Every problem and error", "ratios")),
            section("Work and precision", figures("work_precision"), folded("NFE in numbers", "nfe")),
            section("What is reached, and performance profiles", figures("ecdf", "profiles")),
            section("Memory", table("memory_ratios"), folded("In numbers", "memory")),
            section("Weighted work", table("work_ratios") or nothing("The costs of f and vjp are not known."),
                    folded("In numbers", "work")),
            section("CPU time", table("time_ratios") or nothing("No CPU times are compared; the first sentences say "
                                                                "why."), folded("In numbers", "time")),
            section("Orders", table("orders")),
            section("Error bars", table("calibration") or nothing("No estimator here gives error bars.")),
            section("Failures", table("failures") or nothing(f"Every run of {judged} ended ok.")),
            section("Where the numbers come from", table("provenance"), folded("Estimators and problems", "versions")),
            section("How each number was computed", f"<ul>{how}</ul>"),
            section("BibTeX", f"<details><summary>Of what was used, also in references.bib</summary>"
                    f"<pre>{html.escape(bibliography(contest)) or 'none'}</pre></details>")]
    return (f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
            f"content=\"width=device-width, "
            f"initial-scale=1\"><title>{html.escape(duels[0].entry.name)} against "
            f"{html.escape(contest.baseline.name)}</title>"
            f"<style>{STYLE}</style></head><body>{''.join(body)}<script>{SCRIPT}</script></body></html>\n")


# ---- the folder ----

def write(contest: Contest, remarks: list[str], folder: Path) -> list[str]:
    """Everything into the folder, which is there; the first sentences on each estimator."""
    duels = [contest.duel(entry) for entry in contest.candidates]
    sheets, tables = all_sheets(contest, duels), all_tables(contest, duels)
    for sheet in sheets:
        sheet.save(folder)
    for table in tables.values():
        if table.name not in WIDE:
            (folder / f"{table.name}.tex").write_text(as_latex(shortened(table, contest)), encoding="utf-8")
        (folder / f"{table.name}.csv").write_text(as_csv(table), encoding="utf-8")
    (folder / "references.bib").write_text(bibliography(contest) + "\n", encoding="utf-8")
    text = [line for duel in duels for line in (*sentences.paragraph(contest, duel), "")]
    (folder / "verdict.txt").write_text("\n".join([*text, *remarks, ""]), encoding="utf-8")
    (folder / "index.html").write_text(page(contest, duels, remarks, sheets, tables), encoding="utf-8")
    return [sentences.headline(contest, duel) for duel in duels]
