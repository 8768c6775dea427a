"""page.py -- what all figures share: axes, titles, and how they are saved"""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from ctpgbench_analysis.draw.style import RC


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


def add_title(axes, text: str) -> None:
    """Title, in smaller letters where it is too long for the width of the axes."""
    room = axes.figure.get_figwidth() * axes.get_position().width
    axes.set_title(text, fontsize=min(RC["axes.titlesize"], 72 * room / (0.55 * len(text))))


def save(figure: Figure, text: str, folder: Path, name: str) -> None:
    """The figure as name.pdf and name.png and its caption as name.txt; no dates inside, equal data give equal files."""
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    print(folder / f"{name}.png")


def file_name(label: str) -> str:
    """The label with everything replaced that a file name should not hold."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", label)
