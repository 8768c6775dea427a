"""`ctpgbench import`: what another program measured becomes rows like those of a sweep, marked everywhere, and its
times stand beside measured ones only where they may."""

import h5py
import numpy as np

import program
from analysis_package import analysis
from ctpgbench_analysis.measure.contest import Contest, machines_behind
from ctpgbench_analysis.read import frames
from ctpgbench_analysis.read.several import name_entries, open_source
from ctpgbench_analysis.read.sweep import load

ROWS = """problem,estimator,seed,accuracy,nfe,error,seconds,wall,compile,batch,status
lqr,peer-one,0,1e-6,900,2e-6,0.004,0.0041,1.5,1,ok
lqr,peer-one,1,1e-6,910,3e-6,0.004,0.0041,1.5,1,ok
lqr,peer-one,1,1e-3,300,4e-3,0.001,0.9,1.5,1,ok
lqr,peer-many,0,1e-6,901,2e-6,0.0004,,,32,ok
lqr,peer-many,1,1e-6,911,,,,,32,step_limit
"""
HEAD = "problem,estimator,seed,accuracy,nfe,error,seconds\n"
GOOD = HEAD + "lqr,peer,0,1e-6,900,2e-6,0.004\n"
# What is wrong with a file: what the sentence says.
BAD = {
    "": "is empty; expected a line with names of columns first",
    HEAD: "has no row below the names",
    "problem,estimator,seed,accuracy,nfe,error\nlqr,peer,0,1e-6,900,2e-6\n": "line 1: there is no column seconds",
    HEAD.replace("seed", "sede"): "line 1: the column 'sede' is unknown; expected some of problem, estimator, seed",
    HEAD.replace("seed", "problem"): "line 1: the column problem is there twice",
    GOOD + "lqr,peer,0,1e-7,900,2e-6\n": "line 3: 6 fields; expected 7, as in the first line",
    GOOD + "\nlqr,peer,x,1e-7,900,2e-6,1\n": "line 4: seed x is not a whole number; expected a whole number in [0, 1",
    GOOD + "lqr,peer,0,1e-7,900,nan,1\n": "line 3: error nan is out of range; expected a number in [0, 1e+300]",
    GOOD + "lqr,peer,0,1e-7,900,,1\n": "line 3: the error or the seconds are missing in a row of status ok",
    GOOD + "lqr,peer,0,,900,1,1\n": "line 3: accuracy has no value; expected a number in [1e-300, 1e+09]",
    GOOD + "lqr,peer,0,1e-6,901,2e-6,0.004\n": "line 3: the row is that of line 2 again: peer on lqr, seed 0, accuracy",
    GOOD + "lqrr,peer,1,1e-6,901,2e-6,0.004\n": "line 3: problem lqrr is not a known problem; did you mean lqr?",
    GOOD + "lqr,ctpg,1,1e-6,901,2e-6,0.004\n": "line 3: estimator ctpg",
    GOOD + "lqr,a b,1,1e-6,901,2e-6,0.004\n": "line 3: estimator: label a b is not usable",
    GOOD + "lqr,a=b,1,1e-6,901,2e-6,0.004\n": "line 3: estimator a=b is not usable",
    GOOD + 'lqr,a"b,1,1e-6,901,2e-6,0.004\n': "line 3: a quote stands within a field",
    GOOD + "lqr,a\0b,1,1e-6,901,2e-6,0.004\n": "line 3: it holds a zero byte",
    HEAD[:-1] + ",batch\nlqr,p,0,1e-6,1,1,1,1\nlqr,p,1,1e-6,1,1,1,32\n":
        "line 3: estimator p has batch 32, and 1 in line 2",
    HEAD[:-1] + ",knob\nlqr,p,0,1e-6,1,1,1,dt\nlqr,p,1,1e-6,1,1,1,rtol\n":
        "line 3: estimator p has knob rtol, and dt in line",
    HEAD[:-1] + ",status\nlqr,p,0,1e-6,1,1,1,good\n": "line 2: status good is unknown; expected one of ok, diverged",
}


class Import(program.InFolder):
    def write(self, text, name="rows.csv"):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def run_well(self, *words):
        code, out, errors = program.run(*map(str, words))
        self.assertEqual(code, 0, errors)
        return out

    def imported(self, *words, rows=ROWS, name="peers.h5"):
        self.run_well("import", self.write(rows), "-out", self.folder / name, *words)
        return self.folder / name

    def swept(self, *words):
        path = self.folder / "sweep.h5"
        self.run_well("sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-6,1e-3",
                      "-out", path, *words)
        return path

    def merged(self, one, other, name="all.h5"):
        self.run_well("merge", one, other, "-out", self.folder / name)
        return self.folder / name

    def test_rows(self):
        """Every number is where a sweep has it, cases are those of a sweep, what is unknown is NaN."""
        path, sweep = self.imported("-source", "peer 1.0"), self.swept()
        with h5py.File(path) as file, h5py.File(sweep) as other:
            runs, estimators = file["runs/table"][()], file["estimators"][()]
            cases, theirs = file["cases/table"][()], other["cases/table"][()]
            words = file.attrs["statuses"].astype(str)
        self.assertEqual(list(estimators["type"].astype(str)), ["imported", "imported"])
        self.assertIn("batch = 32\nsource = peer 1.0", estimators["options"][1].decode())
        by_key = {(row["estimator"], row["seed"], row["accuracy"]): row for row in runs}
        self.assertEqual(len(by_key), 5)
        row = by_key[0, 1, 1e-3]
        self.assertEqual([row[name] for name in ("nfe", "err_rel", "cpu", "wall", "compile", "timing", "nf")],
                         [300, 4e-3, 0.001, 0.9, 1.5, 2, 0])
        self.assertTrue(np.isnan([row["loss"], row["err_x0"], by_key[1, 0, 1e-6]["wall"]]).all())
        self.assertEqual([words[by_key[1, seed, 1e-6]["status"]] for seed in (0, 1)], ["ok", "step_limit"])
        for name in ("case_key", "seed", "status", "loss", "grad_norm", "ref_err"):
            self.assertEqual(list(cases[name]), list(theirs[name]), name)

    def test_marks(self):
        """Beside a sweep: in status, table, figures and export."""
        path = self.merged(self.swept(), self.imported())
        text = self.run_well("status", path, "-verify")
        self.assertIn("imported: 5 rows were measured by another program", text)
        self.assertIn("verified: every row", text)
        _, text, _ = analysis("table", path, "--at", "1e-5")
        self.assertIn("peer-one (imported)", text)
        self.assertIn("ctpg ", text)
        _, _, errors = analysis("export", path, "-o", self.folder / "tables")
        self.assertEqual(errors, "")
        runs = frames.read(path).runs
        self.assertEqual(dict(runs.groupby("imported").size()), {False: 4, True: 5})
        self.assertEqual(set(runs.estimator[runs.imported]), {"peer-one", "peer-many"})
        self.assertIn(",imported", (self.folder / "tables" / "runs.csv").read_text().splitlines()[0])
        code, _, errors = analysis("figures", path, "-o", self.folder / "figures")
        self.assertEqual(code, 0, errors)
        caption = (self.folder / "figures" / "error_time_lqr.txt").read_text()
        self.assertIn("Times of 5 imported runs are left out", caption)

    def test_times(self):
        """They stand beside measured ones where the rows are of this machine, and nowhere else."""
        sweep = self.swept()
        elsewhere = load(self.merged(sweep, self.imported(), "a.h5"))
        here = load(self.merged(sweep, self.imported("-measured_here", name="here.h5"), "b.h5"))
        alone = load(self.folder / "peers.h5")
        for results, shown in ((elsewhere, False), (here, True), (alone, True)):
            mine = results.imported & (results.runs["status"] == results.ok)
            self.assertEqual(mine.sum(), 4)
            self.assertTrue((np.isfinite(results.times[mine]) == shown).all())
            self.assertTrue(np.isfinite(results.times[~results.imported]).all())
            self.assertEqual("imported runs are left out" in results.machine_remark(0), not shown)
        obstacles = []
        for name in ("a.h5", "b.h5"):
            sources = [open_source(self.folder / name)]
            contest = Contest(sources, name_entries(sources), "ctpg", [1e-5])
            self.assertEqual(len(machines_behind(contest.baseline)), 1)
            obstacles.append({contest.time_obstacle(entry) for entry in contest.candidates})
        self.assertEqual(obstacles[0], {"it is not known on which machine one of the two was measured"})
        self.assertFalse(any("machine" in text for text in obstacles[1]), obstacles[1])

    def test_disagreement(self):
        """One label and source with other numbers: `merge` does not choose."""
        one, other = self.imported(), self.imported(rows=ROWS.replace("2e-6", "5e-6"), name="other.h5")
        code, _, errors = program.run("merge", one, other, "-out", self.folder / "all.h5")
        self.assertEqual(code, 1)
        self.assertIn("disagree on one run: peer-one on lqr, seed 0", errors)
        again = self.imported(name="again.h5")
        self.assertIn("digest", self.run_well("merge", one, again, "-out", self.folder / "both.h5"))

    def test_forms(self):
        """Quotes, CRLF, a byte-order mark and an empty line, as spreadsheets write them; labels of -problems."""
        lines = [",".join(f'"{field}"' for field in line.split(",")) for line in GOOD.splitlines()]
        rows = "\ufeff" + "\r\n".join([lines[0], "", lines[1].replace("lqr", "other")]) + "\r\n"
        path = self.imported("-problems", "other=lqr", "-other_horizon", "2", rows=rows)
        with h5py.File(path) as file:
            self.assertEqual([file["problems"]["label"][0], file["problems"]["T"][0]], [b"other", 2])
            self.assertEqual(file["runs/table"]["nfe"][0], 900)
        code, _, errors = program.run("import", self.write(GOOD), "-out", self.folder / "n.h5", "-problems", "track")
        self.assertEqual(code, 1)
        self.assertIn("line 2: problem lqr is none of -problems", errors)

    def test_bad_input(self):
        """One sentence with file and line, and no file."""
        for text, sentence in BAD.items():
            with self.subTest(sentence):
                path = self.write(text)
                code, _, errors = program.run("import", path, "-out", self.folder / "none.h5")
                self.assertEqual((code, len(errors.splitlines())), (1, 1), errors)
                self.assertIn("rows.csv", errors)
                self.assertIn(sentence, errors)
                self.assertEqual([entry.name for entry in self.folder.iterdir()], ["rows.csv"])

    def test_existing_file(self):
        """Whatever lies at -out stays."""
        taken = self.folder / "taken.h5"
        taken.write_bytes(b"precious")
        code, _, errors = program.run("import", self.write(GOOD), "-out", taken)
        self.assertEqual(code, 1)
        self.assertIn("taken.h5 exists; a new file is written, and none is changed", errors)
        self.assertEqual(taken.read_bytes(), b"precious")
        for words in ((), (self.write(GOOD),), ("-out", self.folder / "new.h5")):
            code, _, errors = program.run("import", *map(str, words))
            self.assertEqual(code, 1)
            self.assertIn("import needs a file of rows and a name for the new one", errors)
        self.assertEqual(program.run("import", "missing.csv", "-out", self.folder / "new.h5")[0], 1)
        self.assertIn("-measured_here", self.run_well("import", "-help"))


if __name__ == "__main__":
    program.unittest.main()
