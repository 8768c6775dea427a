"""test_jobs.py -- the job scripts with the batch system played by small programs on PATH: who comes back, and who stops

tests/cluster.sh runs slurm.sh under a real Slurm; a PBS is not to be had here.
"""
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

import program
from program import InFolder

PLAN = """problems: [diffdrive]
estimators: [ctpg, rk-adjoint]
seeds: "0:60"
rtol: "1e-11:1e-4:16"
timing_threshold: 0
"""
TOTAL = 60 * 32
DIGEST = {}  # of the plan, from the first undisturbed sweep


class Jobs(InFolder):
    def setUp(self):
        super().setUp()
        shutil.copytree(program.ROOT / "jobs", self.folder / "jobs")
        (self.folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
        (self.folder / "nodes").write_text("localhost\nlocalhost\n", encoding="utf-8")
        (self.folder / "bin").mkdir()
        self.environment = {**program.environment(2), "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        self.edit("slurm.sh", program.MPIRUN)
        self.edit("pbs.sh", f'{program.MPIRUN} -hostfile "$PBS_NODEFILE"')
        self.replace("pbs.sh", "(?m)^script=.*$", "script=jobs/pbs.sh")

    def replace(self, script, pattern, text):
        path = self.folder / "jobs" / script
        path.write_text(re.sub(pattern, text, path.read_text(encoding="utf-8")), encoding="utf-8")

    def edit(self, script, launch):
        self.replace(script, "(?m)^launch=.*$", f"launch=({launch})")
        self.replace(script, "(?m)^ctpgbench=.*$", f"ctpgbench={program.PROGRAM}")

    def play(self, name, answer="", code=0):
        """A command that writes down how it was called."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\necho {name} \"$@\" >>{self.folder}/calls\n{answer}\nexit {code}\n",
                        encoding="utf-8")
        path.chmod(0o755)

    def calls(self, *names):
        path = self.folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] in names]

    def start(self, script, *arguments, **variables):
        return subprocess.Popen(["bash", f"jobs/{script}", *arguments], cwd=self.folder,
                                env={**self.environment, **variables}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, job, code):
        try:
            text = job.communicate(timeout=3 * program.LIMIT)[0]
        except subprocess.TimeoutExpired:
            job.terminate()
            raise
        if code is not None:
            self.assertEqual(job.returncode, code, text)
        return text

    def rows(self, path):
        return len(program.committed(path)) if path.exists() else 0

    def wait_for_rows(self, path, before=0):
        """More of them than there were before."""
        end = time.monotonic() + program.LIMIT
        while self.rows(path) <= before:
            self.assertLess(time.monotonic(), end, "no rows")
            time.sleep(0.01)

    def rank_of(self, pid):
        """Of the mpirun that a script has started: the process id of a rank."""
        return [rank for rank in program.descendants(pid) if program.is_running(rank)][0]

    def stop_in_good_order(self, job, path, before=0):
        """Once there are new rows. By a signal to a rank, of which neither launcher nor script knows: what the program
        itself does at a limit of its own, whenever this machine has come so far."""
        self.wait_for_rows(path, before)
        os.kill(self.rank_of(job.pid), signal.SIGUSR1)

    def check_done(self, text, path):
        self.assertIn("job: done", text)
        if "plan" not in DIGEST:
            DIGEST["plan"] = self.sweep("local.h5", "-options_file", self.folder / "plan.yaml", ranks=2)
        self.assertEqual(re.search(r"digest: (\w+)", text).group(1), DIGEST["plan"])
        self.assertEqual(len(program.committed(self.folder / path)), TOTAL)


class Slurm(Jobs):
    def slurm(self, out="r.h5", *options, code=0, strike=None, stop=False, **variables):
        before = self.rows(self.folder / out)
        job = self.start("slurm.sh", "plan.yaml", out, *options, SLURM_JOB_ID="7", SLURM_ARRAY_JOB_ID="5", **variables)
        if stop:
            self.stop_in_good_order(job, self.folder / out, before)
        if strike:
            self.wait_for_rows(self.folder / out.replace("%a", variables.get("SLURM_ARRAY_TASK_ID", "")))
            job.send_signal(strike)
        return self.finish(job, code)

    def test_warned_it_is_requeued_until_done(self):
        self.play("scontrol", "echo Requeue=1")
        self.play("sbatch")
        text = self.slurm(strike=signal.SIGUSR1)
        self.assertRegex(text, r"job: code 75, \d+ more runs")
        self.assertEqual(self.asked(), ["scontrol requeue 7"])
        self.check_done(self.slurm(), "r.h5")
        self.assertEqual(len(self.asked()), 1)

    def test_where_requeue_is_not_allowed_a_new_job_follows(self):
        self.play("scontrol", "echo Requeue=0")
        self.play("sbatch")
        self.slurm("r-%a.h5", "-seeds", "0:60", strike=signal.SIGUSR1, SLURM_ARRAY_TASK_ID="3")
        self.assertEqual(self.asked(), [
            "sbatch --array=3 --dependency=afterany:5_3 jobs/slurm.sh plan.yaml r-3.h5 -seeds 0:60"])

    def test_where_requeue_is_denied_a_new_job_follows(self):
        self.play("scontrol", """echo Requeue=1
[ "$1" != requeue ] || exit 1""")
        self.play("sbatch")
        self.slurm(strike=signal.SIGUSR1)
        self.assertEqual(self.asked(), ["scontrol requeue 7",
                                        "sbatch --dependency=afterany:7 jobs/slurm.sh plan.yaml r.h5"])

    def test_a_task_of_an_array_requeues_itself_alone(self):
        self.play("scontrol", "echo Requeue=1")
        self.slurm("r-%a.h5", strike=signal.SIGUSR1, SLURM_ARRAY_TASK_ID="3")
        self.assertEqual(self.asked(), ["scontrol requeue 5_3"])
        self.assertTrue((self.folder / "r-3.h5").exists())

    def test_submitted_from_another_folder_it_finds_its_own(self):
        self.play("scontrol", f"echo Command={self.folder}/jobs/slurm.sh")
        (self.folder / "elsewhere").mkdir()
        shutil.copy(self.folder / "jobs" / "slurm.sh", self.folder / "spooled.sh")
        ran = subprocess.run(["bash", "../spooled.sh", "../plan.yaml", "r.h5"], cwd=self.folder / "elsewhere",
                             env={**self.environment, "SLURM_JOB_ID": "7"}, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.check_done(ran.stdout, "elsewhere/r.h5")

    def test_without_its_folder_it_says_so(self):
        self.play("scontrol")
        shutil.copy(self.folder / "jobs" / "slurm.sh", self.folder / "spooled.sh")
        shutil.move(self.folder / "jobs", self.folder / "away")
        ran = subprocess.run(["bash", "spooled.sh", "plan.yaml", "r.h5"], cwd=self.folder,
                             env={**self.environment, "SLURM_JOB_ID": "7"}, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("set folder= in it", ran.stderr)

    def test_a_job_shorter_than_its_warning_is_refused(self):
        self.play("scontrol", "echo Requeue=1")
        for left, code in [("1:59", 1), ("2:00", 1), ("2:01", 0), ("4:00:00", 0), ("1-00:00:00", 0), ("UNLIMITED", 0)]:
            with self.subTest(left=left):
                self.play("squeue", f"echo {left}")
                text = self.slurm("r.h5", "-dry_run", code=code, SLURM_JOB_END_TIME="9999999999")
                self.assertEqual("only start and stop" in text, code == 1, text)

    def asked(self):
        return [call for call in self.calls("scontrol", "sbatch") if not call.startswith("scontrol show")]

    def test_killed_rank_costs_no_requeue(self):
        self.play("scontrol", "echo Requeue=1")
        job = self.start("slurm.sh", "plan.yaml", "r.h5", SLURM_JOB_ID="7")
        self.wait_for_rows(self.folder / "r.h5")
        os.kill(self.rank_of(job.pid), signal.SIGKILL)
        text = self.finish(job, 0)
        self.assertRegex(text, r"job: code (137|9)\b")  # the second is MPICH's
        self.assertEqual(self.asked(), [])
        self.check_done(text, "r.h5")

    def disturb_first_sweep(self, launcher, what):
        """`launcher` does this in place of the first sweep, and all else as MPI's does."""
        self.edit("slurm.sh", launcher)
        self.play(launcher, f"""case "$*" in
*sweep*) [ -e disturbed ] || {{ touch disturbed; {what}; }} ;;
esac
exec {program.MPIRUN} "$@" """)

    def test_a_rank_killed_under_srun_costs_no_requeue(self):
        """srun -K, having lost a rank, asks the others to stop: these say 75, and srun 137."""
        self.play("scontrol", "echo Requeue=1")
        self.disturb_first_sweep("srun", "echo 75 given up after a signal >r.h5.outcome; exit 137")
        text = self.slurm()
        self.assertRegex(text, r"job: code (137|9)\b")  # the second is MPICH's
        self.assertEqual(self.asked(), [])
        self.check_done(text, "r.h5")

    def test_0_for_nothing_is_not_believed(self):
        """srun, after a node crashed: "task 0 launch failed", "timed out waiting for job step to complete", and 0."""
        self.play("scontrol", "echo Requeue=1")
        self.disturb_first_sweep("srun", "exit 0")
        text = self.slurm()
        self.assertIn("job: code 125, and nothing finished: once more", text)
        self.check_done(text, "r.h5")

    def test_two_jobs_on_one_file(self):
        """The one that is refused leaves the other's outcome alone, which tells that job how it ended."""
        self.play("scontrol", "echo Requeue=1")
        longer = ("-seeds", "0:240")
        first = self.start("slurm.sh", "plan.yaml", "r.h5", *longer, SLURM_JOB_ID="7", SLURM_ARRAY_JOB_ID="5")
        self.wait_for_rows(self.folder / "r.h5")
        self.assertIn("in use by another job", self.slurm("r.h5", *longer, code=1))
        self.assertIn("job: done", self.finish(first, 0))

    def test_a_rank_that_is_missing_when_all_are_asked_to_stop(self):
        job = program.Job("sweep", "-options_file", self.folder / "plan.yaml", "-out", self.folder / "r.h5", ranks=2)
        self.addCleanup(job.kill)
        self.wait_for_rows(self.folder / "r.h5")
        first, second = sorted(job.ranks())
        os.kill(second, signal.SIGSTOP)
        os.kill(first, signal.SIGTERM)
        job.finish()
        self.assertRegex((self.folder / "r.h5.outcome").read_text(encoding="utf-8"), "^75 given up after a signal")

    def test_codes_of_other_launchers_are_read_from_the_outcome(self):
        """MPICH's mpirun: 0 for 75 now and then, 9 for a rank killed by SIGKILL."""
        self.play("scontrol", "echo Requeue=1")
        self.edit("slurm.sh", "mpich")
        for lost, said in [("0", r"job: code 75, \d+ more runs"), ("9", r"job: code 75, \d+ more runs")]:
            self.play("mpich", f"""{program.MPIRUN} "$@"
case "$*" in *sweep*) exit {lost} ;; esac""")
            self.assertRegex(self.slurm("r.h5", "-seeds", "0:400", stop=True), said)
        self.assertEqual(self.asked(), ["scontrol requeue 7"] * 2)
        self.disturb_first_sweep("mpich", "echo running >short.h5.outcome; exit 9")
        text = self.slurm("short.h5")
        self.assertIn("job: code 9, and nothing finished: once more", text)
        self.check_done(text, "short.h5")

    def test_done_is_believed_after_a_signal(self):
        (self.folder / "r.h5.outcome").write_text("75 of an earlier session\n", encoding="utf-8")
        self.play("scontrol")
        self.play("finishing", f"""trap '' USR1
case "$*" in
*sweep*) kill -USR1 $PPID; sleep 0.2; {program.MPIRUN} "$@" -seeds 0:1; exit 15 ;;
esac
exec {program.MPIRUN} "$@" """)
        self.edit("slurm.sh", "finishing")
        self.assertIn("job: done", self.slurm())

    def test_lost_node_is_left_for_others(self):
        self.play("scontrol", "echo Requeue=1")
        self.edit("slurm.sh", 'lose_node')
        self.play("lose_node", f"""case "$*" in
*sweep*) {program.MPIRUN} "$@"; echo running >r.h5.outcome; exit 205 ;;
esac""")
        self.assertRegex(self.slurm("r.h5", "-seeds", "0:1"), r"job: code 205, \d+ more runs")
        self.assertIn("scontrol requeue 7", self.calls("scontrol"))

    def test_who_brings_nothing_forward_stops(self):
        self.play("scontrol", "echo Requeue=1")
        self.play("sbatch")
        text = self.slurm("r.h5", "-no_such", "1", code=1)
        self.assertIn("unknown option -no_such", text)
        self.assertIn("job: an error", text)
        self.assertIn("nothing finished", self.slurm("r.h5", "-time_limit", "1e-9", code=75))
        self.edit("slurm.sh", "fail_to_launch")
        self.play("fail_to_launch", code=137)
        self.assertIn("nothing finished: once more", self.slurm("r.h5", code=137))
        self.assertEqual(len(self.calls("fail_to_launch")), 2)
        self.assertEqual(self.asked(), [])

    def test_cancelled_it_stays_away(self):
        self.play("scontrol", "echo Requeue=1")
        self.play("sbatch")
        job = self.start("slurm.sh", "plan.yaml", "r.h5", "-seeds", "0:400", SLURM_JOB_ID="7")
        self.wait_for_rows(self.folder / "r.h5")
        job.terminate()
        self.assertIn("job: ended from outside", job.communicate(timeout=program.LIMIT)[0])
        self.assertNotEqual(job.returncode, 0)
        self.assertEqual(self.asked(), [])


class PBS(Jobs):
    def pbs(self, walltime, out, more, more_of_job="", number="9.host", code=0, stop=None, **variables):
        """stop: the file in which rows are waited for, then the program stops."""
        if walltime:
            self.play("qstat", f"echo '    Resource_List.walltime = {walltime}'; echo '{more_of_job}'")
        self.play("qsub", f"echo $PLAN $OUT $MORE $INDEX >>{self.folder}/calls")
        job = self.start("pbs.sh", PLAN="plan.yaml", OUT=out, MORE=more, PBS_JOBID=number,
                         PBS_O_WORKDIR=str(self.folder), PBS_NODEFILE=str(self.folder / "nodes"), **variables)
        if stop:
            self.stop_in_good_order(job, self.folder / stop)
        self.finish(job, code)
        return (self.folder / f"ctpgbench-{number.split('.')[0]}.log").read_text(encoding="utf-8")

    @unittest.skipUnless("-time_margin" in program.run("sweep", "-help")[1],
                         "the sweep does not know when its job ends")
    def test_stops_before_its_walltime_and_follows_itself(self):
        """A walltime in which this machine, as busy as it is now, finishes some runs: nothing else may be the shorter
        one's fault."""
        for seconds in (8, 20, 50):
            path = self.folder / f"{seconds}.h5"
            start = time.monotonic()
            text = self.pbs(f"00:00:{seconds:02d}", path.name, "-seeds 0:600", code=None)
            self.assertLess(time.monotonic() - start, seconds + program.LIMIT)
            if self.rows(path):
                break
            self.assertIn("nothing finished since the session began", text)
            self.assertEqual(self.calls("qsub"), [])
        self.check_follows_itself(text, path.name, "-seeds 0:600")

    def test_stopped_it_follows_itself(self):
        self.check_follows_itself(self.pbs("04:00:00", "r.h5", "-seeds 0:400", stop="r.h5"), "r.h5", "-seeds 0:400")

    def check_follows_itself(self, text, out, more):
        self.assertRegex(text, r"job: code 75, \d+ more runs")
        self.assertEqual(self.calls("qsub", "plan.yaml"),
                         ["qsub -W depend=afterany:9.host -v PLAN,OUT,MORE,INDEX jobs/pbs.sh",
                          f"plan.yaml {out} {more}"])

    def test_a_task_of_an_array_follows_itself_alone(self):
        self.pbs("04:00:00", "r-%a.h5", "-shard %a/3 -seeds 0:600", number="9[3].host", stop="r-3.h5",
                 PBS_ARRAY_INDEX="3")
        self.assertEqual(self.calls("qsub", "plan.yaml"),
                         ["qsub -W depend=afterany:9[3].host -v PLAN,OUT,MORE,INDEX jobs/pbs.sh",
                          "plan.yaml r-%a.h5 -shard %a/3 -seeds 0:600 3"])
        self.assertTrue((self.folder / "r-3.h5").exists())

    def test_the_start_is_believed_rather_than_a_walltime_that_lags(self):
        started = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(time.time() - 3600))
        for key in ["stime", "start_time"]:
            text = self.pbs("01:30:00", f"{key}.h5", "-seeds 0:1",
                            f"    resources_used.walltime = 00:00:02\n    {key} = {started}", number=f"{key}.host")
            self.assertRegex(text, r"PBS job \w+\.host has (1799|1800|179\d) s left")

    def test_without_qstat_it_knows_the_end_from_what_was_asked_for(self):
        text = self.pbs(None, "r.h5", "-seeds 0:1")
        self.assertRegex(text, r"PBS job 9\.host has 1(4400|439\d|438\d) s left")

    def test_finished_it_stays_away(self):
        self.check_done(self.pbs("04:00:00", "r.h5", ""), "r.h5")
        self.assertEqual(self.calls("qsub"), [])


class Mpirun(Jobs):
    """jobs/mpirun.sh, whatever mpirun is."""

    def run_as(self, version, fails_with="nothing"):
        self.play("mpirun", f"""case "$*" in
--version) echo '{version}' ;;
*{fails_with}*) exit 1 ;;
esac""")
        subprocess.run(["bash", "jobs/mpirun.sh", "prog", "-x"], cwd=self.folder, check=True,
                       env={**self.environment, "CTPG_RANKS": "3"})
        return self.calls("mpirun")[-1]

    def test_options_are_those_of_the_launcher(self):
        for version, fails_with, expected in [
                ("mpirun (Open MPI) 4.1.4", "nothing", "mpirun -n 3 --bind-to core prog -x"),
                ("mpirun (Open MPI) 5.0.5", "core", "mpirun -n 3 --bind-to none --oversubscribe prog -x"),
                ("HYDRA build details:", "nothing", "mpirun -n 3 -bind-to core prog -x"),
                ("HYDRA build details:", "core", "mpirun -n 3 -bind-to none prog -x"),
                ("Intel(R) MPI Library for Linux* OS, Version 2021.13", "nothing", "mpirun -n 3 prog -x")]:
            with self.subTest(version=version, fails_with=fails_with):
                self.assertEqual(self.run_as(version, fails_with), expected)


class Docs(Jobs):
    """jobs/docs.sh: what it cannot make is told before anything is computed."""

    def docs(self, *pages):
        return subprocess.run(["bash", "jobs/docs.sh", *pages], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=program.LIMIT)

    def test_unknown_page(self):
        (self.folder / "jobs/policies.sh").write_text("echo made >made\n", encoding="utf-8")
        done = self.docs("policies", "nonsense")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nonsense is no page; expected policies, readme, paper, training, accuracy, choosing or gallery",
                      done.stderr)
        self.assertFalse((self.folder / "made").exists())
        self.assertEqual(self.docs("policies").returncode, 0)
        self.assertTrue((self.folder / "made").exists())


if __name__ == "__main__":
    unittest.main()
