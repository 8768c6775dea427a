"""test_clock.py -- clocks of a sweep on a busy machine, repeats, rows measured or computed again, arithmetic and
machine"""
import contextlib
import os
import re
import subprocess
import sys
import unittest
from unittest import mock

import h5py
import numpy as np

from program import PROGRAM, InFolder, run
from test_plugins import cmake, replace

TINY = ("-problems", "lqr", "-estimators", "ctpg,rk-adjoint", "-seeds", "0:24", "-rtol", "1e-6,1e-4,1e-2")


@contextlib.contextmanager
def burners(count):
    """As many processes that do nothing but compute."""
    jobs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for job in jobs:
            job.kill()
            job.wait()


class Clocks(InFolder):
    def test_every_sample_has_both(self):
        self.sweep("a.h5", *TINY)
        results = self.results("a.h5")
        for k in range(3):
            np.testing.assert_array_equal(np.isnan(results.runs[f"cpu_{k}"]), np.isnan(results.runs[f"wall_{k}"]))
        samples = np.stack([results.runs[f"cpu_{k}"] for k in range(3)])
        np.testing.assert_array_equal(results.runs["cpu"], np.nanmedian(samples, axis=0))
        self.assertTrue((results.runs["cpu"] <= results.runs["wall"] * 1.02 + 1e-5).all())
        self.assertTrue((results.cases["cpu"] > 0).all())
        self.assertTrue((results.runs["load"] > 0).all())

    def test_crowd_is_said(self):
        """More work than cores: the rows say so, and CPU times stay what they are."""
        with burners(2 * os.cpu_count()):
            self.sweep("a.h5", *TINY)
        runs = self.results("a.h5").runs
        self.assertTrue((runs["timing"] == 2).all())
        self.assertGreater(runs["load"].min(), 1.25)

    def test_one_rank_beside_others_is_not_isolated(self):
        with burners(1):
            self.sweep("a.h5", *TINY)
        self.assertFalse((self.results("a.h5").runs["timing"] == 0).any())

    def test_repeats_take_a_third(self):
        """Of all solves: each is one, its samples beyond are repeats. And repeats follow CPU time: one that took long
        by the wall alone is repeated none the less."""
        with burners(2 * os.cpu_count()):
            self.sweep("a.h5", *TINY, "-timing_threshold", "1")
        runs = self.results("a.h5").runs
        samples = sum(np.isfinite(runs[f"cpu_{k}"]).astype(int) for k in range(3))
        self.assertGreater((samples > 1).mean(), 0.1)
        repeats = ((samples > 1) * samples * runs["cpu"]).sum()  # rows with one sample have had one solve, or two
        rest = runs["cpu"].sum() + self.results("a.h5").cases["cpu"].sum()
        self.assertLess(repeats, 0.6 * rest * 1.2)  # a third of the whole is half of the rest, which has storing, too


class Again(InFolder):
    def test_retime_changes_the_clocks_alone(self):
        digest = self.sweep("a.h5", *TINY)
        before = self.results("a.h5")
        self.assertEqual(self.sweep("a.h5", *TINY, "-retime", "ctpg"), digest)
        self.assertIn("-retime: 72 rows measured again", self.text)
        after = self.results("a.h5")
        chosen = after.runs["session"] == 1
        self.assertEqual(chosen.sum(), 72)
        self.assertEqual(set(after.runs["estimator"][chosen]), {0})
        for name in before.runs.dtype.names:
            if name not in ("wall", "wall_0", "wall_1", "wall_2", "cpu", "cpu_0", "cpu_1", "cpu_2", "load", "timing",
                            "busy", "session"):
                self.assertEqual(before.runs[name].tobytes(), after.runs[name].tobytes(), name)
        self.assertEqual(before.runs[~chosen].tobytes(), after.runs[~chosen].tobytes())
        self.assertEqual(before.sketch.tobytes(), after.sketch.tobytes())
        self.assertTrue(np.isfinite(after.runs["cpu_2"][chosen]).all())  # measured thoroughly, whatever it takes

    def test_retime_leaves_pending_rows_alone(self):
        self.sweep("a.h5", *TINY[:-1], "1e-4")
        code, text, err = run("sweep", *TINY, "-retime", "all", "-out", self.folder / "a.h5")
        self.assertEqual(code, 75, err)
        self.assertIn("48 of 144 runs done", text)

    def test_redo(self):
        digest = self.sweep("a.h5", *TINY)
        self.assertEqual(self.sweep("a.h5", *TINY, "-redo", "rk-adjoint", ranks=2), digest)
        runs = self.results("a.h5").runs
        np.testing.assert_array_equal(runs["session"] == 1, runs["estimator"] == 1)
        self.assertEqual(self.sweep("a.h5", *TINY, "-redo", "lqr"), digest)
        results = self.results("a.h5")
        self.assertEqual((set(results.runs["session"]), set(results.cases["session"])), ({2}, {2}))

    def test_bad_input(self):
        for options, words in ((("-redo", "nobody"), "-redo nobody is no label of this plan; expected"),
                               (("-retime", "nobody"), "-retime nobody is no label of this plan; expected"),
                               (("-retime", "all", "-redo", "all"), "both given; expected one of them")):
            code, _, err = run("sweep", *TINY, *options, "-out", self.folder / "a.h5")
            self.assertNotEqual(code, 0)
            self.assertIn(words, err)
        code, _, err = run("sweep", *TINY, "-retime", "all", "-out", self.folder / "a.h5", ranks=2)
        self.assertNotEqual(code, 0)
        self.assertIn("-retime measures rows alone, and there are 2 ranks; expected one", err)
        self.assertFalse((self.folder / "a.h5").exists())


class Rebuilt(InFolder):
    """Another code behind the same label."""
    def sweep_once(self, *options):
        code, text, err = run("sweep", *options, "-problems", "lqr", "-timing_threshold", "0", "-out",
                              self.folder / "a.h5", cwd=self.folder)
        return code, text, err

    def errors(self):
        return self.results("a.h5").runs["err_rel"].copy()

    def test_plug_in(self):
        code, _, err = run("new-estimator", "mine", cwd=self.folder)
        self.assertEqual(code, 0, err)
        source = self.folder / "mine" / "mine.c"
        cmake(self.folder / "mine", f"-Dctpgbench_DIR={PROGRAM.parent}")
        plan = ("-estimator_library", self.folder / "mine/build/mine.so", "-estimators", "mine,ctpg", "-dt", "0.05",
                "-rtol", "1e-3", "-seeds")
        self.assertEqual(self.sweep_once(*plan, "0:2")[0], 0)
        before = self.errors()
        source.write_text(replace(source.read_text(encoding="utf-8"), [
            ("StepBack(m, loop, n, n * h, h,", "StepBack(m, loop, n, n * h, h * 1.001,")]), encoding="utf-8")
        cmake(self.folder / "mine", f"-Dctpgbench_DIR={PROGRAM.parent}")
        code, _, err = self.sweep_once(*plan, "0:2")
        self.assertEqual(code, 0, err)
        self.assertIn("though their versions are", err)
        self.assertIn("-redo LABEL", err)
        np.testing.assert_array_equal(self.errors(), before)  # said, and nothing done
        code, text, err = self.sweep_once(*plan, "0:2", "-redo", "mine")
        self.assertEqual(code, 0, err)
        mine = self.results("a.h5").runs["estimator"] == 0
        self.assertTrue((self.errors()[mine] != before[mine]).all())
        np.testing.assert_array_equal(self.errors()[~mine], before[~mine])
        (self.folder / "a.h5").unlink()
        self.assertIn(re.search("digest: .*", text)[0], self.sweep_once(*plan, "0:2")[1])

    def test_python_file(self):
        """Its text is in the key: another text is another plan, and the difference is named."""
        if "-python_file" not in run("list", "-estimators")[1]:
            self.skipTest("built without Python")
        code = "import numpy as np\n\n\ndef gradient(loop, x0, accuracy):\n    return 1.5, np.full(loop.np, {}), x0\n"
        file = self.folder / "e.py"
        plan = ("-estimators", "python", "-python_file", file, "-rtol", "1e-3", "-seeds", "0:2")
        file.write_text(code.format(0.5), encoding="utf-8")
        self.assertEqual(self.sweep_once(*plan)[0], 0)
        file.write_text(code.format(0.6), encoding="utf-8")
        for options in ((), ("-redo", "python")):
            status, _, err = self.sweep_once(*plan, *options)
            self.assertEqual(status, 1)
            self.assertRegex(err, r"estimator python has python_source = \w+ there and python_source = \w+ here")


# Other variants of libm's functions, as on a CPU without them.
OTHER_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable"}


def other_libm():
    return mock.patch.dict(os.environ, OTHER_LIBM)


def preloaded(**variables):
    """foreign.c in the program."""
    return mock.patch.dict(os.environ, {**variables, "LD_PRELOAD": str(PROGRAM.parent / "libforeign.so")})


class Mixing(InFolder):
    PLAN = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,rk-adjoint", "-rtol", "1e-4", "-timing_threshold", "0")

    def setUp(self):
        super().setUp()
        self.sweep("a.h5", *self.PLAN, "-seeds", "0:2")
        with other_libm():
            self.sweep("b.h5", *self.PLAN, "-seeds", "0:2")
        ours, theirs = map(self.arithmetic, ("a.h5", "b.h5"))
        if ours == theirs:
            self.skipTest("libm gives the same bits without FMA on this machine")

    def arithmetic(self, name):
        with h5py.File(self.folder / name) as file:
            return file["sessions"]["arithmetic"][0]

    def test_resume(self):
        before = (self.folder / "a.h5").read_bytes()
        with other_libm():
            code, _, err = run("sweep", *self.PLAN, "-seeds", "0:4", "-out", self.folder / "a.h5")
            self.assertNotEqual(code, 0)
            self.assertRegex(err, r"another arithmetic .*\(libm is \w{8} there and \w{8} here, and lqr calls it\).*"
                                  r"-allow_mixed")
            self.assertEqual((self.folder / "a.h5").read_bytes(), before)
            self.sweep("a.h5", *self.PLAN, "-seeds", "0:4", "-allow_mixed")
        results = self.results("a.h5")
        for rows in (results.runs, results.cases):
            np.testing.assert_array_equal(rows["mixed"], (rows["seed"] >= 2) & (rows["problem"] == 0))
        code, text, _ = run("status", self.folder / "a.h5")
        self.assertIn("mixed: 6 rows are of another arithmetic", text)

    def test_blas(self):
        """The part that differs is named, and nothing else differs."""
        with preloaded(CTPG_TEST_BLAS="1"):
            code, _, err = run("sweep", *self.PLAN, "-seeds", "0:4", "-out", self.folder / "a.h5")
        self.assertEqual(code, 1, err)
        self.assertRegex(err, r"another arithmetic .*\(blas is \w{8} there and \w{8} here, and lqr calls it\).*"
                              r"-allow_mixed")

    def test_machine(self):
        """Another CPU computes the same, and its times are not compared."""
        expected = self.sweep("c.h5", *self.PLAN, "-seeds", "0:4")
        with preloaded(CTPG_TEST_CPU="Another CPU"):
            code, text, err = run("sweep", *self.PLAN, "-seeds", "0:4", "-out", self.folder / "a.h5")
        self.assertEqual(code, 0, err)
        self.assertIn(f"digest: {expected}", text)
        self.assertRegex(text, "the machine is '.*' in the last session .* and 'Another CPU .*' here: times of the two")
        code, text, _ = run("status", self.folder / "a.h5")
        text = " ".join(text.split())
        self.assertIn("times of 1 sessions cannot be compared with those of session 0", text)
        self.assertNotRegex(text, "begun on [^;]*Another CPU references")

    def test_merge(self):
        with other_libm():
            self.sweep("c.h5", *self.PLAN, "-seeds", "2:4")
        out = self.folder / "all.h5"
        code, _, err = run("merge", self.folder / "a.h5", self.folder / "c.h5", "-out", out)
        self.assertNotEqual(code, 0)
        self.assertRegex(err, r"another arithmetic than .*libm is .*, and lqr calls it.*-allow_mixed")
        self.assertFalse(out.exists())
        code, _, err = run("merge", self.folder / "a.h5", self.folder / "c.h5", "-out", out, "-allow_mixed")
        self.assertEqual(code, 0, err)
        results = self.results("all.h5")
        runs = results.runs
        np.testing.assert_array_equal(runs["mixed"], (runs["seed"] >= 2) & (runs["problem"] == 0))

    def merge(self, *names):
        code, text, err = run("merge", *(self.folder / name for name in names), "-out", self.folder / "all.h5")
        self.assertEqual(code, 0, text + err)
        return text

    def test_what_libm_and_blas_do_not_touch(self):
        """Shards of one plan, on a CPU without FMA and beside another LAPACK: one sweep, to the bit; it goes on."""
        plan = ("-problems", "diffdrive,electric", "-estimators", "ctpg,rk-adjoint", "-rtol", "1e-4",
                "-timing_threshold", "0", "-seeds")
        expected = self.sweep("c.h5", *plan, "0:3")
        self.sweep("c1.h5", *plan, "0:3", "-shard", "1/3")
        with other_libm():
            self.sweep("c2.h5", *plan, "0:3", "-shard", "2/3")
        with preloaded(CTPG_TEST_BLAS="1"):
            self.sweep("c3.h5", *plan, "0:3", "-shard", "3/3")
        texts = {self.arithmetic(f"c{i}.h5") for i in (1, 2, 3)}
        self.assertEqual(len(texts), 3)
        self.assertIn(f"digest: {expected}", self.merge("c1.h5", "c2.h5", "c3.h5"))
        with other_libm():
            self.sweep("all.h5", *plan, "0:4")
        self.assertFalse(self.results("all.h5").runs["mixed"].any())

    def test_who_calls_what(self):
        """Labels of the file say so; the arithmetic of a file made before they did stands for all of its rows."""
        with h5py.File(self.folder / "a.h5", "r") as file:
            self.assertEqual(file["problems"]["outside"].tolist(), [b"libm,blas", b"none"])
            self.assertEqual(file["estimators"]["outside"].tolist(), [b"none", b"none"])
        self.sweep("c.h5", "-problems", "diffdrive", "-estimators", "g=ctpg,rk-adjoint,lia,euler-bptt", "-rtol", "1e-4",
                   "-g_quadrature", "gauss", "-dt", "0.05", "-rk-adjoint_rk_loop", "ts", "-euler-bptt_error_bar",
                   "sweep", "-seeds", "0:1")
        with h5py.File(self.folder / "c.h5") as file:
            self.assertEqual(file["estimators"]["outside"].tolist(), [b"libm", b"blas", b"blas", b"libm,blas"])

    def test_one_run_twice(self):
        """The same runs with other bits: the column that differs is named where they are refused."""
        plan = ("-problems", "diffdrive", "-estimators", "lia", "-rtol", "1e-4", "-timing_threshold", "0",
                "-seeds", "0:2")
        self.sweep("c.h5", *plan)
        with preloaded(CTPG_TEST_LIBM="1"):
            self.sweep("d.h5", *plan)
        code, _, err = run("merge", self.folder / "c.h5", self.folder / "d.h5", "-out", self.folder / "all.h5",
                           "-allow_mixed")
        self.assertEqual(code, 1, err)
        self.assertRegex(err, r"c.h5 and \S+d.h5 disagree on one \w+: .*, seed 0.*: \w+ is \S+ and \S+")
        self.assertFalse((self.folder / "all.h5").exists())
        with preloaded(CTPG_TEST_LIBM="1"):
            code, _, err = run("sweep", *plan, "-out", self.folder / "c.h5", "-retime", "diffdrive", "-allow_mixed")
        self.assertEqual(code, 0, err)
        self.assertRegex(err, r"rows keep their times, .* gives them other results: first \S+ on diffdrive, "
                              r"seed 0, accuracy 0.0001: \w+ is \S+ and \S+")

    def test_claims(self):
        """Types that say that they do without libm and BLAS have the same bits beside others; lqr has not."""
        few = ("-estimators", "ctpg,rk-adjoint,euler-bptt")
        all_of = ("-estimators", "ctpg,neural-ode,neural-ode-ckpt,reversible,alf,forward,finite-difference")
        rest = ("-rtol", "1e-4", "-dt", "0.05", "-timing_threshold", "0", "-seeds", "0:1")
        problems = "diffdrive,quadrotor,electric,cartpole-analytic,track,double-pendulum"
        for plan, same in ((("-problems", problems, *few), True), (("-problems", "pendulum,vanderpol", *all_of), True),
                           (("-problems", "lqr", *few), False)):
            digest = self.sweep("c.h5", *plan, *rest)
            with preloaded(CTPG_TEST_LIBM="1", CTPG_TEST_BLAS="1"):
                self.assertEqual(self.sweep("d.h5", *plan, *rest) == digest, same, plan)
            with h5py.File(self.folder / "c.h5") as file:
                said = {*file["problems"]["outside"], *file["estimators"]["outside"]}
            self.assertEqual(said == {b"none"}, same, said)
            for name in ("c.h5", "d.h5"):
                (self.folder / name).unlink()

    def test_training(self):
        plan = ("-problems", "lqr,diffdrive", "-estimators", "ctpg", "-rtol", "1e-4", "-batch", "2", "-iterations",
                "10")
        code, _, err = run("train", *plan, "-seeds", "0:1", "-out", self.folder / "t.h5")
        self.assertEqual(code, 0, err)
        with other_libm():
            code, _, err = run("train", *plan, "-seeds", "0:2", "-out", self.folder / "t.h5")
            self.assertNotEqual(code, 0)
            self.assertRegex(err, "begun with another arithmetic .*and lqr calls it")
            code, _, err = run("train", *plan, "-seeds", "0:2", "-out", self.folder / "t.h5", "-allow_mixed")
            self.assertEqual(code, 0, err)
        with h5py.File(self.folder / "t.h5") as file:
            rows = file["training/table"][()]
            np.testing.assert_array_equal(rows["mixed"], (rows["seed"] == 1) & (rows["problem"] == 0))
            self.assertTrue((rows["cpu_seconds"] > 0).all())


if __name__ == "__main__":
    unittest.main()
