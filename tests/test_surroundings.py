"""test_surroundings.py -- what lies around a run, or a user's code leaves behind, changes nothing or is an error

petscrc files, the locale, the working folder, forks, exit(); signals end everything; zero gradients have words.
"""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

import program
from program import InFolder, Job, Results, run
from test_plugins import cmake, replace

NAME = "guest"
GRADIENT = ("gradient", "-problem", "lqr", "-estimator", "ctpg", "-rtol", "1e-3")
SWEEP = ("-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-seeds", "0:2")
# What the plug-in does at the start of a gradient, as CTPG_TEST_GUEST says.
MISCHIEF = """  const char *mischief = getenv("CTPG_TEST_GUEST");
  if (mischief && !strcmp(mischief, "exit")) exit(0);
  if (mischief && !strcmp(mischief, "_exit")) _exit(0);
  if (mischief && !strcmp(mischief, "_Exit")) _Exit(0);
  if (mischief && !strcmp(mischief, "child")) {
    if (!vfork()) _exit(0);
  }
  if (mischief && !strcmp(mischief, "folder") && chdir("/")) return 1;
  if (mischief && !strcmp(mischief, "locale")) setlocale(LC_ALL, ""), fesetround(FE_UPWARD);
  if (mischief && !strcmp(mischief, "fork")) fork();
  if (mischief && !strcmp(mischief, "crash")) raise(SIGSEGV);
  while (mischief && !strcmp(mischief, "hang")) {
  }
"""
HEADERS = "".join(f"#include <{name}.h>\n" for name in ("fenv", "locale", "signal", "stdlib", "string", "unistd"))


class Environment(InFolder):
    def set(self, **variables):
        for name, text in variables.items():
            before = os.environ.get(name)
            os.environ[name] = str(text)
            self.addCleanup(os.environ.pop, name, None)
            if before is not None:
                self.addCleanup(os.environ.__setitem__, name, before)

    def gradient(self, *options):
        code, out, err = run(*GRADIENT, *options, cwd=self.folder)
        self.assertEqual((code, err), (0, ""), out + err)
        return re.sub("(?m)^time.*\n", "", out)


class Folder(Environment):
    def test_petscrc_is_not_read(self):
        expected = self.gradient()
        for name in (".petscrc", "petscrc"):
            (self.folder / name).write_text("-rtol 1e-9\n-horizon 2\n-rtoll 1\n-dll_append nowhere.so\n",
                                             encoding="utf-8")
        self.set(HOME=self.folder)
        self.assertEqual(self.gradient(), expected)
        self.assertEqual(self.gradient("-skip_petscrc"), expected)
        code, _, err = run(*GRADIENT, "-rtoll", "1", cwd=self.folder)  # a misspelt option is not excused by theirs
        self.assertEqual(code, 1)
        self.assertIn("unknown option -rtoll", err)
        code, _, err = run(*GRADIENT, "-skip_petscrc", "0", cwd=self.folder)
        self.assertEqual((code, len(err.splitlines())), (1, 1), err)

    def test_petsc_options_are_named(self):
        self.set(PETSC_OPTIONS="-lqr_horizon 2")
        self.sweep("out.h5", *SWEEP)
        with h5py.File(self.folder / "out.h5", "r") as file:
            self.assertIn(b"PETSC_OPTIONS='-lqr_horizon 2' ctpgbench sweep", file["sessions"]["command_line"][0])

    def test_one_sentence_in_place_of_petscs_stack(self):
        for options in (("-history", "/nowhere/x"), ("-log_view", ":/nowhere/x"), ("-malloc_debug", "foo")):
            _, out, err = run(*GRADIENT, *options, cwd=self.folder)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertNotIn("PETSC ERROR", out + err)

    def test_stale_end_of_a_job(self):
        self.set(SLURM_JOB_ID=77, SLURM_JOB_END_TIME=int(time.time()) - 3600)
        self.sweep("out.h5", *SWEEP)
        self.assertEqual(len(Results(self.folder / "out.h5").runs), 2)

    def test_limit_of_file_size(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        done = subprocess.run(program.command(("sweep", *SWEEP, "-seeds", "0:3000", "-out", "out.h5"), 0),
                              capture_output=True, text=True, cwd=self.folder, env=program.environment(0), timeout=30,
                              preexec_fn=limit, check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("ctpgbench: ", done.stderr)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.suffix == ".h5"], [])


class Scarce(Environment):
    """Little memory, or little room in files: one sentence, and no file that was begun."""
    BIG = ("-lqr_policy", "mlp", "-lqr_policy_widths", "6000,6000")
    COMMANDS = (("sweep", "-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-seeds", "0:1500"),
                ("train", "-problems", "quadrotor", "-estimators", "ctpg", "-iterations", "2", "-batch", "2"),
                ("trace", "-problem", "quadrotor", "-estimators", "ctpg"),
                ("gradient", "-problem", "quadrotor", "-estimator", "ctpg", "-rtol", "1e-3"))

    def limited(self, what, most, *command):
        def limit():
            resource.setrlimit(what, (most, most))
        done = subprocess.run(program.command(command, 0), capture_output=True, text=True, cwd=self.folder,
                              env=program.environment(0), timeout=60, preexec_fn=limit, check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        said = [line for line in done.stderr.splitlines() if line.startswith("ctpgbench: ")]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertNotRegex(said[0], "Petsc|MPI_|H5[A-Z]|CtpgC|Malloc")
        return said[0]

    def check_nothing_is_new(self, before):
        self.assertEqual({path.name: path.stat().st_mtime_ns for path in self.folder.iterdir()}, before)

    def state(self):
        return {path.name: path.stat().st_mtime_ns for path in self.folder.iterdir()}

    def test_memory(self):
        for command, *options in (("gradient", "-problem", "lqr", "-estimator", "ctpg", "-rtol", "1e-3"),
                                  ("sweep", *SWEEP), ("trace", "-problem", "lqr", "-estimators", "ctpg"),
                                  ("train", "-problems", "lqr", "-estimators", "ctpg", "-iterations", "2")):
            with self.subTest(command):
                said = self.limited(resource.RLIMIT_AS, 700 << 20, command, *options, *self.BIG, "-out", "new.h5")
                self.assertIn("out of memory on rank 0; expected ", said)
                self.check_nothing_is_new({})

    def test_size_of_files(self):
        for k in (0, 1):
            self.sweep(f"{k}.h5", *SWEEP[:-1], "0:200", "-shard", f"{k + 1}/2")
        before = self.state()
        for command in (*self.COMMANDS, ("merge", "0.h5", "1.h5"), ("convert", "0.h5")):
            with self.subTest(command[0]):
                said = self.limited(resource.RLIMIT_FSIZE, 20000, *command, "-out", "new.h5")
                self.assertIn("new.h5", said)
                self.assertIn("File too large", said)
                self.check_nothing_is_new(before)

    def test_a_file_that_cannot_grow_stays(self):
        for command, more, fewer in ((self.COMMANDS[0], "0:1500", "0:2"), (self.COMMANDS[1], "0:40", "0:1")):
            options = [word for word in command if word not in ("-seeds", "0:1500")]
            with self.subTest(command[0]):
                code, out, err = run(*options, "-seeds", fewer, "-out", "old.h5", cwd=self.folder)
                self.assertEqual(code, 0, out + err)
                before = self.state()
                size = (self.folder / "old.h5").stat().st_size
                self.limited(resource.RLIMIT_FSIZE, size + 4096, *options, "-seeds", more, "-out", "old.h5")
                self.check_nothing_is_new(before)
                code, again, err = run(*options, "-seeds", fewer, "-out", "old.h5", cwd=self.folder)
                self.assertEqual((code, again.endswith(out)), (0, True), again + err)
                (self.folder / "old.h5").unlink()


class Stopped(Environment):
    def stop(self, number, *command):
        """The command, stopped while it writes: what it said, and what is there besides its input."""
        before = set(self.folder.iterdir())
        self.set(CTPG_TEST_SLOW=20000, LD_PRELOAD=program.PROGRAM.parent / "libslow.so")
        job = Job(*command, "-out", "new.h5", cwd=self.folder)
        del os.environ["LD_PRELOAD"]
        end = time.monotonic() + 20
        while not list(self.folder.glob("*.new")) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertIsNone(job.process.poll())
        begin = time.monotonic()
        job.process.send_signal(number)
        code, out, err = job.finish(10)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(code, 1, out + err)
        self.assertEqual(set(self.folder.iterdir()), before)
        return err

    def test_merge_and_convert(self):
        for k in (0, 1):
            self.sweep(f"{k}.h5", *SWEEP, "-shard", f"{k + 1}/2")
        for number in (signal.SIGTERM, signal.SIGINT):
            for command in (("merge", "0.h5", "1.h5"), ("convert", "0.h5")):
                with self.subTest(command[0], number=number):
                    self.assertIn("ctpgbench: stopped by a signal; what was half written is removed",
                                  self.stop(number, *command))


class Input(Environment):
    def refused(self, text, words):
        (self.folder / "plan.yaml").write_bytes(text)
        code, _, err = run("plan", "-options_file", "plan.yaml", cwd=self.folder)
        self.assertEqual((code, len(err.splitlines())), (1, 1), err)
        self.assertRegex(err, words)

    def test_what_a_plan_says_twice(self):
        self.refused(b"problems: lqr\nrtol: 1e-3\nseeds: 0:1\nrtol: 1e-5\n", "line 4: rtol is said before, in line 2")
        self.refused(b"ctpg:\n  rtol: 1e-3\nctpg_rtol: 1e-5\n", "line 3: ctpg_rtol is said before, in line 2")
        self.refused(b"problems: lqr\n---\nrtol: 1e-5\n", "line 2: a second document")
        self.refused(b"problems: lqr\n\0\0rtol: 1e-5\n", "line 2: a NUL byte")
        self.refused(b"ctpg:\n\trtol: 1e-5\n", "line 2: ")

    def test_more_options_than_petsc_holds(self):
        """PETSc 3.18 holds 512, which has a sentence of ours; 3.22 holds all of them, of which the unknown are told."""
        plan = b"problems: lqr\nestimators: ctpg\n"
        many = b"".join(b"option%d: 1\n" % i for i in range(600))
        self.refused(plan + many, r"more than 512 options|unknown option -option0; ")

    def test_lists_as_people_type_them(self):
        expected = self.sweep("a.h5", *SWEEP[:2], "-estimators", "ctpg,rk-adjoint", "-rtol", "1e-3,1e-5",
                              "-seeds", "0:1")
        self.assertEqual(self.sweep("b.h5", *SWEEP[:2], "-estimators", "ctpg, rk-adjoint", "-rtol", "1e-3, 1e-5",
                                    "-seeds", "0:1"), expected)
        (self.folder / "plan.yaml").write_text("problems: lqr\nestimators: >\n  ctpg,\n  rk-adjoint\nseeds: 0:1\n"
                                               "rtol: [1e-3, 1e-5]\n", encoding="utf-8")
        self.assertEqual(self.sweep("c.h5", "-options_file", "plan.yaml"), expected)
        self.gradient("-policy", "mlp", "-policy_widths", "4, 4", "-policy_activations", "tanh, tanh, linear")
        self.assertEqual(self.gradient("-fixed_start", "none", "-policy_widths", "none"), self.gradient())

    def test_missing_library(self):
        code, _, err = run("gradient", "-problem", "lqr", "-estimator", "ctpgg", cwd=self.folder)
        self.assertEqual(code, 1)
        self.assertIn("needs -estimator_library FILE.so, and no library is given", err)

    def test_fractions_and_horizon_0_in_a_case_file(self):
        with h5py.File(self.folder / "cases.h5", "w") as file:
            for name, attributes in (("layers", {"layers": [2, 2.5, 2]}), ("horizon", {"horizon": 0.0})):
                group = file.create_group(name)
                group["x0"], group["theta"] = [1.0, 2.0], np.zeros(6)
                group.attrs.update(attributes)
        for name in ("layers", "horizon"):
            code, _, err = run(*GRADIENT, "-case_file", "cases.h5", "-case", name, cwd=self.folder)
            self.assertEqual(code, 1)
            self.assertIn(f"attribute {name} is not", err)


class Zero(Environment):
    ZERO = ("-policy_init_scale", "0", "-lqr_perturbation", "0", "-fixed_start")

    def test_zero_gradient(self):
        out = self.gradient(*self.ZERO, "0,0")
        self.assertNotIn("nan", out)
        self.assertIn("note        the gradient is zero: errors are absolute", out)
        self.assertIn("error       0.000e+00 (dL/dtheta, absolute: the reference is zero)", out)
        self.sweep("out.h5", *SWEEP, *self.ZERO, "0,0")
        results = Results(self.folder / "out.h5")
        for column in ("err_rel", "err_x0", "err_joint", "err_abs"):
            self.assertEqual(list(results.runs[column]), [0, 0], column)
        self.assertEqual(list(results.runs["cosine"]), [1, 1])
        self.assertEqual(list(results.cases["ref_err"]), [0, 0])
        self.assertIn("0 not good to 1e-10", run("status", "out.h5", cwd=self.folder)[1])

    def test_cosine_and_work(self):
        for estimator, options in (("finite-difference", ()), ("ctpg", ()), ("forward", ()), ("rk-adjoint", ())):
            out = run("gradient", "-problem", "lqr", "-estimator", estimator, *options, cwd=self.folder)[1]
            self.assertNotIn("1 - -", out)
            terms = re.search(r"NFE (\d+) = ([^;]*);", out)
            self.assertEqual(int(terms[1]), sum(map(int, re.findall(r"\d+", terms[2]))), out)


class Guest(Environment):
    """A plug-in that misbehaves."""
    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        folder = pathlib.Path(keeper.name)
        code, _, err = run("new-estimator", NAME, cwd=folder)
        assert code == 0, err
        source = folder / NAME / f"{NAME}.c"
        text = source.read_text(encoding="utf-8")
        head = re.search(r"static PetscErrorCode EstimatorGradient\w+\([^{]*\{\n", text)
        source.write_text(HEADERS + replace(text, [(head[0], head[0] + MISCHIEF)]), encoding="utf-8")
        cmake(folder / NAME, f"-Dctpgbench_DIR={program.PROGRAM.parent}")
        cls.library = folder / NAME / "build" / f"{NAME}.so"

    def options(self):
        return ("-estimator_library", self.library, "-estimators", NAME, "-problems", "lqr", "-dt", "0.05", "-seeds",
                "0:3", "-timing_threshold", "0")

    def test_traces_are_wiped(self):
        expected = self.sweep("a.h5", *self.options())
        if shutil.which("localedef"):
            subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", self.folder / "de_DE.UTF-8"], check=False,
                           capture_output=True)
            self.set(LOCPATH=self.folder, LC_ALL="de_DE.UTF-8")
        for mischief in ("folder", "locale", "fork"):
            with self.subTest(mischief):
                self.set(CTPG_TEST_GUEST=mischief)
                code, out, err = run("sweep", *self.options(), "-out", f"{mischief}.h5", cwd=self.folder)
                self.assertEqual(code, 0, out + err)
                results = Results(self.folder / f"{mischief}.h5")
                self.assertEqual(len(results.runs), 3)
                if mischief != "locale":  # there the rounding of the run itself is another
                    self.assertIn(f"digest: {expected}", out)
                self.assertEqual("note: guest changed the working folder" in err, mischief == "folder", err)
                self.assertEqual("came back from it" in err, mischief == "fork", err)

    def single(self):
        """The options of one gradient."""
        return tuple(word for word in self.options() if word not in ("-seeds", "0:3", "-timing_threshold", "0"))

    def train(self, out, *options):
        return run("train", *self.options()[:8], "-iterations", "3", "-batch", "2", *options, "-out",
                   self.folder / out, cwd=self.folder)

    def statuses(self, out):
        results = self.results(out)
        return sorted(results.status_of(row) for row in results.runs)

    def test_exit_is_an_error(self):
        for way, ranks in (("exit", 0), ("_exit", 2), ("_Exit", 0)):
            with self.subTest(way, ranks=ranks):
                self.set(CTPG_TEST_GUEST=way)
                code, _, err = run("sweep", *self.options(), "-out", f"{way}.h5", ranks=ranks, cwd=self.folder)
                self.assertEqual(code, 1, err)
                self.assertRegex(err, r"exit\(\) in guest on lqr, seed \d")
                del os.environ["CTPG_TEST_GUEST"]
                self.sweep(f"{way}.h5", *self.options())
                found = self.statuses(f"{way}.h5")
                self.assertEqual(set(found), {"crashed", "ok"})
                self.assertLessEqual(found.count("crashed"), max(ranks, 1))

    def test_exit_in_a_gradient_and_a_training(self):
        self.set(CTPG_TEST_GUEST="_exit")
        code, _, err = run("gradient", *self.single(), cwd=self.folder)
        self.assertEqual(code, 1, err)
        self.assertIn("exit() in guest on lqr", err)
        code, _, err = self.train("t.h5")
        self.assertEqual(code, 1, err)
        self.assertIn("exit() in training of lqr with guest, seed 0", err)
        self.set(CTPG_TEST_GUEST="child")  # what subprocess does
        code, _, err = run("gradient", *self.single(), cwd=self.folder)
        self.assertEqual((code, err), (0, ""))

    def test_a_loop_without_evaluations_ends_at_its_limit(self):
        self.set(CTPG_TEST_GUEST="hang")
        words = r"no evaluation for \d+ s, longer than -run_time_limit, in (training of lqr with )?guest"
        limit = ("-run_time_limit", "1")
        code, _, err = run("gradient", *self.single(), *limit, cwd=self.folder)
        self.assertEqual(code, 1, err)
        self.assertRegex(err, words)
        code, _, err = run("sweep", *self.options(), *limit, "-out", "s.h5", cwd=self.folder)
        self.assertEqual(code, 75, err)
        self.assertRegex(err, words)
        code, _, err = self.train("t.h5", *limit)
        self.assertEqual(code, 75, err)
        self.assertRegex(err, words)
        del os.environ["CTPG_TEST_GUEST"]
        self.sweep("s.h5", *self.options(), *limit)
        self.assertEqual(self.statuses("s.h5"), ["crashed", "ok", "ok"])
        self.assertIn(b"no evaluation for longer than -run_time_limit", [
            row["reason"].split(b" in an")[0] for row in self.results("s.h5").runs])
        code, out, err = self.train("t.h5", *limit)
        self.assertEqual(code, 0, err)
        self.assertIn("1 of 1 runs done, 1 of them not ok", out)

    def test_signals_end_a_loop_without_evaluations(self):
        self.set(CTPG_TEST_GUEST="hang")
        commands = ((("sweep", *self.options(), "-out", "hang.h5"), 75), (("gradient", *self.single()), 1),
                    (("check", *self.options()[:6]), -signal.SIGTERM))
        for command, expected in commands:
            with self.subTest(command[0]):
                job = Job(*command, cwd=self.folder)
                time.sleep(1.5)
                self.assertIsNone(job.process.poll())
                begin = time.monotonic()
                job.interrupt(signal.SIGTERM)
                code, _, err = job.finish(10)
                self.assertLess(time.monotonic() - begin, 5)
                self.assertEqual(code, expected, err)

    def test_check_names_the_check(self):
        self.set(CTPG_TEST_GUEST="crash")
        _, _, err = run("check", "-estimators", NAME, *self.options()[:2], "-problems", "lqr", cwd=self.folder)
        self.assertIn('SIGSEGV in the check "run" of guest on lqr', err)
        self.set(CTPG_TEST_GUEST="hang")
        code, _, err = run("check", "-estimators", NAME, *self.options()[:2], "-problems", "lqr", "-time_limit", "1",
                           cwd=self.folder)
        self.assertEqual(code, 75)
        self.assertIn("the -time_limit of 1 s is over in run of guest on lqr", err)


if __name__ == "__main__":
    unittest.main()
