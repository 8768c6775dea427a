"""test_schedule.py -- who computes what: any number of ranks, progress, predictions, plan and its simulator"""
import os
import re
import signal
import time
import unittest

import numpy as np

from program import InFolder, Job, committed, run, told

PLAN = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,rk-adjoint,euler-bptt", "-seeds", "0:4", "-rtol",
        "1e-9,1e-6,1e-3", "-dt", "0.01,0.1")
CASES, RUNS = 8, 4 * 2 * 8


class Ranks(InFolder):
    def test_any_number_of_ranks_and_any_coordinator(self):
        """64 ranks on any machine; a dedicated coordinator computes nothing."""
        digests = {self.sweep("one.h5", *PLAN)}
        for ranks, coordinator in ((3, "dedicated"), (3, "working"), (7, "auto"), (64, "auto")):
            out = f"{ranks}-{coordinator}.h5"
            code, text, err = Job("sweep", *PLAN, "-coordinator", coordinator, "-out", out, ranks=ranks,
                                  cwd=self.folder).finish(120)
            self.assertEqual(code, 0, err)
            digests.add(re.search(r"digest: (\w+)", text).group(1))
            results = self.results(out)
            computed = {*results.runs["rank"], *results.cases["rank"]}
            if coordinator == "dedicated":
                self.assertEqual(computed, {1, 2})
        self.assertEqual(len(digests), 1)

    @unittest.skipUnless(os.environ.get("CTPG_MANY"), "128 ranks on two cores take minutes (ctest -L slow)")
    def test_a_hundred_and_twenty_eight_ranks(self):
        out = self.folder / "128.h5"
        code, text, err = Job("sweep", *PLAN, "-coordinator", "dedicated", "-silence_limit", "600", "-out", out,
                              ranks=128, cwd=self.folder).finish(1200)
        self.assertEqual(code, 0, err)
        self.assertIn("digest: " + self.sweep("one.h5", *PLAN), text)

    def test_a_rank_needs_no_memory_for_the_plan(self):
        """What a rank other than rank 0 takes at most, with a thousand times the runs."""
        most = {}
        for n in (400, 400000):
            job = Job("sweep", "-dry_run", "-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-9:1e-1:100",
                      "-seeds", f"0:{n // 100}", ranks=2, cwd=self.folder)
            pids = job.ranks()
            while job.process.poll() is None:
                for k, pid in enumerate(pids):
                    found = re.search(r"VmHWM:\s+(\d+) kB", told(pid, "status"))
                    if found:
                        most[n, k] = int(found[1])
                time.sleep(0.002)
            self.assertEqual(job.finish()[0], 0)
        growth = sorted(most[400000, k] - most[400, k] for k in range(2))  # the rank that needs none, then rank 0
        self.assertLess(growth[0], 3000)  # kB
        self.assertLess(growth[1], 400000 * 50 / 1000)  # 50 bytes a run while keys are sorted

    def test_alone_with_a_dedicated_coordinator(self):
        code, _, err = run("sweep", *PLAN, "-coordinator", "dedicated", "-out", self.folder / "a.h5")
        self.assertEqual(code, 1)
        self.assertIn("-coordinator dedicated leaves no rank to work", err)

    def test_one_rank_that_is_told_to_stop_stops_all(self):
        out = self.folder / "a.h5"
        job = Job("sweep", "-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint", "-seeds", "0:16", "-rtol",
                  "1e-11:1e-4:16", "-timing_threshold", "0", "-out", out, ranks=2)
        ranks = job.ranks()
        while job.process.poll() is None and not (out.exists() and committed(out)):
            time.sleep(0.005)
        os.kill(ranks[1], signal.SIGUSR1)
        code, text, err = job.finish()
        self.assertEqual(code, 75, text + err)
        self.assertLess(len(committed(out)), 16 * 2 * 16)


class Watching(InFolder):
    def test_last_line_tells_failures_and_load(self):
        code, _, err = run("sweep", "-problems", "lqr", "-estimators", "neural-ode,ctpg", "-rtol", "1e-9,1e-3",
                           "-neural-ode_eval_limit", "300", "-seeds", "0:3", "-out", self.folder / "a.h5", ranks=2)
        self.assertEqual(code, 0, err)
        self.assertRegex(err, r"runs 12 of 12, references 3 of 3, [\d.]+/s, 3 failed \(3 eval_limit\), "
                              r"load [01]\.\d+ [01]\.\d+, [\d.]+ s")

    def test_busy(self):
        """What a rank spent on its items fits into the time there was, and holds what was measured alone."""
        start = time.monotonic()
        self.sweep("a.h5", *PLAN, ranks=2)
        elapsed = time.monotonic() - start
        results = self.results("a.h5")
        for rows in (results.runs, results.cases):
            self.assertGreater(np.median(rows["busy"] / rows["wall"]), 0.95)  # looks at the messages are in wall alone
        timed = np.isfinite(results.runs["wall_1"])
        self.assertTrue(timed.any())
        repeated = results.runs[timed]
        solves = 1 + sum(np.isfinite(repeated[f"wall_{k}"]) for k in range(3))
        self.assertGreater(np.median(repeated["busy"] / (solves * repeated["wall"])), 0.8)
        for rank in range(2):
            spent = sum(rows["busy"][rows["rank"] == rank].sum() for rows in (results.runs, results.cases))
            self.assertLess(spent, elapsed)

    def test_stages(self):
        code, text, err = run("sweep", *PLAN, "-log_view", "-out", self.folder / "a.h5")
        self.assertEqual(code, 0, err)
        for name in ("set-up", "references and runs", "closing"):
            self.assertRegex(text, rf"\d: +{name}:")
        for name in ("reference", "ctpg", "euler-bptt"):
            self.assertRegex(text, rf"(?m)^{name} +\d+ ")


class Plan(InFolder):
    def report(self, *arguments):
        code, text, err = run(*arguments, cwd=self.folder)
        self.assertEqual(code, 0, err)
        return text

    def test_dry_run_is_the_plan(self):
        text = self.report("plan", *PLAN)
        self.assertEqual(text, self.report("sweep", "-dry_run", *PLAN))
        self.assertEqual(os.listdir(self.folder), [])
        self.assertIn(f"{CASES} cases, {RUNS} runs, 0 of them done", text)
        self.assertRegex(text, r"diffdrive +ctpg +12 ")

    def test_bytes(self):
        for options in (("-seeds", "0:4"), ("-seeds", "0:200"), ("-seeds", "0:4", "-save_gradients")):
            with self.subTest(options=options):
                plan = ("-problems", "lqr", "-estimators", "ctpg", "-policy", "mlp", "-policy_widths", "32", "-rtol",
                        "1e-1,1e-2", "-timing_threshold", "0", *options, "-out", "a.h5")
                predicted = float(re.search(r"(\d+) bytes", self.report("plan", *plan)).group(1))
                self.report("sweep", *plan)
                size = os.path.getsize(self.folder / "a.h5")
                os.remove(self.folder / "a.h5")
                self.assertLess(abs(predicted - size), 0.1 * size)

    def test_prediction_learns_from_the_file(self):
        """A rough guess before anything is measured; within a fifth of what it was once the file tells."""
        def predict():
            return 3600 * float(re.search(r"predicted (\S+) core-hours", self.report("plan", *PLAN)).group(1))
        first = predict()
        self.report("sweep", *PLAN)
        results = self.results("results.h5")
        truth = results.runs["busy"].sum() + results.cases["busy"].sum()
        self.assertLess(abs(np.log(first / truth)), np.log(30), (first, truth))
        self.assertLess(abs(np.log(predict() / truth)), np.log(1.5), (predict(), truth))
        self.assertIn(f"{RUNS} of them done", self.report("plan", *PLAN))


class Simulator(InFolder):
    def rows(self, *options):
        code, text, err = run("plan", *options, cwd=self.folder)
        self.assertEqual(code, 0, err)
        lines = [line.split() for line in text.splitlines() if line.startswith("simulated")]
        names = ("ranks", "makespan", "bound", "of_bound", "speed_up", "busy", "messages", "rows", "coordinator")
        return [dict(zip(names, map(float, line[1:10]))) for line in lines]

    def test_against_reality(self):
        """The ranks' own costs dealt again give the sweep's time, but for what the machine did meanwhile."""
        plan = (*PLAN, "-dt", "1e-4,2e-4")
        for ranks in (1, 2):
            _, _, err = run("sweep", *plan, "-out", f"{ranks}.h5", ranks=ranks, cwd=self.folder)
            load, seconds = re.search(r"load ([\d. ]+), ([\d.]+) s$", err, re.M).groups()
            measured, simulated = float(seconds), self.rows("-simulate", ranks, f"{ranks}.h5")[0]
            idle = 1 - np.mean([float(x) for x in load.split()])
            self.assertLess(abs(simulated["makespan"] / (measured * (1 - idle)) - 1), 0.15, (simulated, err))
            self.assertLess(simulated["makespan"], measured + 0.1)

    def test_numbers(self):
        self.sweep("a.h5", *PLAN, "-dt", "1e-3,2e-3")
        results = self.results("a.h5")
        busy = results.runs["busy"]
        total = busy.sum() + results.cases["busy"].sum()
        chain = max(results.cases["busy"][row["case_index"]] + row["busy"] for row in results.runs)
        found = self.rows("a.h5", "-simulate", "1,2,1000000")
        self.assertEqual([row["ranks"] for row in found], [1, 2, 1000000])
        for row, bound in zip(found, (total, max(total / 2, chain), chain)):
            self.assertAlmostEqual(row["bound"], bound, delta=1e-3 * bound + 1e-4)
            self.assertGreaterEqual(row["makespan"], row["bound"] - 1e-4)
            self.assertLess(row["makespan"], 1.1 * row["bound"] + 0.01)
            self.assertAlmostEqual(row["rows"] * row["makespan"], RUNS + CASES, delta=0.05 * (RUNS + CASES))
            self.assertAlmostEqual(row["speed_up"], total / row["makespan"], delta=0.06 + 0.01 * row["speed_up"])
        copies = self.rows("-simulate", "4", "a.h5", "-replicate", "200")[0]
        self.assertAlmostEqual(copies["bound"], max(200 * total / 4, chain), delta=0.001 * copies["bound"])
        self.assertGreater(copies["of_bound"], 0.9)

    def test_too_many_ranks_are_told(self):
        self.sweep("a.h5", *PLAN)
        code, text, _ = run("plan", "-simulate", "1,1000", self.folder / "a.h5")
        self.assertEqual(code, 0)
        self.assertEqual(text.count("more ranks than this plan has work for"), 1, text)
        enough = int(re.search(r"about (\d+) would do", text)[1])
        self.assertGreater(self.rows("a.h5", "-simulate", enough)[0]["busy"], 0.5)

    def test_always_says_simulated(self):
        self.sweep("a.h5", *PLAN)
        code, text, _ = run("plan", "-simulate", "1,16", self.folder / "a.h5")
        self.assertEqual(code, 0)
        lines = [line.strip() for line in text.splitlines()[2:] if "more ranks than" not in line]
        self.assertEqual([line.split()[0] for line in lines[::2]], ["simulated"] * 2)
        for line in lines[1::2]:
            self.assertRegex(line, r"^time left after a tenth of the work: said \S+ s, was \S+ s, ratio \S+$")

    def test_nonsense(self):
        for options, words in ((("-simulate", "0", "a.h5"), "-simulate 0 is not a number of ranks"),
                               (("-simulate", "1.5", "a.h5"), "-simulate 1.5 is not a number of ranks"),
                               (("-simulate", "4"), "-simulate needs a file"),
                               (("-simulate", "4", "a.h5"), "Cannot read a.h5: No such file"),
                               (("-simulate", "4", "a.h5", "b.h5"), "the word 'b.h5' belongs to no option"),
                               (("-simulate", "4", "a.h5", "-replicate", "0"), "-replicate 0"),
                               (("a.h5", "-problems", "lqr", "-estimators", "ctpg"), "plan takes a file only with")):
            with self.subTest(options=options):
                code, _, err = run("plan", *options, cwd=self.folder)
                self.assertEqual(code, 1, err)
                self.assertIn(words, err)


if __name__ == "__main__":
    unittest.main()
