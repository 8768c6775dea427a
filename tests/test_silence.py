"""test_silence.py -- a rank that gives no sign of life is noticed and named, and the job ends"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest
import unittest.mock

import program
from program import InFolder, Job, run

PLAN = ("-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint", "-seeds", "0:60", "-rtol", "1e-10:1e-4:16",
        "-timing_threshold", "0")
TOTAL = 60 * 32
SILENT = ("-silence_limit", "5", "-stop_grace", "1")
ENDED = "what is finished is in the file: the same command goes on from here"


def rank_of(pid):
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return int(re.search(r"(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)", environment).group(1))


class Silence(InFolder):
    def begin(self, *options):
        """A sweep on three ranks that has rows; process ids by rank."""
        self.out = self.folder / "a.h5"
        self.job = Job("sweep", *PLAN, "-out", self.out, *SILENT, *options, ranks=3, cwd=self.folder)
        self.addCleanup(self.job.kill)
        pids = {rank_of(pid): pid for pid in self.job.ranks()}
        self.assertEqual(sorted(pids), [0, 1, 2])
        end = time.monotonic() + program.LIMIT
        while not (self.out.exists() and program.committed(self.out)):
            self.assertLess(time.monotonic(), end, "no rows")
            time.sleep(0.01)
        return pids

    def told(self):
        outcome = self.folder / "a.h5.outcome"
        return outcome.read_text(encoding="utf-8") if outcome.exists() else ""

    def end(self):
        """What was said by a job that ended for silence."""
        _, _, err = self.job.finish(120)
        self.assertIn(ENDED, err)
        self.assertTrue(self.told().startswith("75 incomplete"), self.told())
        return err

    def check_rest(self, rows):
        """The next session finishes it, to the digest of an undisturbed sweep."""
        self.assertGreater(rows, 0)
        self.assertLess(rows, TOTAL)
        self.assertEqual(self.sweep("a.h5", *PLAN, ranks=2), self.sweep("undisturbed.h5", *PLAN, ranks=2))

    def test_a_stopped_rank_is_given_up_when_the_others_have_done_the_rest(self):
        pids = self.begin()
        os.kill(pids[2], signal.SIGSTOP)
        self.assertRegex(self.end(), r"rank 2 on \S+ gives no sign of life since \d+ s and is given up; it was at: "
                                     r"(ctpg|rk-adjoint|the reference|nothing)")
        rows = len(program.committed(self.out))
        self.assertGreater(rows, TOTAL - 100)  # at most two grants of a rank
        self.check_rest(rows)

    def test_after_a_stop_and_grace_nobody_waits_for_it(self):
        pids = self.begin("-silence_limit", "600", "-seeds", "0:300")
        os.kill(pids[1], signal.SIGSTOP)
        start = time.monotonic()
        self.job.interrupt()
        self.assertIn("rank 1 on ", self.end())
        self.assertLess(time.monotonic() - start, 30)

    def test_without_rank_0_the_others_leave(self):
        pids = self.begin("-seeds", "0:300")
        os.kill(pids[0], signal.SIGSTOP)
        self.assertRegex(self.end(), r"rank [12]: rank 0 gives no sign of life since 1\d s")

    def test_a_job_that_was_suspended_as_a_whole_goes_on(self):
        pids = self.begin()
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)
        time.sleep(8)
        for pid in pids.values():
            os.kill(pid, signal.SIGCONT)
        code, out, err = self.job.finish(120)
        self.assertEqual(code, 0, err)
        self.assertIn("digest: ", out)
        self.assertNotIn("sign of life", err)

    def test_what_ranks_do_is_told_while_they_do_it(self):
        self.begin("-seeds", "0:300")
        end = time.monotonic() + 30
        text = ""
        while "rank 2 on " not in text and time.monotonic() < end:
            text = self.told()
            time.sleep(0.1)
        self.assertTrue(text.startswith("running\n"), text)
        self.assertRegex(text, r"(?m)^rank 1 on \S+: (waits|.* on diffdrive, seed \d+, accuracy \S+, for \d+ s|the.*)$")
        self.assertRegex(run("status", self.out)[1], r"(?m)^  rank 1 on ")
        self.job.interrupt()
        self.assertEqual(self.job.finish()[0], 75)
        self.assertNotIn("rank 1 on ", run("status", self.out)[1])
        self.assertTrue(self.told().startswith("75 "))

    TRAINING = ("-problems", "diffdrive", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-6", "-batch", "4",
                "-iterations", "1200", "-checkpoint_interval", "0.2")

    def train(self, name, *options, ranks):
        return Job("train", *self.TRAINING, "-out", self.folder / name, *options, ranks=ranks, cwd=self.folder)

    def check_training(self, ranks, per_run, victim):
        """A training of groups of ranks of which one is stopped: the job ends, and another one finishes it."""
        self.job = self.train("a.h5", *SILENT, "-ranks_per_run", str(per_run), ranks=ranks)
        self.addCleanup(self.job.kill)
        pids = {rank_of(pid): pid for pid in self.job.ranks()}
        end = time.monotonic() + program.LIMIT
        while "training of" not in self.told() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(pids[victim], signal.SIGSTOP)
        self.assertIn(f"rank {victim} on ", self.end())
        digests = []
        for name in ("a.h5", "undisturbed.h5"):
            code, out, err = self.train(name, ranks=2).finish(120)
            self.assertEqual(code, 0, err)
            digests.append(re.search(r"digest: (\w+)", out).group(1))
        self.assertEqual(*digests)

    def test_a_follower_of_rank_0_in_a_training(self):
        self.check_training(2, 2, 1)

    def test_a_follower_of_another_leader_in_a_training(self):
        self.check_training(4, 2, 3)

    SHORT = ("-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:4", "-rtol", "1e-4", "-timing_threshold", "0")
    PLANS = {"sweep": SHORT, "train": (*TRAINING, "-iterations", "10")}

    def stop_near_the_end(self, command, victim, where, *options):
        """A job of which this rank stops there (stoprank.c); its folder."""
        folder = self.folder / "-".join([command, str(victim), where, *options])
        folder.mkdir()
        library = str(program.PROGRAM.with_name("libstoprank.so"))
        with unittest.mock.patch.dict(os.environ, LD_PRELOAD=library, CTPG_TEST_STOP=f"{victim} {where}"):
            job = Job(command, *self.PLANS[command], "-out", folder / "a.h5", *SILENT, *options, ranks=3, cwd=folder)
        self.addCleanup(job.kill)
        return job, folder

    def stop_with_its_launcher(self):
        """mpirun, by its longest name, does not answer either, as when it waits for a node that is gone."""
        debians = shutil.which(f"{program.MPIRUN}.openmpi") or program.MPIRUN
        with unittest.mock.patch.object(program, "MPIRUN", debians):
            job, folder = self.stop_near_the_end("sweep", 2, "before", "-silence_limit", "6")
        job.ranks()  # to be killed at the end
        end = time.monotonic() + program.LIMIT
        while not (folder / "a.h5").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(job.process.pid, signal.SIGSTOP)
        return job

    def check_end(self, command, victim, where, job, folder):
        """It has ended, by force; the digest is said, by the next job where it could not be."""
        code, out, err = job.finish(90)
        self.assertNotEqual(code, 0)
        self.assertRegex(err, f"rank {victim} has said farewell, but does not end: it is killed" if where == "leaving"
                         else f"rank {victim} on .* gives no sign of life since [5-9] s and is given up" if victim
                         else "rank [12]: rank 0 gives no sign of life since 1[0-4] s")
        told = (folder / "a.h5.outcome").read_text(encoding="utf-8")
        if where == "closing":
            self.assertIn(ENDED, err)
            self.assertTrue(told.startswith("75 incomplete"), told)
            self.assertNotIn("digest: ", out)
        else:
            self.assertEqual(told, "0 done\n")
        if where in ("before", "after"):
            self.assertIn("the results are complete, and the job ends without them", err)
        code, again, err = Job(command, *self.PLANS[command], "-out", folder / "a.h5", ranks=2, cwd=folder).finish(60)
        self.assertEqual(code, 0, err)
        return set(re.findall(r"digest: (\w+)", out + again))

    def test_a_job_ends_though_a_rank_stops_near_its_end(self):
        cases = [(command, victim, where) for command in self.PLANS for victim in (2, 0)
                 for where in ("closing", "before", "after", "leaving")]
        jobs = [self.stop_near_the_end(*case) for case in cases]
        launcher = self.stop_with_its_launcher()
        digests = {"sweep": set(), "train": set()}
        for case, job in zip(cases, jobs):
            with self.subTest(case):
                digests[case[0]] |= self.check_end(*case, *job)
        self.assertEqual([len(found) for found in digests.values()], [1, 1], digests)
        self.assertEqual(launcher.finish(60)[0], -signal.SIGKILL)

    def test_options(self):
        code, _, err = run("sweep", *PLAN, "-silence_limit", "-1", "-out", self.folder / "b.h5")
        self.assertEqual(code, 1)
        self.assertIn("-silence_limit", err)



AGENT = """#!/bin/sh
# In place of ssh: the other host is a name and process ids of its own.
host=$1
shift
exec unshare --uts --pid --fork --kill-child --mount-proc sh -c "hostname $host; $*"
"""


def has_other_host():
    return not subprocess.run(["unshare", "--uts", "--pid", "--fork", "--mount-proc", "true"],
                              capture_output=True).returncode


@unittest.skipUnless("Open MPI" in subprocess.run([program.MPIRUN, "--version"], capture_output=True, text=True).stdout,
                     "emulates a host for Open MPI's mpirun")
@unittest.skipUnless(has_other_host(), "nobody but root may have a namespace here")
class RankZeroElsewhere(InFolder):
    """Rank 0 is on another host than mpirun and ranks 1 and 2."""

    def begin(self, name, *options):
        """A sweep that has rows; it, and process ids by rank."""
        folder = self.folder / name
        folder.mkdir()
        agent = folder / "agent"
        agent.write_text(AGENT, encoding="utf-8")
        agent.chmod(0o755)
        (folder / "hosts").write_text(f"elsewhere\n{socket.gethostname()}\n{socket.gethostname()}\n", encoding="utf-8")
        job = Job("sweep", *PLAN, "-seeds", "0:300", "-out", folder / "a.h5", *SILENT, *options, ranks=3, cwd=folder,
                  plm_rsh_agent=agent, orte_leave_session_attached=1, orte_default_hostfile=folder / "hosts",
                  rmaps="seq")
        self.addCleanup(job.kill)
        pids = {rank_of(pid): pid for pid in job.ranks(program.LIMIT)}
        self.assertEqual(sorted(pids), [0, 1, 2])
        here = os.readlink("/proc/self/ns/uts")
        self.assertEqual([os.readlink(f"/proc/{pids[rank]}/ns/uts") == here for rank in range(3)], [False, True, True])
        end = time.monotonic() + program.LIMIT
        while not ((folder / "a.h5").exists() and program.committed(folder / "a.h5")):
            self.assertLess(time.monotonic(), end, "no rows")
            time.sleep(0.01)
        return folder, job, pids

    def told(self, folder):
        return (folder / "a.h5.outcome").read_text(encoding="utf-8")

    def test_a_launcher_that_does_not_answer_is_ended_from_its_own_host(self):
        """As one that waits for the daemon of a lost host: ended by a rank that rank 0 has told, or without rank 0."""
        jobs = [(*self.begin(f"without-{victim}"), victim) for victim in (2, 0)]
        for _, job, pids, victim in jobs:
            os.kill(pids[victim], signal.SIGSTOP)
            job.interrupt()
            time.sleep(0.2)
            os.kill(job.process.pid, signal.SIGSTOP)
        for folder, job, _, victim in jobs:
            with self.subTest(victim=victim):
                code, _, err = job.finish(90)
                self.assertEqual(code, -signal.SIGKILL, err)
                self.assertTrue(self.told(folder).startswith("75 "), self.told(folder))

    def test_a_launcher_that_is_killed_takes_its_ranks_along(self):
        folder, job, pids = self.begin("killed")
        job.process.kill()
        end = time.monotonic() + program.LIMIT
        while any(program.is_running(pid) for pid in pids.values()) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual([rank for rank, pid in pids.items() if program.is_running(pid)], [])
        self.assertRegex(self.told(folder), "^(running|75 )")
        self.assertGreater(len(program.committed(folder / "a.h5")), 0)


if __name__ == "__main__":
    unittest.main()
