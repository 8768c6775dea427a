"""commands.py -- the command line: ctpgbench-analysis <command> ..., python3 -m ctpgbench_analysis, ctpgbench figures,
...

Each command is a function that reads its files, then draws or prints; what it needs is imported only then, so that
--help and what is wrong with a command line cost nothing. Here, and nowhere else, a mistake becomes one sentence and an
exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import sys
import warnings
from pathlib import Path
from typing import Iterator, Sequence

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.words import CLOCKS, ERRORS, TIMINGS

DONE, FAILED, BROKEN_PIPE, INTERRUPTED = 0, 1, 128 + 13, 128 + 2
INTERPRETER = "/usr/bin/python3"
DEFAULT_TARGETS = "1e-3,1e-6,1e-9"
ALL_TARGETS = ",".join(f"1e-{digits}" for digits in range(1, 11))


# ---- what the commands do ----

@contextlib.contextmanager
def drawing_into(folder: Path, dpi: int | None = None, width: str = "page") -> Iterator[Path]:
    """The folder, made; figures within are drawn in our style, dpi and width as there."""
    from ctpgbench_analysis.draw.style import our_style
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with our_style(dpi, width):
            yield folder
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResultsError(f"{folder} cannot be written: {error.strerror or error}.") from None


def draw_sweep(arguments: argparse.Namespace) -> None:
    """Gradient error against work and time."""
    from ctpgbench_analysis.draw import gradients
    from ctpgbench_analysis.read.joined import load_together
    results = load_together(arguments.files, arguments.clock)
    with drawing_into(arguments.out, arguments.dpi, arguments.width) as folder:
        gradients.draw_all(results, folder, arguments.error, arguments.timing)


def draw_training(arguments: argparse.Namespace) -> None:
    """Losses of every problem, and what the paper draws of it where the file has the data."""
    from ctpgbench_analysis.draw import everything
    from ctpgbench_analysis.read.training import load_training
    found = load_training(only_file(arguments.files, "train"))
    with drawing_into(arguments.out, arguments.dpi, arguments.width) as folder:
        everything.draw_losses(found, folder)
        everything.draw_paper(found, [], folder)


def draw_traces(arguments: argparse.Namespace) -> None:
    """Problems, and estimators at work."""
    from ctpgbench_analysis.draw import traces
    found = traces.load_all(arguments.files)
    with drawing_into(arguments.out, arguments.dpi, arguments.width) as folder:
        traces.draw_all(found, folder)


def only_file(files: list[str], kind: str) -> str:
    """The one file that a figure of this kind is made of."""
    if len(files) > 1:
        raise ResultsError(
            f"{files[1]} is one file too many; figures of ctpgbench {kind} are drawn from one file, several "
            f"are for sweeps and traces."
        )
    return files[0]


def figures(arguments: argparse.Namespace) -> None:
    """Whatever the file is of."""
    from ctpgbench_analysis.read.file import kind_of
    {"sweep": draw_sweep, "train": draw_training, "trace": draw_traces}[kind_of(arguments.files[0])](arguments)


def table(arguments: argparse.Namespace) -> None:
    """Work at equal gradient error."""
    from ctpgbench_analysis.read.joined import load_together
    from ctpgbench_analysis.report.table import print_tables
    print_tables(load_together(arguments.files, arguments.clock), arguments.at, arguments.error, arguments.timing,
                 arguments.markdown, arguments.csv, arguments.price)


def contract(arguments: argparse.Namespace) -> None:
    """How contracts on the gradient's error are kept, of sweeps or of trainings."""
    from ctpgbench_analysis.read.file import kind_of
    from ctpgbench_analysis.read.sweep import load_finished
    from ctpgbench_analysis.read.training import load_training
    from ctpgbench_analysis.report.batch_contract import print_batch_contract
    from ctpgbench_analysis.report.contract import print_contract
    if kind_of(arguments.results[0]) == "train":
        print_batch_contract([load_training(path) for path in arguments.results], arguments.reference,
                             arguments.markdown, arguments.page)
        return
    print_contract([load_finished(path, "cpu") for path in arguments.results], arguments.markdown, arguments.page)


def training(arguments: argparse.Namespace) -> None:
    """Final test losses, or what training costs."""
    from ctpgbench_analysis.read.training import load_training
    from ctpgbench_analysis.report.table_training import print_table, write_speed
    if arguments.page:
        write_speed(load_training(arguments.training), arguments.page)
        return
    print_table(load_training(arguments.training), arguments.speed, arguments.markdown)


def claims(arguments: argparse.Namespace) -> None:
    """Verdicts on the paper's claims."""
    from ctpgbench_analysis.read.sweep import load_finished
    from ctpgbench_analysis.read.training import load_training
    from ctpgbench_analysis.report.summary import print_claims
    print_claims(load_training(arguments.training), load_finished(arguments.gradients) if arguments.gradients else None)


def write_verdict(files: list[str], baseline: str, targets: list[float], with_baselines: bool, out: Path,
                  dpi: int | None, mine: str = "") -> None:
    """The folder of a comparison, and its first sentences; mine: the one estimator that they are about."""
    from ctpgbench_analysis.report.text import paragraphs
    from ctpgbench_analysis.report.verdict import make_contest, write
    contest, remarks = make_contest(files, baseline, targets, with_baselines, mine)
    with drawing_into(out, dpi) as folder:
        headlines = write(contest, remarks, folder)
    print("\n".join(paragraphs(*headlines, *remarks)))
    print(f"{out / 'index.html'} has all of it.")


def compare(arguments: argparse.Namespace) -> None:
    """Estimators against a baseline, as a page."""
    if arguments.final:
        arguments.file, arguments.full = Path(only_file(arguments.files, "try -final")), False
        arguments.seeds, arguments.ranks = None, 0
        run_trial(arguments)
        return
    write_verdict(arguments.files, arguments.baseline, arguments.at or target_list(ALL_TARGETS), arguments.baselines,
                  arguments.out, arguments.dpi, arguments.mine)


def run_trial(arguments: argparse.Namespace) -> None:
    """Check, sweep and compare."""
    from ctpgbench_analysis.trial import trial
    method = trial.prepare(arguments.file)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds, attempt = trial.choose_seeds(method, arguments.full, arguments.seeds), 0
    if arguments.final:
        digest = trial.hash_of(trial.source_of(method, arguments.source))
        seeds, attempt = trial.final_seeds(digest), trial.count_attempt(arguments.out, digest)
    results = trial.measure(method, arguments.out, arguments.full, seeds, attempt, arguments.ranks or -1)
    print("3 of 3: compare", flush=True)
    write_verdict([str(results)], arguments.baseline,
                  arguments.at or (trial.SUITE_TARGETS if arguments.full else trial.TARGETS), not arguments.final,
                  arguments.out, arguments.dpi, method.name)


def shell(arguments: argparse.Namespace) -> None:
    """Completions and the man page."""
    from ctpgbench_analysis.trial.shell import make
    print(make(arguments.kind), end="")


def export(arguments: argparse.Namespace) -> None:
    """Tables for other programs."""
    from ctpgbench_analysis.report.export import export as write_tables
    print("\n".join(write_tables(arguments.results, arguments.out, arguments.format)))


def aggregate(arguments: argparse.Namespace) -> None:
    """A results file made small enough to travel."""
    from ctpgbench_analysis.report.aggregate import aggregate as write_aggregated
    print(write_aggregated(arguments.results, arguments.out))


def choosing(arguments: argparse.Namespace) -> None:
    """Which estimator to take."""
    from ctpgbench_analysis.read.baselines import shipped_baselines
    from ctpgbench_analysis.report.choosing import make_parts
    from ctpgbench_analysis.report.page import publish
    shipped = shipped_baselines()
    if not arguments.results and not shipped:
        raise ResultsError("there are no shipped baselines beside the package; expected files of the suite.")
    parts = make_parts(arguments.results or [str(shipped)])
    publish("choosing", parts, arguments.page)


def paper(arguments: argparse.Namespace) -> None:
    """The paper's figures and claims."""
    from ctpgbench_analysis.read.traces import load_trace
    from ctpgbench_analysis.read.sweep import load_finished
    from ctpgbench_analysis.read.training import load_training
    from ctpgbench_analysis.report import beyond as ladders
    from ctpgbench_analysis.report.paper import Data, write
    data = Data(training=load_training(arguments.training),
                gradients=load_finished(arguments.gradients) if arguments.gradients else None,
                traces=[load_trace(path) for path in arguments.traces],
                ladder=ladders.conclusion(load_training(arguments.beyond))[0] if arguments.beyond else None,
                more=load_training(arguments.more) if arguments.more else None)
    with drawing_into(arguments.out, arguments.dpi, arguments.width) as folder:
        write(data, folder, arguments.page)


def beyond(arguments: argparse.Namespace) -> None:
    """A ladder of gradient accuracies."""
    from ctpgbench_analysis.read.training import load_trainings
    from ctpgbench_analysis.report.beyond import write
    found = load_trainings(arguments.trainings, arguments.problems.split(",") if arguments.problems else None)
    with drawing_into(arguments.out, arguments.dpi, arguments.width) as folder:
        write(found, folder, arguments.page)


def policies(arguments: argparse.Namespace) -> None:
    """Small files of trained policies."""
    from ctpgbench_analysis.read.training import load_training
    from ctpgbench_analysis.report.policies import write
    write([load_training(path) for path in arguments.trainings], arguments.out)


def flagship(arguments: argparse.Namespace) -> None:
    """lia against all other rows."""
    from ctpgbench_analysis.read.sweep import load_finished
    from ctpgbench_analysis.report import flagship as report
    from ctpgbench_analysis.report.page import publish
    if arguments.freeze:
        results = load_finished(arguments.results)
        report.write_best(arguments.best, report.choose_best(results), report.seeds_of(results))
        return
    others = [load_finished(path) if path else None for path in (arguments.variants, arguments.ablations)]
    parts = report.make_parts(load_finished(arguments.results), report.read_best(arguments.best), *others)
    publish("flagship", parts, arguments.page)


def peers(arguments: argparse.Namespace) -> None:
    """Our estimators beside those of other libraries."""
    from ctpgbench_analysis.read.sweep import load_finished
    from ctpgbench_analysis.report import peers as report
    from ctpgbench_analysis.report.page import publish
    parts = report.make_parts(load_finished(arguments.results), arguments.before)
    publish("peers", parts, arguments.page)


def draw_map(arguments: argparse.Namespace) -> None:
    """The cheapest estimator by stiffness and growth; where lia is stable."""
    from ctpgbench_analysis.draw import regions
    from ctpgbench_analysis.read.sweep import load_finished
    results = load_finished(arguments.results)
    with drawing_into(arguments.out, arguments.dpi) as folder:
        regions.draw_map(results, folder)
        regions.draw_stability(folder)


# ---- what they take ----

def target_list(text: str) -> list[float]:
    """"1e-3,1e-6" as numbers."""
    try:
        targets = [float(word) for word in text.split(",")]
    except ValueError:
        targets = [math.nan]
    if not all(0 < target < math.inf for target in targets):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of positive errors such as {DEFAULT_TARGETS}")
    return targets


def price_list(text: str) -> list[int]:
    """"1", "2", "3", or all of them."""
    if text not in ("1", "2", "3", "all"):
        raise argparse.ArgumentTypeError(f"'{text}' is no price; expected 1, 2, 3 or all")
    return [1, 2, 3] if text == "all" else [int(text)]


def resolution(text: str) -> int:
    """Dots per inch."""
    if not text.isascii() or not text.isdigit() or not 10 <= int(text) <= 2000:
        raise argparse.ArgumentTypeError(f"'{text}' is no resolution; expected a whole number from 10 to 2000")
    return int(text)


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """-o FOLDER."""
    parser.add_argument("-o", "--out", metavar="FOLDER", default=default, type=Path,
                        help=f"folder for the files that are made; made itself where it is missing (default {default})")


def add_size(parser: argparse.ArgumentParser) -> None:
    """How large figures are."""
    parser.add_argument("--width", choices=("column", "page"), default="page",
                        help="of figures: one column (84 mm) or a page (174 mm, default); letters have 8 pt in both")
    parser.add_argument("--dpi", type=resolution, help="resolution of the PNG files (default 200)")


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """What figures and tables of a sweep take."""
    parser.add_argument("--error", choices=ERRORS, default="err_rel",
                        help="which error of the gradient is shown (default err_rel, the relative one of dL/dtheta)")
    parser.add_argument("--clock", choices=CLOCKS, default="cpu",
                        help="which clock times are of (default cpu: CPU time, which others disturb least)")
    parser.add_argument("--timing", choices=TIMINGS,
                        help="which times are shown, if the file mixes both (default: the commoner)")


def take_figures(parser: argparse.ArgumentParser) -> None:
    """Arguments of figures."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="files of ctpgbench sweep or trace, or a file of train"
    )
    add_out(parser, "figures")
    add_size(parser)
    add_sweep_options(parser)


def take_trace(parser: argparse.ArgumentParser) -> None:
    """Arguments of trace."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of ctpgbench trace")
    add_out(parser, "figures")
    add_size(parser)


def take_table(parser: argparse.ArgumentParser) -> None:
    """Arguments of table."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of ctpgbench sweep")
    parser.add_argument("--at", type=target_list, default=DEFAULT_TARGETS, metavar="E,E",
                        help=f"the errors at which work is compared (default {DEFAULT_TARGETS})")
    add_sweep_options(parser)
    parser.add_argument("--price", type=price_list, default="1", metavar="1|2|3|all",
                        help="what a full Jacobian counts in NFE: 1 the products that it took (default), 2 these, the "
                             "plant's calls and a product for theta, 3 min(nx, nu + 1) products")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    parser.add_argument("--csv", metavar="FILE", help="also write the numbers to FILE, for a spreadsheet")


def take_contract(parser: argparse.ArgumentParser) -> None:
    """Arguments of contract."""
    parser.add_argument("results", metavar="FILE", nargs="+",
                        help="files of ctpgbench sweep (jobs/contract.yaml), or of train (jobs/contract-training.yaml)")
    parser.add_argument("--reference", metavar="LABEL", default="ctpg",
                        help="of trainings: whose loss all are to come to (ctpg)")
    parser.add_argument("--page", metavar="PAGE", type=Path,
                        help="write the tables into this page (docs/flagship.md) instead")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")


def take_compare(parser: argparse.ArgumentParser) -> None:
    """Arguments of compare."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of ctpgbench sweep; a plug-in with -final")
    add_verdict_options(parser)
    parser.add_argument("-mine", "--mine", metavar="LABEL", default="",
                        help="the one estimator that the first sentences are about (default: all but the baseline)")
    parser.add_argument("--no-baselines", dest="baselines", action="store_false",
                        help="leave out the baselines that are shipped for files of the standard suite")


def take_try(parser: argparse.ArgumentParser) -> None:
    """Arguments of try."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a plug-in: my_method.so, or my_method.py")
    add_verdict_options(parser)
    parser.add_argument("-full", "--full", action="store_true", help="the whole suite with 20 seeds: hours")
    parser.add_argument("-seeds", "--seeds", type=seed_count, metavar="N",
                        help="number of seeds (default 8; 3 for a Python file, 20 for the whole suite)")
    parser.add_argument("-ranks", "--ranks", type=seed_count, metavar="N", help="MPI ranks (default: all cores)")


def seed_count(text: str) -> int:
    """A positive number."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10000:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 to 10000")
    return int(text)


def add_verdict_options(parser: argparse.ArgumentParser) -> None:
    """What compare and try share."""
    add_out(parser, "verdict")
    parser.add_argument("-final", "--final", action="store_true",
                        help="the final claim: 20 seeds drawn from a hash of the plug-in's source; attempts are "
                             "counted")
    parser.add_argument("-source", "--source", metavar="FILE", type=Path,
                        help="the plug-in's source, for -final (default: <plug-in>.c beside it or in the folder above)")
    parser.add_argument("-baseline", "--baseline", metavar="LABEL", default="ctpg",
                        help="the estimator that the others are compared with (default ctpg)")
    parser.add_argument("--at", type=target_list, metavar="E,E", help="the errors at which work is compared (default: "
                        "1e-1 to 1e-10, one per decade; try without -full: 1e-3 to 1e-8)")
    parser.add_argument("--dpi", type=resolution, help="resolution of the PNG files (default 200)")


def take_shell(parser: argparse.ArgumentParser) -> None:
    """Arguments of shell."""
    parser.add_argument("kind", choices=("bash", "zsh", "man"), help="what is printed")


def take_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of export."""
    parser.add_argument("results", metavar="FILE", help="a file of ctpgbench sweep, train or trace")
    add_out(parser, "export")
    parser.add_argument("--format", choices=("csv", "jsonl", "parquet"), default="csv",
                        help="what is written (default csv)")


def take_aggregate(parser: argparse.ArgumentParser) -> None:
    """Arguments of aggregate."""
    parser.add_argument("results", metavar="FILE", help="a file of ctpgbench sweep (jobs/suite-1.yaml)")
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, default=Path("baselines.h5"),
                        help="the file that is written (default baselines.h5)")


def take_training(parser: argparse.ArgumentParser) -> None:
    """Arguments of training."""
    parser.add_argument("training", metavar="FILE", help="a file of ctpgbench train")
    parser.add_argument("--speed", action="store_true", help="what training costs, in place of final losses")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--page", metavar="PAGE", type=Path,
                        help="write what training costs into the marked part of this page (docs/training.md) instead")


def take_claims(parser: argparse.ArgumentParser) -> None:
    """Arguments of claims."""
    parser.add_argument("training", metavar="FILE", help="a file of ctpgbench train (jobs/paper.yaml)")
    parser.add_argument(
        "--gradients", metavar="FILE", help="a file of ctpgbench sweep, for the claim on gradient errors"
    )


def take_choosing(parser: argparse.ArgumentParser) -> None:
    """Arguments of choosing."""
    parser.add_argument("results", nargs="*", metavar="FILE",
                        help="files of ctpgbench sweep (jobs/suite-1.yaml; default: the shipped baselines)")
    parser.add_argument("--page", metavar="PAGE",
                        help="rewrite the marked parts of this page, such as docs/choosing.md (default: print them)")


def take_paper(parser: argparse.ArgumentParser) -> None:
    """Arguments of paper."""
    parser.add_argument("training", metavar="FILE", help="a file of ctpgbench train (jobs/paper.yaml)")
    parser.add_argument("--gradients", metavar="FILE", help="a file of ctpgbench sweep (jobs/paper-gradients.yaml)")
    parser.add_argument("--traces", nargs="+", metavar="FILE", default=[], help="files of ctpgbench trace")
    parser.add_argument("--beyond", metavar="FILE", help="a file of ctpgbench train (jobs/accuracy.yaml)")
    parser.add_argument("--more", metavar="FILE", help="a file of ctpgbench train (jobs/paper-beyond.yaml)")
    parser.add_argument("--page", metavar="PAGE", type=Path,
                        help="also rewrite the marked parts of this page, such as docs/paper.md, and copy its pictures "
                        "into the folder of its name")
    add_out(parser, "figures/paper")
    add_size(parser)


def take_beyond(parser: argparse.ArgumentParser) -> None:
    """Arguments of beyond."""
    parser.add_argument("trainings", nargs="+", metavar="FILE",
                        help="files of ctpgbench train (jobs/accuracy.yaml); rungs of a problem may lie in several")
    parser.add_argument("--problems", metavar="LABELS", help="comma list of the problems to look at (default: all)")
    parser.add_argument("--page", metavar="PAGE", type=Path,
                        help="also rewrite the marked part of this page (docs/accuracy.md), and copy its picture into "
                        "the folder of its name")
    add_out(parser, "figures/beyond")
    add_size(parser)


def take_policies(parser: argparse.ArgumentParser) -> None:
    """Arguments of policies."""
    parser.add_argument("trainings", nargs="+", metavar="FILE", help="files of ctpgbench train (jobs/policies.yaml)")
    add_out(parser, "policies")


def take_flagship(parser: argparse.ArgumentParser) -> None:
    """Arguments of flagship."""
    parser.add_argument("results", metavar="FILE", help="a file of ctpgbench sweep (jobs/flagship.yaml)")
    parser.add_argument("--best", required=True, metavar="FILE",
                        help="which row is the best other one on each problem, chosen on tuning seeds")
    parser.add_argument("--freeze", action="store_true", help="choose them by this file of results, and write --best")
    parser.add_argument("--variants", metavar="FILE", help="a file of ctpgbench sweep (jobs/flagship-tuning.yaml)")
    parser.add_argument("--ablations", metavar="FILE", help="a file of ctpgbench sweep (jobs/flagship-ablations.yaml)")
    parser.add_argument("--page", metavar="PAGE",
                        help="rewrite the marked parts of this page, such as docs/flagship.md (default: print them)")


def take_peers(parser: argparse.ArgumentParser) -> None:
    """Arguments of peers."""
    parser.add_argument("results", metavar="FILE", help="a file of a sweep and of imported rows (jobs/peers.sh)")
    parser.add_argument("--before", metavar="FILE", help="the same sweep, timed before the others were")
    parser.add_argument("--page", metavar="PAGE",
                        help="rewrite the marked parts of this page, such as docs/performance.md (default: print them)")


def take_map(parser: argparse.ArgumentParser) -> None:
    """Arguments of map."""
    parser.add_argument("results", metavar="FILE", help="a file of ctpgbench sweep (jobs/map.yaml)")
    add_out(parser, "figures")
    parser.add_argument("--dpi", type=resolution, help="resolution of the PNG files (default 200)")


# name: (function, its arguments, summary)
COMMANDS = {
    "figures": (figures, take_figures, "draw what fits the file: a sweep, a training, or traces"),
    "table": (table, take_table, "print the work and the time that a given gradient error takes"),
    "contract": (contract, take_contract, "say how contracts on the gradient's error are kept, and at which price"),
    "compare": (compare, take_compare, "say whether estimators are better than a baseline, where, by how much, how "
                                       "sure"),
    "shell": (shell, take_shell, "print completions for bash or zsh, or the man page"),
    "export": (export, take_export, "write the tables of a results file as CSV, JSON lines or Parquet"),
    "aggregate": (aggregate, take_aggregate, "make a results file of the suite small enough to travel"),
    "try": (run_trial, take_try, "say whether a plug-in is better than a baseline: check, sweep and compare"),
    "training": (training, take_training, "print final test losses of a training, or what it costs"),
    "claims": (claims, take_claims, "print the paper's claims with a verdict on each"),
    "trace": (draw_traces, take_trace, "draw problems, and the paths that estimators believe in"),
    "choosing": (choosing, take_choosing, "print the tables of the page on which estimator to take"),
    "paper": (paper, take_paper, "draw all figures of the paper and write a summary of its claims"),
    "flagship": (flagship, take_flagship, "print lia's work against that of all other rows"),
    "peers": (peers, take_peers, "print our estimators' work beside that of other libraries"),
    "map": (draw_map, take_map, "draw which estimator is cheapest, by stiffness and growth"),
    "beyond": (beyond, take_beyond, "say whether a more accurate gradient needs fewer iterations"),
    "policies": (policies, take_policies, "keep trained policies as small files"),
}


# ---- the command line ----

def program_name() -> str:
    """What the user typed: ctpgbench, which hands over (it says so), ctpgbench-analysis, or python3 -m ..."""
    started = os.environ.get("CTPGBENCH_STARTED_AS")
    if started:
        return started
    name = Path(sys.argv[0]).name
    return "python3 -m ctpgbench_analysis" if name in ("__main__.py", "-m", "-c") else name


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog=program_name(), description="Figures, tables and claims from the files that "
                                     "ctpgbench writes. `<command> --help` says more about a command.")
    parsers = parser.add_subparsers(dest="command", metavar="<command>", required=True)
    for name, (_, take, summary) in COMMANDS.items():
        one = parsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        take(one)
    return parser


def files_in(arguments: argparse.Namespace) -> str:
    """The files of a command line, in words."""
    given = [
        getattr(arguments, name, None)
        for name in ("files", "results", "training", "trainings", "gradients", "traces", "beyond", "more", "file")
    ]
    flat = [path for one in given if one for path in ([one] if isinstance(one, (str, Path)) else one)]
    return ", ".join(map(str, flat))


def mistake(error: BaseException, arguments: argparse.Namespace) -> str:
    """One sentence about whatever ended a command. Values that no program writes may pass all checks and end
    anywhere."""
    if isinstance(error, ResultsError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("ctpgbench_analysis"):
        package = error.name.partition(".")[0]
        return (f"{sys.executable or 'python3'} has no module {package}; use {INTERPRETER} with Debian's package "
                f"python3-{package} (apt-get install python3-{package}), or a virtual environment that has it.")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return (f"{files_in(arguments)} cannot be evaluated ({what}); the file is damaged, or this is a mistake of "
            f"ctpgbench_analysis: CTPGBENCH_TRACEBACK=1 shows where.")


def run(arguments: argparse.Namespace) -> int:
    """The command; its exit code. A reader that has seen enough (`| head`) ends it without a word."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers that are NaN are left out of figures, which says enough
            COMMANDS[arguments.command][0](arguments)
            sys.stdout.flush()
        return DONE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush fails once more
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # pylint: disable=broad-except
        if os.environ.get("CTPGBENCH_TRACEBACK"):
            raise
        sys.stdout.flush()
        print(mistake(error, arguments), file=sys.stderr)
        return FAILED


def main(words: Sequence[str] | None = None) -> int:
    """The program; words: the command line without the program's name. Returns the exit code."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # what a user's matplotlibrc says does not matter
    arguments = make_parser().parse_args(words)
    return run(arguments)
