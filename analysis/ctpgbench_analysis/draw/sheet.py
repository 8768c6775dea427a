"""sheet.py -- a figure for print and for a page: drawn once by matplotlib, saved as PDF and PNG, and as an SVG whose
curves can be switched and whose points say their values

Everything that belongs to an entry is tagged with its number; the script of the page (report/web.py) switches by it.
"""
from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GROUP = re.compile(r'<g id="series-(\d+)-\d+">')
USELESS = re.compile(r'<g id="[a-z]+[a-z0-9]*_\d+">')
POINTS = 72  # per inch: units of an SVG of matplotlib


class Sheet:
    """A figure with tags and points."""

    def __init__(self, name: str, title: str, caption: str, width: float = 5.2, height: float = 3.6):
        self.name, self.title, self.caption = name, title, caption
        self.figure = Figure(figsize=(width, height))
        self.points: list[tuple] = []  # axes, x, y, number of the entry, text
        self.tags = 0

    def tag(self, artists: list, number: int) -> None:
        """These artists belong to entry `number`."""
        for artist in artists:
            artist.set_gid(f"series-{number}-{self.tags}")
            self.tags += 1

    def point(self, axes: Axes, x: float, y: float, number: int, text: str) -> None:
        """A place that says `text`."""
        if np.isfinite(x) and np.isfinite(y):
            self.points.append((axes, x, y, number, text))

    def svg(self) -> tuple[str, str]:
        """(the SVG to be put into a page, its points as JSON: [[x, y, number, text]])."""
        stream = io.StringIO()
        self.figure.savefig(stream, format="svg", metadata={"Date": None})
        text = stream.getvalue()
        text = text[text.index("<svg"):]
        text = GROUP.sub(r'<g class="series" data-series="\1">', USELESS.sub("<g>", text))
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        return text.replace("<svg ", '<svg role="img" ', 1), json.dumps(self.places()).replace("</", "<\\/")

    def places(self) -> list[list]:
        """Points in the units of the SVG, from its upper left corner; those outside the axes left out."""
        height = self.figure.get_figheight() * POINTS
        scale = POINTS / self.figure.dpi
        found = []
        for axes, x, y, number, text in self.points:
            right, up = axes.transData.transform((x, y))
            if axes.bbox.padded(2).contains(right, up):
                found.append([round(right * scale, 1), round(height - up * scale, 1), number, text])
        return found

    def save(self, folder: Path) -> None:
        """name.pdf and name.png; no dates inside, equal data give equal files."""
        self.figure.savefig(folder / f"{self.name}.pdf", metadata={"CreationDate": None})
        self.figure.savefig(folder / f"{self.name}.png", metadata={"Software": None})
