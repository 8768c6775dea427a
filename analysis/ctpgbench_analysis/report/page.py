"""page.py -- pages of docs/ of which a command rewrites marked parts: <!-- KIND: NAME --> ... <!-- end -->"""
from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Iterable

from ctpgbench_analysis.errors import ResultsError


def replace_parts(text: str, kind: str, parts: dict[str, list[str]], path) -> str:
    """The text of a page with these {name: lines of Markdown} in place of its old parts."""
    for name, lines in parts.items():
        pattern = re.compile(rf"(<!-- {kind}: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        block = "\n".join(["", *lines, ""])
        text, found = pattern.subn(lambda match, block=block: match[1] + block + "\n" + match[2], text)
        if found != 1:
            raise ResultsError(f"{path} has {found} places marked <!-- {kind}: {name} --> ... <!-- end -->; "
                               "expected 1.")
    return text


def write_page(path, kind: str, parts: dict[str, list[str]]) -> None:
    """The page at path with these parts in place of its old ones."""
    try:
        with open(path, encoding="utf-8") as file:
            text = replace_parts(file.read(), kind, parts, path)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)
    except UnicodeDecodeError:
        raise ResultsError(f"{path} is not a text in UTF-8.") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read or written: {error.strerror}.") from None


def in_short(words: str) -> str:
    """The first sentence of a caption without what is in brackets or behind a semicolon, for who cannot see a
    picture."""
    sentence = words.partition(". ")[0].translate(str.maketrans("[]", "()"))
    return re.sub(r" ?\([^()]*\)", "", sentence).split(";")[0]


def picture_lines(name: str, folder: Path, place: str) -> list[str]:
    """Markdown of a figure and its caption, if it was drawn into the folder; place: of the picture, seen from the
    page."""
    caption = folder / f"{name}.txt"
    if not caption.exists():
        return []
    words = " ".join(line for line in caption.read_text(encoding="utf-8").splitlines() if line)
    return [f"![{in_short(words)}]({place}/{name}.png)", "", f"*{words.replace('*', '')}*", ""]


def copy_pictures(names: Iterable[str], folder: Path, target: Path) -> None:
    """The PNGs of these figures, where they were drawn, beside a page."""
    try:
        target.mkdir(exist_ok=True)
        for name in names:
            if (folder / f"{name}.png").exists():
                shutil.copyfile(folder / f"{name}.png", target / f"{name}.png")
    except OSError as error:
        raise ResultsError(f"{target} cannot be written: {error.strerror or error}.") from None


def publish(kind: str, parts: dict[str, list[str]], page: str | Path | None) -> None:
    """Into the page at this path; where there is none, printed, each part between the marks that it has on the
    page."""
    if page:
        write_page(page, kind, parts)
        return
    for name, lines in parts.items():
        print("\n".join([f"<!-- {kind}: {name} -->", "", *lines, "", "<!-- end -->", ""]))
