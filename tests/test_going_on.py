"""test_going_on.py -- a sweep goes on after anything: crashes, second jobs, shards, checkpoints, time limits

What takes a process down is a plug-in made from the templates of new-problem and new-estimator, with a trap in it that
the environment arms: TRAP_HOW (segv, abort, fpe, stack) for the start whose first component is TRAP_AT.
"""
import hashlib
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from unittest import mock

import h5py
import numpy as np

import program
from program import InFolder, Job, committed, run, sha256

TRAP = """
#include <stdlib.h>
#include <string.h>
static int Deeper(volatile int *n) {
  volatile int here[4096];
  here[0] = *n + 1;
  return Deeper(here) + here[1];
}
static void Trap(PetscReal at) {
  const char *how = getenv("TRAP_HOW"), *where = getenv("TRAP_AT");
  volatile int zero = 0;
  if (!how || at != strtod(where, NULL)) return;
  if (!strcmp(how, "segv")) *(volatile int *)NULL = 1;
  if (!strcmp(how, "fpe")) zero = 7 / zero;
  if (!strcmp(how, "stack")) zero = Deeper(&zero);
  abort();
}
"""
# Name of the plug-in: where the trap is set.
TRAPPED = {"my_cart": ("f[0] = x[1];", "Trap(x[0]);\n    f[0] = x[1];", "problem"),
           "my_midpoint": ("  CtpgRowsTruncate(&m->rows, 0);", "  Trap(x0[0]);\n  CtpgRowsTruncate(&m->rows, 0);",
                           "estimator")}
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int fsync(int descriptor) { /* a line for each: process and file */
  char link[64], name[4096] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (readlink(link, name, sizeof name - 1) < 0) name[0] = 0;
  FILE *log = fopen(getenv("FSYNC_LOG"), "a");
  fprintf(log, "%d %s\\n", (int)getpid(), name);
  fclose(log);
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}
"""
LONG = ("-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint", "-seeds", "0:24", "-rtol", "1e-11:1e-6:200",
        "-timing_threshold", "0")

place = None  # pathlib.Path: what was compiled


def setUpModule():
    global place
    place = pathlib.Path(tempfile.mkdtemp(prefix="ctpg it's"))  # a blank and a quote: commands must survive them
    unittest.addModuleCleanup(shutil.rmtree, place, ignore_errors=True)
    for name, (text, trap, kind) in TRAPPED.items():
        code, _, err = run(f"new-{kind}", name, cwd=place)
        assert code == 0, err
        source = place / name / f"{name}.c"
        code = source.read_text(encoding="utf-8")
        assert code.count(text) == 1
        code = code.replace(text, trap).replace('#include <ctpgbench/ctpgbench.h>\n',
                                                '#include <ctpgbench/ctpgbench.h>\n' + TRAP)
        (place / f"{name}.c").write_text(code, encoding="utf-8")
    (place / "shim.c").write_text(SHIM, encoding="ascii")
    (place / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(trapped C)\nfind_package(ctpgbench REQUIRED)\n"
        "foreach(name my_cart my_midpoint)\n  add_library(${name} MODULE ${name}.c)\n"
        "  target_link_libraries(${name} PRIVATE ctpgbench::ctpgbench)\nendforeach()\n"
        "add_library(shim MODULE shim.c)\ntarget_link_libraries(shim PRIVATE dl)\n"
        "set_target_properties(my_cart my_midpoint shim PROPERTIES PREFIX \"\")\n", encoding="ascii")
    build = pathlib.Path(tempfile.mkdtemp(prefix="ctpgbuild"))  # Makefiles do not survive such a name
    unittest.addModuleCleanup(shutil.rmtree, build, ignore_errors=True)
    for command in (["-S", place, "-B", build, f"-Dctpgbench_DIR={program.PROGRAM.parent}"], ["--build", build, "-j2"]):
        made = subprocess.run(["cmake", *command], capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
    for name in ("my_cart.so", "my_midpoint.so", "shim.so"):
        shutil.copy(build / name, place)


def armed(how, at):
    return mock.patch.dict(os.environ, {"TRAP_HOW": how, "TRAP_AT": float(at).hex()})


class Crashes(InFolder):
    OPTIONS = ("-problems", "lqr", "-estimator_library", "LIBRARY", "-estimators", "my_midpoint,ctpg", "-seeds", "0:4",
               "-dt", "0.1,0.05", "-rtol", "1e-3")

    def options(self, options=OPTIONS):
        names = {"-estimator_library": "my_midpoint.so", "-problem_library": "my_cart.so"}
        return [str(place / names[before]) if word == "LIBRARY" else word
                for before, word in zip(("", *options), options)]

    def until_done(self, out, options, attempts, ranks, sentence):
        """Sweeps again until it is done; every other end is a crash with one sentence of ours, none of PETSc's."""
        for _ in range(attempts + 1):
            code, text, err = run("sweep", *options, "-out", out, ranks=ranks, cwd=self.folder)
            if code == 0:
                break
            lines = [line for line in err.splitlines() if line.startswith("ctpgbench: ")]
            self.assertIn(len(lines), range(1, max(ranks, 1) + 1), err)  # two ranks may crash at once
            for line in lines:
                self.assertRegex(line, sentence)
            self.assertNotIn("PETSC ERROR", err)
            self.assertGreater((self.folder / f"{out}.crash").stat().st_size, 0)
            marked = run("status", out, cwd=self.folder)[1]
            self.assertIn("crashed, not yet a row: ", marked)
            crashes = self.crashes = self.crashes + 1
            self.assertLessEqual(crashes, attempts)
        self.assertEqual(code, 0, err)
        self.assertEqual([name for name in program.left_in(self.folder) if name.startswith(out)], [out])
        return re.search(r"digest: (\w+)", text).group(1)

    def check_run(self, how, name, ranks):
        options = self.options()
        clean = self.sweep("clean.h5", *options, "-save_gradients")
        before = self.results("clean.h5")
        at = before.arrays["lqr/x0"][2, 0]
        self.crashes = 0
        with armed(how, at):
            digest = self.until_done("a.h5", options, 2, ranks,
                                     f"{name} in my_midpoint on lqr, seed 2, accuracy 0.*a.h5.crash")
        self.assertIn(self.crashes, (2,) if not ranks else (1, 2))  # two accuracies
        after = self.results("a.h5")
        self.assertTrue(after.done().all())
        for row in before.runs:
            found = after.runs[after.runs["run_key"] == row["run_key"]][0]
            trapped = row["seed"] == 2 and after.estimators[row["estimator"]] == "my_midpoint"
            self.assertEqual(after.status_of(found), "crashed" if trapped else "ok")
            if trapped:
                self.assertIn(f"{name} in an earlier session; -retry_crashed", found["reason"].decode())
                continue
            for column in set(row.dtype.names) - set(program.ENVIRONMENT):
                self.assertEqual(found[column].tobytes(), row[column].tobytes(), column)
        text = run("status", "a.h5", cwd=self.folder)[1]
        self.assertIn("2 rows ended by their environment (timeout, crashed) are not in the digest", text)
        self.assertNotEqual(digest, clean)
        self.assertEqual(self.sweep("a.h5", *options), digest)  # skipped, though the trap is gone
        self.assertEqual(self.sweep("a.h5", *options, "-retry_crashed"), clean)
        return text

    def test_segmentation_fault(self):
        text = self.check_run("segv", "SIGSEGV", 2)
        self.assertEqual(text.count("crashed: SIGSEGV in an earlier session"), 2)  # each with its command

    def test_abort(self):
        self.check_run("abort", "SIGABRT", 0)

    def test_division_by_zero(self):
        self.check_run("fpe", "SIGFPE", 0)

    def test_stack_overflow(self):
        self.check_run("stack", "SIGSEGV", 0)

    def test_reference(self):
        """A reference that crashes costs its case the errors, nothing else."""
        options = self.options(("-problem_library", "LIBRARY", "-problems", "my_cart,lqr", "-estimators", "ctpg",
                                "-seeds", "0:3", "-rtol", "1e-3"))
        clean = self.sweep("clean.h5", *options)
        with h5py.File(self.folder / "clean.h5") as file:
            at = file["cases/my_cart/x0"][1, 0]
        self.crashes = 0
        with armed("segv", at):
            self.until_done("a.h5", options, 2, 2,
                            "SIGSEGV in (the reference of my_cart, seed 1|ctpg on my_cart, seed 1)")
        self.assertEqual(self.crashes, 2)  # the reference, then the run
        after = self.results("a.h5")
        statuses = [after.status_of(row) for row in after.cases]
        self.assertEqual(statuses, ["ok", "crashed", "ok", "ok", "ok", "ok"])
        self.assertEqual(sorted(after.status_of(row) for row in after.runs), ["crashed"] + ["ok"] * 5)
        self.assertEqual(self.sweep("a.h5", *options, "-retry_crashed"), clean)

    def test_reference_alone(self):
        """The run of a crashed reference, itself sound, has its loss and no errors; retried, it has both."""
        options = self.options(("-problem_library", "LIBRARY", "-problems", "my_cart", "-estimators", "ctpg", "-seeds",
                                "0:2",
                                "-rtol", "1e-3"))
        clean = self.sweep("clean.h5", *options)
        with h5py.File(self.folder / "clean.h5") as file:
            at = file["cases/my_cart/x0"][1, 0]
        with armed("abort", at):
            self.assertNotEqual(run("sweep", *options, "-out", "a.h5", cwd=self.folder)[0], 0)
        self.sweep("a.h5", *options)
        after = self.results("a.h5")
        self.assertEqual([after.status_of(row) for row in after.cases], ["ok", "crashed"])
        self.assertEqual([after.status_of(row) for row in after.runs], ["ok", "ok"])
        self.assertTrue(np.isfinite(after.runs["loss"]).all())
        self.assertEqual(list(np.isnan(after.runs["err_rel"])), [False, True])
        self.assertEqual(self.sweep("a.h5", *options, "-retry_crashed"), clean)

    def test_no_mark_for_what_was_killed(self):
        out = self.folder / "a.h5"
        job = Job("sweep", *LONG, "-out", out, ranks=2, cwd=self.folder, odls_base_sigkill_timeout=0)
        wait_for_rows(job, out, 3)
        os.kill(job.ranks()[1], signal.SIGKILL)
        self.assertNotEqual(job.finish()[0], 0)
        job.wait_for_ranks()
        self.assertEqual((self.folder / "a.h5.crash").stat().st_size, 0)
        self.assertNotIn("crashed", run("status", out)[1])

    def test_in_a_gradient(self):
        """A gradient that crashes says so in one sentence."""
        with armed("segv", self.start_of_seed(0)):
            code, _, err = run("gradient", "-estimator_library", place / "my_midpoint.so", "-estimator", "my_midpoint",
                               "-problem", "lqr", "-seed", "0", "-reference", "no", cwd=self.folder)
        self.assertEqual((code, err), (-signal.SIGSEGV, "ctpgbench: SIGSEGV in my_midpoint on lqr\n"))

    def start_of_seed(self, seed):
        self.assertEqual(run("gradient", "-problem", "lqr", "-seed", seed, "-out", self.folder / "g.h5")[0], 0)
        with h5py.File(self.folder / "g.h5") as file:
            return file["x0"][0]

    def until_done_script(self, *options, ranks=2):
        command = program.command(("sweep", *options, "-out", "a.h5"), ranks)
        return subprocess.run(["bash", program.ROOT / "jobs" / "until_done.sh", *command], cwd=self.folder, text=True,
                              env=program.environment(ranks), capture_output=True, timeout=60)

    def test_until_done(self):
        with armed("segv", self.start_of_seed(2)):
            done = self.until_done_script(*self.options())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(done.stderr.count("the sweep ended with"), (1, 2), done.stderr)
        self.assertIn("digest: ", done.stdout)

    def test_until_done_gives_up(self):
        for options, code, words in ((("-time_limit", "1e-6"), 75, "nothing new happened"),
                                     (("-rtol", "nan"), 1, "is not a list of numbers")):
            with self.subTest(options=options):
                done = self.until_done_script("-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", *options,
                                              ranks=0)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(words, done.stderr)


def wait_for_rows(job, out, rows, seconds=20):
    end = time.monotonic() + seconds
    while job.process.poll() is None and time.monotonic() < end:
        if out.exists() and len(committed(out)) >= rows:
            return
        time.sleep(0.005)
    job.kill()
    raise AssertionError(f"{out} has no {rows} rows after {seconds} s: {job.finish()}")


class Locks(InFolder):
    def test_second_job_is_refused(self):
        out = self.folder / "a.h5"
        job = Job("sweep", *LONG, "-out", out, ranks=2, cwd=self.folder)
        wait_for_rows(job, out, 1)
        code, _, err = run("sweep", *LONG, "-out", out)
        self.assertEqual(code, 1)
        self.assertRegex(err,
                         rf"^ctpgbench: {out} is in use by another job "
                             rf"\(.+, process {job.ranks()[0]}, since .+Z\); wait")
        self.assertEqual(len(err.splitlines()), 1)
        self.assertIn(f"process {job.ranks()[0]}, since ", run("status", out)[1])
        self.assertIsNone(job.process.poll(), "the sweep ended before it was disturbed")
        job.interrupt()
        self.assertEqual(job.finish()[0], 75)
        self.assertEqual(program.left_in(self.folder), ["a.h5"])
        self.assertNotIn("in use", run("status", out)[1])

    def test_dead_jobs_do_not_hinder(self):
        out = self.folder / "a.h5"
        job = Job("sweep", *LONG, "-out", out, cwd=self.folder)
        wait_for_rows(job, out, 1)
        self.assertEqual(len((self.folder / "a.h5.lock").read_text(encoding="ascii").splitlines()), 1)
        job.process.kill()
        job.finish()
        self.assertTrue((self.folder / "a.h5.lock").exists())
        self.assertNotIn("in use", run("status", out)[1])
        self.sweep("a.h5", *LONG, "-time_limit", "0.3", code=75)
        self.assertEqual(program.left_in(self.folder), ["a.h5"])

    def test_job_number(self):
        with mock.patch.dict(os.environ, {"PBS_JOBID": "17.server"}):
            job = Job("sweep", *LONG, "-out", "a.h5", "-time_limit", "0", cwd=self.folder)
            wait_for_rows(job, self.folder / "a.h5", 1)
        self.assertIn(", PBS job 17.server, since", run("status", "a.h5", cwd=self.folder)[1])
        os.kill(job.process.pid, signal.SIGUSR1)
        job.finish()


class Ways(InFolder):
    """-store writer (the default, of which test_sweep.py has the kills) and -store independent: the same file."""

    def test_same_digest(self):
        plan = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,euler-bptt", "-seeds", "0:3", "-rtol", "1e-6,1e-3",
                "-dt", "0.1", "-save_gradients")
        digests = {(way, ranks): self.sweep(f"{way}{ranks}.h5", *plan, "-store", way, ranks=ranks)
                   for way in ("writer", "independent") for ranks in (0, 3)}
        self.assertEqual(len(set(digests.values())), 1, digests)
        one, other = self.results("writer3.h5"), self.results("independent3.h5")
        self.assertEqual(one.arrays["lqr/gradient"].tobytes(), other.arrays["lqr/gradient"].tobytes())
        self.assertEqual(self.sweep("writer3.h5", *plan, "-store", "independent", ranks=2), digests["writer", 0])

    def test_names_with_a_colon(self):
        """MPICH's MPI-IO reads what stands before it as a kind of file system, and the rest as the name."""
        sweep = ("sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:3", "-rtol", "1e-3")
        train = ("train", *sweep[1:5], "-seeds", "0:2", "-iterations", "2", "-batch", "2")
        (self.folder / "10:0").mkdir()
        for k, command in enumerate(((*sweep, "-store", "independent"), train)):
            digests = set()
            for name in (f"plain{k}.h5", f"{k}:0", f"10:0/nfs:{k}.h5"):
                code, out, err = run(*command, "-out", name, ranks=2, cwd=self.folder)
                self.assertEqual(code, 0, out + err)
                digests |= set(re.findall(r"digest: (\w+)", out))
            self.assertEqual(len(digests), 1, digests)
        self.assertEqual(program.left_in(self.folder), ["0:0", "10:0", "1:0", "plain0.h5", "plain1.h5"])

    def test_independent_rows_survive_kills(self):
        out, plan = self.folder / "a.h5", (*LONG, "-rtol", "1e-10:1e-6:16")
        for victims in ((1,), (0,), (0, 1)):
            job = Job("sweep", *plan, "-out", out, "-store", "independent", ranks=2, cwd=self.folder,
                      odls_base_sigkill_timeout=0)
            wait_for_rows(job, out, len(committed(out)) + 5 if out.exists() else 5)
            rows = committed(out)
            for victim in victims:
                os.kill(job.ranks()[victim], signal.SIGKILL)
            job.finish()
            job.wait_for_ranks()
            now = committed(out)
            self.assertEqual({key: now.get(key) for key in rows}, rows)
        self.assertEqual(self.sweep("a.h5", *plan, ranks=2), self.sweep("b.h5", *plan, ranks=2))

    def syncs(self, *options, at_least=0):
        """fsyncs of the results file by each rank, the rank with the most first, of a sweep that is stopped as soon as
        it has some rows and has synced `at_least` times."""
        log, out = self.folder / "log", self.folder / "a.h5"
        log.write_text("", encoding="ascii")
        shim = tempfile.NamedTemporaryFile(prefix="ctpgshim", suffix=".so")  # LD_PRELOAD is split at blanks
        self.addCleanup(shim.close)
        shutil.copyfile(place / "shim.so", shim.name)
        with mock.patch.dict(os.environ, {"LD_PRELOAD": shim.name, "FSYNC_LOG": str(log)}):
            job = Job("sweep", *LONG, "-out", out, *options, ranks=2, cwd=self.folder)
        wait_for_rows(job, out, 10)
        end = time.monotonic() + 20
        while log.read_text(encoding="ascii").count("a.h5\n") < at_least and time.monotonic() < end:
            time.sleep(0.01)
        job.interrupt()
        self.assertEqual(job.finish()[0], 75)
        os.unlink(out)
        counts = {}
        for line in log.read_text(encoding="ascii").splitlines():
            process, name = line.split(" ", 1)
            if name.endswith("a.h5"):
                counts[process] = counts.get(process, 0) + 1
        return sorted(counts.values(), reverse=True)

    def test_checkpoints(self):
        """One rank syncs now and then, for its node; all that write do at the end."""
        for way, writing in (("writer", 1), ("independent", 2)):
            with self.subTest(way=way):
                never = self.syncs("-store", way, "-checkpoint_interval", "0")
                often = self.syncs("-store", way, "-checkpoint_interval", "0.02", at_least=8)
                self.assertEqual((len(never), len(often)), (writing, writing))
                self.assertLessEqual(never[0], 2)
                self.assertGreaterEqual(often[0], 8)
                self.assertEqual(often[1:], never[1:])

    def slow_disk(self, **values):
        """A sweep on a disk whose fsync takes two seconds, with a checkpoint due all the time."""
        values = {"LD_PRELOAD": str(program.PROGRAM.parent / "libslow.so"), "CTPG_TEST_SLOW_SYNC": "2000000", **values}
        with mock.patch.dict(os.environ, values):
            return Job("sweep", *LONG, "-out", self.folder / "a.h5", "-checkpoint_interval", "0.05", ranks=2,
                       cwd=self.folder)

    def test_nobody_waits_for_a_checkpoint(self):
        job, out = self.slow_disk(), self.folder / "a.h5"
        wait_for_rows(job, out, 10)
        before = len(committed(out))
        time.sleep(1.5)
        self.assertGreater(len(committed(out)), before + 50)
        job.interrupt()
        self.assertEqual(job.finish()[0], 75)

    def test_a_checkpoint_that_fails_ends_the_sweep(self):
        job = self.slow_disk(CTPG_TEST_SLOW_SYNC="0", CTPG_TEST_SYNCS="4")
        code, _, err = job.finish()
        self.assertEqual(code, 1, err)
        self.assertRegex(err, r"Cannot bring \S*a.h5 to the disk: Input/output error")


class Shards(InFolder):
    PLAN = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,eu=euler-bptt", "-seeds", "0:5", "-rtol", "1e-3,1e-6",
            "-dt", "0.1", "-save_gradients")

    def shards(self, n, *options):
        for i in range(1, n + 1):
            self.sweep(f"{i}.h5", *self.PLAN, "-shard", f"{i}/{n}", *options, ranks=2 if i == 1 else 0)
        return [f"{i}.h5" for i in range(1, n + 1)]

    def merge(self, *files, out="all.h5", code=0):
        found, text, err = run("merge", *files, "-out", out, cwd=self.folder)
        self.assertEqual(found, code, text + err)
        if code:
            lines = err.splitlines()
            self.assertEqual(len(lines), 1, err)
            self.assertFalse((self.folder / out).exists())
            return lines[0]
        self.text = text
        return re.search(r"digest: (\w+)", text).group(1)

    def test_shards_are_the_whole(self):
        whole = self.sweep("whole.h5", *self.PLAN)
        for n in (2, 3, 7):
            files = self.shards(n)
            cases = [len(self.results(name).cases) for name in files]
            self.assertEqual(sum(cases), 10)
            self.assertLessEqual(max(cases) - min(cases), 1)
            before = [sha256(self.folder / name) for name in files]
            self.assertEqual(self.merge(*reversed(files)), whole)
            self.assertEqual([sha256(self.folder / name) for name in files], before)
            self.assertEqual(self.sweep("all.h5", *self.PLAN), whole)
            self.assertIn("resumed, 30 of 30 runs done", self.text)
            one, other = self.results("whole.h5"), self.results("all.h5")
            self.assertEqual(list(one.runs["run_key"]), list(other.runs["run_key"]))
            self.assertEqual(set(one.arrays), set(other.arrays))
            for name in one.arrays:
                if not name.endswith(("table", "commit")):
                    self.assertEqual(one.arrays[name].tobytes(), other.arrays[name].tobytes(), name)
            for name in ("all.h5", *files):
                os.unlink(self.folder / name)

    def test_missing_and_unfinished_shards(self):
        whole = self.sweep("whole.h5", *self.PLAN)
        files = self.shards(3)
        self.merge(files[0], files[2])
        self.assertIn("2 of 3 shards; missing: 2", self.text)
        self.assertIn("shard 1+3/3 of its plan", run("status", "all.h5", cwd=self.folder)[1])
        self.assertEqual(self.merge("all.h5", files[1], out="more.h5"), whole)
        self.assertNotIn("missing", self.text)
        self.assertEqual(self.sweep("all.h5", *self.PLAN), whole)  # or the sweep makes up for it
        with h5py.File(self.folder / files[1], "r+") as file:
            commit = file["runs/commit"][()]
            commit["status"][:3] = -1
            file["runs/commit"][...] = commit
        self.merge(*files, out="holes.h5")
        self.assertIn("27 of 30 runs done", self.text)
        self.assertEqual(self.sweep("holes.h5", *self.PLAN), whole)

    def test_sessions_and_labels(self):
        self.sweep("a.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3")
        self.sweep("b.h5", "-problems", "diffdrive,lqr", "-estimators", "rk-adjoint,ctpg", "-seeds", "1:3", "-rtol",
                   "1e-3")
        self.merge("a.h5", "b.h5")
        merged = self.results("all.h5")
        self.assertEqual((merged.problems, merged.estimators), (["lqr", "diffdrive"], ["ctpg", "rk-adjoint"]))
        self.assertEqual(len(merged.runs), 2 + 8 - 1)  # seed 1 of ctpg on lqr is in both
        self.assertEqual(sorted(set(merged.runs["session"])), [0, 1])
        for name in ("a.h5", "b.h5"):
            part = self.results(name)
            for row in part.runs:
                found = merged.runs[merged.runs["run_key"] == row["run_key"]][0]
                self.assertEqual(part.problems[row["problem"]], merged.problems[found["problem"]])
                self.assertEqual(part.estimators[row["estimator"]], merged.estimators[found["estimator"]])
                self.assertEqual(part.cases[row["case_index"]]["case_key"],
                                 merged.cases[found["case_index"]]["case_key"])
        text = run("status", "all.h5", cwd=self.folder)[1]
        self.assertIn("session 1: ", text)
        self.assertIn("-seeds 1:3", text)

    def test_refusals(self):
        base = ("-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3")
        self.sweep("a.h5", *base)
        for name, options in (("option.h5", ("-ctpg_spline", "hermite3")), ("horizon.h5", ("-horizon", "5")),
                              ("type.h5", ("-estimators", "ctpg,x=ctpg", "-x_spline", "hermite3")),
                              ("type2.h5", ("-estimators", "x=rk-adjoint")), ("experiment.h5", ("-experiment", "3"))):
            self.sweep(name, *base, *options)
        shutil.copy(self.folder / "a.h5", self.folder / "copy.h5")
        self.make_conflict("conflict.h5", base)
        for files, words in ((("a.h5", "option.h5"), "estimator ctpg has spline = "),
                             (("a.h5", "horizon.h5"),
                              "problem lqr has horizon = 10 in a.h5 and horizon = 5 in horizon.h5"),
                             (("type.h5", "type2.h5"), "estimator x is ctpg, version"),
                             (("a.h5", "experiment.h5"), "a.h5 is of -experiment 0, experiment.h5 of -experiment 3"),
                             (("a.h5", "copy.h5"), "a.h5 and copy.h5 are one and the same file"),
                             (("a.h5", "none.h5"), "Cannot read none.h5: No such file"),
                             (("a.h5", "conflict.h5"),
                              "disagree on one run: ctpg on lqr, seed 0, accuracy 0.001: loss is"),
                             ((), "merge needs files and a name for the new one")):
            with self.subTest(files=files):
                self.assertIn(words, self.merge(*files, code=1))
        code, _, err = run("merge", "a.h5", "-out", "option.h5", cwd=self.folder)
        self.assertEqual(code, 1)
        self.assertIn("-out option.h5 exists; a new file is written, and none is changed", err)

    def make_conflict(self, name, options):
        """Run 0 with another loss, and the checksum that goes with it."""
        self.sweep(name, *options)
        with h5py.File(self.folder / name, "r+") as file:
            rows, commit = file["runs/table"][()], file["runs/commit"][()]
            rows["loss"][0] *= 1 + 1e-15 * 4
            checksum = hashlib.sha256(rows[0].tobytes() + file["runs/sketch"][0].tobytes()).digest()
            commit["checksum_0"][0], commit["checksum_1"][0] = struct.unpack("<QQ", checksum[:16])
            file["runs/table"][...], file["runs/commit"][...] = rows, commit
        self.assertNotIn("damaged", run("status", self.folder / name)[1])

    def test_crash_gives_way(self):
        """A row that ended by its environment in one file is taken from the other."""
        base = ("-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3,1e-9")
        whole = self.sweep("a.h5", *base, "-seeds", "0:2")
        self.sweep("b.h5", *base, "-seeds", "0:2", "-run_time_limit", "1e-9", "-eval_limit", "99999999")
        self.sweep("c.h5", *base, "-seeds", "0:2", "-run_time_limit", "1e-9")
        self.assertIn("timeout", {self.results("c.h5").status_of(row) for row in self.results("c.h5").runs})
        self.assertEqual(self.merge("c.h5", "a.h5"), whole)

    def test_bad_shards(self):
        for text in ("0/3", "4/3", "3", "a/b", "1/0", "1/3x", "-1/3", "1/"):
            with self.subTest(shard=text):
                code, _, err = run("sweep", *self.PLAN, "-shard", text, cwd=self.folder)
                self.assertEqual(code, 1)
                self.assertRegex(err, r"^ctpgbench: -shard .*expected i/n with 1 <= i <= n, as in 2/8\n$")
        code, _, err = run("sweep", *self.PLAN, "-shard", "50/99", cwd=self.folder)
        self.assertIn("-shard 50/99 holds no case; expected at most 10 shards", err)
        self.sweep("a.h5", *self.PLAN, "-shard", "1/2")
        code, _, err = run("sweep", *self.PLAN, "-shard", "2/2", "-out", "a.h5", cwd=self.folder)
        self.assertIn("; -shard is 1/2 there and 2/2 here", err)
        self.assertEqual(program.left_in(self.folder), ["a.h5"])


class BadInput(InFolder):
    def test_options(self):
        plan = ("sweep", "-problems", "lqr", "-estimators", "ctpg")
        for arguments, words in (((*plan, "-store", "both"),
                                  "-store both is unknown; expected one of independent, writer"),
                                 ((*plan, "-checkpoint_interval", "nan"), "-checkpoint_interval nan is out of range"),
                                 ((*plan, "-time_margin", "-1"), "-time_margin -1 is out of range"),
                                 ((*plan, "-retry_crashed", "maybe"), "-retry_crashed maybe is neither true nor false"),
                                 ((*plan, "-out", "/proc/a.h5"), "Cannot write /proc/a.h5: No such file"),
                                 (("merge",), "merge needs files"),
                                 (("merge", "a.h5", "b.h5"), "merge needs files and a name for the new one"),
                                 (("merge", "-out", "c.h5", "a.h5"), "Cannot read a.h5: No such file"),
                                 (("status", "a.h5", "b.h5"), "the word 'b.h5' belongs to no option")):
            with self.subTest(arguments=arguments):
                code, _, err = run(*arguments, cwd=self.folder)
                self.assertEqual((code, len(err.splitlines())), (1, 1), err)
                self.assertIn(words, err)
        self.assertEqual(os.listdir(self.folder), [])


class TimeLimits(InFolder):
    def sweep_in_job(self, *options, code=75, **variables):
        with mock.patch.dict(os.environ, variables):
            self.sweep("a.h5", *LONG, *options, code=code)

    def fake(self, name, script):
        path = self.folder / "bin"
        path.mkdir(exist_ok=True)
        (path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        (path / name).chmod(0o755)
        return f"{path}:{os.environ['PATH']}"

    def test_slurm_environment(self):
        self.sweep_in_job("-time_margin", "60", SLURM_JOB_ID="17", SLURM_JOB_END_TIME=str(int(time.time()) + 61))
        self.assertRegex(self.text, r"Slurm job 17 has 6[01] s left: this sweep stops in good order 60 s before")

    def test_squeue(self):
        for answer, seconds in (("1:01", 61), ("0:04", 4)):
            path = self.fake("squeue", f'test "$*" = "-h -j 17 -o %L" && echo {answer}')
            self.sweep_in_job("-time_margin", str(seconds - 0.5), SLURM_JOB_ID="17", PATH=path)
            self.assertIn(f"Slurm job 17 has {seconds} s left", self.text)

    def test_no_end(self):
        for answer in ("UNLIMITED", "INVALID", ""):
            path = self.fake("squeue", f"echo {answer}")
            with mock.patch.dict(os.environ, {"SLURM_JOB_ID": "17", "PATH": path}):
                self.sweep("b.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
            self.assertIn("Slurm job 17 does not say when it ends", self.text)

    def test_long_times(self):
        path = self.fake("squeue", "echo 1-02:00:04")
        with mock.patch.dict(os.environ, {"SLURM_JOB_ID": "17", "PATH": path}):
            self.sweep("b.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
        self.assertIn("has 93604 s left: this sweep stops in good order 60 s before", self.text)
        path = self.fake("squeue", "echo 20:00")
        with mock.patch.dict(os.environ, {"SLURM_JOB_ID": "17", "PATH": path}):
            self.sweep("c.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
        self.assertIn("has 1200 s left: this sweep stops in good order 60 s before", self.text)
        path = self.fake("squeue", "echo 40")
        with mock.patch.dict(os.environ, {"SLURM_JOB_ID": "17", "PATH": path}):
            self.sweep("d.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
        self.assertIn("has 40 s left: this sweep stops in good order 10 s before", self.text)

    def test_training_adapts_its_margin_as_a_sweep_does(self):
        plan = ("train", "-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-iterations", "3")
        for answer, left, margin in (("40", 40, 10), ("20:00", 1200, 60)):
            path = self.fake("squeue", f"echo {answer}")
            with mock.patch.dict(os.environ, {"SLURM_JOB_ID": "17", "PATH": path}):
                code, out, err = run(*plan, "-out", f"t{left}.h5", cwd=self.folder)
            self.assertEqual(code, 0, out + err)
            self.assertIn(f"has {left} s left: this training stops in good order {margin} s before", out)
            self.assertNotIn("sweep", out + err)

    def test_qstat(self):
        path = self.fake("qstat", 'test "$*" = "-f 17.server" && printf "Job Id: 17\\n    Resource_List.walltime = '
                                  '01:00:00\\n    resources_used.walltime = 00:58:59\\n"')
        self.sweep_in_job("-time_margin", "60", PBS_JOBID="17.server", PATH=path)
        self.assertIn("PBS job 17.server has 61 s left", self.text)

    def test_options_win(self):
        variables = {"SLURM_JOB_ID": "17", "SLURM_JOB_END_TIME": str(int(time.time()) + 61)}
        plan = ("-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
        with mock.patch.dict(os.environ, variables):
            self.sweep("b.h5", *plan, "-time_limit", "0", "-time_margin", "3600")
            self.assertNotIn("left", self.text)
            self.sweep("c.h5", *plan, "-time_margin", "3600", code=75)  # nothing is left


class Status(InFolder):
    """Every command that status prints gives the run's bits again."""

    def repeat(self, line):
        out = self.folder / "again.h5"
        done = subprocess.run(["bash", "-c", f"{line} -reference no -out {out}"], cwd=self.folder, text=True,
                              env=program.environment(0), capture_output=True, timeout=60)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        with h5py.File(out) as file:
            return dict(file.attrs), file["loss"][()]

    def status(self):
        """What status prints of a.h5, each command on one line: where one goes on, a line ends in a backslash."""
        return re.sub(r" \\\n *", " ", run("status", "a.h5", cwd=self.folder)[1])

    def commands(self, results):
        """(row, command) of every run that status lists."""
        text = self.status().splitlines()
        found = []
        for title, line in zip(text, text[1:]):
            match = re.match(r"(\S+) on (\S+), seed (\d+), (?:rtol|dt) (\S+), ", title)
            if match and line.startswith("    "):
                estimator, problem, seed, accuracy = match.groups()
                rows = results.select(problem, estimator)
                rows = rows[(rows["seed"] == int(seed)) & (rows["accuracy"] == float(accuracy))]
                self.assertEqual(len(rows), 1, title)
                found.append((rows[0], line.strip()))
        return found

    def check(self, *options, at_least):
        self.sweep("a.h5", *options)
        results = self.results("a.h5")
        found = self.commands(results)
        self.assertGreaterEqual(len(found), at_least)
        for row, line in found:
            with self.subTest(line=line):
                attributes, loss = self.repeat(line)
                self.assertEqual(np.float64(loss).tobytes(), row["loss"].tobytes())
                self.assertEqual(attributes["nfe"], row["nfe"])
                self.assertEqual(attributes["status"].decode() if isinstance(attributes["status"], bytes)
                                 else attributes["status"], results.status_of(row))
        return found

    def test_slowest_and_failed(self):
        found = self.check("-problems", "lqr,wide=diffdrive", "-wide_policy_widths", "8,8", "-policy_init_scale", "0.7",
                           "-estimators", "ctpg,n=neural-ode,eu=euler-bptt", "-n_eval_limit", "300", "-ctpg_spline",
                           "hermite3", "-seeds", "0:3", "-rtol", "1e-9,3e-5", "-dt", "0.1", "-wide_dt", "0.03",
                           "-experiment", "4", at_least=8)
        self.assertTrue(any("eval_limit" in line for _, line in found))

    def test_plugins_and_quotes(self):
        found = self.check("-problem_library", place / "my_cart.so", "-estimator_library", place / "my_midpoint.so",
                           "-problems", "c=my_cart", "-c_damping", "0.3", "-estimators", "my_midpoint", "-dt",
                           "0.1,0.05,0.025,0.02,0.01", "-seeds", "3", at_least=5)
        self.assertIn("it'\\''s", found[0][1])

    def test_reference(self):
        self.sweep("a.h5", "-problems", "wild=lqr", "-wild_A", "5", "-wild_policy", "mlp", "-wild_policy_widths", "4",
                   "-wild_policy_init_scale", "0", "-wild_horizon", "200", "-estimators", "ctpg", "-rtol", "1e-3",
                   "-seeds", "0:1")
        text = self.status()
        line = re.search(r"reference of wild, seed 0, diverged: .*\n +(.*)", text).group(1)
        done = subprocess.run(["bash", "-c", line], env=program.environment(0), text=True, capture_output=True)
        self.assertIn("status      diverged", done.stdout)


class Memory(InFolder):
    """Rows are gone through, and never all in memory."""

    def peak(self, seeds, repeats, says):
        """MB that a session took which did nothing but open the file."""
        command = program.command(["sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", seeds, "-rtol", "1e-3",
                                   "-repeats", repeats, "-time_limit", "1e-9", "-out", "a.h5"], 0)
        with open(self.folder / "log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=program.environment(0), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            text = log.read()
        self.assertEqual(process.returncode, 75, text)
        self.assertIn(says, text)
        return usage.ru_maxrss / 1024

    def test_going_on_does_not_take_the_file_into_memory(self):
        self.peak("0:6", 1, "0 of 6 runs done")
        small = self.peak("0:6", 1, "a.h5: resumed, 0 of 6 runs done")
        self.peak("0:6", 4000, "laid out anew for 24000 runs in place of 6")
        self.assertLess(self.peak("0:6", 4000, "a.h5: resumed, 0 of 24000 runs done") - small, 15)
        self.assertLess(self.peak("0:7", 4000, "laid out anew for 28000 runs in place of 24000") - small, 15)


if __name__ == "__main__":
    unittest.main()
