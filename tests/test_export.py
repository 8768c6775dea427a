"""test_export.py -- `ctpgbench export` against what the file holds, and the page on the file's format against the
program's own list of columns"""

import csv
import json
import sys
import unittest

import h5py
import pandas

import make_results
import program
from analysis_package import ROOT, analysis

PAGE = ROOT / "docs" / "file-format.md"


class Export(program.InFolder):
    def setUp(self):
        super().setUp()
        self.path = make_results.realistic(self.folder / "s.h5", seeds=2, problems=make_results.PROBLEMS[:2])

    def export(self, kind):
        code, out, err = analysis("export", self.path, "-o", self.folder / kind, "--format", kind)
        self.assertEqual(code, 0, err)
        return out

    def test_csv(self):
        self.assertIn("runs.csv: ", self.export("csv"))
        with open(self.folder / "csv" / "runs.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with h5py.File(self.path, "r") as file:
            table = file["runs/table"][()]
        self.assertEqual([int(row["nfe"]) for row in rows], list(table["nfe"]))
        self.assertEqual([float(row["err_rel"] or "nan") for row in rows if row["err_rel"]],
                         [value for value in table["err_rel"] if value == value])
        self.assertEqual({row["problem"] for row in rows}, {"lqr", "diffdrive"})
        self.assertEqual(len(pandas.read_csv(self.folder / "csv" / "cases.csv")), 4)

    def test_json_lines(self):
        self.export("jsonl")
        text = (self.folder / "jsonl" / "runs.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        self.assertEqual({row["status"] for row in rows} - {"ok", "diverged"}, set())
        self.assertTrue(all(row["err_rel"] is None for row in rows if row["status"] == "diverged"))

    def test_parquet_or_a_sentence(self):
        code, _, err = analysis("export", self.path, "-o", self.folder / "p", "--format", "parquet")
        if "pyarrow" in sys.modules or code == 0:
            self.assertEqual(len(pandas.read_parquet(self.folder / "p" / "cases.parquet")), 4)
        else:
            self.assertIn("pyarrow", err)
            self.assertFalse((self.folder / "p").exists())

    def test_all_of_a_file_that_is_none(self):
        code, _, err = analysis("export", self.folder / "none.h5", "-o", self.folder / "x")
        self.assertEqual(code, 1)
        self.assertIn("cannot be read", err)
        self.assertFalse((self.folder / "x").exists())


class Page(unittest.TestCase):
    def test_it_is_that_of_the_program(self):
        made = program.subprocess.run([program.PROGRAM.parent / "dump_columns", "page"], check=True,
                                      capture_output=True, text=True).stdout
        text = PAGE.read_text(encoding="utf-8")
        self.assertEqual(text[text.index("<!-- columns -->"):], made,
                         "docs/file-format.md is older than src/store: build/dump_columns page prints its second half")


if __name__ == "__main__":
    unittest.main()
