"""test_joined.py -- table and figures of several results files: names that differ, problems and cases that are the same
or are not, and one sentence on what every file is"""
import csv
import unittest

import numpy as np

import make_results
import program
from analysis_package import analysis
from ctpgbench_analysis.measure.cells import make_grid
from ctpgbench_analysis.measure.draws import draws_of
from ctpgbench_analysis.read.joined import Joined, load_together
from ctpgbench_analysis.read.several import open_source
from ctpgbench_analysis.read.sweep import load


class Files(program.InFolder):
    def write(self, name, estimators, nfe, problems=("plant",), seeds=range(4), version=1, status="ok", **values):
        """A file in which every estimator needs nfe evaluations for 1e-4, 10 times as many for 1e-8."""
        writer = make_results.Writer([dict(label=label, version=version) for label in problems],
                                     [dict(label=label) for label in estimators])
        for p, label in enumerate(problems):
            for seed in seeds:
                key = 100 * version + seed
                writer.case(p, seed, case_key=key, status=status)
                for e in range(len(estimators)):
                    for accuracy, factor in ((1e-4, 1), (1e-8, 10)):
                        writer.run(p, seed, e, accuracy, accuracy, factor * nfe + seed, **values)
        return str(writer.write(self.folder / f"{name}.h5"))


class Joining(Files):
    def test_one_problem_of_two_files_has_the_estimators_of_both(self):
        one = self.write("one", ["ctpg", "mine"], 100)
        two = self.write("two", ["ctpg", "yours"], 300, seeds=range(2, 9))
        joined = load_together([one, two])
        self.assertEqual(list(joined.estimators["label"]), ["ctpg [one]", "mine", "ctpg [two]", "yours"])
        self.assertEqual(list(joined.problems["label"]), ["plant"])
        self.assertEqual(int(joined.judged(0).sum()), 9, "seeds 2 and 3 are in both files, and count once")
        for row, (path, estimator) in enumerate(((one, 0), (one, 1), (two, 0), (two, 1))):
            alone, together = make_grid(load(path), 0, estimator), make_grid(joined, 0, row)
            for name in ("nfe", "error", "floors", "settings"):
                np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))

    def test_problems_that_differ_are_kept_apart(self):
        paths = [self.write("old", ["ctpg"], 100), self.write("new", ["ctpg"], 200, version=2)]
        joined = load_together(paths)
        self.assertEqual(list(joined.problems["label"]), ["plant", "plant [new]"])
        self.assertEqual([len(joined.rows(p, e)) for p in (0, 1) for e in (0, 1)], [8, 0, 0, 8])

    def test_the_reference_is_that_of_the_file_which_has_it(self):
        paths = [self.write("torn", ["ctpg"], 100, status=None), self.write("whole", ["mine"], 200)]
        joined = load_together(paths)
        self.assertEqual(int(joined.judged(0).sum()), 4)
        self.assertEqual(make_grid(joined, 0, 0).nfe.shape, (4, 2), "judged by the reference of the other file")

    def test_machines_and_times_stay_those_of_their_files(self):
        sources = [open_source(self.write(name, [name], 100, session=0, cpu=cpu, timing=timing))
                   for name, cpu, timing in (("a", 1.0, 0), ("b", 2.0, 0), ("c", 3.0, 2))]
        sources[0].results.machines, sources[2].results.machines = ["A"], ["C"]
        joined = Joined(sources)
        joined.choose_clock("cpu")
        self.assertEqual(joined.machines, ["A", "", "C"])
        self.assertEqual([joined.machines[joined.runs["session"][joined.rows(0, e)[0]]] for e in range(3)],
                         ["A", "", "C"])
        self.assertEqual([make_grid(joined, 0, e).time[0, 0] for e in range(3)], [1.0, 2.0, 3.0])
        self.assertTrue(make_grid(joined, 0, 2).crowded.all())
        self.assertIn("crowd", joined.choose_timing(0)[1])

    def test_imported_rows_are_marked_and_their_times_stand_apart(self):
        path = self.folder / "theirs.h5"
        writer = make_results.Writer([dict(label="plant")], [dict(label="yours", type="imported")])
        writer.case(0, 0, case_key=100)
        writer.run(0, 0, 0, 1e-4, 1e-4, 50)
        make_results.add_languages(writer.write(path), "imported")
        joined = load_together([self.write("mine", ["ctpg"], 100), str(path)])
        self.assertEqual(list(joined.estimators["label"]), ["ctpg", "yours (imported)"])
        self.assertTrue(np.isfinite(make_grid(joined, 0, 0).time).all())
        self.assertTrue(np.isnan(make_grid(joined, 0, 1).time).all())
        self.assertEqual(make_grid(joined, 0, 1).nfe[0, 0], 50)
        self.assertIn("Times of 1 imported runs are left out", joined.machine_remark(0))

    def test_draws_are_looked_up_in_their_own_file(self):
        paths = [self.write("first", ["ctpg"], 100), self.folder / "second.h5"]
        writer = make_results.Writer([dict(label="plant")], [dict(label="spsa", knob="samples")])
        writer.case(0, 0)
        for repeat in range(3):
            writer.run(0, 0, 0, 10.0, 1e-1, 100, repeat=repeat)
        paths[1] = str(writer.write(paths[1]))
        joined = load_together(paths)
        self.assertEqual(draws_of(joined, 0, 1), draws_of(load(paths[1]), 0, 0))
        self.assertEqual(len(draws_of(joined, 0, 1)), 1)

    def test_statuses_of_files_that_number_them_otherwise(self):
        sources = [open_source(self.write(name, [name], 100)) for name in "ab"]
        results = sources[1].results
        results.statuses = results.statuses[::-1]
        results.ok = results.statuses.index("ok")
        results.runs["status"] = results.ok
        results.cases["status"] = results.ok
        joined = Joined(sources)
        self.assertTrue((joined.runs["status"] == joined.ok).all())
        self.assertEqual(int(joined.judged(0).sum()), 4)


class Commands(Files):
    def test_table_and_figures_of_two_files_name_them(self):
        paths = self.write("one", ["ctpg"], 100), self.write("two", ["ctpg"], 300)
        code, out, err = analysis("table", *paths, "--csv", self.folder / "t.csv")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("ctpg [one]", out)
        self.assertRegex(" ".join(out.split()), r"Data: one\.h5, schema 3, plan \w+; two\.h5, schema 3, plan \w+\.")
        with open(self.folder / "t.csv", newline="", encoding="utf-8") as file:
            self.assertEqual([row["estimator"] for row in csv.DictReader(file)], ["ctpg [one]", "ctpg [two]"])
        code, _, err = analysis("figures", *paths, "-o", self.folder / "f", "--dpi", "40")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("two.h5, schema 3", (self.folder / "f" / "overview.txt").read_text(encoding="utf-8"))

    def test_a_file_that_is_no_sweep_is_named(self):
        code, _, err = analysis("table", self.write("one", ["ctpg"], 100), __file__)
        self.assertEqual((code, len(err.splitlines())), (1, 1))
        self.assertIn("test_joined.py is not an HDF5 file", err)

    def test_one_file_twice_is_one_file(self):
        path = self.write("one", ["ctpg"], 100)
        self.assertEqual(analysis("table", path, path), analysis("table", path))


if __name__ == "__main__":
    unittest.main()
