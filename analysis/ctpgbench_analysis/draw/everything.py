"""everything.py -- the figures of a training file, saved: of its losses, and those of the paper that it has data for"""
from __future__ import annotations

from pathlib import Path

from ctpgbench_analysis.draw import animations
from ctpgbench_analysis.draw.cartpole import figure_cartpole
from ctpgbench_analysis.draw.curves import Missing
from ctpgbench_analysis.draw.field import figure_electric, figure_field
from ctpgbench_analysis.draw.page import file_name, save
from ctpgbench_analysis.draw.training import figure_diffdrive, figure_neural_ode, figure_quadrotor, losses_figure
from ctpgbench_analysis.read.traces import Trace
from ctpgbench_analysis.read.training import Training

# name: what makes it, of a training and of traces
FIGURES = {
    "figure3": lambda training, _: figure_neural_ode(training),
    "figure4": lambda training, _: figure_diffdrive(training),
    "figure5": lambda training, _: figure_electric(training),
    "figure5_field": lambda training, _: figure_field(training),
    "figure6": figure_cartpole,
    "figure7": lambda training, _: figure_quadrotor(training),
}
GIFS = {"diffdrive": animations.animate_paths, "electric": animations.animate_field}


def draw_losses(training: Training, folder: Path) -> None:
    """training_<problem> of every problem into the folder: losses against NFE and time."""
    for problem in training.problems:
        save(*losses_figure(training, training.of(problem)), folder, f"training_{file_name(problem)}")


def draw_paper(training: Training, traces: list[Trace], folder: Path) -> dict[str, str]:
    """The paper's figures and GIFs into the folder; {name: why it is not there}."""
    missing = {}
    for name, make in FIGURES.items():
        try:
            save(*make(training, traces), folder, name)
        except Missing as why:
            missing[name] = str(why)
    for name, animate in GIFS.items():
        try:
            caption = animate(training, folder / f"{name}.gif")
            (folder / f"{name}_gif.txt").write_text(caption, encoding="utf-8")
        except Missing as why:
            missing[f"{name}.gif"] = str(why)
    return missing


def say_missing(missing: dict[str, str]) -> None:
    """One line per figure that is not drawn."""
    for name, why in missing.items():
        print(f"{name} is not drawn: {why}")
