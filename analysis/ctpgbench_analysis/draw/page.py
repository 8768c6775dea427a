"""page.py -- what all figures share: axes, titles, and how they are saved"""
from __future__ import annotations

import re
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctpgbench_analysis.draw.style import LETTERS, LONGEST_DASHES

LETTER = 0.58  # width of a letter in units of its size, with some room
SOLID = 1.8    # length of a solid line in a legend, in units of its letters' size
NO_MARKER = (None, "", " ", "none", "None")
NARROW = 5.0   # inches: below, panels stand upon each other rather than side by side


def width() -> float:
    """Of figures, in inches (style.py)."""
    return matplotlib.rcParams["figure.figsize"][0]


def is_narrow() -> bool:
    """Is it that of one column?"""
    return width() < NARROW


def new_figure(height: float) -> Figure:
    """Of that width and a height in inches."""
    return Figure(figsize=(width(), height), layout="constrained")


def row_or_column(heights: tuple[float, float], count: int = 2, **options) -> tuple[Figure, list]:
    """A figure and its panels: side by side, or upon each other where it is narrow; heights in inches of the one and
    the other."""
    figure = new_figure(heights[1] if is_narrow() else heights[0])
    panels = figure.subplots(count, 1, **options) if is_narrow() else figure.subplots(1, count, **options)
    return figure, list(np.ravel(panels))


def handle_length(handles: list, letters: float = LETTERS) -> float:
    """Of the lines in a legend, in units of its letters' size: dashes show two periods beside their marker."""
    dashed = [line for line in handles if isinstance(line, Line2D) and line.is_dashed()]
    points = [2 * LONGEST_DASHES * line.get_linewidth() + (line.get_markersize() if has_marker(line) else 0)
              for line in dashed]
    return max([SOLID, *(length / letters for length in points)])


def has_marker(line: Line2D) -> bool:
    """Is there one?"""
    return line.get_marker() not in NO_MARKER


def place_legend(figure: Figure, handles: list, texts: list[str], columns: int) -> float:
    """A legend at the lower edge, in as many of the columns as fit into its width; its height in inches."""
    legend = figure.legend(handles, texts, loc="lower center", ncol=columns, columnspacing=1.4, labelspacing=0.3,
                           borderaxespad=0.2, handlelength=handle_length(handles))
    extent = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    if extent.width <= figure.bbox.width or columns == 1:
        return extent.height / figure.dpi + 0.05
    legend.remove()
    return place_legend(figure, handles, texts, columns - 1)


def legend_below(figure: Figure, handles: list, texts: list[str]) -> None:
    """The legend under the whole of a figure with constrained layout, which grows by its height."""
    legend = place_legend(figure, handles, texts, len(texts))
    height = figure.get_figheight() + legend
    figure.set_figheight(height)
    figure.get_layout_engine().set(rect=(0, legend / height, 1, 1 - legend / height))


def scientific(axis) -> None:
    """One power of ten at the end of a linear axis, in place of many zeros."""
    formatter = ticker.ScalarFormatter(useMathText=True)
    formatter.set_powerlimits((-3, 4))
    axis.set_major_formatter(formatter)
    axis.set_major_locator(ticker.MaxNLocator(5))


def widen(low: float, high: float) -> tuple[float, float]:
    """Limits that hold at least one decade."""
    missing = max(0.0, 1 - np.log10(high / low)) / 2
    return low / 10**missing, high * 10**missing


def log_axis(axis, low: float, high: float) -> None:
    """Labels at decades, every one or every few; at 1, 2, 5 where there are hardly any decades."""
    narrow = np.log10(high / low) < 1.5 or np.floor(np.log10(high)) - np.ceil(np.log10(low)) < 1
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=9))
    axis.set_major_formatter(ticker.LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
    axis.set_minor_locator(ticker.LogLocator(subs=np.arange(2, 10) if high / low < 1e6 else (1,), numticks=99))
    axis.set_minor_formatter(ticker.NullFormatter())


def wrapped(text: str, room: float) -> str:
    """The text in lines of so many inches."""
    return "\n".join(textwrap.wrap(text, max(10, int(72 * room / (LETTER * LETTERS)))))


def save(figure: Figure, text: str, folder: Path, name: str) -> None:
    """The figure as name.pdf and name.png and its caption as name.txt; no dates inside, equal data give equal files."""
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    print(folder / f"{name}.png")


def file_name(label: str) -> str:
    """The label with everything replaced that a file name should not hold."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", label)
