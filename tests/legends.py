"""legends.py -- whether lines can be told apart in the legends of a figure"""
from matplotlib.legend import Legend
from matplotlib.lines import Line2D


def too_short(figure):
    """[(text, points there, points needed)] of the lines of all legends of a figure, drawn once, whose pattern of
    dashes does not come twice, beside the marker."""
    found = []
    for legend in figure.findobj(Legend):
        for line, text in zip(legend.findobj(Line2D), legend.get_texts()):
            _, pattern = line._dash_pattern  # pylint: disable=protected-access; in points, no function says it
            marker = 0 if line.get_marker() in (None, "", "None") else line.get_markersize()
            ends = line.get_transform().transform(line.get_xydata())[[0, -1], 0]
            there = (ends[1] - ends[0]) * 72 / figure.dpi
            if pattern and there < 2 * sum(pattern) + marker - 0.01:
                found.append((text.get_text(), there, 2 * sum(pattern) + marker))
    return found
