"""test_analysis.py -- figures and tables of sweeps, on synthetic results files, against numbers worked out by hand"""
import math
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

import make_results
import seal
from analysis_package import analysis
from ctpgbench_analysis import ResultsError
from ctpgbench_analysis.draw import gradients, style
from ctpgbench_analysis.measure import contract, crossing, prices
from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.read import sweep
from ctpgbench_analysis.read.words import claimed_order, order_text
from ctpgbench_analysis.report import table, text

try:
    import pandas
except ModuleNotFoundError:
    pandas = None

NAN = math.nan


class InFolder(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)

    def writer(self, estimators=("ctpg",), **values):
        return make_results.Writer([dict(label="lqr")], [dict(label=label, **values) for label in estimators])

    def results(self, writer, **values):
        return sweep.load(writer.write(self.folder / "results.h5", **values))


class Crossing(unittest.TestCase):
    """Slope -2 in log-log: error 1e-2 at 100, 1e-4 at 1000, 1e-6 at 10000; 1e-3 is halfway, at 10^2.5."""

    def check(self, expected, target, error, work, floor=1e-16, tolerance=1e-12):
        kind, value = crossing.crossing(target, floor, np.array(error), np.array(work, float))
        self.assertEqual(kind, expected[0])
        if kind in ("exact", "bound"):
            self.assertAlmostEqual(value / expected[1], 1, delta=tolerance)
        else:
            self.assertEqual(value, math.inf)

    def test_halfway(self):
        self.check(("exact", 10**2.5), 1e-3, [1e-2, 1e-4, 1e-6], [100, 1000, 10000])
        self.check(("exact", 10**3.5), 1e-5, [1e-2, 1e-4, 1e-6], [100, 1000, 10000])

    def test_quarter(self):
        self.check(("exact", 100 * 10**0.25), 10**-2.5, [1e-2, 1e-4], [100, 1000])

    def test_on_a_point(self):
        self.check(("exact", 1000.0), 1e-4, [1e-2, 1e-4, 1e-6], [100, 1000, 10000])

    def test_only_the_last_crossing_counts(self):
        self.check(("exact", 10**4.5), 1e-3, [1e-2, 1e-4, 1e-5, 1e-2, 1e-4], [10, 100, 1000, 10000, 100000])

    def test_not_monotone_below_the_target_does_not_matter(self):
        error, work = np.array([1e-2, 1e-4, 9e-4, 1e-6]), np.array([100.0, 1000.0, 2000.0, 10000.0])
        kind, value = crossing.crossing(1e-3, 1e-16, error, work)
        self.assertEqual(kind, "exact")
        self.assertTrue(100 < value < 1000)

    def test_scatter_within_reach_is_levelled(self):
        """Errors off a line of slope -2 by a factor 2 up and down: the reading stays on it."""
        work, off = np.logspace(1, 5, 9), np.array([2, 0.5] * 4 + [2])
        self.check(("exact", 1e3), 1e-5, 10 * off / work ** 2, work, tolerance=0.05)

    def test_settings_below_the_floor_stay_out_of_the_line(self):
        self.check(("exact", 10**2.5), 1e-3, [1e-1, 1e-2, 1e-4, 3e-9], [10**1.5, 100, 1000, 5000], floor=1e-5)

    def test_censored(self):
        self.check(("censored", math.inf), 1e-7, [1e-2, 1e-4, 1e-6], [100, 1000, 10000])
        self.check(("censored", math.inf), 1e-3, [1e-2, 1e-4, 1e-2], [100, 1000, 10000])

    def test_a_failure_is_not_below(self):
        self.check(("censored", math.inf), 1e-3, [1e-2, 1e-4, NAN], [100, 1000, NAN])
        self.check(("censored", math.inf), 1e-3, [NAN, NAN], [NAN, NAN])
        self.check(("censored", math.inf), 1e-3, [], [])

    def test_bound_where_no_looser_setting_is_above(self):
        self.check(("bound", 100.0), 0.1, [1e-2, 1e-4], [100, 1000])
        self.check(("bound", 1000.0), 1e-3, [NAN, 1e-4], [NAN, 1000])

    def test_lower_point_is_clipped_at_the_floor(self):
        # 1e-8 is measured, 1e-6 is resolved: the line runs to (1e-6, 10000), and 1e-4 is halfway between 1e-2 and 1e-6
        self.check(("exact", 1000.0), 1e-4, [1e-2, 1e-8], [100, 10000], floor=1e-6)

    def test_below_the_floor_nobody_knows(self):
        self.check(("unresolved", math.inf), 1e-9, [1e-2, 1e-12], [100, 1000], floor=3e-9)
        self.check(("unresolved", math.inf), 1e-9, [1e-2, 2e-9], [100, 1000], floor=3e-9)
        self.check(("censored", math.inf), 1e-9, [1e-2, 1e-4], [100, 1000], floor=3e-9)


class OverSeeds(unittest.TestCase):
    def test_median_counts_censored_as_infinite(self):
        entry = crossing.over_seeds([("exact", 1.0), ("exact", 5.0), ("censored", math.inf)])
        self.assertEqual((entry.median, entry.bound, entry.reached, entry.seeds), (5.0, False, 2, 3))

    def test_exactly_half_is_not_enough(self):
        entry = crossing.over_seeds([("exact", 1.0), ("exact", 2.0), ("censored", math.inf), ("unresolved", math.inf)])
        self.assertTrue(math.isnan(entry.median))
        self.assertEqual((entry.reached, entry.seeds, entry.unresolved), (2, 4, 1))
        self.assertEqual(table.reach_text(entry, str), "? (2/4)")

    def test_all_failed(self):
        entry = crossing.over_seeds([("censored", math.inf)] * 3)
        self.assertEqual(table.reach_text(entry, str), "- (0/3)")

    def test_a_bound_matters_only_from_the_median_on(self):
        self.assertFalse(crossing.over_seeds([("bound", 1.0), ("exact", 2.0), ("exact", 3.0)]).bound)
        self.assertTrue(crossing.over_seeds([("exact", 1.0), ("exact", 2.0), ("bound", 3.0)]).bound)

    def test_three_digits(self):
        self.assertEqual([text.significant(value) for value in (0.012345, 9.996, 123.4, 45678.0)],
                         ["0.0123", "10.00", "123", "45700"])


class Grids(InFolder):
    def grid(self, writer, **values):
        return make_grid(self.results(writer), 0, 0, **values)

    def test_settings_run_from_loose_to_tight(self):
        for knob, settings in (("rtol", [1e-2, 1e-4]), ("samples", [10.0, 1000.0])):
            writer = self.writer(knob=knob)
            writer.case(0, 0)
            for setting in settings[::-1]:
                writer.run(0, 0, 0, setting, 1e-3, 100)
            np.testing.assert_array_equal(self.grid(writer).settings, settings)

    def test_repeats_count_by_their_median_wall(self):
        writer = self.writer()
        writer.case(0, 0)
        for repeat, wall in enumerate((1.0, 9.0, 2.0)):
            writer.run(0, 0, 0, 1e-3, 1e-4, 100, repeat=repeat, wall=wall)
        self.assertEqual(self.grid(writer).time[0, 0], 2.0)

    def test_one_failed_repeat_is_a_failure(self):
        writer = self.writer()
        writer.case(0, 0)
        writer.run(0, 0, 0, 1e-3, 1e-4, 100, repeat=0)
        writer.run(0, 0, 0, 1e-3, status="timeout", repeat=1)
        self.assertFalse(self.grid(writer).reached.any())

    def test_settings_at_the_tight_end_that_the_limit_ended_count_as_not_tried(self):
        """Nothing else does: a limit before others that ended, or any other failure at the tight end."""
        limit = "eval_limit"
        for statuses, tried, reached in (
                (("ok", "ok", limit, limit), (1, 1, 0, 0), 1), (("ok", limit, "ok", limit), (1, 1, 1, 0), 1),
                (("ok", "ok", limit, "diverged"), (1, 1, 1, 1), 0), ((limit,) * 4, (0, 0, 0, 0), 0)):
            writer = self.writer()
            writer.case(0, 0)
            for digits, status in enumerate(statuses, 1):
                writer.run(0, 0, 0, 10.0 ** -digits, 10.0 ** -digits, 100 * digits, status)
            grid = self.grid(writer)
            self.assertEqual(grid.tried.astype(int).tolist(), [list(tried)], statuses)
            found = crossing.reach(grid, 0.05, grid.nfe, grid.done)
            self.assertEqual((found.seeds, found.reached), (1, reached))

    def test_floors_of_the_four_errors(self):
        writer = self.writer()
        writer.case(0, 0, ref_err=1e-10, ref_err_x0=1e-8, grad_norm=3.0, grad_x0_norm=4.0)
        writer.run(0, 0, 0, 1e-3, 1e-4, 100)
        joint = 3 * math.hypot(3e-10, 4e-8) / 5
        for error, floor in (("err_rel", 3e-10), ("err_abs", 9e-10), ("err_x0", 3e-8), ("err_joint", joint)):
            np.testing.assert_allclose(self.grid(writer, error=error).floors, [floor], rtol=1e-14)

    def test_only_committed_rows_and_judged_seeds_count(self):
        writer = self.writer()
        for seed, status in enumerate(("ok", "ok", "domain")):
            writer.case(0, seed, status=status)
            writer.run(0, seed, 0, 1e-3, 1e-4, 100)
        results = self.results(writer, uncommitted=[1])
        self.assertEqual(results.run_done.tolist(), [True, False, True])
        np.testing.assert_array_equal(make_grid(results, 0, 0).reached, [[True], [False]])
        self.assertEqual(results.without_reference(0), 1)

    def test_mixed_timings_are_never_mixed(self):
        writer = self.writer()
        for seed, timing in enumerate((0, 1, 1)):
            writer.case(0, seed)
            writer.run(0, seed, 0, 1e-2, 1e-2, 100, timing=timing, wall=1.0 + timing)
            writer.run(0, seed, 0, 1e-4, 1e-4, 1000, timing=timing, wall=1.0 + timing)
        results = self.results(writer)
        self.assertEqual(results.choose_timing(0), ("throughput", "The file mixes 2 isolated and 4 throughput timings; "
                                                    "times are of the throughput runs only."))
        self.assertEqual(results.choose_timing(0, "isolated")[0], "isolated")
        row = table.measure(results, 0, 0, [1e-3], "err_rel", "throughput")
        self.assertEqual((row["ms"][0].seeds, row["nfe"][0].seeds), (2, 3))
        self.assertAlmostEqual(row["ms"][0].median, 2000.0)
        self.assertAlmostEqual(row["nfe"][0].median, 10**2.5)
        self.assertIn("WARNING: The file mixes", analysis("table", results.path)[1])

    def test_a_crowd_is_told_where_it_can_move_a_median(self):
        """One timing of eight at a setting is noise, two are a quarter."""
        for crowd, words in ((1, ""), (2, "2 of 16 runs were timed in a crowd, at 1 of 2 settings")):
            writer = self.writer()
            for seed in range(8):
                writer.case(0, seed)
                writer.run(0, seed, 0, 1e-2, 1e-2, 100, timing=1)
                writer.run(0, seed, 0, 1e-4, 1e-4, 1000, timing=2 if seed < crowd else 1)
            results = self.results(writer)
            kind, remark = results.choose_timing(0)
            self.assertEqual((kind, remark[:len(words)], bool(remark)), ("throughput", words, bool(words)))
            self.assertEqual("WARNING" in analysis("table", results.path)[1], bool(words))
            self.assertEqual(bool(gradients.make_panel(results, 0, "err_rel", "time", None).remarks), bool(words))

    def test_unfinished_seeds_do_not_count_as_censored(self):
        writer = self.writer()
        for seed in range(3):
            writer.case(0, seed)
            writer.run(0, seed, 0, 1e-2, 1e-2, 100)
            writer.run(0, seed, 0, 1e-4, 1e-4, 1000, status="ok" if seed else None)
        results = self.results(writer)
        entry = table.measure(results, 0, 0, [1e-3], "err_rel", "isolated")["nfe"][0]
        self.assertEqual((entry.reached, entry.seeds), (2, 2))


class WholeTable(InFolder):
    def test_numbers_failures_and_order(self):
        writer = self.writer(order=2.0)
        for seed in range(3):
            writer.case(0, seed)
            for k in range(1, 5):
                status = "diverged" if seed == 2 and k == 4 else "ok"
                writer.run(0, seed, 0, 10.0**-k, 10.0 ** (-2 * k), 10**k, status=status, wall=10.0**k)
        row = table.measure(self.results(writer), 0, 0, [1e-3, 1e-7], "err_rel", "isolated")
        self.assertAlmostEqual(row["fitted_order"], 2.0)
        self.assertEqual(row["failures"], {"diverged": 1})
        # the third seed fails at its tightest setting, so that it reaches nothing
        self.assertEqual([(entry.reached, entry.seeds) for entry in row["nfe"]], [(2, 3), (2, 3)])
        self.assertAlmostEqual(row["nfe"][0].median / 10**1.5, 1)
        self.assertAlmostEqual(row["ms"][1].median / 10**6.5, 1)

    def test_a_method_of_variable_order_claims_none(self):
        for kind, order, words in (("lia", 5.0, "varies"), ("cvodes", 3.0, "varies"), ("ctpg", 5.0, "5"),
                                   ("spsa", 0.5, "0.5"), ("python", 0.0, "-"), ("imported", math.nan, "-")):
            estimator = {"type": kind, "order": order}
            self.assertEqual(order_text(estimator), words)
            self.assertEqual(math.isnan(claimed_order(estimator)), words in ("varies", "-"))

    def test_who_needs_the_fewest_evaluations_but_not_the_least_time_is_named(self):
        for wall, words in ((2e-6, "The fewest evaluations are not the least wallclock: few takes 1.60 times as long "
                                   "as fast at 1e-3, 1.60 at 1e-6."), (1.3e-6, "")):
            writer = self.writer(estimators=("few", "fast"))
            for seed in range(3):
                writer.case(0, seed)
                for error, nfe in ((1e-2, 100), (1e-4, 200), (1e-8, 400)):
                    writer.run(0, seed, 0, error, error, round(0.8 * nfe), wall=0.8 * nfe * wall)
                    writer.run(0, seed, 1, error, error, nfe, wall=nfe * 1e-6)
            path = writer.write(self.folder / "results.h5")
            for options in ((), ("--markdown",)):
                said = " ".join(analysis("table", path, *options)[1].split())
                self.assertEqual("are not the least" in said, bool(words))
                self.assertIn(words, said)

    def test_text_markdown_and_csv(self):
        path = make_results.realistic(self.folder / "results.h5", seeds=3)
        code, text, errors = analysis("table", path, "--csv", self.folder / "t.csv")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(text, r"euler-bptt +1 +(0\.9|1\.0)\d +\d+ \(3/3\) ")
        self.assertRegex(text, r"neural-ode .*diverged \d+")
        self.assertIn("throughput timing", text)
        self.assertNotIn("isolated", text)
        self.assertIn("| estimator | order | fitted | NFE at 1e-3 | NFE at 1e-6 | NFE at 1e-9 | not ok | ms at 1e-3 |",
                      analysis("table", path, "--markdown")[1])
        rows = (self.folder / "t.csv").read_text().splitlines()
        self.assertEqual(len(rows), 1 + 3 * 6)
        self.assertIn("nfe_1e-6,nfe_1e-6_upper_bound,nfe_1e-6_reached", rows[0])

    def test_prices(self):
        """3 f, 4 products and 2 Jacobians of one product, whose plant took 2 calls each; nx = nu = 2."""
        writer = self.writer(estimators=("lia", "ctpg"))
        for seed in range(3):
            writer.case(0, seed)
            writer.run(0, seed, 0, 1e-3, 1e-4, nfe=9, nf=3, nvjp=4, njac=2, njac_products=2, nplant=3 + 4 + 2 * 2)
            writer.run(0, seed, 1, 1e-3, 1e-4, nfe=10, nplant=10)
        results = self.results(writer)
        rows = results.rows(0, 0)
        self.assertEqual([prices.priced(results, rows, price)[0] for price in prices.PRICES], [9, 15, 11])
        self.assertEqual(list(prices.priced(results, results.rows(0, 1), 3)), [10, 10, 10])
        results.cases["flags"] |= prices.DIFFERENCED
        self.assertEqual(prices.priced(results, rows, 2)[0], 9 + 2 * (3 + 1))
        path = writer.write(self.folder / "results.h5")
        text = analysis("table", path, "--at", "1e-3", "--price", "all", "--csv", self.folder / "t.csv")[1]
        self.assertRegex(text, r"lia +varies +- +<=9 \(3/3\)")
        self.assertRegex(text, r"lia, price 2 +varies +- +<=15 \(3/3\)")
        self.assertRegex(text, r"lia, price 3 +varies +- +<=11 \(3/3\)")
        self.assertNotIn("ctpg, price", text)
        self.assertEqual(len((self.folder / "t.csv").read_text().splitlines()), 1 + 4)
        self.assertRegex(analysis("table", path, "--at", "1e-3", "--price", "3")[1], r"lia +varies +- +<=11 \(3/3\)")

    def test_contract(self):
        """Four ways to end; the cheapest tolerance that keeps 1e-3 takes 10."""
        writer = make_results.Writer([dict(label="lqr")], [dict(label="sure", type="lia", knob="grad_rtol"),
                                                           dict(label="plain", type="lia")])
        ends = [(5e-4, 6e-4, "ok"), (5e-3, 4e-3, "ok"), (5e-3, 9e-4, "ok"), (NAN, NAN, "diverged")]
        for seed, (error, bar, status) in enumerate(ends):
            writer.case(0, seed)
            writer.run(0, seed, 0, 1e-3, error, nfe=20, status=status, error_bar=bar, promise=1e-3, err_layer=2e-3,
                       sign_share=1.0)
            for accuracy, wrong, nfe in ((1e-2, 2e-3, 5), (1e-3, 9e-4, 10), (1e-4, 1e-5, 15)):
                writer.run(0, seed, 1, accuracy, wrong, nfe=nfe)
        found = contract.conduct(self.results(writer), 0, 0)
        self.assertEqual(found.counts, {"kept": 1, "noticed": 1, "silent": 1, "refused": 1})
        self.assertAlmostEqual(found.bar_good, 2 / 3)
        self.assertAlmostEqual(found.price, 2)
        self.assertAlmostEqual(found.layer, 2)
        self.assertIsNone(contract.conduct(self.results(writer), 0, 1))
        code, text, errors = analysis("contract", self.folder / "results.h5")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(text, r"lqr +sure +1 +1 +1 +1 +0.667 +0.667 +2.00")

    def test_contracts_together(self):
        """Two problems pooled, 1e-2 apart; the page gets what is printed."""
        writer = make_results.Writer([dict(label="a"), dict(label="b")],
                                     [dict(label="sure", type="lia", knob="grad_rtol"),
                                      dict(label="plain", type="lia")])
        for problem, (asked, bar) in enumerate(((1e-2, 1e-5), (1e-3, 6e-4))):
            writer.case(problem, 0)
            writer.run(problem, 0, 0, asked, 5e-4, nfe=20 + 20 * problem, error_bar=bar, promise=asked)
            writer.run(problem, 0, 1, 1e-3, 5e-4, nfe=10)
        path = writer.write(self.folder / "results.h5")
        text = analysis("contract", path)[1]
        self.assertRegex(text, r"together +sure +2 +0 +0 +0 +0.500 +1.000 +3.00")
        page = self.folder / "page.md"
        page.write_text("before\n<!-- contract: sweep -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
        code, _, errors = analysis("contract", path, "--page", page)
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(page.read_text(encoding="utf-8"), r"before\n(?s:.*)\| together \| sure \| 2 (?s:.*)\nafter")

    def test_headline(self):
        """Price 1 is named where price 3 says the same, however far they are apart."""
        self.assertEqual(prices.headline(0.5, 0.9), 0.5)
        self.assertEqual(prices.headline(0.5, 1.1), 1.1)
        self.assertEqual(prices.headline(1.2, 1.5), 1.2)
        self.assertTrue(math.isnan(prices.headline(0.5, NAN)))

    @unittest.skipIf(pandas is None, "pandas is not installed (python3-pandas)")
    def test_pandas_reads_file_and_csv(self):
        path = make_results.realistic(self.folder / "results.h5", seeds=2)
        with h5py.File(path) as file:
            frame = pandas.DataFrame(file["runs/table"][()])
        self.assertEqual(len(frame), 3 * 2 * (7 + 5 * 10))
        self.assertGreater(frame["err_rel"].count(), 0)
        analysis("table", path, "--csv", self.folder / "t.csv")
        frame = pandas.read_csv(self.folder / "t.csv")
        self.assertTrue(np.issubdtype(frame["nfe_1e-3"].dtype, np.floating))


class Schema(unittest.TestCase):
    def test_statuses_begin_with_ok(self):
        self.assertEqual(make_results.STATUSES[0], "ok")

    def test_what_load_needs_is_there(self):
        for name, dtype in (("runs/table", make_results.RUN), ("cases/table", make_results.CASE)):
            self.assertLessEqual(set(sweep.NEEDED[name]), set(dtype.names))


class LoadErrors(InFolder):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "results.h5"
        writer = self.writer()
        writer.case(0, 0)
        writer.run(0, 0, 0, 1e-3, 1e-4, 100)
        writer.write(self.path)

    def check(self, sentence, path=None, also=("table", "figures")):
        path = path or self.path
        with self.assertRaises(ResultsError) as caught:
            sweep.load(path)
        self.assertIn(sentence, str(caught.exception))
        for command in also:
            code, output, errors = analysis(command, path)
            self.assertEqual((code, output, errors), (1, "", f"{caught.exception}\n"))

    def edit(self, change):
        with h5py.File(self.path, "r+") as file:
            change(file)

    def replace_table(self, name, change):
        def edit(file):
            rows = change(file[name][()])
            del file[name]
            file[name] = rows
        self.edit(edit)

    def test_missing_file(self):
        self.check("nowhere.h5 cannot be read: No such file or directory.", self.folder / "nowhere.h5")

    def test_not_hdf5(self):
        self.path.write_text("seed,error\n")
        self.check("is not an HDF5 file", also=("table",))

    def test_truncated(self):
        self.path.write_bytes(self.path.read_bytes()[:1500])
        self.check("cannot be opened by HDF5")

    def test_not_ours(self):
        self.edit(lambda file: file.attrs.pop("schema"))
        self.check("is an HDF5 file without the attribute schema", also=("table",))

    def test_other_schema(self):
        self.edit(lambda file: file.attrs.update(schema=7))
        self.check("has schema 7; these scripts read schema 3.")

    def test_other_kind(self):
        self.edit(lambda file: file.attrs.update(kind=np.bytes_("train")))
        self.check("is of kind train; expected a file of kind sweep.", also=("table",))

    def test_no_statuses(self):
        self.edit(lambda file: file.attrs.pop("statuses"))
        self.check("has no attribute statuses")

    def test_missing_table(self):
        self.edit(lambda file: file.pop("runs/commit"))
        self.check("has no table runs/commit")

    def test_missing_column(self):
        self.replace_table("runs/table", lambda rows: rows[[name for name in rows.dtype.names if name != "nfe"]])
        self.check("has no column nfe in runs/table")

    def test_row_that_points_nowhere(self):
        def change(rows):
            rows["case_index"] = 5
            return rows
        self.replace_table("runs/table", change)
        seal.seal(self.path)
        self.check("is damaged: row 0 of runs/table has case_index 5; expected 0 to 0.")

    def test_a_damaged_row_is_named_and_left_out(self):
        def change(rows):
            rows["nfe"][0] += 1
            return rows
        writer = self.writer()
        writer.case(0, 0)
        for k in (1, 2, 3):
            writer.run(0, 0, 0, 10.0**-k, 10.0**-k, 100 * k)
        writer.write(self.path)
        for name, left in (("runs/table", [False, True, True]), ("cases/table", [False, True, True])):
            self.replace_table(name, change)
            code, _, errors = analysis("table", self.path)
            self.assertEqual(code, 0, errors)
            self.assertIn(f"1 finished row of {name} fails the checksum and is left out: 0.", errors)
            self.assertEqual(sweep.load(self.path).run_done.tolist(), left)
        self.assertEqual(sweep.load(self.path).case_done.tolist(), [False])

    def test_damaged_labels(self):
        def change(file):
            rows = file["estimators"][()]
            rows["order"] = 7
            file["estimators"][...] = rows
        self.edit(change)
        self.check("is damaged: estimators fails its checksum.")

    def test_the_schema_before(self):
        """Read with a note: nothing vouches for it."""
        def change(file):
            file.attrs["schema"] = np.int32(2)
            for name in ("runs/identity", "cases/identity"):
                del file[name]
        self.edit(change)
        code, out, errors = analysis("table", self.path)
        self.assertEqual((code, errors),
                         (0, f"note: {self.path} is of schema 2: what it holds is not verified.\n"))
        self.assertIn("ctpg", out)

    def test_lost_commits(self):
        self.replace_table("runs/commit", lambda rows: rows[:0])
        self.check("is damaged: runs/table has 1 rows, runs/commit 0.")

    def test_nothing_finished(self):
        self.writer().write(self.path)
        for command in ("table", "figures"):
            code, _, errors = analysis(command, self.path)
            self.assertEqual((code, errors), (1, f"{self.path} holds no finished run yet (0 of 0).\n"))

    def test_text_as_str_and_extra_columns_are_fine(self):
        def edit(file):
            file.attrs["kind"] = "sweep"
            file.attrs["statuses"] = make_results.STATUSES
            old = file["problems"][()]
            same = ("label", "nx", "nu", "policy", "T", "cost_f", "cost_vjp")
            new = np.zeros(len(old), [("label", h5py.string_dtype()), ("nx", "i4"), ("nu", "i4"),
                                      ("policy", "S9"), ("T", "f8"), ("cost_f", "f8"), ("cost_vjp", "f8"),
                                      ("extra", "i4")])
            for name in same:
                new[name] = old[name]
            del file["problems"]
            file["problems"] = new
        self.edit(edit)
        self.assertEqual(sweep.load(self.path).problems["label"][0], "lqr")
        self.assertTrue(sweep.load(self.path).run_done.all())


class Figures(InFolder):
    def draw(self, path, *options):
        folder = self.folder / "figures"
        code, _, errors = analysis("figures", path, "-o", folder, *options)
        self.assertEqual((code, errors), (0, ""))
        return folder

    def test_all_files_are_there(self):
        folder = self.draw(make_results.realistic(self.folder / "results.h5", seeds=3))
        names = {f"error_{work}_{problem}" for work in ("nfe", "time") for problem in ("lqr", "diffdrive", "quadrotor")}
        names.add("overview")
        expected = {f"{name}.{ending}" for name in names for ending in ("pdf", "png", "txt")}
        self.assertEqual({path.name for path in folder.iterdir()}, expected)
        for path in folder.glob("*.png"):
            self.assertTrue(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 20000, path.name)
        for path in folder.glob("*.pdf"):
            self.assertTrue(path.read_bytes().startswith(b"%PDF") and path.stat().st_size > 5000, path.name)
        caption = (folder / "error_time_quadrotor.txt").read_text()
        for words in ("25 to 75 %", "3 seeds", "throughput timing", "runs failed", "3 times the error of the"):
            self.assertIn(words, caption)

    def test_medians_quartiles_and_marks(self):
        writer = self.writer(estimators=("ctpg", "forward"))
        for seed in range(5):
            writer.case(0, seed, ref_err=1e-9)
            writer.run(0, seed, 0, 1e-2, (seed + 1) * 1e-3, 100 + seed)
            writer.run(0, seed, 0, 1e-3, 1e-4, 200, status="ok" if seed < 4 else "diverged")
            writer.run(0, seed, 0, 1e-4, 1e-5, 300, status="ok" if seed < 2 else "diverged")
            writer.run(0, seed, 0, 1e-5, 1e-9, 400)
            writer.run(0, seed, 1, 1e-2, status="skipped")
        results = self.results(writer)
        curve = gradients.make_curve(results, 0, 0, "err_rel", "nfe", "isolated")
        np.testing.assert_allclose(curve.work, [102, 200, NAN, 400])
        np.testing.assert_allclose(curve.error, [3e-3, 1e-4, NAN, 1e-9])
        np.testing.assert_allclose([curve.low[0], curve.high[0]], [2e-3, 4e-3])
        self.assertEqual(curve.partial.tolist(), [False, True, False, False])
        self.assertEqual(curve.hollow.tolist(), [False, False, False, True])
        self.assertEqual(gradients.note(curve.counts), "4 of 20 runs failed")
        other = gradients.make_curve(results, 0, 1, "err_rel", "nfe", "isolated")
        self.assertEqual(gradients.note(other.counts), "skipped")

    def test_the_overview_shows_time_below_evaluations(self):
        results = sweep.load(make_results.realistic(self.folder / "results.h5", seeds=3))
        panels = {work: [gradients.make_panel(results, p, "err_rel", work, None) for p in range(3)]
                  for work in ("nfe", "time")}
        figure = gradients.overview_figure(panels, "err_rel")
        first, second = (figure.axes[:3], figure.axes[3:])
        for work, row in (("nfe", first), ("time", second)):
            for axes, panel in zip(row, panels[work]):
                drawn = [line.get_xdata() for line in axes.lines]
                for curve in panel.curves:
                    self.assertTrue(any(np.array_equal(line, curve.work, equal_nan=True) for line in drawn),
                                    f"{work} of {curve.label}")
        words = [text.get_text() for text in figure.texts]
        self.assertIn("evaluations: $f$ + products with its Jacobian (NFE)", words)
        self.assertIn("wallclock of one gradient (s), throughput timing", words)
        self.assertIn("and below it against the wallclock of one gradient", gradients.caption(panels, "err_rel",
                                                                                              results))
        texts = gradients.legend_entries(panels["nfe"], 1e-16, panels["time"])[1]
        self.assertIn("neural-ode (" + gradients.note(sum(panel.curves[1].counts for panel in panels["nfe"])) + ")",
                      texts, "runs count once, though they are drawn twice")

    def test_files_without_a_single_point_are_drawn(self):
        writer = self.writer(estimators=("ctpg", "neural-ode"))
        writer.case(0, 0)
        writer.run(0, 0, 0, 1e-3, status="diverged")
        writer.run(0, 0, 1, 1e-3, status=None)
        folder = self.draw(writer.write(self.folder / "results.h5"), "--error", "err_abs")
        self.assertIn("1 of 1 runs failed", (folder / "overview.txt").read_text())
        self.assertIn("1 of 2 runs are pending", (folder / "overview.txt").read_text())

    def test_equal_data_give_equal_files(self):
        path = make_results.realistic(self.folder / "results.h5", seeds=2, problems=make_results.PROBLEMS[:1])
        first = {one.name: one.read_bytes() for one in self.draw(path).iterdir()}
        self.assertEqual(first, {one.name: one.read_bytes() for one in self.draw(path).iterdir()})

    def legend_styles(self, labels):
        estimators = [dict(label=label) for label in labels]
        path = make_results.realistic(self.folder / "r.h5", seeds=2, problems=make_results.PROBLEMS[:1],
                                      estimators=estimators)
        panel = gradients.make_panel(sweep.load(path), 0, "err_rel", "nfe", None)
        handles, texts = gradients.legend_entries([panel], 1e-12)
        self.assertEqual(texts[:len(labels)], list(labels))
        return {text: (line.get_color(), line.get_marker(), line.get_linestyle())
                for text, line in zip(texts[:len(labels)], handles)}

    def test_styles_do_not_depend_on_the_other_estimators(self):
        everything = self.legend_styles(("tsadjoint", "my-method", "ctpg", "rk-adjoint", "hermite"))
        subset = self.legend_styles(("hermite", "ctpg", "my-method"))
        self.assertEqual(subset, {label: everything[label] for label in subset})
        self.assertEqual(len(set(everything.values())), len(everything))

    def test_known_styles_differ(self):
        looks = {(look[0], look[1]) for look in style.KNOWN.values()}
        self.assertEqual(len(looks), len(style.KNOWN))

    def test_unknown_styles_are_the_same_in_every_process(self):
        # the published check value of CRC-32 is 0xcbf43926 for this text
        self.assertEqual(style.style("123456789")["color"], style.OTHER_COLOURS[0xcbf43926 % 8])


if __name__ == "__main__":
    unittest.main()
