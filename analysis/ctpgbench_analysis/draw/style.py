"""style.py -- one colour, marker and line per estimator label, in every figure

Colours are those of Okabe and Ito (2008), distinct to colour-blind readers; markers and dashes say the same once more.
Labels without an entry get a style from a hash of the label alone, so a label looks the same whatever else a file
holds: a colour of Tol's muted scheme (2021), likewise distinct, and a dash-dotted line, which no entry below has.
"""
from __future__ import annotations

import contextlib
import zlib
from typing import Iterator

import matplotlib
from matplotlib.colors import LinearSegmentedColormap

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#777777"
TIME_COLOURS = LinearSegmentedColormap.from_list("time", ["#BFD9EE", BLUE, "#062A4F"])  # from light to dark in time

# label: colour, marker, dashes, marker size (small markers lie on larger ones where two estimators agree)
KNOWN = {
    "euler-bptt": (BLUE, "s", "-", 4.5),
    "neural-ode": (PURPLE, "^", "-", 5.0),
    "neural-ode-ckpt": (ORANGE, "v", "-", 5.0),
    "ctpg": (RED, "o", "-", 4.8),
    "tsadjoint": (GREEN, "D", "-", 5.2),
    "rk-adjoint": (BLACK, "P", (0, (4, 2)), 4.2),
    "cvodes": (SKY, "h", "-", 5.0),
    "reversible": (GREY, "X", (0, (4, 2)), 4.8),
    "alf": (SKY, "p", (0, (4, 2)), 5.0),
    "forward": (PURPLE, "<", (0, (4, 2)), 4.8),
    "finite-difference": (GREY, ">", "-", 4.8),
}
OTHER_COLOURS = ("#332288", "#44AA99", "#117733", "#999933", "#CC6677", "#882255", "#AA4499", "#88CCEE")
OTHER_MARKERS = ("8", "*", "d", "p", "h", "X", "<", ">")
OTHER_DASHES = ((0, (6, 1.5, 1, 1.5)), (0, (4, 1.5, 1, 1.5, 1, 1.5)))
LONGEST_DASHES = max(sum(pattern) for _, pattern in OTHER_DASHES)  # no figure's are longer; in widths of the line

WIDTHS = {"column": 84 / 25.4, "page": 174 / 25.4}  # inches: one column of a journal's page, and the whole of it
LETTERS = 8  # pt, in the final size
RC = {
    "font.size": LETTERS, "axes.titlesize": LETTERS, "axes.labelsize": LETTERS, "legend.fontsize": LETTERS,
    "xtick.labelsize": LETTERS, "ytick.labelsize": LETTERS, "figure.titlesize": LETTERS, "figure.labelsize": LETTERS,
    "font.family": "DejaVu Sans", "axes.linewidth": 0.7, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#DDDDDD", "grid.linewidth": 0.5,
    "axes.axisbelow": True, "legend.frameon": False, "pdf.fonttype": 42, "savefig.dpi": 200,
    "svg.fonttype": "none", "svg.hashsalt": "ctpgbench",
}


def style(label: str, kind: str | None = None) -> dict:
    """dict of Line2D properties of an estimator label; an unknown label of a known type (kind) looks like its type."""
    label = label if label in KNOWN else kind if kind in KNOWN else label
    if label in KNOWN:
        colour, marker, dashes, size = KNOWN[label]
    else:
        number = zlib.crc32(label.encode())
        colour = OTHER_COLOURS[number % len(OTHER_COLOURS)]
        marker = OTHER_MARKERS[number // 8 % len(OTHER_MARKERS)]
        dashes, size = OTHER_DASHES[number // 64 % len(OTHER_DASHES)], 5.0
    return {"color": colour, "marker": marker, "linestyle": dashes, "markersize": size}


@contextlib.contextmanager
def our_style(dpi: int | None = None, width: str = "page") -> Iterator[None]:
    """Within, figures look as here, whatever a matplotlibrc of the user's says (LaTeX labels, for one); dpi: of
    PNGs; width: of WIDTHS."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        matplotlib.rcParams["figure.figsize"] = WIDTHS[width], WIDTHS[width] / 2  # heights are each figure's own
        if dpi is not None:
            matplotlib.rcParams["savefig.dpi"] = dpi
        yield
