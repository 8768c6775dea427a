"""test_sweep.py -- one plan at any number of ranks, killed, resumed and enlarged; labels, plans in files, commands

Every comparison is of bits: digests, and rows column by column where clocks, hosts and ranks do not enter.
"""
import json
import os
import random
import re
import signal
import time
import unittest

import h5py
import numpy as np

import program
from program import InFolder, Job, committed, run, sha256

PLAN = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,rk-adjoint,euler-bptt", "-seeds", "0:3", "-rtol",
        "1e-9,1e-6,1e-3", "-dt", "0.02,0.1", "-timing_threshold", "0")


class Ranks(InFolder):
    def check_equal(self, a, b):
        self.assertEqual(a.statuses, b.statuses)
        for one, other in ((a.runs, b.runs), (a.cases, b.cases)):
            self.assertEqual(one.dtype, other.dtype)
            for name in one.dtype.names:
                if name not in program.ENVIRONMENT:
                    self.assertEqual(one[name].tobytes(), other[name].tobytes(), name)
        self.assertEqual(a.sketch.tobytes(), b.sketch.tobytes())
        for name, values in a.arrays.items():
            if not name.endswith(("table", "commit")):
                self.assertEqual(values.tobytes(), b.arrays[name].tobytes(), name)

    def test_same_bits_at_any_number_of_ranks(self):
        digests, first = {}, None
        for ranks in (0, 1, 2, 3, 4):
            out = f"{ranks}.h5"
            digests[ranks] = self.sweep(out, *PLAN, ranks=ranks)
            results = self.results(out)
            self.assertTrue(results.done().all())
            self.assertEqual(len(results.runs), 2 * 3 * (3 + 3 + 2))
            first = first or results
            self.check_equal(first, results)
            if ranks == 4:
                self.assertGreater(len(set(results.runs["rank"])), 1, "one rank did all the work")
        self.assertEqual(len(set(digests.values())), 1, digests)

    def test_finished_sweep_is_left_alone(self):
        digest = self.sweep("a.h5", *PLAN, ranks=2)
        before = committed(self.folder / "a.h5")
        self.assertEqual(self.sweep("a.h5", *PLAN, ranks=2), digest)
        self.assertIn("resumed, 48 of 48 runs done", self.text)
        self.assertEqual(committed(self.folder / "a.h5"), before)  # clocks included: nothing was run again
        self.assertEqual(self.sweep("a.h5", *PLAN), digest)

    def test_another_experiment_is_another_result(self):
        one = self.sweep("a.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3")
        other = self.sweep("b.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3",
                           "-experiment", "1")
        self.assertNotEqual(one, other)


class Kill(InFolder):
    """A sweep of some seconds; every way in which a job can end early."""
    LONG = ("-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint,euler-bptt", "-seeds", "0:60", "-rtol",
            "1e-11:1e-4:16", "-dt", "5e-4,1e-3", "-timing_threshold", "0")
    TOTAL = 60 * (16 + 16 + 2)
    INCOMPLETE = "incomplete: the same command goes on from here"

    def start(self, ranks=2):
        """mpirun, which gives its ranks a second to end, gives them none here: there must be work left to disturb."""
        return Job("sweep", *self.LONG, "-out", self.out, ranks=ranks, cwd=self.folder, odls_base_sigkill_timeout=0)

    def wait_for_rows(self, job, more):
        """Until `more` rows were added, or the job ended: what is committed then."""
        before, rows = None, {}
        while job.process.poll() is None:
            rows = committed(self.out) if self.out.exists() else {}
            before = len(rows) if before is None else before
            if len(rows) >= before + more:
                break
            time.sleep(0.005)
        return rows

    def check_kept(self, rows):
        now = committed(self.out)
        self.assertLessEqual(rows.keys(), now.keys(), "committed rows are lost")
        for key, row in rows.items():
            self.assertEqual(now[key], row, "a committed row has changed")
        self.assertEqual([path.name for path in self.folder.glob("*.new")], [])

    def strike(self, job, number, mpirun, victims, delay=0.0):
        """Signal to mpirun or to the last `victims` ranks, `delay` after a new row: (rows before, code, stdout)."""
        if mpirun and number != signal.SIGKILL and not program.passes_signals():
            mpirun, victims = 0, 2
        ranks = job.ranks()
        self.assertEqual(len(ranks), 2)
        self.wait_for_rows(job, 1)
        time.sleep(delay)
        rows = committed(self.out)
        self.assertIsNone(job.process.poll(), "the sweep ended before it was disturbed")
        for pid in [job.process.pid] * mpirun + ranks[2 - victims:]:
            os.kill(pid, number)
        code, out, _ = job.finish()
        job.wait_for_ranks()
        return rows, code, out

    def test_kill_and_resume(self):
        self.out = self.folder / "undisturbed.h5"
        job = self.start()
        self.check_status_while_running(job)
        code, out, err = job.finish()
        self.assertEqual(code, 0, err)
        expected = re.search(r"digest: (\w+)", out).group(1)

        self.out = self.folder / "killed.h5"
        chance = random.Random(2)
        strikes = [(signal.SIGUSR1, 1, 0), (signal.SIGKILL, 0, 1), (signal.SIGKILL, 0, 2), (signal.SIGTERM, 1, 0),
                   (signal.SIGKILL, 1, 2), (signal.SIGKILL, 1, 0)]  # the last: orphans, which end on their own
        for number, mpirun, victims in strikes:
            with self.subTest(signal=number, mpirun=mpirun, victims=victims):
                rows, code, out = self.strike(self.start(), number, mpirun, victims, chance.uniform(0, 0.1))
                self.check_kept(rows)
                if number == signal.SIGUSR1:
                    self.assertEqual(code, 75)
                    self.assertIn(self.INCOMPLETE, out)
                    self.assertNotIn("digest", out)
                    self.assertLess(len(committed(self.out)), self.TOTAL)
                else:
                    self.assertNotEqual(code, 0)
        rows = committed(self.out)
        self.assertGreaterEqual(len(rows), len(strikes))
        self.assertEqual(self.sweep("killed.h5", *self.LONG, ranks=2), expected)
        self.check_kept(rows)

    def test_no_run_is_blamed_for_the_end_of_its_launcher(self):
        """MPI itself calls _exit() in ranks whose mpirun is gone, in the middle of a run."""
        self.out = self.folder / "orphans.h5"
        for _ in range(3):
            self.strike(self.start(), signal.SIGKILL, 1, 0, 0.05)
            marks = self.folder / "orphans.h5.crash"
            self.assertEqual(marks.read_bytes().strip(b"\0") if marks.exists() else b"", b"")

    def check_status_while_running(self, job):
        self.wait_for_rows(job, 5)
        code, out, err = run("status", self.out)
        self.assertIsNone(job.process.poll(), "the sweep ended before its status was asked for")
        self.assertEqual(code, 0, err)
        done = int(re.search(rf"(\d+) of {self.TOTAL} runs done", out).group(1))
        self.assertGreaterEqual(done, 5)
        self.assertLess(done, self.TOTAL)

    def test_killed_while_it_begins(self):
        self.out = self.folder / "early.h5"
        chance = random.Random(3)
        for _ in range(4):
            job = self.start()
            job.ranks()
            time.sleep(chance.uniform(0, 0.6))
            job.kill()
            job.finish()
            job.wait_for_ranks()
            if self.out.exists():
                code, _, err = run("status", self.out)
                self.assertEqual(code, 0, err)
        _, code, out = self.strike(self.start(), signal.SIGUSR1, 1, 0)
        self.assertEqual(code, 75)
        self.assertIn(self.INCOMPLETE, out)

    def test_time_limit(self):
        quiet = self.sweep("quiet.h5", *self.LONG, ranks=2)
        self.sweep("limited.h5", *self.LONG, "-time_limit", "0.4", ranks=2, code=75)
        self.assertFalse(self.results("limited.h5").done().all())
        self.assertEqual(self.sweep("limited.h5", *self.LONG, ranks=2), quiet)

    def test_signals_without_mpirun(self):
        self.out = self.folder / "alone.h5"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            job = self.start(ranks=0)
            rows = self.wait_for_rows(job, 1)
            os.kill(job.process.pid, number)
            code, out, _ = job.finish()
            self.assertEqual(code, 75, number)
            self.assertIn(self.INCOMPLETE, out)
            self.check_kept(rows)


class Enlarge(InFolder):
    SMALL = ("-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3,1e-6")
    LARGE = ("-problems", "lqr", "-estimators", "rk-adjoint,ctpg", "-seeds", "0:4", "-rtol", "1e-9,1e-3,1e-6")

    def test_rows_are_taken_over(self):
        self.sweep("a.h5", *self.SMALL)
        before = self.results("a.h5")
        digest = self.sweep("a.h5", *self.LARGE, ranks=2)
        self.assertIn("laid out anew for 24 runs in place of 4, 4 of them done", self.text)
        after = self.results("a.h5")
        self.assertTrue(after.done().all())
        for row in before.runs:
            found = after.runs[after.runs["run_key"] == row["run_key"]]
            self.assertEqual(len(found), 1)
            for name in set(row.dtype.names) - {"case_index", "problem", "estimator"}:
                self.assertEqual(found[0][name].tobytes(), row[name].tobytes(), name)  # its clock too: not run again
        self.assertEqual(sorted(set(after.runs["session"])), [0, 1])
        self.assertEqual(np.count_nonzero(after.runs["session"] == 0), 4)
        self.assertEqual(digest, self.sweep("b.h5", *self.LARGE))

    def test_unfinished_file_is_enlarged(self):
        with h5py.File(self.make_small(), "r+") as file:
            commit = file["runs/commit"][()]
            commit["status"][1] = -1
            file["runs/commit"][...] = commit
        digest = self.sweep("a.h5", *self.LARGE)
        self.assertIn("3 of them done", self.text)
        self.assertEqual(digest, self.sweep("b.h5", *self.LARGE))

    def test_damaged_row_is_repeated(self):
        path = self.make_small()
        digest = self.sweep("a.h5", *self.SMALL)
        with h5py.File(path, "r+") as file:
            row = file["runs/table"][2]
            row["err_rel"] *= 2
            file["runs/table"][2] = row
        self.assertIn("1 committed rows fail their checksum", run("status", path)[1])
        self.assertEqual(self.sweep("a.h5", *self.SMALL), digest)
        self.assertIn("3 of 4 runs done", self.text)

    def make_small(self):
        self.sweep("a.h5", *self.SMALL)
        return self.folder / "a.h5"

    def test_other_labels_and_order(self):
        self.make_small()
        rows = committed(self.folder / "a.h5")
        digest = self.sweep("b.h5", *self.SMALL)
        self.assertEqual(self.sweep("a.h5", "-problems", "plant=lqr", "-estimators", "flow=ctpg", *self.SMALL[4:]),
                         digest)
        after = self.results("a.h5")
        self.assertEqual((after.problems, after.estimators), (["plant"], ["flow"]))
        self.assertEqual(committed(self.folder / "a.h5"), rows)

    def test_smaller_plan_is_refused(self):
        path = self.make_small()
        before = sha256(path)
        refused = [
            (("-seeds", "1:4"), "ctpg on lqr, seed 0, accuracy 0.001"),
            (("-rtol", "1e-3,1e-4"), "accuracy 1e-06"),
            (("-ctpg_rk", "5dp"), "estimator ctpg has rk = tsit5 there and rk = 5dp here"),
            (("-horizon", "5"), "problem lqr has horizon = 10 there and horizon = 5 here"),
            (("-estimators", "rk-adjoint"), "ctpg on lqr"),
            (("-problems", "diffdrive"), "ctpg on lqr"),
            (("-experiment", "2"), "of its 4 runs are not in this one")]
        for i, (options, words) in enumerate(refused):
            with self.subTest(options=options):
                code, out, err = run("sweep", *self.SMALL, *options, "-out", path, ranks=2 if i == 0 else 0)
                self.assertEqual(code, 1)
                lines = [line for line in err.splitlines() if line.startswith("ctpgbench: ")]
                self.assertEqual(len(lines), 1, err)
                self.assertIn(str(path), lines[0])
                self.assertIn(words, lines[0])
                self.assertEqual(sha256(path), before)
        self.assertEqual(program.left_in(self.folder), ["a.h5"])

    def test_saved_gradients_stay(self):
        digest = self.sweep("a.h5", *self.SMALL, "-save_gradients")
        saved = self.results("a.h5").arrays["lqr/gradient"]
        self.assertTrue(np.isfinite(saved).all())
        self.assertEqual(self.sweep("a.h5", *self.SMALL), digest)
        self.assertEqual(self.results("a.h5").arrays["lqr/gradient"].tobytes(), saved.tobytes())
        self.sweep("a.h5", *self.LARGE)
        self.assertEqual(self.results("a.h5").arrays["lqr/gradient"].shape, (24, 6))
        self.assertTrue(np.isfinite(self.results("a.h5").arrays["lqr/gradient"]).all())


class Labels(InFolder):
    def test_labels_never_enter(self):
        common = ("-seeds", "0:2", "-rtol", "1e-3,1e-6", "-timing_threshold", "0", "-save_gradients")
        self.sweep("a.h5", "-problems", "lqr,wide=lqr", "-wide_policy", "mlp", "-wide_policy_widths", "64",
                   "-estimators",
                   "ctpg,hermite=ctpg", "-hermite_spline", "hermite3", *common)
        a = self.results("a.h5")
        self.assertEqual((a.problems, a.estimators), (["lqr", "wide"], ["ctpg", "hermite"]))
        self.assertEqual(a.np, [2 * 2 + 2, 2 * 64 + 64 + 64 * 2 + 2])
        self.assertEqual(len(a.runs), 16)
        self.assertEqual(len(set(a.runs["run_key"])), 16)
        self.assertEqual(a.arrays["lqr/x0"].tobytes(), a.arrays["wide/x0"].tobytes())

        self.sweep("b.h5", "-problems", "broad=lqr", "-policy", "mlp", "-lqr_policy_widths", "64", "-estimators",
                   "cubic=ctpg,ctpg", "-cubic_spline", "hermite3", *common)
        b = self.results("b.h5")
        for mine, theirs in (("ctpg", "ctpg"), ("hermite", "cubic")):
            one, other = a.select("wide", mine), b.select("broad", theirs)
            self.assertEqual(len(one), 4)
            for name in set(one.dtype.names) - {*program.ENVIRONMENT, "case_index", "problem", "estimator"}:
                self.assertEqual(one[name].tobytes(), other[name].tobytes(), name)
        self.assertFalse(np.array_equal(a.select("lqr", "ctpg")["err_rel"], a.select("lqr", "hermite")["err_rel"]))

    def accuracies(self, *options, problems="lqr", estimators="a=ctpg,b=ctpg,c=rk-adjoint,d=euler-bptt"):
        self.sweep("x.h5", "-problems", problems, "-estimators", estimators, "-seeds", "0", *options)
        results = self.results("x.h5")
        os.remove(self.folder / "x.h5")
        return {(p, e): list(results.select(p, e)["accuracy"]) for p in results.problems for e in results.estimators}

    def test_the_most_special_accuracy_counts(self):
        found = self.accuracies("-a_rtol", "1e-3", "-ctpg_rtol", "1e-4", "-rtol", "1e-5", "-d_dt", "0.1,0.05", "-dt",
                                "0.2")
        self.assertEqual(found, {("lqr", "a"): [1e-3], ("lqr", "b"): [1e-4], ("lqr", "c"): [1e-5],
                                 ("lqr", "d"): [0.1, 0.05]})
        found = self.accuracies("-a_rtol", "1e-3", "-lqr_rtol", "1e-5", "-rtol", "1e-6", "-lqr_dt", "0.1", "-dt", "0.2",
                                problems="lqr,diffdrive", estimators="a=ctpg,c=rk-adjoint,d=euler-bptt")
        self.assertEqual(found, {("lqr", "a"): [1e-3], ("lqr", "c"): [1e-5], ("lqr", "d"): [0.1],
                                 ("diffdrive", "a"): [1e-3], ("diffdrive", "c"): [1e-6], ("diffdrive", "d"): [0.2]})

    def test_seeds_of_one_problem(self):
        plan = ("-problems", "lqr,diffdrive,short=lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-short_horizon", "2",
                "-seeds", "1:3", "-lqr_seeds", "4:5", "-short_seeds", "0:3")
        whole = self.sweep("a.h5", *plan)
        cases = self.results("a.h5").cases
        self.assertEqual([(int(c["problem"]), int(c["seed"]), int(c["row"])) for c in cases],
                         [(0, 4, 0), (1, 1, 0), (1, 2, 1), (2, 0, 0), (2, 1, 1), (2, 2, 2)])
        for shard in (1, 2):
            self.sweep(f"{shard}.h5", *plan, "-shard", f"{shard}/2")
        code, text, err = run("merge", "1.h5", "2.h5", "-out", "both.h5", cwd=self.folder)
        self.assertEqual(code, 0, err)
        self.assertIn(whole, text)

    def test_ladder(self):
        found = self.accuracies("-rtol", "1e-9:1e-1:5", estimators="ctpg")
        np.testing.assert_allclose(found["lqr", "ctpg"], [1e-9, 1e-7, 1e-5, 1e-3, 1e-1], rtol=1e-14)

    def test_repeats(self):
        self.sweep("a.h5", "-problems", "lqr", "-estimators", "ctpg,euler-bptt", "-seeds", "0:2", "-rtol", "1e-3",
                   "-dt", "0.1",
                   "-ctpg_repeats", "3")
        rows = self.results("a.h5").select("lqr", "ctpg")
        self.assertEqual(list(rows["repeat"]), [0, 1, 2, 0, 1, 2])
        self.assertEqual(len(set(rows["run_key"])), 6)
        self.assertEqual(len(set(rows["err_rel"][:3])), 1)
        self.assertEqual(len(self.results("a.h5").select("lqr", "euler-bptt")), 2)

    def test_plan_in_a_file(self):
        (self.folder / "plan.yaml").write_text(
            "problems: [lqr, wide=lqr]\n"
            "estimators:\n  - ctpg\n  - hermite=ctpg\n"
            "seeds: 0:3 # half open\n"
            "rtol: [1e-3, 1e-6]\n"
            "hermite:\n  spline: hermite3\n  rtol: 1e-4\n"
            "wide:\n  policy: mlp\n  policy_widths: [8, 8]\n"
            "save_gradients: true\n", encoding="ascii")
        flags = ("-problems", "lqr,wide=lqr", "-estimators", "ctpg,hermite=ctpg", "-seeds", "0:2", "-rtol", "1e-3,1e-6",
                 "-hermite_spline", "hermite3", "-hermite_rtol", "1e-4", "-wide_policy", "mlp",
                 "-wide_policy_widths", "8,8")
        # The command line wins, wherever it stands.
        one = self.sweep("a.h5", "-seeds", "0:2", "-options_file", "plan.yaml", ranks=2)
        other = self.sweep("b.h5", "-options_file", "plan.yaml", "-seeds", "0:2")
        self.assertEqual({one, other}, {self.sweep("c.h5", *flags)})
        self.assertEqual(len(self.results("a.h5").runs), 2 * 2 * (2 + 1))
        self.assertIn("wide/gradient", self.results("a.h5").arrays)
        with h5py.File(self.folder / "a.h5") as file:
            self.assertIn(b"-seeds 0:2 -options_file plan.yaml", file["sessions"]["command_line"][0])
        # Labels chosen from it bring their types, and what it says of the others is not asked for.
        fewer = self.sweep("d.h5", "-options_file", "plan.yaml", "-problems", "wide", "-estimators", "ctpg")
        self.assertEqual(fewer, self.sweep("e.h5", "-problems", "wide=lqr", "-estimators", "ctpg", "-seeds", "0:3",
                                           "-rtol", "1e-3,1e-6", "-wide_policy", "mlp", "-wide_policy_widths", "8,8",
                                           "-save_gradients"))
        code, _, err = run("sweep", "-options_file", "plan.yaml", "-estimators", "ctpg", "-hermite_rtol", "1e-5",
                           "-out", "f.h5", cwd=self.folder)
        self.assertEqual(code, 1)
        self.assertIn("unknown option -hermite_rtol", err)


class File(InFolder):
    OPTIONS = ("-problems", "lqr", "-estimators", "ctpg,euler-bptt", "-seeds", "0:2", "-rtol", "1e-6", "-dt", "0.1")

    def test_sketch(self):
        """Projection k of a gradient: sum of +g_j or -g_j by bit k of word j of the stream (0, "sketch"), purpose 6."""
        self.sweep("a.h5", *self.OPTIONS, "-save_gradients")
        results = self.results("a.h5")
        gradients = results.arrays["lqr/gradient"]
        name_hash = 0xCBF29CE484222325
        for byte in b"sketch":
            name_hash = (name_hash ^ byte) * 0x100000001B3 % 2**64
        stream = np.random.Philox(key=np.array([0, name_hash], np.uint64), counter=np.array([0, 0, 6, 0], np.uint64))
        words = stream.random_raw(gradients.shape[1])
        signs = np.where((words[:, None] >> np.arange(16, dtype=np.uint64)) & np.uint64(1), 1.0, -1.0)
        for g, sketch in zip(gradients, results.sketch):
            np.testing.assert_array_equal(np.cumsum(signs * g[:, None], axis=0)[-1], sketch)
        np.testing.assert_allclose(np.linalg.norm(gradients, axis=1), results.runs["grad_norm"], rtol=1e-14)
        errors = np.linalg.norm(gradients - results.arrays["lqr/grad_theta"][results.runs["case_index"]], axis=1)
        np.testing.assert_allclose(errors, results.runs["err_abs"], rtol=1e-12)

    def test_pandas(self):
        try:
            import pandas
        except ModuleNotFoundError:
            self.skipTest("python3-pandas is not installed")
        self.sweep("a.h5", *self.OPTIONS)
        with h5py.File(self.folder / "a.h5") as file:
            frame = pandas.DataFrame(file["runs/table"][()])
        self.assertEqual(list(frame["nfe"]), list(frame["nf"] + frame["nvjp"]))
        self.assertEqual(list(frame.groupby("estimator")["err_rel"].count()), [2, 2])

    def test_gradient_file_is_the_sweeps(self):
        self.sweep("a.h5", *self.OPTIONS, "-save_gradients")
        results = self.results("a.h5")
        out = self.folder / "g.h5"
        for row in range(len(results.runs)):
            run_row = results.runs[row]
            estimator, knob = (("ctpg", "rtol"), ("euler-bptt", "dt"))[run_row["estimator"]]
            code, text, err = run("gradient", "-problem", "lqr", "-estimator", estimator, "-seed", run_row["seed"],
                                  f"-{knob}",
                                  run_row["accuracy"], "-out", out)
            self.assertEqual(code, 0, err)
            with h5py.File(out) as file:
                self.assertEqual(file["grad_theta"][()].tobytes(), results.arrays["lqr/gradient"][row].tobytes())
                self.assertEqual(file["x0"][()].tobytes(), results.arrays["lqr/x0"][run_row["case_index"]].tobytes())
                self.assertEqual(file["loss"][()], run_row["loss"])
                self.assertEqual(file["theta"].shape, (6,))
                self.assertEqual(file["grad_x0"].shape, (2,))
                attributes = {name: value.decode() if isinstance(value, bytes) else value
                              for name, value in file.attrs.items()}
            for name in ("nf", "nvjp", "nvjp_x", "nvjp_theta", "nplant", "nfe", "accuracy"):
                self.assertEqual(attributes[name], run_row[name], name)
            self.assertEqual((attributes["problem"], attributes["estimator"], attributes["knob"], attributes["status"]),
                             ("lqr", estimator, knob, "ok"))
            self.assertEqual((attributes["horizon"], attributes["case"]), (10, f"seed {run_row['seed']}"))
            self.assertIn(f"loss        {float(run_row['loss']):.10g}"[:18], text)

    def test_reference_file(self):
        self.sweep("a.h5", *self.OPTIONS)
        code, text, err = run("gradient", "-problem", "lqr", "-estimator", "reference", "-seed", "1", "-out",
                              self.folder / "g.h5")
        self.assertEqual(code, 0, err)
        self.assertIn("closed form", text)
        with h5py.File(self.folder / "g.h5") as file:
            self.assertEqual(file["grad_theta"][()].tobytes(),
                             self.results("a.h5").arrays["lqr/grad_theta"][1].tobytes())

    def test_case_file(self):
        """A case file made of a drawn case gives that case's gradient; its layers and horizon count, with a note."""
        out = self.folder / "g.h5"
        self.assertEqual(run("gradient", "-problem", "lqr", "-lqr_policy", "mlp", "-policy_widths", "4", "-horizon",
                             "2", "-out", out)[0], 0)
        with h5py.File(out) as file, h5py.File(self.folder / "cases.h5", "w") as cases:
            expected = file["grad_theta"][()]
            group = cases.create_group("mine")
            group["x0"], group["theta"] = file["x0"][()], file["theta"][()]
            group.attrs.update(layers=[2, 4, 2], activations=["tanh", "linear"], horizon=2.0)
        code, text, err = run("gradient", "-problem", "lqr", "-case_file", self.folder / "cases.h5", "-case", "mine",
                              "-out", out)
        self.assertEqual(code, 0, err)
        self.assertIn("note: policy 2-4-2 tanh,linear", text)
        self.assertIn("note: horizon 2", text)
        with h5py.File(out) as file:
            self.assertEqual(file["grad_theta"][()].tobytes(), expected.tobytes())


class Failures(InFolder):
    """A run that fails is a row, and the sweep goes on."""

    def check(self, digests, results, estimator, status, reason, count):
        self.assertEqual(len(set(digests)), 1)
        rows = results.select(None, estimator)
        failed = [row for row in rows if results.status_of(row) == status]
        self.assertEqual(len(failed), count, [results.status_of(row) for row in rows])
        for row in failed:
            self.assertIn(reason, row["reason"].decode())
            self.assertTrue(np.isnan(row["err_rel"]) and np.isnan(row["loss"]))
            self.assertGreater(row["nf"], 0)

    def both(self, *options):
        digests = [self.sweep(f"{ranks}.h5", *options, ranks=ranks) for ranks in (0, 2)]
        code, text, err = run("status", self.folder / "0.h5")
        self.assertEqual(code, 0, err)
        return digests, self.results("0.h5"), text

    def test_eval_limit(self):
        digests, results, text = self.both("-problems", "lqr", "-estimators", "neural-ode,ctpg", "-rtol", "1e-9,1e-3",
                                           "-neural-ode_eval_limit", "300", "-seeds", "0:3")
        self.check(digests, results, "neural-ode", "eval_limit", "more than 300 evaluations", 3)
        self.check(digests, results, "ctpg", "eval_limit", "", 0)
        self.assertTrue(results.done().all())
        self.assertRegex(text, r"neural-ode +6 of +6  3 ok  3 eval_limit")
        self.assertIn("3 x eval_limit, neural-ode on lqr", text)

    def test_divergence(self):
        """x' = 5 x without control overflows before t = 200; the stable twin is not disturbed."""
        digests, results, text = self.both("-problems", "lqr,wild=lqr", "-wild_A", "5", "-wild_policy", "mlp",
                                           "-wild_policy_widths", "4",
                                           "-wild_policy_init_scale", "0", "-wild_horizon", "200",
                                           "-estimators", "ctpg,euler-bptt",
                                           "-rtol", "1e-3", "-dt", "0.01", "-seeds", "0:2")
        self.check(digests, results, "ctpg", "diverged", "not finite", 2)
        self.check(digests, results, "euler-bptt", "diverged", "not finite", 2)
        self.assertEqual(len(results.select("lqr")), 4)
        for row in results.select("lqr"):
            self.assertEqual(results.status_of(row), "ok")
        self.assertIn("references: 4 of 4 done, 2 failed", text)
        self.assertRegex(text, "wild.*not finite")


class Commands(unittest.TestCase):
    def test_list(self):
        code, text, err = run("list")
        self.assertEqual(code, 0, err)
        for word in ("lqr", "diffdrive", "quadrotor", "euler-bptt", "neural-ode-ckpt", "ctpg", "tsadjoint",
                     "rk-adjoint", "Ainsworth2021"):
            self.assertIn(word, text)

    def test_list_as_json(self):
        code, text, err = run("list", "-json")
        self.assertEqual(code, 0, err)
        listed = json.loads(text)
        self.assertLessEqual({"lqr", "diffdrive", "quadrotor"}, {entry["name"] for entry in listed["problems"]})
        knobs = {entry["name"]: entry["knob"] for entry in listed["estimators"]}
        self.assertEqual((knobs["ctpg"], knobs["euler-bptt"]), ("rtol", "dt"))
        for entry in listed["problems"] + listed["estimators"]:
            self.assertRegex(entry["bibtex"], r"(?s)^@\w+\{.*\}\s*$")

    def test_version(self):
        for arguments in (("-version",), ("sweep", "-version"), ("--version",)):
            code, text, err = run(*arguments)
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(text, r"^ctpgbench \d+\.\d+")
            for words in ("(?i)petsc", "Open MPI|MPICH", "HDF5"):
                self.assertRegex(text, words)


if __name__ == "__main__":
    unittest.main()
