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
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from ctpgbench_analysis.draw.page import handle_length
from ctpgbench_analysis.read.words import drawn

GROUP = re.compile(r'<g id="series-(\d+)-\d+">')
USELESS = re.compile(r'<g id="[a-z]+[a-z0-9]*_\d+">')
LEGEND = 7   # pt, letters of a legend
MOST_INSIDE = 8  # names of a legend within the axes; more stand beside them
POINTS = 72  # per inch: units of an SVG of matplotlib


class Sheet:
    """A figure with tags and points."""

    def __init__(self, name: str, title: str, caption: str, width: float = 5.2, height: float = 3.6):
        self.name, self.title, self.caption = name, title, caption
        self.figure = Figure(figsize=(width, height))
        self.points: list[tuple] = []  # axes, x, y, number of the entry, text
        self.tagged: list[tuple] = []  # artist, number of the entry
        self.names: list[str] = []     # of all entries, by number
        self.aside: set[int] = set()   # numbers of the entries that are off at first
        self.legend_at = "best"        # a place that is named costs no search

    def tag(self, artists: list, number: int) -> None:
        """These artists belong to entry `number`."""
        for artist in artists:
            artist.set_gid(f"series-{number}-{len(self.tagged)}")
            self.tagged.append((artist, number))

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
        text = GROUP.sub(self.group, USELESS.sub("<g>", text))
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        return text.replace("<svg ", '<svg role="img" ', 1), json.dumps(self.places()).replace("</", "<\\/")

    def group(self, found: re.Match) -> str:
        """The opening tag of what belongs to an entry."""
        hidden = ' style="display:none"' if int(found[1]) in self.aside else ""
        return f'<g class="series" data-series="{found[1]}"{hidden}>'

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
        """name.pdf and name.png, without what is off at first, with a legend, for which a page has its boxes; no dates
        inside, equal data give equal files."""
        self.show_aside(False)
        legend = self.add_legend()
        box = "tight" if legend and len(legend.get_texts()) > MOST_INSIDE else None
        self.figure.savefig(folder / f"{self.name}.pdf", metadata={"CreationDate": None}, bbox_inches=box)
        self.figure.savefig(folder / f"{self.name}.png", metadata={"Software": None}, bbox_inches=box)
        self.show_aside(True)
        if legend:
            legend.remove()

    def add_legend(self) -> Legend | None:
        """Names of the lines that are drawn; None where there is no name or no line."""
        lines = {number: artist for artist, number in reversed(self.tagged)
                 if isinstance(artist, Line2D) and number not in self.aside and number < len(self.names)}
        shown = sorted(lines)
        handles = [lines[number] for number in shown]
        place = {"loc": self.legend_at} if len(shown) <= MOST_INSIDE else {"loc": "upper left",
                                                                           "bbox_to_anchor": (1.01, 1)}
        return self.figure.axes[0].legend(handles, [drawn(self.names[number]) for number in shown], fontsize=LEGEND,
                                          handlelength=handle_length(handles, LEGEND), **place) if shown else None

    def show_aside(self, visible: bool) -> None:
        """What is off at first, to be drawn or not."""
        for artist, number in self.tagged:
            if number in self.aside:
                artist.set_visible(visible)
