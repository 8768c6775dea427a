"""regions.py -- two maps: which estimator is cheapest where (a sweep of jobs/map.yaml), where lia's steps are stable

map         labels of problems are s<k><letter>: the fast rate times T is 10^k, the letter says how fast paths part
            (GROWTH). A cell names the row with the least median NFE at that error over the seeds, how many evaluations
            it takes, and the share of all pairs of a row and a seed that do not reach the error.
stability   boundary of |growth| <= 1 in the plane of h lambda for orders 1 to 8 and M / f_x = 0.5 .. 2; the error of
            one step over its estimate along the negative axis.
"""
from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ctpgbench_analysis.draw.page import save
from ctpgbench_analysis.draw.style import style
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.measure.intervals import middle
from ctpgbench_analysis.measure.need import needs
from ctpgbench_analysis.measure.stability import ORDERS, local_error, step_matrix
from ctpgbench_analysis.read.sweep import Results

GROWTH = {"a": "exp(-5)", "b": "1", "c": "exp(5)"}
MAP_TARGETS = (1e-2, 1e-3, 1e-6, 1e-9)
LABEL = re.compile(r"s([0-9])([a-z])")
FACTORS = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0)


@dataclass
class Cell:
    """One problem at one error."""
    winner: str   # "": nobody reaches it on most seeds
    nfe: float
    missed: float # share of (row, seed) that do not reach it; NaN: no seed has a reference gradient


def measure_cell(results: Results, problem: int, target: float) -> Cell:
    """Who is cheapest, and who does not get there."""
    best, least, missed, pairs = "", math.inf, 0, 0
    for estimator, label in enumerate(results.estimators["label"]):
        if not len(results.rows(problem, estimator)):
            continue
        grid = make_grid(results, problem, estimator)
        found = needs(grid, target, grid.nfe, grid.reached)[:, 1]
        found = found[~np.isnan(found)]
        missed, pairs = missed + int(np.isinf(found).sum()), pairs + len(found)
        if len(found) and middle(found) < least:
            best, least = label, middle(found)
    return Cell(best, least, missed / pairs if pairs else math.nan)


def measure_map(results: Results, target: float) -> dict[tuple[int, str], Cell]:
    """{(k, letter): cell}."""
    cells = {}
    for problem, label in enumerate(results.problems["label"]):
        parts = LABEL.fullmatch(label)
        if not parts or parts[2] not in GROWTH:
            raise ResultsError(f"{results.path} has a problem {label}; expected labels as in jobs/map.yaml, s0a to "
                               "s5c.")
        cells[int(parts[1]), parts[2]] = measure_cell(results, problem, target)
    return cells


def cell_text(cell: Cell) -> str:
    if math.isnan(cell.missed):
        return "no\nreference"
    if not cell.winner:
        return f"nobody\n{cell.missed:.0%} fail"
    return f"{cell.winner}\n{cell.nfe:.0f}\n{cell.missed:.0%} fail"


def draw_panel(axes, cells: dict[tuple[int, str], Cell], target: float, kinds: dict[str, str]) -> None:
    letters = sorted({letter for _, letter in cells})
    columns = sorted({k for k, _ in cells})
    for (k, letter), cell in cells.items():
        x, y = columns.index(k), letters.index(letter)
        colour = style(cell.winner, kinds.get(cell.winner))["color"] if cell.winner else "#FFFFFF"
        axes.add_patch(_square(x, y, colour))
        axes.text(x, y, cell_text(cell), ha="center", va="center", fontsize=5.6)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(letters) - 0.5)
    axes.set_xticks(range(len(columns)), [f"$10^{k}$" for k in columns])
    axes.set_yticks(range(len(letters)), [GROWTH[letter] for letter in letters])
    axes.set_title(f"error of dL/dθ: {target:.0e}")
    axes.grid(False)


def _square(x: float, y: float, colour: str):
    from matplotlib.patches import Rectangle
    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, alpha=0.35, edgecolor="#FFFFFF")


def draw_map(results: Results, folder: Path) -> None:
    """map.png: a panel for each error."""
    figure = Figure(figsize=(9.6, 6.4))
    FigureCanvasAgg(figure)
    kinds = dict(zip(results.estimators["label"], results.estimators["type"]))
    panels = figure.subplots(2, 2).ravel()
    for axes, target in zip(panels, MAP_TARGETS):
        draw_panel(axes, measure_map(results, target), target, kinds)
    for axes in panels[2:]:
        axes.set_xlabel("stiffness: fast rate times T")
    for axes in panels[::2]:
        axes.set_ylabel("growth of what is between two paths")
    figure.tight_layout()
    save(figure, "Which estimator needs the fewest evaluations for an error of dL/dtheta, by stiffness and by growth: "
         "its label, its median NFE, and the share of all estimators and seeds that do not reach the error.\n", folder,
         "map")


# ---- stability ----

def growth(k: int, g: float, plane: np.ndarray) -> np.ndarray:
    """Spectral radius of a step at each point of the plane."""
    matrices = np.array([step_matrix(k, g, z) for z in plane.ravel()])
    return np.abs(np.linalg.eigvals(matrices)).max(axis=1).reshape(plane.shape)


def draw_regions(figure: Figure, panels, orders: dict[int, str]) -> None:
    x, y = np.meshgrid(np.linspace(-8, 0.9, 90), np.linspace(0, 5, 51))
    for axes, g in zip(panels, FACTORS):
        for k, colour in orders.items():
            axes.contour(x, y, growth(k, g, x + 1j * y), levels=[1 + 1e-9], colors=[colour], linewidths=1)
        axes.set_title(f"M = {g:g} $f_x$")
        axes.set_xlabel("Re hλ")
        axes.set_ylabel("Im hλ")


def draw_stability(folder: Path) -> None:
    """stability.png."""
    figure = Figure(figsize=(9.6, 7.2))
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, 3)
    colours = dict(zip(ORDERS, ("#332288", "#0072B2", "#56B4E9", "#009E73", "#999933", "#E69F00", "#D55E00",
                                "#CC79A7")))
    draw_regions(figure, panels[:2].ravel(), colours)
    steps = np.geomspace(0.06, 4, 40)
    for axes, g in zip(panels[2], (0.5, 1.0, 2.0)):
        for k, colour in colours.items():
            pairs = [local_error(k, g, -step) for step in steps]
            axes.loglog(steps, [abs(error / estimate) for error, estimate in pairs], color=colour, lw=1, label=f"{k}")
        axes.axhline(1, color="#555555", ls=":", lw=0.9)
        axes.set_ylim(1e-4, 10)
        axes.set_title(f"error of a step / estimate, M = {g:g} $f_x$")
        axes.set_xlabel("-hλ")
    panels[2, 0].legend(title="order", ncol=2, fontsize=6)
    figure.tight_layout()
    save(figure, "Above: boundaries of linear stability of lia's steps, for orders 1 to 8 and a matrix M that is a "
         "factor of the true Jacobian; stable is what is inside, for closed curves, or to the left. Below: the error "
         "of one step from exact values, over the estimate that the error control sees.\n", folder, "stability")
