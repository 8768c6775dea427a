"""test_choosing.py -- the page of report/choosing.py from synthetic results files, against numbers worked out by hand

Every estimator here has an error of 1e-2 at N evaluations and loses a decade per doubling of them, down to 1e-10: it
reaches 1e-3 at 2 N, 1e-6 at 16 N, 1e-9 at 128 N.
"""
import contextlib
import io
import math
import re
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

import make_results
from analysis_package import ROOT
from ctpgbench_analysis import commands
from ctpgbench_analysis.measure.crossing import TARGETS
from ctpgbench_analysis.read.sweep import load
from ctpgbench_analysis.report import choosing

PAGE = "before\n" + "".join(f"<!-- choosing: {name} -->\nold {name}\n<!-- end -->\nafter {name}\n"
                            for name in ("sessions", "choice", "relative", "prototype", "measured"))
SEEDS = 3
COSTS = dict(cost_f=1e-6, cost_vjp=2e-6)  # s


def sweep(path, problems, least=1e-10, pending=(), **estimators):
    """A file whose estimators have N evaluations at 1e-2: {label: N or {problem: N}}, and 8 N bytes throughout.

    least: the smallest error that is tried, or one for each estimator; pending: (problem, estimator) whose runs are not
    made yet.
    """
    writer = make_results.Writer([dict(label=label, **COSTS) for label in problems],
                                 [dict(label=label) for label in estimators])
    for p, problem in enumerate(problems):
        for seed in range(SEEDS):
            writer.case(p, seed)
            for e, (label, N) in enumerate(estimators.items()):
                status = None if (problem, label) in pending else "ok"
                add_runs(writer, p, seed, e, of(N, problem), of(least, label), status)
    return writer.write(path)


def of(given, label):
    return given.get(label) if isinstance(given, dict) else given


def add_runs(writer, p, seed, e, N, least=1e-10, status="ok"):
    for k in range(2, 1 + round(-math.log10(least)) if N else 0):
        writer.run(p, seed, e, 10.0 ** -k, 10.0 ** -k, N * 2 ** (k - 2), status=status, bytes=8 * N)


class OfFiles(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)
        self.page = self.folder / "page.md"
        self.page.write_text(PAGE)

    def sweep(self, name, problems, **values):
        return sweep(self.folder / name, problems, **values)

    def refused(self, *arguments):
        """The sentence with which the page is left as it was."""
        before = self.page.read_text()
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(commands.main(["choosing", *map(str, arguments), "--page", str(self.page)]), 1)
        self.assertEqual(self.page.read_text(), before)
        return said.getvalue()

    def parts(self, *files, nonsmooth=()):
        return choosing.make_parts([load(path) for path in files], list(TARGETS), list(nonsmooth))

    def cells(self, lines, first):
        """Of the row that begins with the cell `first`."""
        found = [row for row in (re.split(r" ?\| ?", line)[1:-1] for line in lines) if row and row[0] == first]
        self.assertEqual(len(found), 1, f"{first} in {lines}")
        return found[0]


class Ranking(OfFiles):
    def test_geometric_mean(self):
        file = self.sweep("a.h5", ["p", "q"], fast={"p": 10, "q": 40}, slow={"p": 40, "q": 20})
        choice, relative = (self.parts(file)[name] for name in ("choice", "relative"))
        self.assertEqual(choice[0], "The ranking rests on `p`, `q`.")
        self.assertEqual(self.cells(choice, "any")[1:], ["`fast` 1.41, `slow` 2.00"] * 3)
        self.assertEqual(self.cells(relative, "`slow`")[1:], ["2.00", "2.00", "2.00", "5", "3.3", "0 of 54"])

    def test_storage(self):
        file = self.sweep("a.h5", ["p", "q"], small={"p": 250, "q": 200}, large={"p": 100, "q": 300})
        choice = self.parts(file)["choice"]
        ratio = math.sqrt(1.5), math.sqrt(2.5)
        self.assertEqual(self.cells(choice, "10 KiB")[1], f"`large` {ratio[0]:.2f}, `small` {ratio[1]:.2f}")
        self.assertEqual(self.cells(choice, "2 KiB")[1], f"`small` {ratio[1]:.2f}")  # 2400 bytes on q are too many

    def test_an_estimator_that_does_not_get_there(self):
        file = self.sweep("a.h5", ["p"], least={"rough": 1e-7, "fine": 1e-10}, rough=10, fine=20)
        other = self.sweep("b.h5", ["q"], rough=10, fine=20)
        for files in ((file, other), (other, file)):
            relative = self.parts(*files)["relative"]
            self.assertEqual(self.cells(relative, "`rough`")[1:4], ["1.00", "1.00", "-"])
            self.assertEqual(self.cells(relative, "`fine`")[1:4], ["2.00", "2.00", f"{math.sqrt(2):.2f}"])

    def test_an_error_that_nobody_gets_to(self):
        file = self.sweep("a.h5", ["p"], least=1e-7, rough=10, fine=20)
        other = self.sweep("b.h5", ["q"], rough=40, fine=20)
        relative = self.parts(file, other)["relative"]
        self.assertEqual(self.cells(relative, "`rough`")[1:4], [f"{math.sqrt(2):.2f}"] * 2 + ["2.00"])

    def test_an_estimator_that_was_not_run_everywhere(self):
        file = self.sweep("a.h5", ["p", "q"], a=10, b=20, only_on_q={"q": 1})
        relative = self.parts(file)["relative"]
        self.assertEqual(self.cells(relative, "`only_on_q`")[1:4], ["-", "-", "-"])
        self.assertEqual(self.cells(relative, "`a`")[1], f"{math.sqrt(10):.2f}")

    def test_names_in_one_order(self):
        labels = [f"e{k}" for k in range(12)]
        file = self.sweep("a.h5", ["p"], least=1e-2, **dict.fromkeys(labels, 10))
        rows = self.parts(file)["relative"][2:]
        self.assertEqual([row.split("`")[1] for row in rows], sorted(labels))


class Basis(OfFiles):
    def test_small_nonsmooth_and_incomplete_problems_stay_out(self):
        main = self.sweep("a.h5", ["p", "kinks"], a=10, b=20, c=30)
        pending = [("new", "c"), ("newer", "a"), ("newer", "b"), ("newer", "c")]
        part = self.sweep("b.h5", ["new", "newer"], pending=pending, a=20, b=10, c=30)
        small = self.sweep("c.h5", ["tiny"], spsa=10)
        parts = self.parts(main, part, small, nonsmooth=["kinks"])
        self.assertEqual(parts["choice"][0], "The ranking rests on `p`. Left out: `kinks` (not smooth); `new` "
                         "(no complete seed yet of 1 of its 3 estimators); `newer` (no complete seed yet of 3 of its 3 "
                         "estimators); `tiny` (estimators: 1, elsewhere 3).")
        self.assertEqual(self.cells(parts["choice"], "any")[1], "`a` 1.00, `b` 2.00, `c` 3.00")
        self.assertEqual([line for line in parts["measured"] if line.startswith("###")],
                         ["### p", "### kinks", "### new", "### tiny"])

    def test_no_problem_left(self):
        parts = self.parts(self.sweep("a.h5", ["p"], a=10), nonsmooth=["p"])
        self.assertEqual(parts["choice"][0], "The ranking rests on no problem. Left out: `p` (not smooth).")
        self.assertEqual(self.cells(parts["choice"], "any")[1:], ["none"] * 3)

    def test_refused(self):
        file, same = self.sweep("a.h5", ["p"], a=10), self.sweep("b.h5", ["p"], a=10)
        pending = self.sweep("c.h5", ["q"], pending=[("q", "a")], a=10)
        self.assertIn("both have a problem p", self.refused(file, same))
        self.assertIn("--nonsmooth z is no problem of these files; known: p", self.refused(file, "--nonsmooth", "z"))
        self.assertIn("No file has a seed whose runs are all done", self.refused(pending))


class Kinds(OfFiles):
    def test_stochastic(self):
        writer = make_results.Writer([dict(label="p", **COSTS)],
                                     [dict(label="spsa", knob="samples", order=0.5), dict(label="a")])
        for seed in range(SEEDS):
            writer.case(0, seed)
            for k, samples in enumerate((1, 100, 10000)):
                for repeat, scatter in enumerate((0.5, 1, 2)):
                    writer.run(0, seed, 0, samples, scatter * 10.0 ** -(k + 1), 2 * samples, repeat=repeat, bytes=80)
            add_runs(writer, 0, seed, 1, 10)
        measured = self.parts(writer.write(self.folder / "a.h5"))["measured"]
        self.assertEqual(self.cells(measured, "`spsa`"),
                         ["`spsa`", "0.5", "0.50", "20000 (3/3)", "30.0", "80",
                          "- (0/3)", "-", "-", "- (0/3)", "-", "-", "0 of 27"])

    def test_interpreted(self):
        path = self.sweep("a.h5", ["p"], mine=10, ours=20)
        with h5py.File(path, "r+") as file:
            rows = file["estimators"][()]
            wider = np.zeros(len(rows), make_results.ESTIMATOR + [("language", "S16")])
            for name, _ in make_results.ESTIMATOR:
                wider[name] = rows[name]
            wider["language"] = ["python", "C"]
            del file["estimators"]
            file["estimators"] = wider
        choice = self.parts(path)["choice"]
        self.assertEqual(self.cells(choice, "any")[1], "`mine (python)` 1.00, `ours` 2.00")
        self.assertEqual(self.cells(choice, "2 KiB")[1], "`ours` 2.00")

    def test_failures(self):
        writer = make_results.Writer([dict(label="p", **COSTS)], [dict(label="a"), dict(label="b")])
        for seed in range(SEEDS):
            writer.case(0, seed)
            add_runs(writer, 0, seed, 0, 10)
            writer.run(0, seed, 1, 1e-2, status="diverged")
        parts = self.parts(writer.write(self.folder / "a.h5"))
        self.assertEqual(self.cells(parts["relative"], "`b`"), ["`b`", "-", "-", "-", "5", "-", "3 of 3"])


class Page(OfFiles):
    def test_numbers_of_a_problem(self):
        measured = self.parts(self.sweep("a.h5", ["p"], a=10))["measured"]
        self.assertEqual(self.cells(measured, "`a`")[3:12],
                         ["20 (3/3)", "0.0300", "80", "160 (3/3)", "0.240", "80", "1280 (3/3)", "1.92", "80"])

    def test_prototype(self):
        file = self.sweep("a.h5", ["diffdrive-trained"], ctpg=10)
        prototype = self.parts(file)["prototype"]
        self.assertEqual(self.cells(prototype, "`ctpg`")[1:3], ["282 / 445 / 426", "20 (3/3) / not run / not run"])
        self.assertEqual(self.cells(prototype, "`euler-bptt`")[2], "not run / not run / not run")

    def test_sessions(self):
        path = self.sweep("a.h5", ["p", "q"], pending=[("q", "a")], a=10)
        self.assertEqual(self.cells(self.parts(path)["sessions"], "a.h5"),
                         ["a.h5", "2", "0 to 3", "27 of 54", "-", "-", "-", "-", "-"])
        session = [("start", "S32"), ("end", "S32"), ("ranks", "i4"), ("isa", "S32"), ("commit", "S64")]
        with h5py.File(path, "r+") as file:
            file["sessions"] = np.array([("monday", "tuesday", 2, "cpu", "c" * 40),
                                         ("friday", "", 7, "cpu", "d" * 40), ("", "", 0, "", "")], session)
        self.assertEqual(self.cells(self.parts(path)["sessions"], "a.h5")[4:],
                         ["monday", "-", "2, 7", "cpu", "d" * 12])

    def test_written_between_the_marks(self):
        file = self.sweep("a.h5", ["p"], a=10)
        for _ in range(2):
            self.assertEqual(commands.main(["choosing", str(file), "--page", str(self.page)]), 0)
            text = self.page.read_text()
            marks = re.compile(r"(<!-- choosing: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
            self.assertEqual(marks.sub(r"\1old \2\n\3", text), PAGE)
            self.assertNotIn("old", text)
            self.assertEqual(text.count("### p"), 1)

    def test_without_a_page_nothing_is_written(self):
        file, page = self.sweep("a.h5", ["p"], a=10), ROOT / "docs" / "choosing.md"
        before = page.read_bytes()
        with contextlib.chdir(ROOT), contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(commands.main(["choosing", str(file)]), 0)
        self.assertEqual(page.read_bytes(), before)
        self.assertEqual(sorted(one.name for one in self.folder.iterdir()), ["a.h5", "page.md"])
        self.assertEqual(re.findall(r"<!-- choosing: (\w+) -->", printed.getvalue()),
                         ["sessions", "choice", "relative", "prototype", "measured"])

    def test_a_page_without_marks(self):
        file = self.sweep("a.h5", ["p"], a=10)
        self.page.write_text(PAGE.replace("<!-- choosing: relative -->", ""))
        self.assertIn("has 0 places marked <!-- choosing: relative -->", self.refused(file))
        self.page = self.folder / "page2.md"
        self.page.write_text(PAGE + PAGE)
        self.assertIn("has 2 places marked <!-- choosing: sessions -->", self.refused(file))

    def test_the_real_page_has_the_marks(self):
        self.page.write_text((ROOT / "docs" / "choosing.md").read_text())
        with contextlib.redirect_stdout(io.StringIO()):
            commands.main(["choosing", str(self.sweep("a.h5", ["p"], a=10)), "--page", str(self.page)])
        self.assertIn("The ranking rests on `p`.", self.page.read_text())


if __name__ == "__main__":
    unittest.main()
