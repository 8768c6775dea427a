"""paper.py -- the paper's figures 1 to 7, two GIFs and a summary with a verdict on each of its claims:

  ctpgbench paper training.h5 [--gradients sweep.h5] [--traces trace.h5 ...] [--beyond beyond.h5] [-o figures]
                              [--more paper-beyond.h5] [--page docs/paper.md]

  figure1                  four estimators in a scheme of two by two, from the first trace that has them
  figure2, figure2_<..>    gradient error against NFE and wallclock, from a file of `ctpgbench sweep`
  figure2_apart            the first claim taken apart (measure/apart.py)
  figure3 ... figure7      training, from the file of `ctpgbench train`; figure6 with traces of the trained policies
  diffdrive.gif, electric.gif
  summary.md               claims, numbers, verdicts (claims.py has the rules), the poster's first question, final
                           losses

Each figure as .pdf, .png and a caption .txt. A figure whose data are not in the files is left out, with a sentence why.
--page also rewrites the marked parts of a page, claim by claim with its pictures, which are copied beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctpgbench_analysis.draw import gradients
from ctpgbench_analysis.draw.apart import figure_apart
from ctpgbench_analysis.draw.curves import Missing
from ctpgbench_analysis.draw.everything import draw_paper, say_missing
from ctpgbench_analysis.draw.page import save
from ctpgbench_analysis.draw.scheme import figure_scheme
from ctpgbench_analysis.measure import apart
from ctpgbench_analysis.read.sweep import Results
from ctpgbench_analysis.read.traces import Trace
from ctpgbench_analysis.read.training import Training, remarks, source
from ctpgbench_analysis.report import claims, table_training
from ctpgbench_analysis.report.page import copy_pictures, picture_lines, write_page
from ctpgbench_analysis.report.paper_data import beyond_lines, data_lines, known_lines
from ctpgbench_analysis.report.text import markdown

# The pictures of a page: {part: figures}; that of claim N is "claim N".
PICTURES = {
    "scheme": ("figure1",),
    "claim 1": ("figure2_overview", "figure2_apart"),
    "claim 2": ("figure3",),
    "claim 3": ("figure5",),
    "claim 4": ("figure6",),
    "claim 5": ("figure7",),
    "stages": ("figure4",),
}


@dataclass
class Data:
    """What the files hold that were given."""
    training: Training
    gradients: Results | None   # of a sweep
    traces: list[Trace]
    ladder: list[str] | None    # conclusion of report/beyond.py
    more: Training | None       # of jobs/paper-beyond.yaml


# ---- figures ----

def scheme_of(traces: list[Trace]):
    """Figure 1 of the first trace that has its four estimators."""
    if not traces:
        raise Missing("no traces were given (--traces).")
    for number, trace in enumerate(traces):
        try:
            return figure_scheme(trace)
        except Missing:
            if number == len(traces) - 1:
                raise
    return None


def draw_all(data: Data, folder: Path) -> dict[str, str]:
    """Every figure into the folder; {name: why it is not there}."""
    missing = {}
    makers = {"figure1": lambda: scheme_of(data.traces)}
    if data.gradients is not None:
        gradients.draw_all(data.gradients, folder, "err_rel", None, "figure2_")
        makers["figure2_apart"] = lambda: figure_apart(data.gradients)
    else:
        missing["figure2"] = "no gradient sweep was given (--gradients)."
    for name, make in makers.items():
        try:
            save(*make(), folder, name)
        except Missing as why:
            missing[name] = str(why)
    missing.update(draw_paper(data.training, data.traces, folder))
    return missing


# ---- the summary, and a page ----

def claim_lines(claim: claims.Claim) -> list[str]:
    """Markdown of one claim, without its title."""
    return [f"**{claim.verdict}**: {claim.reason}.", "", f"Rule: {claim.rule}", "",
            *[f"- {text}" for text in claim.numbers], ""]


def apart_lines(results: Results | None) -> list[str]:
    """The first claim taken apart, or nothing."""
    found = [] if results is None else apart.take_apart(results)
    if not found:
        return []
    return ["Taken apart, one change at a time:", "", " ".join(apart.sentences(found)), "",
            *[f"- {line}" for line in apart.lines_of(found)], ""]


def question_lines(training, ladder):
    """The poster's first question, of the paper's own pairs and of the ladder of accuracies."""
    found = claims.iterations_text(training)
    lines = [
        (
            "The paper's own pairs, each at its own accuracy:"
            if found
            else "No problem of this file has test losses of both ctpg and Euler-BPTT."
        ),
        "",
        *[f"- {line}" for line in found],
    ]
    return [*lines, "", *(ladder or ["A ladder of accuracies answers it: jobs/accuracy.yaml with ctpgbench beyond "
                                     "(--beyond adds its conclusion here)."]), ""]


def losses_lines(training: Training) -> list[str]:
    """The table of final test losses."""
    return [*table_training.table(training, as_markdown=True), "",
            "Mean of the last tenth of a run's tests, infinite where it failed; median over seeds with its exact 95 % "
            "interval.", ""]


def verdict_table(judged: list[claims.Claim]) -> list[str]:
    """Claims and verdicts, in short."""
    return markdown(["claim of the paper", "verdict"], [[claim.text, claim.verdict] for claim in judged])


def origin(data: Data) -> str:
    """Where the numbers are from."""
    return source(data.training) + ("" if data.gradients is None else
                                    f" Gradients: {Path(data.gradients.path).name}, plan {data.gradients.plan_hash}.")


def notes_of(data: Data, missing: dict[str, str]) -> list[str]:
    """Figures that are not drawn, runs that are missing."""
    return [f"{name} is not drawn: {why}" for name, why in missing.items()] + remarks(data.training.pairs)


def summary(data: Data, missing: dict[str, str]) -> str:
    """Markdown: claims with numbers and verdicts, the poster's first question, final losses; missing: what is not
    drawn."""
    judged = claims.judge_all(data.training, data.gradients)
    parts = [
        "# The paper's claims, judged by these data",
        "",
        "Generated by ctpgbench paper; the rules (analysis/ctpgbench_analysis/report/claims.py) were written before "
        "any training at full scale.",
        "",
        *verdict_table(judged),
        "",
    ]
    for number, claim in enumerate(judged, 1):
        parts += [f"### {number}. {claim.text}", "", *claim_lines(claim)]
        parts += apart_lines(data.gradients) if number == 1 else []
    parts += ["## Does a more accurate gradient need fewer iterations?", "",
              *question_lines(data.training, data.ladder)]
    parts += ["## Final test losses", "", *losses_lines(data.training)]
    notes = notes_of(data, missing)
    parts += ["## Remarks", "", *[f"- {note}" for note in notes], ""] if notes else []
    return "\n".join([*parts, origin(data), ""])


def page_parts(data: Data, missing: dict[str, str], folder: Path, place: str) -> dict[str, list[str]]:
    """{name of a marked part: its lines}; place: folder of the pictures, seen from the page."""
    judged = claims.judge_all(data.training, data.gradients)
    pictures = {part: [line for name in names if name not in missing for line in picture_lines(name, folder, place)]
                for part, names in PICTURES.items()}
    parts = {"verdicts": verdict_table(judged), "scheme": pictures["scheme"], "stages": pictures["stages"]}
    for number, claim in enumerate(judged, 1):
        more = apart_lines(data.gradients) if number == 1 else []
        parts[f"claim {number}"] = [*claim_lines(claim), *more, *pictures.get(f"claim {number}", [])]
    parts["data"] = data_lines(data.training, data.gradients)
    parts["known"] = known_lines(data.training)
    parts["beyond"] = beyond_lines(data.more)
    parts["question"] = question_lines(data.training, data.ladder)
    parts["losses"] = losses_lines(data.training)
    parts["remarks"] = [*[f"- {note}" for note in notes_of(data, missing)], "", origin(data)]
    return parts


def write(data: Data, folder: Path, page: Path | None = None) -> None:
    """Figures, GIFs and summary.md into the folder, within our_style; page: of which marked parts are rewritten."""
    missing = draw_all(data, folder)
    say_missing(missing)
    (folder / "summary.md").write_text(summary(data, missing), encoding="utf-8")
    print(folder / "summary.md")
    if page is not None:
        write_page(page, "paper", page_parts(data, missing, folder, page.stem))
        copy_pictures([name for names in PICTURES.values() for name in names if name not in missing], folder,
                      page.with_suffix(""))
        print(page)
