"""kill_campaign.py -- random kills of a real sweep, resumed until done: no committed row is lost, the digest is that of
peace

    tests/kill_campaign.py [--kills N] [--seed S] [--ranks 2,3] [--program FILE] [--sabotage KIND] [sweep options]

A round takes one variant of a plan and a new file. Its first sweep is struck and started again until it is done; then
the same with a larger plan, for which the file is laid out anew with the rows it has; then another round, until N
strikes were made. A strike is a signal (TERM, KILL, USR1) to a victim (a rank, all ranks, mpirun, all of them) at a
moment (while the program starts, while the file is made, anywhere, at the last rows and the close). While a job runs,
and after each strike, every row ever seen committed must be in the file, bit for bit; `status` must accept the file and
name no torn row; a finished sweep must give the digest of an undisturbed one and leave no FILE.*.new.

How the job must end is decided by what the ranks were at when they were struck, never by a clock. TERM and USR1 to
ranks that listen (they catch or hold back the signal, as from the first lines of main on), and USR1 to the mpirun of
such, are requests: 75, or 0 where the work was done already. What ends a rank that does not listen yet (it is loading
libraries, where no program can) ends a job of which no rank has come out of MPI_Init: results and FILE.outcome must be
what they were before the job, byte for byte. TERM to mpirun is mpirun's affair, as it kills the ranks; of it, and of
KILL, only what is said above is asked.

--sabotage drop | flip | torn plays a program that loses rows, for which the campaign must fail (test_kill.py): after a
strike a committed row is set back to pending, or one of its numbers changes, or a row that is pending is committed.
"""
import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

import h5py
import numpy as np

import program
from program import Job

COMMON = ("-estimators", "ctpg,rk-adjoint,euler-bptt", "-timing_threshold", "0")
# name: (small plan, plan that holds it); each takes a second or two on two ranks.
VARIANTS = {
    "ladder": (("-problems", "diffdrive", "-seeds", "0:3", "-rtol", "1e-11:1e-5:13", "-dt", "5e-4,1e-3"),
               ("-problems", "diffdrive", "-seeds", "0:6", "-rtol", "1e-11:1e-5:13", "-dt", "5e-4,1e-3")),
    "gradients": (("-problems", "lqr,diffdrive", "-seeds", "1:3", "-rtol", "1e-10:1e-6:9", "-dt", "5e-4",
                   "-save_gradients"),
                  ("-problems", "lqr,diffdrive", "-seeds", "0:5", "-rtol", "1e-10:1e-6:9", "-dt", "5e-4")),
    "labels": (("-problems", "diffdrive,wide=diffdrive", "-wide_policy_widths", "16", "-seeds", "0:2", "-rtol",
                "1e-9,1e-7,1e-10,1e-8,1e-11", "-dt", "5e-4"),
               ("-problems", "wide=diffdrive,lqr,diffdrive", "-wide_policy_widths", "16", "-seeds", "0:3", "-rtol",
                "1e-7,1e-11,1e-8,1e-10,1e-9", "-dt", "5e-4,4e-3")),
}
SIGNALS = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL, "USR1": signal.SIGUSR1}
VICTIMS = ("rank", "ranks", "mpirun", "job")
MOMENTS = ("start", "creation", "anywhere", "anywhere", "anywhere", "close")
PLACES = {"case_index", "problem", "estimator", "row"}  # of a row: another layout may change them
BOUND = 60  # s for whatever must end on its own


class Lost(AssertionError):
    """What must not happen."""


def rows_of(file, kind, key):
    """{(kind, key): bytes} of the committed rows of runs or cases."""
    done = file[f"{kind}/commit"]["status"] >= 0  # before the rows that it vouches for
    table = file[f"{kind}/table"][()]
    columns = [name for name in table.dtype.names if name not in PLACES]
    arrays = {"runs": (), "cases": ("grad_x0", "grad_theta")}[kind]
    labels = [label.decode() for label in file["problems"]["label"]]
    found = {}
    for r in np.flatnonzero(done):
        row = table[r]
        payload = [row[name].tobytes() for name in columns]
        payload += [file[f"cases/{labels[row['problem']]}/{name}"][row["row"]].tobytes() for name in arrays]
        if kind == "runs":
            payload.append(file["runs/sketch"][r].tobytes())
        found[kind, int(row[key])] = b"".join(payload)
    return found


def committed(path):
    with h5py.File(path, "r") as file:
        return {**rows_of(file, "cases", "case_key"), **rows_of(file, "runs", "run_key")}


class Witness:
    """Remembers every committed row that it saw in a file."""

    def __init__(self, path):
        self.path, self.rows = path, {}

    def look(self):
        """Number of committed runs; Lost when a row has gone or changed."""
        try:
            now = committed(self.path)
        except FileNotFoundError:
            if self.rows:
                raise Lost(f"{self.path} has gone, with {len(self.rows)} committed rows") from None
            return 0
        missing = self.rows.keys() - now.keys()
        changed = [key for key, row in self.rows.items() if key in now and now[key] != row]
        if missing or changed:
            raise Lost(f"{len(missing)} committed rows are lost, {len(changed)} have changed, of {len(self.rows)}; "
                       f"first: {sorted(missing)[:1] or changed[:1]}")
        self.rows = now
        return sum(kind == "runs" for kind, _ in now)


# An undisturbed sweep: its digest, number of runs, seconds to the first one, seconds to the end.
Peace = collections.namedtuple("Peace", "digest runs first seconds")


def sabotage(path, kind):
    """To the file what a program would do that loses rows."""
    with h5py.File(path, "r+") as file:
        commit, table = file["runs/commit"][()], file["runs/table"][()]
        rows = np.flatnonzero((commit["status"] >= 0) != (kind == "torn"))
        if kind == "flip":
            table["nfe"][rows[:1]] += 1
        else:
            commit["status"][rows[:1]] = 0 if kind == "torn" else -1
        file["runs/commit"][...], file["runs/table"][...] = commit, table


class Campaign:
    peace = {}  # undisturbed sweeps, by plan and options

    def __init__(self, seed, ranks, options=(), damage=None, say=lambda text: None):
        self.chance, self.ranks, self.options, self.say = random.Random(seed), ranks, tuple(options), say
        self.damage = damage
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=program.scratch()))
        self.tally, self.strikes, self.rounds, self.witnessed = collections.Counter(), 0, 0, 0

    # ---- jobs ----

    def start(self, path, plan, ranks):
        """mpirun kills its ranks at once, not after a second, when it is told to end: else nothing could be lost."""
        return Job("sweep", *COMMON, *plan, *self.options, "-out", path, ranks=ranks, cwd=self.folder,
                   odls_base_sigkill_timeout=0)

    def end(self, job):
        """(exit code, stdout, stderr) of a job that ends on its own, ranks and leftovers included."""
        try:
            code, out, err = job.finish(BOUND)
        finally:
            job.wait_for_ranks()
            job.clean()
        return code, out, err

    def undisturbed(self, plan):
        key = plan + self.options
        if key not in self.peace:
            path = self.folder / "peace.h5"
            witness, begin = Witness(path), time.monotonic()
            job = self.start(path, plan, 2)
            while job.process.poll() is None and not witness.look():
                time.sleep(0.01)
            first = time.monotonic() - begin
            digest = self.digest(*self.end(job))
            self.peace[key] = Peace(digest, witness.look(), first, time.monotonic() - begin)
            path.unlink()
            self.say(f"undisturbed: {self.peace[key].runs} runs, the first after {first:.1f} s, all after "
                     f"{self.peace[key].seconds:.1f} s: {' '.join(plan)}")
        return self.peace[key]

    @staticmethod
    def digest(code, out, err):
        found = re.search(r"^digest: (\w{64})$", out, re.MULTILINE)
        if code or not found:
            raise Lost(f"an undisturbed sweep ended with {code}\n{out}\n{err}")
        return found.group(1)

    # ---- a strike ----

    def draw_moment(self, moment, peace, done):
        """Seconds after the start."""
        left = (peace.seconds - peace.first) * (1 - done / peace.runs)
        return {"start": self.chance.uniform(0, peace.first),
                "anywhere": peace.first + self.chance.uniform(0, left)}.get(moment, BOUND)

    def parts(self):
        """Files that are being made, those of jobs that were killed at it included."""
        return set(self.folder.glob("*.new"))

    def wait(self, job, witness, moment, peace, old_parts):
        """Until the moment of the strike, or the end of the job; looks at the file all the while."""
        until = time.monotonic() + self.draw_moment(moment, peace, witness.look())
        while job.process.poll() is None and time.monotonic() < until:
            if moment == "creation" and self.parts() - old_parts:
                break
            if moment == "close" and witness.look() == peace.runs:
                break
            if moment == "anywhere":
                witness.look()
            time.sleep(0.001 if moment == "creation" else 0.01)
        if moment in ("creation", "close"):
            time.sleep(self.chance.uniform(0, 0.02))

    def strike(self, job, name, victim):
        """(whom it met: mpirun where it has no ranks yet, or none any more; whether all ranks that are struck, all of
        mpirun's where it is mpirun, listened); None: the job had ended before."""
        ranks = [pid for pid in job.ranks(0.05) if program.is_running(pid)]
        chosen = {"rank": [self.chance.choice(ranks)] if ranks else [], "ranks": ranks, "mpirun": [],
                  "job": ranks}[victim]
        if job.process.poll() is not None:
            return None
        if not chosen:
            victim = "mpirun"
        listened = bool(chosen or len(ranks) == job.expected) and all(map(program.listens, chosen or ranks))
        for pid in chosen:
            try:
                os.kill(pid, SIGNALS[name])
            except ProcessLookupError:
                pass
        if victim in ("mpirun", "job"):
            job.process.send_signal(SIGNALS[name])
        return victim, listened

    def check(self, witness, what):
        if self.damage and witness.look():
            sabotage(witness.path, self.damage)
        try:
            rows = witness.look()
            if witness.path.exists():
                code, out, err = program.run("status", witness.path)
                if code or "fail their checksum" in out or not re.search(r"(\d+) of \d+ runs done", out):
                    raise Lost(f"status ended with {code}\n{out}\n{err}")
        except (Lost, OSError) as error:
            raise Lost(f"strike {self.strikes} ({what}): {error}") from error
        return rows

    def attempt(self, path, plan, witness, kills):
        """One start of the sweep; its digest when it finished."""
        peace = self.undisturbed(plan)
        moment, victim = self.chance.choice(MOMENTS), self.chance.choice(VICTIMS)
        if moment == "creation" and self.is_laid_out(witness, peace):
            moment = "close"
        name = "KILL" if victim == "job" else self.chance.choice(tuple(SIGNALS))
        ranks = self.chance.choice(self.ranks)
        before, old_parts, outcome = self.contents(path), self.parts(), program.Outcome(path)
        job = self.start(path, plan, ranks)
        struck = None
        if self.strikes < kills and (len(witness.rows) < peace.runs or self.chance.random() < 0.3):
            self.wait(job, witness, moment, peace, old_parts)
            struck = self.strike(job, name, victim)
        code, out, err = self.end(job)
        answer = outcome.code(code)
        what = f"{name} to {struck[0] if struck else 'nobody'}, {moment}, {ranks} ranks"
        if struck:
            self.strikes += 1
            self.tally.update((f"moment {moment}", f"{name} to {struck[0]} {'at work' if struck[1] else 'loading'}: "
                                                   f"{answer}"))
            rows = self.check(witness, what)
            self.say(f"strike {self.strikes}: {what}: exit code {answer}, {rows} of {peace.runs} runs")
            try:
                self.judge(name, *struck, answer, self.contents(path) == before)
            except Lost as error:
                raise Lost(f"strike {self.strikes} ({what}) {error}\n{out}\n{err}") from None
        elif code:
            raise Lost(f"a sweep that nobody struck ended with {code}\n{out}\n{err}")
        if code or answer:
            return None
        if witness.look() != peace.runs or self.digest(code, out, err) != peace.digest:
            raise Lost(f"the sweep is done, but not what it is without strikes, after {what}\n{out}\n{err}")
        return peace.digest

    @staticmethod
    def judge(name, victim, listened, answer, untouched):
        asked = name == "TERM" and victim != "mpirun" or name == "USR1" and (victim != "mpirun" or
                                                                             program.passes_signals())
        if asked and listened and answer not in (0, 75):
            raise Lost(f"is answered with {answer}, not with 75")
        if victim != "mpirun" and not listened and answer not in (0, 75) and not untouched:
            raise Lost(f"ended a job that had not begun with {answer}, but it has changed something")

    @staticmethod
    def contents(path):
        """Results and how their last job said that it ended; None where there is no such file."""
        return [file.read_bytes() if file.exists() else None
                for file in (path, path.with_name(path.name + ".outcome"))]

    @staticmethod
    def is_laid_out(witness, peace):
        if not witness.path.exists():
            return False
        with h5py.File(witness.path, "r") as file:
            return len(file["runs/commit"]) == peace.runs

    # ---- the whole ----

    def round(self, kills):
        name = self.chance.choice(tuple(VARIANTS))
        path = self.folder / f"{name}.h5"
        witness = Witness(path)
        for plan in VARIANTS[name]:
            while not self.attempt(path, plan, witness, kills):
                pass
        self.witnessed += len(witness.rows)
        left = [file.name for file in self.folder.iterdir() if file.name.endswith(".new")]
        if left:
            raise Lost(f"a finished sweep left {left}")
        for file in self.folder.iterdir():
            file.unlink()
        self.rounds += 1

    def run(self, kills):
        try:
            while self.strikes < kills:
                self.round(kills)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.summary()

    def summary(self):
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.tally.items()))
        return (f"{self.strikes} strikes in {self.rounds} finished rounds, {self.witnessed} rows kept, all digests "
                f"equal ({counts})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ranks", default="2,3", help="comma list, one is drawn for each start")
    parser.add_argument("--program", help="the program, by default that of $CTPG_BUILD")
    parser.add_argument("--sabotage", choices=("drop", "flip", "torn"))
    parser.add_argument("--quiet", action="store_true")
    arguments, options = parser.parse_known_args()
    if arguments.program:
        program.PROGRAM = pathlib.Path(arguments.program).resolve()
    campaign = Campaign(arguments.seed, [int(n) for n in arguments.ranks.split(",")], options, arguments.sabotage,
                        (lambda text: None) if arguments.quiet else (lambda text: print(text, flush=True)))
    begin = time.monotonic()
    try:
        print(campaign.run(arguments.kills))
    except Lost as error:
        sys.exit(f"kill_campaign: seed {arguments.seed}: {error}")
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
