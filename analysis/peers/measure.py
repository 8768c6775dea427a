"""measure.py -- gradients by other libraries, on the starts and policies of a sweep

    python measure.py SWEEP.h5 -o ROWS.csv [--peers diffrax,scipy] [--problems LABEL,LABEL] [--batches 32,1024]

One line of versions goes to standard output, for `ctpgbench import -source`; progress to standard error. Meant for one
core (taskset) of an idle machine: see jobs/peers.sh.
"""
import argparse
import importlib
import sys

from cases import read_problems
from rows import write


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="Gradients by other libraries, on the starts of a sweep.")
    parser.add_argument("sweep", help="results file of ctpgbench sweep, with one policy for all seeds")
    parser.add_argument("-o", "--out", required=True, help="the rows, for ctpgbench import")
    parser.add_argument("--peers", default="diffrax,scipy", help="diffrax, scipy, torchdiffeq (default diffrax,scipy)")
    parser.add_argument("--problems", default="", help="labels (default: all of the file)")
    parser.add_argument("--batches", default="32,1024", help="starts in one call, for those that can (32,1024)")
    arguments = parser.parse_args()
    peers = [importlib.import_module(f"with_{name}") for name in arguments.peers.split(",")]
    wanted, found = [name for name in arguments.problems.split(",") if name], []
    batches = [int(text) for text in arguments.batches.split(",") if text]
    for problem in read_problems(arguments.sweep):
        if wanted and problem.label not in wanted:
            continue
        for peer in peers:
            found += peer.measure(problem, batches, say=say)
        write(found, arguments.out)
    print(", ".join(peer.versions() for peer in peers))


if __name__ == "__main__":
    main()
