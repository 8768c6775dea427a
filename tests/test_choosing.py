"""test_choosing.py -- the page of report/choosing.py from synthetic results files, against numbers worked out by hand

Every estimator here has an error of 1e-2 at N evaluations and loses a decade per doubling of them, down to 1e-10: it
reaches 1e-3 at 2 N, 1e-6 at 16 N, 1e-9 at 128 N, and stores 8 N bytes throughout.
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
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.report import choosing

PARTS = ("advice", "choice", "relative", "problems", "sessions")
PAGE = "before\n" + "".join(f"<!-- choosing: {name} -->\nold {name}\n<!-- end -->\nafter {name}\n" for name in PARTS)
SEEDS = 8


def sweep(path, problems, least=1e-10, pending=(), scatter=0.0, status="ok", **estimators):
    """A file whose estimators have N evaluations at 1e-2: {label: N or {problem: N}}; least: the smallest error that is
    tried, or one for each estimator; pending: (problem, estimator) whose runs are not made yet; scatter: of log N over
    the seeds, of each estimator for itself; status: of the cases."""
    writer = make_results.Writer([dict(label=label) for label in problems], [dict(label=label) for label in estimators])
    random = np.random.default_rng(3)
    for p, problem in enumerate(problems):
        for seed in range(SEEDS):
            writer.case(p, seed, status=status)
            for e, (label, N) in enumerate(estimators.items()):
                own = math.exp(scatter * random.normal())
                add_runs(writer, p, seed, e, of(N, problem), of(least, label), own,
                         None if (problem, label) in pending else "ok")
    return writer.write(path)


def of(given, label):
    return given.get(label) if isinstance(given, dict) else given


def add_runs(writer, p, seed, e, N, least, own, status):
    for k in range(2, 1 + round(-math.log10(least)) if N else 0):
        writer.run(p, seed, e, 10.0 ** -k, 10.0 ** -k, round(N * own * 2 ** (k - 2)), status=status, bytes=8 * N)


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

    def parts(self, *files):
        return choosing.make_parts([str(path) for path in files])

    def cells(self, lines, first):
        """Of the row that begins with the cell `first`."""
        found = [row for row in (re.split(r" ?\| ?", line)[1:-1] for line in lines) if row and row[0] == first]
        self.assertEqual(len(found), 1, f"{first} in {lines}")
        return found[0]


class Ranking(OfFiles):
    def test_geometric_mean_over_problems(self):
        """fast: 10 and 40, slow: 40 and 20 evaluations; the factor is sqrt(4 * 0.5)."""
        file = self.sweep("a.h5", ["p", "q"], fast={"p": 10, "q": 40}, slow={"p": 40, "q": 20})
        parts = self.parts(file)
        self.assertEqual(self.cells(parts["choice"], "any")[1:], ["`fast`, `slow` 1.41 [1.41, 1.41]"] * 3)
        self.assertEqual(self.cells(parts["relative"], "`slow`")[1:],
                         ["1.41 [1.41, 1.41]"] * 3 + ["5", "3.3", "0 of 144"])
        self.assertEqual(self.cells(parts["relative"], "`fast`")[1:4], ["**1**"] * 3)

    def test_policies_of_a_problem_share_its_weight(self):
        """On p 2 and 8 times the work, on q 1/2: sqrt(4 / 2), not the cube root of 8."""
        labels = ["p-random", "p-small", "q"]
        file = self.sweep("a.h5", labels, a=dict(zip(labels, (10, 10, 20))), b=dict(zip(labels, (20, 80, 10))))
        self.assertIn("`b` 1.41 [", self.cells(self.parts(file)["choice"], "any")[1])

    def test_every_factor_has_an_interval_that_holds_it(self):
        file = self.sweep("a.h5", ["p", "q"], scatter=0.2, a=10, b=13, c=40)
        found = re.findall(r"`\w` ([\d.]+) \[([\d.]+), ([\d.]+)\]", "\n".join(self.parts(file)["choice"]))
        self.assertEqual(len(found), 2 * 3 * 4)
        for value, low, high in found:
            self.assertLess(float(low), float(value))
            self.assertLess(float(value), float(high))

    def test_storage(self):
        file = self.sweep("a.h5", ["p", "q"], small={"p": 250, "q": 200}, large={"p": 100, "q": 300})
        choice = self.parts(file)["choice"]
        self.assertEqual(self.cells(choice, "10 KiB")[1], "`large`, `small` 1.29 [1.29, 1.29]")
        self.assertEqual(self.cells(choice, "2 KiB")[1], "`small`")  # 2400 bytes on q are too many

    def test_an_estimator_that_does_not_get_there(self):
        file = self.sweep("a.h5", ["p", "q"], least={"rough": 1e-7, "fine": 1e-10}, rough=10, fine=20)
        parts = self.parts(file)
        self.assertEqual(self.cells(parts["relative"], "`rough`")[1:4], ["**1**", "**1**", "- (2 of 2)"])
        self.assertEqual(self.cells(parts["relative"], "`fine`")[3], "**1**")
        self.assertIn("- At 1e-9: take `fine`.", parts["advice"])

    def test_ranked_is_who_gets_there_on_nine_of_ten_problems(self):
        """On ten problems one may be missed, on nine none; the factor is that of the problems that both get to."""
        for count, expected in ((10, "2.00 [2.00, 2.00] (all but 1)"), (9, "- (1 of 9)")):
            problems = [f"p{k}" for k in range(count)]
            file = self.sweep(f"{count}.h5", problems, a={name: 900 if name == "p0" else 10 for name in problems},
                              b={name: 20 for name in problems[1:]})
            parts = self.parts(file)
            self.assertEqual(self.cells(parts["relative"], "`b`")[1], expected)
            self.assertIn(f"- `b`: on 1 of {count} (`p0`).", parts["advice"])

    def test_what_the_loosest_setting_took_counts_where_it_is_good_enough(self):
        writer = make_results.Writer([dict(label="p")], [dict(label="a"), dict(label="b")])
        for seed in range(SEEDS):
            writer.case(0, seed)
            for k in range(4, 11):
                for e, N in enumerate((10, 20)):
                    writer.run(0, seed, e, 10.0 ** -k, 10.0 ** -k, N * 2 ** k)
        parts = self.parts(writer.write(self.folder / "a.h5"))
        self.assertEqual(self.cells(parts["choice"], "any")[1], "`a`, `b` 2.00 [2.00, 2.00]")

    def test_an_error_that_nobody_gets_to_on_one_problem_is_asked_on_the_others(self):
        file = self.sweep("a.h5", ["p"], least=1e-7, rough=10, fine=20)
        other = self.sweep("b.h5", ["q"], least=1e-10, third=40)
        relative = self.parts(file, other)["relative"]
        self.assertEqual(self.cells(relative, "`third`")[1:4], ["- (1 of 2)", "- (1 of 2)", "**1**"])

    def test_names_in_one_order_where_all_are_equal(self):
        labels = [f"e{k}" for k in range(5)]
        file = self.sweep("a.h5", ["p"], **dict.fromkeys(labels, 10))
        self.assertIn("At 1e-3: take `e0`. Not told apart from it: `e1` 1.00 [1.00, 1.00], `e2`",
                      self.parts(file)["advice"][2])


class Advice(OfFiles):
    def test_stiff_and_rough_problems_stand_apart(self):
        labels = ["p", "vanderpol-stiff-small", "track-random"]
        file = self.sweep("a.h5", labels, explicit=dict(zip(labels, (10, 500, 20))),
                          implicit=dict(zip(labels, (30, 50, 40))))
        advice = self.parts(file)["advice"]
        kinds = [line for line in advice if line.startswith("**")]
        self.assertEqual(kinds[0], "**1 problem, smooth and not stiff; all the memory that it takes**")
        self.assertEqual(kinds[2:4], ["**Stiff: `vanderpol-stiff-small`**", "**Not smooth: `track-random`**"])
        first = [line for line in advice if line.startswith("- At 1e-3")]
        self.assertEqual([re.search(r"take `(\w+)`", line)[1] for line in first],
                         ["explicit", "explicit", "implicit", "explicit"])

    def test_policies_that_control_come_first(self):
        labels = ["p-random", "p-trained", "q-trained"]
        file = self.sweep("a.h5", labels, idle=dict(zip(labels, (10, 40, 40))), busy=dict(zip(labels, (900, 20, 20))))
        advice = self.parts(file)["advice"]
        kinds = [line for line in advice if line.startswith("**")]
        self.assertEqual(kinds[:2], ["**2 problems under policies that control, smooth and not stiff; all the memory "
                                     "that it takes**",
                                     "**2 problems under 3 policies, random or trained, smooth and not stiff; all the "
                                     "memory that it takes**"])
        self.assertEqual([re.search(r"take `(\w+)`", line)[1] for line in advice if line.startswith("- At 1e-3")][:2],
                         ["busy", "idle"])

    def test_who_cannot_be_told_apart_is_named_so(self):
        file = self.sweep("a.h5", ["p", "q"], scatter=0.2, a=100, b=101, c=150)
        self.assertRegex(self.parts(file)["advice"][2],
                         r"take `[ab]`\. Not told apart from it: `[ab]` [\d.]+ \[[\d., ]+\]\. Then come `c` 1\.\d\d \[")

    def test_who_does_not_get_there(self):
        writer = make_results.Writer([dict(label="p"), dict(label="q")], [dict(label="a"), dict(label="b")])
        for p in range(2):
            for seed in range(SEEDS):
                writer.case(p, seed)
                add_runs(writer, p, seed, 0, 10, 1e-10, 1, "ok")
                add_runs(writer, p, seed, 1, 10, 1e-10, 1, "diverged" if p and seed < 5 else "ok")
        parts = self.parts(writer.write(self.folder / "a.h5"))
        self.assertEqual(parts["advice"][-1], "- `b`: on 1 of 2 (`q`).")
        self.assertEqual(self.cells(parts["relative"], "`b`")[-1], "45 of 144")
        self.assertEqual(self.cells(parts["problems"], "q")[1], "`a` 20 [20, 20]; 1 of 2")

    def test_dear_jacobians(self):
        """Half of the evaluations, 10 Jacobians of 2 products: min(nx, nu + 1) = 2 each instead of 0 counted."""
        writer = make_results.Writer([dict(label="p")], [dict(label="plain"), dict(label="jacobians")])
        for seed in range(SEEDS):
            writer.case(0, seed)
            for k in range(2, 11):
                for e, (N, values) in enumerate(((100, {}), (60, {"njac": 50 * 2 ** (k - 2)}))):
                    writer.run(0, seed, e, 10.0 ** -k, 10.0 ** -k, N * 2 ** (k - 2), **values)
        advice = self.parts(writer.write(self.folder / "a.h5"))["advice"]
        self.assertIn("take `jacobians`", advice[2])
        self.assertTrue(advice[2].endswith("Who pays min(nx, nu + 1) products for each Jacobian takes `plain`."))

    def test_who_takes_least_cpu_time(self):
        """Half of the evaluations, three times the time of each; where machines are not known, or who needs the fewest
        was timed in a crowd, nothing is said."""
        for machines, crowd, words in (
                ([b"cpu"], 0, " By CPU time take `quick`; `few` takes 1.50 [1.50, 1.50] times as long."),
                ([b""], 0, ""), ([b"cpu"], 3, "")):
            writer = make_results.Writer([dict(label="p")], [dict(label="few"), dict(label="quick")])
            for seed in range(SEEDS):
                writer.case(0, seed)
                for k in range(2, 11):
                    for e, (N, each) in enumerate(((100, 3e-6), (200, 1e-6))):
                        nfe = N * 2 ** (k - 2)
                        writer.run(0, seed, e, 10.0 ** -k, 10.0 ** -k, nfe, session=0, cpu=each * nfe,
                                   timing=2 if e == 0 and seed < crowd else 1)
            path = writer.write(self.folder / "a.h5")
            with h5py.File(path, "r+") as file:
                file["sessions"] = np.array([(name,) for name in machines], [("machine", "S64")])
            line = self.parts(path)["advice"][2]
            self.assertEqual(line, "- At 1e-3: take `few`. Then come `quick` 2.00 [2.00, 2.00]." + words)

    def test_interpreted_estimators_are_let_in_by_no_limit_on_storage(self):
        path = self.sweep("a.h5", ["p"], mine=10, ours=20)
        make_results.add_languages(path, "python", "C")
        choice = self.parts(path)["choice"]
        self.assertEqual(self.cells(choice, "any")[1], "`mine (python)`, `ours` 2.00 [2.00, 2.00]")
        self.assertEqual(self.cells(choice, "2 KiB")[1], "`ours`")


class Page(OfFiles):
    def test_refused(self):
        pending = self.sweep("c.h5", ["q"], pending=[("q", "a")], a=10)
        self.assertIn("no file holds a finished run", self.refused(pending))
        self.assertIn("no problem has a reference gradient",
                      self.refused(self.sweep("d.h5", ["q"], status="diverged", a=10)))

    def test_sessions(self):
        path = self.sweep("a.h5", ["p", "q"], pending=[("q", "a")], a=10)
        self.assertEqual(self.cells(self.parts(path)["sessions"], "a.h5"),
                         ["a.h5", "2", "0 to 8", "72 of 144", "-", "-", "-", "-", "-"])
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

    def test_without_a_page_nothing_is_written(self):
        file, page = self.sweep("a.h5", ["p"], a=10), ROOT / "docs" / "choosing.md"
        before = page.read_bytes()
        with contextlib.chdir(ROOT), contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(commands.main(["choosing", str(file)]), 0)
        self.assertEqual(page.read_bytes(), before)
        self.assertEqual(sorted(one.name for one in self.folder.iterdir()), ["a.h5", "page.md"])
        self.assertEqual(tuple(re.findall(r"<!-- choosing: (\w+) -->", printed.getvalue())), PARTS)

    def test_a_page_without_marks(self):
        file = self.sweep("a.h5", ["p"], a=10)
        self.page.write_text(PAGE.replace("<!-- choosing: relative -->", ""))
        self.assertIn("has 0 places marked <!-- choosing: relative -->", self.refused(file))
        self.page = self.folder / "page2.md"
        self.page.write_text(PAGE + PAGE)
        self.assertIn("has 2 places marked <!-- choosing: advice -->", self.refused(file))

    def test_the_real_page_is_what_the_shipped_baselines_say(self):
        self.page.write_text((ROOT / "docs" / "choosing.md").read_text(encoding="utf-8"), encoding="utf-8")
        try:
            self.assertEqual(commands.main(["choosing", "--page", str(self.page)]), 0)
        except ResultsError as error:
            self.fail(error)
        self.assertEqual(self.page.read_text(encoding="utf-8"), (ROOT / "docs" / "choosing.md").read_text("utf-8"))


if __name__ == "__main__":
    unittest.main()
