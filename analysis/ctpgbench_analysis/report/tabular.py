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
MOST_ROWS = 40  # of a LaTeX table on one page


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
    """To be put in by \\input: a float of its own, or from MOST_ROWS on a longtable, which goes over pages; needs the
    packages booktabs and longtable. The first two columns are texts, the others stand to the right."""
    def line(cells):
        return " & ".join(map(latex_text, cells)) + r" \\"

    columns = ("ll" + "r" * len(table.header))[:len(table.header)]
    caption = rf"\caption{{{latex_text(f'{table.title}. {table.note}'.strip())}}}"
    label, rules = rf"\label{{tab:{table.name}}}", (r"\toprule", r"\midrule", r"\bottomrule")
    body = [*map(line, table.rows), rules[2]]
    if len(table.rows) > MOST_ROWS:
        parts = [r"\begingroup\footnotesize", rf"\begin{{longtable}}{{{columns}}}", caption + label + r" \\", rules[0],
                 line(table.header), rules[1], r"\endfirsthead", rules[0], line(table.header), rules[1], r"\endhead",
                 *body, r"\end{longtable}", r"\endgroup"]
    else:
        parts = [r"\begin{table}", r"\centering\footnotesize", caption, label, rf"\begin{{tabular}}{{{columns}}}",
                 rules[0], line(table.header), rules[1], *body, r"\end{tabular}", r"\end{table}"]
    return "\n".join([*parts, ""])


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
