"""test_compare.py -- `ctpgbench compare` on files whose answer is known: a method made better, equal, worse and lucky
on purpose, and everything that a page has to say it cannot say"""

import contextlib
import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
import unittest
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

import make_results
import program
from analysis_package import analysis
from ctpgbench_analysis import ResultsError, commands
from ctpgbench_analysis.draw.style import our_style, style
from ctpgbench_analysis.draw.verdict import all_sheets, make_looks, ratio_ticks
from ctpgbench_analysis.measure.contest import Contest, common_cases, problem_of, profiles, shared_needs
from ctpgbench_analysis.measure.intervals import Interval
from ctpgbench_analysis.read.several import name_entries, open_source
from ctpgbench_analysis.report import sentences, tabular, verdict, verdict_tables
from legends import too_short

TARGETS = [1e-3, 1e-4, 1e-5, 1e-6]
PROBLEMS = [f"plant{number}" for number in range(6)]


def factors(kind, random, seeds):
    """[seed] NFE over the baseline's."""
    noise = np.exp(random.normal(0, 0.03, seeds))
    return {"better": 0.7 * noise, "equal": noise, "worse": 1.4 * noise,
            "lucky": np.where(np.arange(seeds) < 3, 0.1, noise), "same": np.ones(seeds)}[kind]


def write(path, kinds, seeds=20, problems=PROBLEMS, baseline="ctpg", options=None, labels=None, failing=(), least=1e-8):
    """A sweep of the baseline (None: without) and of a method of each kind; failing: kinds whose runs all fail."""
    names = ([baseline] if baseline else []) + [f"my-{kind}" for kind in kinds]
    writer = make_results.Writer([dict(label=label) for label in problems],
                                 [dict(label=label) for label in labels or names])
    random = np.random.default_rng(11)
    for p in range(len(problems)):
        own = [np.ones(seeds)] * bool(baseline) + [factors(kind, random, seeds) for kind in kinds]
        for seed in range(seeds):
            writer.case(p, seed)
            scatter = np.exp(random.normal(0, 0.3))
            for e, ratio in enumerate(own):
                for error in 10.0 ** -np.arange(2, 1 - np.log10(least)):
                    nfe = int(3000 * scatter * ratio[seed] * (error / 0.1) ** -0.2)
                    status = "diverged" if names[e][3:] in failing else "ok"
                    writer.run(p, seed, e, error, error, nfe, status, bytes=8 * nfe)
    return writer.write(path, options=options)


def contest_of(*paths, baseline="ctpg", targets=TARGETS):
    sources = [open_source(path) for path in paths]
    return Contest(sources, name_entries(sources), baseline, targets)


class Page(html.parser.HTMLParser):
    """What a page shows, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.text, self.links, self.open, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in ("meta", "input", "br", "link", "img", "path", "use", "rect", "circle"):
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found and tag in ("figure", "table") else []
        self.links += [found[name] for name in ("src", "href") if name in found and tag in
                       ("script", "img", "link", "a", "iframe", "image")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)


class Verdicts(program.InFolder):
    def duel(self, kind, **values):
        contest = contest_of(write(self.folder / f"{kind}.h5", [kind], **values))
        return contest, contest.duel(contest.candidates[0])

    def test_a_better_one(self):
        contest, duel = self.duel("better")
        self.assertEqual(duel.factor.verdict, "better")
        self.assertAlmostEqual(duel.factor.ratio.value, 0.7, 1)
        self.assertEqual({match.verdict for match in duel.matches}, {"better"})
        self.assertRegex(sentences.headline(contest, duel), r"^my-better is better than ctpg: .* 0\.(69|70|71) "
            r"\[0\.\d\d, 0\.\d\d\] "
                         r"times its evaluations \(95 %; 6 problems, 20 seeds each\)\.$")

    def test_a_worse_one(self):
        _, duel = self.duel("worse")
        self.assertEqual(duel.factor.verdict, "worse")
        self.assertEqual({match.verdict for match in duel.matches}, {"worse"})
        self.assertEqual(duel.improvement, (0, 0))

    def test_an_equal_one_and_the_same_one(self):
        for kind in ("equal", "same"):
            contest, duel = self.duel(kind)
            self.assertEqual(duel.factor.verdict, "equal")
            self.assertIn("equally many evaluations", sentences.headline(contest, duel))
            self.assertNotIn("better", {match.verdict for match in duel.matches})
            self.assertNotIn("whatever the data", sentences.by_error(contest, duel), "20 seeds are enough")
            self.assertEqual(sentences.far_off(contest, duel), "")

    def test_seeds_too_few_for_single_errors_are_told(self):
        contest, duel = self.duel("same", seeds=8)
        self.assertIn("equal in 24. With 8 pairs and 24 comparisons none can be called better or worse, whatever the "
                      "data", sentences.by_error(contest, duel))

    def test_luck_on_three_seeds_of_twenty(self):
        contest, duel = self.duel("lucky")
        self.assertNotEqual(duel.factor.verdict, "better")
        self.assertNotIn("better", {match.verdict for match in duel.matches})
        self.assertNotIn("better", {match.verdict_at(i) for match in duel.matches for i in range(len(TARGETS))})
        text = " ".join(sentences.paragraph(contest, duel))
        self.assertNotIn("is better", text)
        self.assertIn("of 120 pairs (problem, policy, seed) it needs less than 0.5 times the evaluations of ctpg in "
                      "18, more than 2 times in 0", text)

    def test_one_seed_has_no_interval_and_no_verdict(self):
        contest, duel = self.duel("better", seeds=1)
        self.assertRegex(sentences.headline(contest, duel), "is not known: .*1 seed")
        self.assertEqual({match.verdict for match in duel.matches}, {"not known"})
        self.assertIn("no interval: n = 1", " ".join(sentences.by_problem(duel)))
        text = " ".join(sentences.paragraph(contest, duel))
        self.assertNotIn("probability", text, "one seed says nothing on others")
        self.assertNotIn("comparisons", text, "nor do single errors")
        self.assertIn("Fewer than 6 pairs, hence no interval and no verdict: plant0", text)

    def test_all_failed(self):
        contest, duel = self.duel("better", failing=("better",))
        text = " ".join(sentences.paragraph(contest, duel))
        self.assertIn("all of its runs failed", text)
        self.assertIn("my-better is worse than ctpg: on 6 problems it does not reach the errors", text)
        self.assertIn("Worse on 6 of 6 problems: plant0 (not reached by it), plant1", text)
        self.assertEqual(duel.behind, 6 * 20 * len(TARGETS))

    def test_fewer_evaluations_where_it_gets_there_are_not_better_where_it_fails_elsewhere(self):
        """On four plants 0.7 times the evaluations, on three nothing; the other way round likewise."""
        plants = [f"plant{number}" for number in range(7)]
        writer = make_results.Writer([dict(label=label) for label in plants], [dict(label="ctpg"), dict(label="mine")])
        for p in range(len(plants)):
            for seed in range(8):
                writer.case(p, seed)
                for e, ratio in enumerate((1, 0.7)):
                    for digits in range(1, 9):
                        writer.run(p, seed, e, 10.0 ** -digits, 10.0 ** -digits, int(1000 * digits * ratio) + seed,
                                   "diverged" if e and p > 3 else "ok")
        path = writer.write(self.folder / "part.h5")
        for baseline, mine, expected in (("ctpg", "mine", "fewer evaluations, 0.70 .*; on 3 problems more it does not "
                                          "always reach what ctpg reaches"),
                                         ("mine", "ctpg", "more evaluations, 1.43 .*; on 3 problems more it often")):
            contest = contest_of(path, baseline=baseline)
            said = sentences.headline(contest, contest.duel(contest.candidates[0]))
            self.assertRegex(said, f"^Whether {mine} is better than {baseline} depends on the problem: .*{expected}")

    def test_the_factor_at_each_error(self):
        """2 times the evaluations at 1e-3, half of them at 1e-6, on each of six plants."""
        writer = make_results.Writer([dict(label=label) for label in PROBLEMS],
                                     [dict(label="ctpg"), dict(label="mine")])
        for p in range(len(PROBLEMS)):
            for seed in range(6):
                writer.case(p, seed)
                for digits in range(1, 10):
                    for e, nfe in enumerate((1000 * 2 ** digits, 2000 * 2 ** 3 * 2 ** ((digits - 3) / 3))):
                        writer.run(p, seed, e, 10.0 ** -digits, 10.0 ** -digits, int(nfe))
        contest = contest_of(writer.write(self.folder / "cross.h5"), targets=[1e-3, 1e-6])
        said = sentences.factors_by_error(contest, contest.duel(contest.candidates[0]))
        self.assertRegex(said, r"^The factor at each error: 1e-3 2\.0\d \[2\.0\d, 2\.0\d\], 1e-6 0\.5\d \[")

    def test_settings_that_do_not_go_as_far(self):
        """What was not tried to the end is at least what its tightest setting took, no failure."""
        path = self.folder / "short.h5"
        writer = make_results.Writer([dict(label="plant")], [dict(label="ctpg"), dict(label="mine")])
        for seed in range(8):
            writer.case(0, seed)
            for e, least in enumerate((8, 5)):
                for digits in range(1, least + 1):
                    writer.run(0, seed, e, 10.0 ** -digits, 10.0 ** -digits, 100 * digits)
        contest = contest_of(writer.write(path), targets=[1e-7])
        cell = contest.duel(contest.candidates[0]).matches[0].cells[0]
        self.assertAlmostEqual(cell.ratio.value, 500 / 700, 1)
        self.assertEqual((cell.ratio.high, cell.worse, cell.better), (np.inf, 0, 0))
        duel = contest.duel(contest.candidates[0])
        self.assertIn("on no problem do both get there on enough seeds, with the settings that were run (8 seeds)",
                      sentences.headline(contest, duel))
        self.assertIn("with probability 0.00 to 1.00.", sentences.chance(contest, duel))

    def test_intervals_in_words(self):
        for interval, expected in (((0.714, 0.62, 0.83), "0.71 [0.62, 0.83]"),
                                   ((2, 1.5, np.inf), "2.00 [1.50, infinite]"),
                                   ((np.inf, np.inf, np.inf), "infinite [infinite]"), ((0, 0, 0), "0.00 [0.00, 0.00]"),
                                   ((1.5, np.nan, np.nan), "1.50 (no interval: n = 8)"), ((np.nan,) * 3, "-")):
            self.assertEqual(sentences.interval_text(Interval(*interval, 8)), expected)
        self.assertEqual(sentences.interval_text(Interval(2, 1, np.inf, 8, np.inf)), "at least 2.00 [1.00, infinite]")

    def test_policies_of_one_problem_share_its_weight(self):
        self.assertEqual([problem_of(label) for label in ("lqr-trained", "lqr-wide-small", "my-plant", "trained")],
                         ["lqr", "lqr-wide", "my-plant", "trained"])


class Asked(program.InFolder):
    """Beside a plug-in on two plants and eight seeds, a file of baselines on six plants and twenty."""

    def contest(self, **other):
        mine = write(self.folder / "mine.h5", ["better"], 8, PROBLEMS[:2])
        base = write(self.folder / "base.h5", ["equal", "worse"], **{"seeds": 20, "baseline": None, **other})
        sources = [open_source(mine), open_source(base)]
        sources[1].shipped = True
        return Contest(sources, name_entries(sources), "ctpg", TARGETS)

    def test_nothing_is_said_on_cases_that_no_candidate_has(self):
        contest = self.contest()
        self.assertEqual(contest.labels, PROBLEMS[:2])
        self.assertEqual({len(contest.side(entry, label).keys) for entry in contest.entries for label in PROBLEMS[:2]},
                         {8})
        table = verdict_tables.quantity_table(contest, "nfe", "nfe", "NFE", "")
        self.assertEqual({row[1] for row in table.rows}, set(PROBLEMS[:2]))
        self.assertTrue(all(cell.endswith("/8)") for row in table.rows for cell in row[2:]))
        self.assertNotIn("plant5", verdict_tables.versions(contest).rows[-1])
        with our_style(40):
            names = {sheet.name for sheet in all_sheets(contest, [contest.duel(contest.candidates[0])])}
        self.assertIn("work_precision_plant1", names)
        self.assertNotIn("work_precision_plant2", names)

    def test_shipped_curves_are_off_at_first(self):
        """In the page hidden, with an open box; in the files not drawn, nor in their legends."""
        contest = self.contest()
        with our_style(40):
            sheet = all_sheets(contest, [])[0]
            legends = []
            with mock.patch.object(sheet.figure, "savefig", side_effect=lambda *_, **__: legends.append(
                    [text.get_text() for text in sheet.figure.axes[0].get_legend().get_texts()])):
                sheet.save(self.folder)
            text, _ = sheet.svg()
        self.assertEqual(legends, [["ctpg", "my-better"]] * 2)
        self.assertIsNone(sheet.figure.axes[0].get_legend())
        for number, hidden in enumerate((False, False, True, True)):
            groups = re.findall(rf'<g class="series" data-series="{number}"(.*?)>', text)
            self.assertEqual({' style="display:none"' in group for group in groups}, {hidden})
        boxes = re.findall(r"<input type=checkbox( checked)?", verdict.switches(contest))
        self.assertEqual(boxes, [" checked", " checked", "", ""])
        table = verdict.shortened(verdict_tables.quantity_table(contest, "nfe", "nfe", "NFE", "Note."), contest)
        self.assertEqual({row[0] for row in table.rows}, {"ctpg", "my-better"})
        self.assertEqual(table.note, "Note. The shipped baselines stand in nfe.csv.")

    def test_what_is_shown_from_the_start_has_colours_of_its_own(self):
        """Labels whose hashes say one colour."""
        same = [label for label in map("mine{}".format, range(200)) if style(label)["color"] == style("lia")["color"]]
        path = write(self.folder / "m.h5", ["better", "equal"], 6, PROBLEMS[:1], labels=["lia", *same[:2]])
        contest = contest_of(path, baseline="lia")
        colours = [look["color"] for look in make_looks(contest)]
        self.assertEqual(len(set(colours)), 3)
        self.assertEqual(colours[0], style("lia")["color"])

    def test_lines_can_be_told_apart_in_every_legend(self):
        contest = self.contest()
        with our_style(40):
            for sheet in all_sheets(contest, [contest.duel(entry) for entry in contest.candidates]):
                if sheet.add_legend():
                    FigureCanvasAgg(sheet.figure).draw()
                    self.assertEqual(too_short(sheet.figure), [], sheet.name)

    def test_many_estimators_are_not_drawn_upon_each_other(self):
        """The six best stand in figures of ratios, names stand beside the axes, sentences are folded."""
        kinds = ["worse", "better"] + ["equal"] * 8
        labels = ["ctpg", *[f"my-{kind}{number}" for number, kind in enumerate(kinds)]]
        contest = contest_of(write(self.folder / "m.h5", kinds, 8, PROBLEMS[:2], labels=labels))
        duels = [contest.duel(entry) for entry in contest.candidates]
        with our_style(40):
            sheets = all_sheets(contest, duels)
            drawn = {number for _, number in sheets[0].tagged}
            self.assertEqual(len(drawn), 6)
            self.assertNotIn(1, drawn, "my-worse0")
            self.assertIn(2, drawn, "my-better1")
            self.assertIn("Drawn are the 6 with the least factors; the other 4 stand in the tables.", sheets[0].caption)
            sheet = sheets[1]
            legend = sheet.add_legend()
            FigureCanvasAgg(sheet.figure).draw()
            self.assertGreater(legend.get_window_extent().x0, sheet.figure.axes[0].bbox.x1)
        page = verdict.opening(contest, duels, [])
        self.assertEqual((page.count("<details"), page.count("<p class=lead>")), (10, 10))
        self.assertNotIn("<details", verdict.opening(contest, duels[:2], []))

    def test_a_baseline_of_the_shipped_ones_is_shown(self):
        mine = write(self.folder / "mine.h5", ["better"], 8, PROBLEMS[:2], baseline=None)
        sources = [open_source(mine), open_source(write(self.folder / "base.h5", ["equal"], 8, PROBLEMS[:2]))]
        sources[1].shipped = True
        contest = Contest(sources, name_entries(sources), "ctpg", TARGETS)
        self.assertEqual([contest.is_aside(entry) for entry in contest.entries], [False, False, True])

    def test_shares_are_of_cases_that_all_shown_have(self):
        contest = self.contest(problems=PROBLEMS[1:])
        cases = common_cases(contest)
        self.assertEqual({label: len(keys) for label, keys in cases.items()}, {label: 8 for label in PROBLEMS[:2]})
        self.assertEqual(sorted(shared_needs(contest, cases)), [0, 1], "the others have no run on plant0")
        with our_style(40):
            captions = {sheet.name: sheet.caption for sheet in all_sheets(contest, [])}
        for name in ("ecdf", "profiles"):
            self.assertIn("Of the 16 cases (problem, policy, seed)", captions[name])
            self.assertIn("hence not shown: my-equal, my-worse.", captions[name])

    def test_problems_weigh_the_same_in_profiles(self):
        """Twice as good on both policies of one plant, half as good on another plant: best in a half of all."""
        needs = {0: {"a-random": np.full((8, 2), 100.0), "a-small": np.full((8, 2), 100.0), "b": np.full((8, 2), 50.0)},
                 1: {"a-random": np.full((8, 2), 50.0), "a-small": np.full((8, 2), 50.0), "b": np.full((8, 2), 100.0)}}
        found = profiles(needs, np.array([1.0, 2.0]))
        for number in needs:
            np.testing.assert_allclose(found[number], [0.5, 1.0])
        needs[1]["b"][:] = np.inf
        np.testing.assert_allclose(profiles(needs, np.array([1e9]))[1], [0.5])


class Files(program.InFolder):
    def test_estimators_of_one_label_in_ten_files_get_names_of_their_own(self):
        paths = [write(self.folder / f"try{n}.h5", ["better"], 6, PROBLEMS[:1]) for n in range(9)]
        (self.folder / "other").mkdir()
        paths.append(write(self.folder / "other" / "try0.h5", ["worse"], 6, PROBLEMS[:1], labels=["ctpg", "my-better"]))
        contest = contest_of(*paths)
        names = [entry.name for entry in contest.entries]
        self.assertEqual(len(set(names)), 20)
        self.assertIn("my-better [try3]", names)
        self.assertIn("my-better [try0] 2", names)
        self.assertEqual(contest.baseline.name, "ctpg [try0]")

    def test_given_files_keep_their_labels_beside_the_shipped_baselines(self):
        sources = [open_source(write(self.folder / f"{name}.h5", ["better"], 6, PROBLEMS[:1])) for name in "ab"]
        sources[1].shipped = True
        self.assertEqual([entry.name for entry in name_entries(sources)],
                         ["ctpg", "my-better", "ctpg [suite]", "my-better [suite]"])

    def test_the_shipped_baselines_themselves_count_once(self):
        path = write(self.folder / "m.h5", ["better"], 6, PROBLEMS[:1], options="suite = one\n")
        with mock.patch.object(verdict, "shipped_baselines", return_value=path):
            contest, _ = verdict.make_contest([path], "ctpg", TARGETS, True)
            self.assertEqual([entry.name for entry in contest.entries], ["ctpg", "my-better"])
            other = write(self.folder / "o.h5", ["equal"], 6, PROBLEMS[:1], options="suite = one\n")
            contest, _ = verdict.make_contest([other], "ctpg", TARGETS, True)
            self.assertEqual(len(contest.entries), 4)

    def test_a_file_without_the_baseline_is_compared_with_that_of_another(self):
        mine = write(self.folder / "mine.h5", ["better"], baseline=None)
        contest = contest_of(mine, write(self.folder / "base.h5", []))
        self.assertEqual(contest.duel(contest.candidates[0]).factor.verdict, "better")

    def test_problems_of_another_version_are_not_compared(self):
        mine, base = write(self.folder / "mine.h5", ["better"], baseline=None), self.folder / "base.h5"
        writer = make_results.Writer([dict(label="plant0", version=2)], [dict(label="ctpg")])
        writer.case(0, 0, case_key=1)
        writer.run(0, 0, 0, 1e-3, 1e-3, 100)
        contest = contest_of(mine, writer.write(base))
        self.assertIn("plant0: the problem differs in its version (1 against 2)", " ".join(contest.strangers()))
        self.assertIn("Nothing can be said", sentences.headline(contest, contest.duel(contest.candidates[0])))

    def test_files_of_two_versions_of_the_suite(self):
        one = write(self.folder / "one.h5", ["better"], 6, options="suite = ctpgbench-suite-1\n")
        two = write(self.folder / "two.h5", ["better"], 6, options="suite = ctpgbench-suite-2\n")
        code, err = refused(one, two, "-o", self.folder / "v")
        self.assertEqual(code, 1)
        self.assertIn("one.h5 is of ctpgbench-suite-1 and two.h5 of ctpgbench-suite-2", err)
        self.assertFalse((self.folder / "v").exists())

    def test_what_is_no_results_file_and_a_baseline_that_is_not_there(self):
        path = write(self.folder / "one.h5", ["better"], 6, PROBLEMS[:1])
        for words, expected in (([self.folder / "none.h5"], "cannot be read"), ([__file__], "not an HDF5 file"),
                                ([path, "-baseline", "nobody"], "expected one of ctpg, my-better")):
            code, err = refused(*words, "-o", self.folder / "v")
            self.assertEqual(code, 1, err)
            self.assertIn(expected, err)
            self.assertEqual(len(err.strip().splitlines()), 1)

    def test_nothing_beside_the_baseline(self):
        with self.assertRaisesRegex(ResultsError, "no estimator beside the baseline"):
            verdict.make_contest([write(self.folder / "base.h5", [], 6)], "ctpg", TARGETS, False)


def refused(*words):
    """(exit code, the sentence) of compare in this process."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        return commands.main(["compare", *map(str, words)]), said.getvalue()


def page_of(*paths):
    """(the page, its tables) of compare in this process, without the files beside it."""
    with our_style(40):
        contest, remarks = verdict.make_contest([str(path) for path in paths], "ctpg", [1e-3, 1e-5], False)
        duels = [contest.duel(entry) for entry in contest.candidates]
        tables = verdict_tables.all_tables(contest, duels)
        return verdict.page(contest, duels, remarks, all_sheets(contest, duels), tables), tables


class Written(program.InFolder):
    def test_the_page_is_complete_and_loads_nothing(self):
        path = write(self.folder / "m.h5", ["better", "worse"], 8, PROBLEMS[:2])
        code, out, err = analysis("compare", path, "-o", self.folder / "v", "--at", "1e-3,1e-5", "--dpi", "40")
        self.assertEqual((code, err), (0, ""))
        text = (self.folder / "v" / "index.html").read_text(encoding="utf-8")
        found = Page(text)
        shown = " ".join(found.text)
        self.assertIn("my-better is better than ctpg", out)
        self.assertIn("it stores 0.69 [0.68, 0.71] times its bytes.", shown)
        for word in ("my-better is better", "Paired ratios", "Work and precision", "Performance profiles",
                     "Gould and Scott", "Memory", "Weighted work", "CPU time", "Orders", "Failures", "SHA-256",
                     "How each number", "BibTeX"):
            self.assertIn(word, shown)
        self.assertEqual([link for link in found.links if not (self.folder / "v" / link).is_file()], [])
        self.assertNotRegex(re.sub(r'xmlns(:\w+)?="[^"]*"', "", text), r"(src|href)=\"?https?:|@import|url\(h")
        self.assertEqual(len(found.ids), len(set(found.ids)))
        for points in re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL):
            self.assertTrue(all(len(point) == 4 for point in json.loads(points)))
        self.assertGreater(text.count('data-series="1"'), 5)
        self.check_tables()
        self.assertEqual(page_of(path)[0], text, "equal data give an equal page")

    def check_tables(self):
        with open(self.folder / "v" / "verdicts.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(row["estimator"], row["pairs"], row["verdict"]) for row in rows],
                         [("my-better", "8", "better")] * 2 + [("my-worse", "8", "worse")] * 2)
        text = (self.folder / "v" / "verdicts.tex").read_text(encoding="utf-8")
        for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:verdicts}"):
            self.assertEqual(text.count(word), 1)

    def test_labels_that_latex_html_and_matplotlib_take_for_commands(self):
        path = write(self.folder / "m.h5", ["better"], 8, ["a_b%$x^2$&<i>{"], labels=["ctpg", r"\my_#1$&~<script>"])
        text, tables = page_of(path)
        self.assertNotIn("<script>&", text.replace("&amp;", "&"))
        self.assertIn(r"\my_#1$&amp;~&lt;script&gt;", text)
        table = tabular.as_latex(tables["verdicts"])
        self.assertIn(r"\textbackslash{}my\_\#1\$\&\textasciitilde{}\textless{}script\textgreater{}", table)
        self.assertIn(r"a\_b\%\$x\textasciicircum{}2\$\&\textless{}i\textgreater{}\{", table)

    def test_failures_have_the_command_that_repeats_them(self):
        contest = contest_of(write(self.folder / "m.h5", ["better"], 8, PROBLEMS[:1], failing=("better",)))
        row = verdict_tables.failure_table(contest).rows[0]
        self.assertEqual(row[2::2], ["diverged", "56"])
        self.assertRegex(row[-1], r"^ctpgbench gradient -problem plant0 -seed 0 -estimator my-better -rtol 0\.\d+$")

    def test_a_page_of_nothing_but_one_seed(self):
        text, _ = page_of(write(self.folder / "m.h5", ["better"], 1, PROBLEMS[:1]))
        self.assertIn("is not known", text)
        self.assertIn("no interval and no verdict", text)


class Ticks(unittest.TestCase):
    def test_few_short_and_one_of_them_is_1(self):
        for low, high in ((0.7, 1.4), (0.5, 2.5), (0.1, 1.3), (1e-2, 40), (1e-4, 1e4), (1e-9, 1e9)):
            ticks = ratio_ticks(low, high)
            self.assertIn(1, ticks)
            self.assertTrue(3 <= len(ticks) <= 8, (low, high, ticks))
            self.assertEqual(ticks, sorted(set(ticks)))
            self.assertTrue(low <= ticks[0] and ticks[-1] <= high)
            self.assertLess(max(len(f"{tick:g}") for tick in ticks), 7)


class Latex(unittest.TestCase):
    def test_every_letter_that_latex_reads_as_a_command(self):
        self.assertEqual(tabular.latex_text("a_b & 50% of $1 {x} ~ ^ # \\"),
                         r"a\_b \& 50\% of \$1 \{x\} \textasciitilde{} \textasciicircum{} \# \textbackslash{}")


class LatexTables(program.InFolder):
    def test_long_ones_go_over_pages(self):
        for rows, expected in ((40, r"\begin{table}"), (41, r"\begin{longtable}{llr}")):
            text = tabular.as_latex(tabular.Table("t", "T", ["a", "b", "c"], [["x", "y", "1"]] * rows))
            self.assertIn(expected, text)
            self.assertEqual(text.count("x & y & 1"), rows)
            self.assertEqual(text.count(r"\begin{"), text.count(r"\end{"))

    @unittest.skipUnless(shutil.which("pdflatex"), "no pdflatex")
    def test_they_compile(self):
        path = write(self.folder / "m.h5", ["better"], 8, ["a_b%$x^2$&<i>{", *PROBLEMS],
                     labels=["ctpg", r'\my_#1$&~<script>|"'])
        _, tables = page_of(path)
        text = "".join(tabular.as_latex(table) for name, table in tables.items() if name not in verdict.WIDE)
        (self.folder / "all.tex").write_text("\\documentclass{article}\n\\usepackage{booktabs,longtable}\n"
                                             f"\\begin{{document}}\n{text}\n\\end{{document}}\n", encoding="utf-8")
        ended = subprocess.run(["pdflatex", "-interaction=nonstopmode", "all.tex"], cwd=self.folder, check=False,
                               capture_output=True, text=True)
        self.assertEqual(ended.returncode, 0, ended.stdout[-2000:])


if __name__ == "__main__":
    unittest.main()
