"""page.py -- pages of docs/ of which a command rewrites marked parts: <!-- KIND: NAME --> ... <!-- end -->"""
from __future__ import annotations

import os
import re

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


def print_parts(kind: str, parts: dict[str, list[str]]) -> None:
    """Each part between the marks that it has on the page."""
    for name, lines in parts.items():
        print("\n".join([f"<!-- {kind}: {name} -->", "", *lines, "", "<!-- end -->", ""]))
