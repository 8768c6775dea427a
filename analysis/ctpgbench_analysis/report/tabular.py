"""tabular.py -- one table, written as HTML for a page, as CSV for a program, as LaTeX (booktabs) for a paper"""
from __future__ import annotations

import csv
import html
import io
from dataclasses import dataclass

LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "θ": r"$\theta$", "≤": r"$\leq$", "×": r"$\times$",
         "<": r"\textless{}", ">": r"\textgreater{}"}


LONG = 36  # letters; longer cells of a page are broken


@dataclass
class Table:
    """Texts in rows; the first column names what a row is of."""
    name: str
    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""


def latex_text(text: str) -> str:
    """The text with everything that LaTeX would take for a command."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def as_latex(table: Table) -> str:
    """A float of its own, to be put in by \\input; needs the package booktabs."""
    def line(cells):
        return " & ".join(map(latex_text, cells)) + r" \\"

    columns = "l" + "r" * (len(table.header) - 1)
    caption = latex_text(f"{table.title}. {table.note}".strip())
    return "\n".join([r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{table.name}}}",
                      rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(table.header), r"\midrule",
                      *map(line, table.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def as_csv(table: Table) -> str:
    """With a header line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([table.header, *table.rows])
    return stream.getvalue()


def as_html(table: Table) -> str:
    """A table in a box that scrolls on a narrow screen."""
    def line(kind, cells):
        return "<tr>" + "".join(f"<{kind}{' class=long' if len(cell) > LONG else ''}>{html.escape(cell)}</{kind}>"
                                for cell in cells) + "</tr>"

    note = f"<p class=note>{html.escape(table.note)}</p>" if table.note else ""
    return (f"<figure class=table id=\"{table.name}\"><figcaption>{html.escape(table.title)}</figcaption><div "
            f"class=scroll>"
            f"<table><thead>{line('th', table.header)}</thead><tbody>{''.join(line('td', row) for row in table.rows)}"
            f"</tbody></table></div>{note}</figure>")
