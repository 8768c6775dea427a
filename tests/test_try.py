"""test_try.py -- `ctpgbench try`: its seeds for a final claim, its attempts, what it says where it cannot begin; with
CTPG_TRY=all (ctest label slow) the walk-through of docs/compare.md with a plug-in that `new-estimator` wrote"""

import os
import re
import subprocess
import unittest
from pathlib import Path

import h5py

import program
import seal
from analysis_package import ROOT, analysis
from ctpgbench_analysis import ResultsError
from ctpgbench_analysis.read.sweep import load
from ctpgbench_analysis.report.aggregate import aggregate
from ctpgbench_analysis.trial import trial
from test_compare import contest_of, write

ALL = os.environ.get("CTPG_TRY") == "all"


class Final(program.InFolder):
    def test_seeds_come_from_the_source_and_are_not_those_to_compare_on(self):
        digests = []
        for text in ("a", "b"):
            (self.folder / f"{text}.c").write_text(text, encoding="ascii")
            digests.append(trial.hash_of(self.folder / f"{text}.c"))
        first, second = map(trial.final_seeds, digests)
        self.assertNotEqual(first, second)
        self.assertEqual(trial.final_seeds(digests[0]), first)
        for low, high in (first, second, trial.final_seeds("0" * 64), trial.final_seeds("f" * 64)):
            self.assertEqual(high - low, 20)
            self.assertTrue(1000 <= low and high <= 1000 + 20 * 40000)

    def test_attempts_are_counted_by_source(self):
        counts = [trial.count_attempt(self.folder, digest) for digest in ("one", "two", "one", "three", "two")]
        self.assertEqual(counts, [1, 2, 1, 3, 2])

    def test_the_source_is_found_beside_the_library_or_above(self):
        (self.folder / "build").mkdir()
        library = self.folder / "build" / "mine.so"
        method = trial.Method(library, "mine", [], False)
        with self.assertRaisesRegex(ResultsError, "expected -source FILE"):
            trial.source_of(method, None)
        (self.folder / "mine.c").write_text("x", encoding="ascii")
        self.assertEqual(trial.source_of(method, None), (self.folder / "mine.c").resolve())
        self.assertEqual(trial.source_of(method, Path("other.c")), Path("other.c"))

    def test_attempt_and_suite_are_kept_in_the_file_and_told(self):
        path = write(self.folder / "m.h5", ["better"], 6,
                     options="suite = ctpgbench-suite-1\nfinal_attempt = 3\n")
        contest = contest_of(path)
        self.assertEqual(contest.sources[0].suite, "ctpgbench-suite-1")
        self.sweep("s.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3", "-suite",
                   "some", "-final_attempt", "2")
        with h5py.File(self.folder / "s.h5", "r") as file:
            text = file["plan/options"][()].decode()
        self.assertRegex(text, r"(?m)^suite = some$")
        self.assertRegex(text, r"(?m)^final_attempt = 2$")


class Refused(program.InFolder):
    def test_what_is_no_plug_in(self):
        (self.folder / "no.so").write_text("no", encoding="ascii")
        for file, expected in ((self.folder / "none.so", "is not there"), (self.folder / "no.so", "cannot be loaded")):
            code, _, err = program.run("try", file, "-o", self.folder / "v")
            self.assertEqual(code, 1)
            self.assertIn(expected, err)
            self.assertFalse((self.folder / "v").exists())

    def test_without_the_program(self):
        (self.folder / "a.so").write_text("no", encoding="ascii")
        code, _, err = analysis("try", self.folder / "a.so", CTPGBENCH_PROGRAM="")
        self.assertEqual(code, 1)
        self.assertIn("ctpgbench try FILE", err)


class Shell(program.InFolder):
    def test_help_before_a_command_is_its_help(self):
        for words in (["sweep"], ["compare"], []):
            self.assertEqual(program.run("help", *words), program.run(*words, "-help"))

    def test_completions_and_man_page_have_every_command(self):
        usage = program.run("-help")[1]
        known = re.findall(r"(?m)^  ([a-z-]+) ", usage)
        self.assertIn("try", known)
        texts = {kind: program.Job("analysis", "shell", kind, cwd=self.folder).finish(120)[1]
                 for kind in ("bash", "man")}  # a process for each command
        for name in known:
            self.assertIn(f".B {name}".replace("-", "\\-"), texts["man"])
            self.assertIn(name, texts["bash"])
        (self.folder / "c.sh").write_text(texts["bash"], encoding="utf-8")
        asked = "source c.sh; COMP_WORDS=(ctpgbench {}); COMP_CWORD={}; _ctpgbench; echo ${{COMPREPLY[@]}}"
        for words, place, expected in (("swe", 1, "sweep"), ("sweep -see", 2, "-seeds"),
                                       ("analysis agg", 2, "aggregate"), ("sweep -options", 2, "-options_file"),
                                       ("compare -base", 2, "-baseline"),
                                       ("compare --o", 2, "--out"), ("help swe", 2, "sweep"),
                                       ("analysis contract --m", 3, "--markdown")):
            found = subprocess.run(["bash", "-c", asked.format(words, place)], cwd=self.folder, check=True,
                                   capture_output=True, text=True).stdout.split()
            self.assertIn(expected, found, words)


class Suite(unittest.TestCase):
    def test_its_policies_are_there(self):
        text = (ROOT / "jobs" / "suite-1.yaml").read_text(encoding="utf-8")
        for name in re.findall(r"theta_file: (\S+):/best", text):
            with h5py.File(ROOT / name, "r") as file:
                self.assertEqual(file["best/theta"].ndim, 1)

    def test_it_can_be_planned(self):
        code, out, err = program.run("sweep", "-options_file", ROOT / "jobs" / "suite-1.yaml", "-seeds", "0:1",
                                     "-dry_run", cwd=ROOT)
        self.assertEqual(code, 0, err)
        self.assertIn("36 cases", out)


class Aggregated(program.InFolder):
    def test_it_says_the_same_in_less_room(self):
        path = write(self.folder / "m.h5", ["better"], 8)
        small = self.folder / "small.h5"
        with h5py.File(path, "r+") as file:
            runs = file["runs/table"][()]
            runs["err_rel"][runs["err_rel"] == runs["err_rel"].max()] = 1e60
            file["runs/table"][...] = runs
            file["plan/options"] = b"suite = ctpgbench-suite-1\n"
            file.create_dataset("sessions", data=[], dtype=[("start", "S20"), ("machine", "S64")])
        seal.seal(path)
        self.assertIn("runs of 2 estimators", aggregate(str(path), small))
        self.assertLess(small.stat().st_size, path.stat().st_size / 8)
        self.assertEqual(int(load(small).run_done.sum()), int(load(path).run_done.sum()))
        one, other = (contest.duel(contest.candidates[0]) for contest in map(contest_of, (path, small)))
        self.assertAlmostEqual(one.factor.ratio.value, other.factor.ratio.value, 5)
        self.assertEqual(contest_of(small).sources[0].suite, "ctpgbench-suite-1")
        self.assertAlmostEqual(load(small).runs["err_rel"].max() / 1e38, 1, 2, "beyond all singles, but a number")
        code, _, err = program.run("sweep", "-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-out", small)
        self.assertEqual(code, 1, "a sweep does not go on in it")
        self.assertIn("small.h5", err)


@unittest.skipUnless(ALL, "minutes: CTPG_TRY=all, ctest label slow")
class WalkThrough(program.InFolder):
    def test_from_new_estimator_to_a_page(self):
        build = program.PROGRAM.parent
        self.assertEqual(program.run("new-estimator", "my_method", cwd=self.folder)[0], 0)
        for words in (["-S", "my_method", "-B", "my_method/build", f"-Dctpgbench_DIR={build}"],
                      ["--build", "my_method/build"]):
            subprocess.run(["cmake", *words], cwd=self.folder, check=True, capture_output=True)
        library = self.folder / "my_method" / "build" / "my_method.so"
        job = program.Job("try", library, "-o", self.folder / "v", "-seeds", "6", cwd=self.folder)
        code, out, err = job.finish(3000)
        self.assertEqual(code, 0, out + err)
        self.assertIn("my_method is worse than ctpg", out)
        self.assertTrue((self.folder / "v" / "index.html").is_file())


if __name__ == "__main__":
    unittest.main()
