"""choosing.py -- which estimator to take: ctpgbench choosing results.h5 ... [--page FILE] [--nonsmooth L,L]

Reads files of jobs/estimators*.yaml and prints the parts of docs/choosing.md: sessions, choice, relative, prototype,
measured. With --page it rewrites what stands on that page between "<!-- choosing: NAME -->" and "<!-- end -->"; the
text around stays.

Everything is at equal gradient error, by the rule of measure/crossing.py: the crossing of a seed is interpolated in
log-log, seeds that do not reach an error count as infinite, a median is printed only where more than half reach it.
Beside the NFE the same rule takes the weighted work (nf cost_f + nvjp cost_vjp, with the costs measured on that
machine) and the bytes.

An estimator's rank at an error is the geometric mean, over the problems, of its NFE divided by the least NFE of any
estimator on that problem. It is ranked only if its median exists on every problem where anybody's does. Problems of
--nonsmooth, those where an estimator has no complete seed yet, and those with half as many estimators as others or
fewer stay out of the ranking. An interpreted estimator's bytes are its own word: no limit on storage lets it in.
"""

from __future__ import annotations

import math

import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.measure.crossing import TARGETS, fitted_order, reach
from ctpgbench_analysis.read.file import open_kind, plain_text
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.words import power
from ctpgbench_analysis.report.table import order_text, reach_text
from ctpgbench_analysis.report.text import markdown, significant

# ESTIMATORS.md, "Measured beforehand": NFE at 1e-3, 1e-6, 1e-9 on differential drive T = 10 and 25, quadrotor T = 5.
PROTOTYPE_PROBLEMS = ("diffdrive-trained", "diffdrive-long", "quadrotor-trained")
PROTOTYPE = {
    "euler-bptt": ("84530 / - / >1e5", "-", "-"),
    "neural-ode": ("6797 / fails / fails", "fails", "fails"),
    "neural-ode-ckpt": ("467 / 780 / 892", "1248 / 1806 / 2229", "3890 / 5930 / 6950"),
    "ctpg": ("282 / 445 / 426", "694 / 1011 / 1069", "1997 / 2858 / 3506"),
    "ctpg-dop853": ("365 / 672 / 639", "722 / 1063 / 1032", "1446 / 2086 / 2181"),
    "ctpg-gauss": ("353 / 549 / 546", "902 / 1310 / 1547", "2678 / 3900 / 4996"),
    "rk-adjoint-3bs": ("307 / 433 / 682", "2863 / 3812 / 6318", "-"),
    "rk-adjoint-5bs": ("221 / 373 / 365", "589 / 808 / 756", "1577 / 2164 / 2455"),
    "rk-adjoint-6vr": ("232 / 364 / 352", "569 / 783 / 841", "1543 / 2069 / 2375"),
    "rk-adjoint-dop853": ("251 / 415 / 403", "616 / 865 / 682", "1272 / 1790 / 1747"),
    "rk-adjoint-8ve": ("311 / 491 / 459", "608 / 878 / 776", "1224 / 1709 / 1451"),
    "rk-adjoint-norm": ("261 / 503 / 420", "542 / 758 / 698", "1133 / 1561 / 1735"),
}
BUDGETS = (("any", math.inf), ("100 KiB", 100 * 1024), ("10 KiB", 10 * 1024), ("2 KiB", 2 * 1024))  # of storage
QUANTITIES = ("nfe", "work", "bytes")


def measure(results, problem, estimator, targets):
    """Claimed and fitted order, and {quantity: [Reach]} of one estimator on one problem."""
    grid = make_grid(results, problem, estimator)
    values = {"nfe": grid.nfe, "work": 1e3 * grid.work, "bytes": np.fmax(grid.bytes, 1)}
    rows = results.rows(problem, estimator)
    return {"order": float(results.estimators["order"][estimator]), "fitted": fitted_order(grid, 0.1),
            "failed": sum(results.failures(rows).values()), "runs": int(results.run_done[rows].sum()),
            **{name: [reach(grid, target, values[name], grid.done) for target in targets] for name in QUANTITIES}}


def measure_file(results, targets):
    """{problem label: {estimator label: measure}} of what was planned, whether or not a seed counts already."""
    return {label: {results.estimators["label"][e]: measure(results, problem, e, targets)
                    for e in range(len(results.estimators)) if len(results.rows(problem, e))}
            for problem, label in enumerate(results.problems["label"])}


def merge(files, tables):
    """The tables of all files as one, in their order."""
    table, home = {}, {}
    for results, part in zip(files, tables):
        for label in part:
            if label in home:
                raise ResultsError(
                    f"{results.path} and {home[label]} both have a problem {label}; expected labels that "
                    "differ between the files."
                )
            home[label] = results.path
        table.update(part)
    return table


def counted(rows):
    """Of the estimators on a problem: those with a complete seed."""
    return {name: row for name, row in rows.items() if row["nfe"][0].seeds}


def is_interpreted(name):
    return name.endswith(")")  # read/sweep.py: "mine (python)"


def ranked(table, target, budget):
    """[(geometric mean, estimator)], best first, of those that store at most `budget` bytes on every problem."""
    estimators = {name for rows in table.values() for name in rows}
    best = {problem: min((row["nfe"][target].median for row in rows.values()
                          if not math.isnan(row["nfe"][target].median)), default=math.nan)
            for problem, rows in table.items()}
    asked = [problem for problem, least in best.items() if not math.isnan(least)]
    found = []
    for name in estimators:
        cells = [table[problem].get(name) for problem in asked]
        if not cells or any(cell is None for cell in cells):
            continue
        ratios = [cell["nfe"][target].median / best[problem] for cell, problem in zip(cells, asked)]
        stored = [math.inf if is_interpreted(name) else cell["bytes"][target].median for cell in cells]
        if not any(map(math.isnan, ratios)) and max(stored) <= budget:
            found.append((float(np.exp(np.mean(np.log(ratios)))), name))
    return sorted(found)


def choice_table(table, targets):
    header = ["storage", *[f"error {power(target)}" for target in targets]]
    body = []
    for word, budget in BUDGETS:
        cells = []
        for i in range(len(targets)):
            order = ranked(table, i, budget)[:3]
            cells.append(", ".join(f"`{name}` {ratio:.2f}" for ratio, name in order) or "none")
        body.append([word, *cells])
    return markdown(header, body)


def relative_table(table, targets):
    ranks = [dict((name, ratio) for ratio, name in ranked(table, i, math.inf)) for i in range(len(targets))]
    names = sorted({name for rows in table.values() for name in rows},
                   key=lambda name: ([rank.get(name, math.inf) for rank in reversed(ranks)], name))
    header = ["estimator", *[power(target) for target in targets], "claimed order", "fitted order", "not ok"]
    body = []
    for name in names:
        rows = [rows[name] for rows in table.values() if name in rows]
        fitted = [row["fitted"] for row in rows if not math.isnan(row["fitted"])]
        middle = float(np.median(fitted)) if fitted else math.nan
        body.append([f"`{name}`", *[f"{rank[name]:.2f}" if name in rank else "-" for rank in ranks],
                     order_text(rows[0]["order"], "g"), order_text(middle, ".1f"),
                     f"{sum(row['failed'] for row in rows)} of {sum(row['runs'] for row in rows)}"])
    return markdown(header, body)


def number(value):
    return f"{value:.0f}"


def prototype_table(table, targets):
    header = ["estimator", *[f"{who} at {power(target)}" for target in targets for who in ("prototype", "measured")]]
    body = []
    for name, figures in PROTOTYPE.items():
        cells = []
        for target in TARGETS:
            here = [table.get(problem, {}).get(name) for problem in PROTOTYPE_PROBLEMS]
            i = targets.index(target)
            cells += [figures[TARGETS.index(target)],
                      " / ".join("not run" if row is None else reach_text(row["nfe"][i], number) for row in here)]
        body.append([f"`{name}`", *cells])
    return markdown(header, body)


def measured_tables(table, targets):
    lines = []
    header = ["estimator", "order", "fitted", *[f"{quantity} at {power(target)}" for target in targets
                                                for quantity in ("NFE", "work, ms", "bytes")], "not ok"]
    for problem, rows in table.items():
        body = []
        for name, row in rows.items():
            cells = [f"`{name}`", order_text(row["order"], "g"), order_text(row["fitted"], ".2f")]
            for i in range(len(targets)):
                cells.append(reach_text(row["nfe"][i], number))
                for quantity, form in (("work", significant), ("bytes", number)):
                    median = row[quantity][i].median
                    cells.append("-" if math.isnan(median) else form(median))
            body.append(cells + [f"{row['failed']} of {row['runs']}"])
        lines += [f"### {problem}", "", *markdown(header, body), ""]
    return lines[:-1]


def seeds_counted(part):
    """Over the problems of a file: the seeds that count, for the estimator with the most of them."""
    seeds = sorted(max((row["nfe"][0].seeds for row in rows.values()), default=0) for rows in part.values())
    return "-" if not seeds else f"{seeds[0]}" if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"


def sessions_of(path):
    with open_kind(path, "sweep") as file:
        return [row for row in file["sessions"][()] if plain_text(row["start"])] if "sessions" in file else []


def session_lines(files: list, tables: list) -> list[str]:
    """What was measured, when, where: from the files alone."""
    header = ["file", "problems", "seeds counted", "runs done", "begun (UTC)", "ended", "ranks", "instruction set, CPU",
              "commit"]
    body = []
    for results, part in zip(files, tables):
        sessions = sessions_of(results.path)
        where = ["-"] * 5
        if sessions:
            first, last = sessions[0], sessions[-1]
            where = [plain_text(first["start"]), plain_text(last["end"]) or "-",
                     ", ".join(sorted({str(row["ranks"]) for row in sessions})), plain_text(last["isa"]),
                     plain_text(last["commit"])[:12]]
        body.append([results.path.rpartition("/")[2], str(len(part)), seeds_counted(part),
                     f"{int(results.run_done.sum())} of {len(results.run_done)}", *where])
    return markdown(header, body)


def comparable(table, nonsmooth):
    """({problem: rows} that the ranking rests on, {problem: why it does not})."""
    most = max(len(rows) for rows in table.values())
    why = {}
    for problem, rows in table.items():
        if problem in nonsmooth:
            why[problem] = "not smooth"
        elif len(counted(rows)) < len(rows):
            why[problem] = f"no complete seed yet of {len(rows) - len(counted(rows))} of its {len(rows)} estimators"
        elif 2 * len(rows) <= most:
            why[problem] = f"estimators: {len(rows)}, elsewhere {most}"
    return {problem: rows for problem, rows in table.items() if problem not in why}, why


def basis_lines(compared, why):
    def listed(problems):
        return ", ".join(f"`{problem}`" for problem in problems)

    left_out = "; ".join(f"{listed(label for label in why if why[label] == reason)} ({reason})"
                         for reason in dict.fromkeys(why.values()))
    return [
        f"The ranking rests on {listed(compared) or 'no problem'}." + (f" Left out: {left_out}." if why else ""),
        "",
    ]


def make_parts(files: list[Results], targets: list[float], nonsmooth: list[str]) -> dict[str, list[str]]:
    """{name of the part: its lines of Markdown}; nonsmooth: labels of problems that the choice leaves out."""
    tables = [measure_file(results, targets) for results in files]
    table = merge(files, tables)
    unknown = [label for label in nonsmooth if label not in table]
    if unknown:
        raise ResultsError(f"--nonsmooth {unknown[0]} is no problem of these files; known: {', '.join(table)}.")
    measured = {problem: counted(rows) for problem, rows in table.items() if counted(rows)}
    if not measured:
        raise ResultsError("No file has a seed whose runs are all done.")
    compared, why = comparable(table, nonsmooth)
    return {"sessions": session_lines(files, tables),
            "choice": basis_lines(compared, why) + choice_table(compared, targets),
            "relative": relative_table(compared, targets), "prototype": prototype_table(measured, targets),
            "measured": measured_tables(measured, targets)}
