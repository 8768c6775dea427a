"""text.py -- numbers, tables and paragraphs as lines of a terminal, no wider than it is, or of Markdown"""
from __future__ import annotations

import math
import os
import sys
import textwrap

WIDEST, NARROWEST = 100, 40  # columns
KEY_SHARE = 0.4  # of the width, at most, for the first columns of a table
GAP = 2         # between columns
TEXT_COLUMNS = ("not ok",)  # to the left; numbers are to the right


def width() -> int:
    """Columns of what is printed: those of the terminal behind stdout, within the limits; WIDEST where it is none."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):  # no terminal, no file
        return WIDEST
    return min(max(columns, NARROWEST), WIDEST) if columns else WIDEST


def significant(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value <= 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(value))
    return f"{round(value, digits):.{max(0, digits)}f}"


def or_dash(value: float, form: str) -> str:
    """In this format; "-" where there is none."""
    return "-" if math.isnan(value) else format(value, form)


def paragraphs(*texts: str) -> list[str]:
    """Lines of these paragraphs, each broken where the terminal ends."""
    return [line for text in texts for line in textwrap.wrap(text, width(), break_on_hyphens=False) or [""]]


def column_blocks(widths: list[int], keys: int, part: int) -> list[list[int]]:
    """Numbers of the columns of each part of a table; every part repeats the first `keys` columns, column `part` begins
    one."""
    first = list(range(keys))
    blocks, room = [], 0
    for column in range(keys, len(widths)):
        if not blocks or column == part or widths[column] + GAP > room:
            blocks.append(first.copy())
            room = width() - sum(widths[key] + GAP for key in first) + GAP
        blocks[-1].append(column)
        room -= widths[column] + GAP
    return blocks or [first]


def aligned_row(cells: list[list[str]], widths: list[int], left: list[bool]) -> list[str]:
    """Lines of one row, whose cells may have several lines."""
    height = max(map(len, cells))
    lines = []
    for number in range(height):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        lines.append((" " * GAP).join(part.ljust(width) if to_left else part.rjust(width)
                                      for part, width, to_left in zip(parts, widths, left)).rstrip())
    return lines


def aligned(header: list[str], body: list[list[str]], keys: int = 1, part: int = 0) -> list[str]:
    """Lines of a table for a terminal. What is wider goes on below, with the first `keys` columns again, and so does
    what begins with column `part`; a cell that is too wide for any line has several."""
    key = int(KEY_SHARE * width())
    most = [key // keys] * keys + [width() - key - keys * GAP] * (len(header) - keys)
    rows = [[textwrap.wrap(cell, room) or [""] for cell, room in zip(row, most)] for row in [header, *body]]
    widths = [max(len(line) for row in rows for line in row[column]) for column in range(len(header))]
    lines = []
    for columns in column_blocks(widths, keys, part):
        left = [column < keys or header[column] in TEXT_COLUMNS for column in columns]
        shown = [widths[column] for column in columns]
        lines += [""] if lines else []
        for number, row in enumerate(rows):
            lines += aligned_row([row[column] for column in columns], shown, left)
            lines += ["-" * (sum(shown) + GAP * (len(shown) - 1))] if number == 0 else []
    return lines


def markdown(header: list[str], body: list[list[str]]) -> list[str]:
    """Lines of a Markdown table: first and last column to the left, numbers to the right."""
    rule = [":--" if i in (0, len(header) - 1) else "--:" for i in range(len(header))]
    return ["| " + " | ".join(cells) + " |" for cells in [header, rule, *body]]
