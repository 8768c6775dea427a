"""program.py -- runs $CTPG_BUILD/ctpgbench for the tests: alone or under mpirun, never for longer than a time limit

$CTPG_MPIRUN: the mpirun of the MPI that it was built with. What only Open MPI understands goes to it as environment
variables (more ranks than cores, no binding, as root), which others ignore. Whatever it leaves behind when its ranks
are killed (session folders, shared-memory segments) lies in a folder of this module, which is removed at exit: a test
that kills leaves nothing on the machine.
"""
import atexit
import functools
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("CTPG_BUILD", ROOT / "build")).resolve() / "ctpgbench"
MPIRUN = os.environ.get("CTPG_MPIRUN", "mpirun")
LIMIT = 30  # s
# Columns that two runs of one key may differ in: clocks, hosts, ranks, sessions.
ENVIRONMENT = ("wall", "busy", "wall_0", "wall_1", "wall_2", "cpu", "cpu_0", "cpu_1", "cpu_2", "load", "timing",
               "session", "rank", "host", "mixed")

_scratch = None


def scratch():
    """Folder for what Open MPI writes."""
    global _scratch
    if _scratch is None:
        _scratch = tempfile.mkdtemp(prefix="ctpg")
        atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
    return _scratch


def environment(ranks, place=None, **parameters):
    """place: folder for what Open MPI writes, that of the module without one."""
    place = place or scratch()
    parameters.update(orte_tmpdir_base=place, btl_vader_backing_directory=place)
    parameters.update(rmaps_base_oversubscribe=1, hwloc_base_binding_policy="none")
    if not ranks:  # starts a third faster: without a daemon that could spawn more
        parameters.update(ess_singleton_isolated=1)
    values = {**os.environ, **{f"OMPI_MCA_{name}": str(value) for name, value in parameters.items()}}
    if os.geteuid() == 0:
        values.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return values


@functools.cache
def passes_signals():
    """Not so MPICH 4.0's mpirun, which loses one in ten, and reports 0 after one in six that it did pass on, whatever
    the ranks' exit code (mended by pmodels/mpich, pull request 5930)."""
    version = subprocess.run([MPIRUN, "--version"], capture_output=True, text=True, env=environment(1)).stdout
    return not re.search(r"HYDRA(?s:.)*?Version: +4\.0", version)


def command(arguments, ranks):
    """ranks 0: without mpirun."""
    start = [MPIRUN, "-n", str(ranks)] if ranks else []
    return [*start, str(PROGRAM), *map(str, arguments)]


class Job:
    """A program that runs; parameters: Open MPI's, beside the usual ones."""

    def __init__(self, *arguments, ranks=0, cwd=None, **parameters):
        self.place = tempfile.mkdtemp(dir=scratch())
        self.process = subprocess.Popen(command(arguments, ranks), cwd=cwd,
                                        env=environment(ranks, self.place, **parameters), text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.expected = ranks
        self.children = []

    def ranks(self, seconds=10):
        """Process ids of all ranks, once they exist."""
        end = time.monotonic() + seconds
        while len(self.children) < self.expected and time.monotonic() < end and self.process.poll() is None:
            self.children = [pid for pid in descendants(self.process.pid) if is_running(pid)]
            time.sleep(0.005)
        return self.children

    def finish(self, seconds=LIMIT):
        """(exit code, stdout, stderr); an AssertionError when it takes too long."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"{self.process.args} still ran after {seconds} s\n{out}\n{err}") from None
        return self.process.returncode, out, err

    def wait_for_ranks(self, seconds=10):
        """After mpirun was killed: its ranks notice on their own, and must be gone before the next job writes."""
        end = time.monotonic() + seconds
        while any(is_running(pid) for pid in self.children) and time.monotonic() < end:
            time.sleep(0.01)
        self.kill()

    def clean(self):
        """Removes what Open MPI left; once the job and its ranks have ended."""
        shutil.rmtree(self.place, ignore_errors=True)

    def interrupt(self, number=signal.SIGUSR1):
        """A signal to mpirun, which passes it on; where it loses some, to the ranks."""
        for pid in self.ranks() if self.expected and not passes_signals() else [self.process.pid]:
            os.kill(pid, number)

    def kill(self):
        for pid in self.ranks(0):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()


def descendants(pid):
    """Ranks are children of Open MPI's mpirun, grandchildren of MPICH's."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # it has ended
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def told(pid, name):
    """The file of that name that /proc has of a process; "" of one that has gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def name_and_state(pid):
    """Of a process, its state as a letter (T: stopped, Z: ended); "", "X" of one that has gone."""
    head, _, tail = told(pid, "stat").rpartition(")")
    return (head.partition("(")[2], tail.split()[0]) if tail else ("", "X")


def is_running(pid):
    """Of a process that this job started: the name tells it from a later one with the same number."""
    name, state = name_and_state(pid)
    return name == "ctpgbench" and state != "Z"


def listens(pid):
    """Has the program installed its handlers (SIGUSR1's is the last)? True of one that has ended, too."""
    found = dict(re.findall(r"^(State|SigBlk|SigCgt):\s*(\w+)", told(pid, "status"), re.MULTILINE))
    if not found:
        return True
    mask = int(found["SigBlk"], 16) | int(found["SigCgt"], 16)
    return found["State"] in "ZX" or bool(mask >> signal.SIGUSR1 - 1 & 1)


class Outcome:
    """How the job that is started next on the results at path ends, by its own word where there is one: launchers
    change exit codes and lose them."""

    def __init__(self, path):
        self.path = path.with_name(path.name + ".outcome")
        self.before = self.stamp()

    def stamp(self):
        try:
            info = self.path.stat()
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_mtime_ns

    def code(self, launchers):
        if self.stamp() in (None, self.before):
            return launchers
        word = self.path.read_text(encoding="utf-8").split()[:1]
        return int(word[0]) if word and word[0].isdigit() else launchers


def run(*arguments, ranks=0, cwd=None, **parameters):
    return Job(*arguments, ranks=ranks, cwd=cwd, **parameters).finish()


class Forks:
    """Many command lines, one rank each, by forks of one process that has MPI and PETSc started (answer.c)."""

    def __init__(self):
        self.place = tempfile.mkdtemp(dir=scratch())
        self.process = subprocess.Popen([PROGRAM.with_name("answer")], env=environment(0, self.place),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, *arguments, cwd, seconds=LIMIT):
        """(exit code, or minus the signal that ended it; stdout; stderr)."""
        words = [str(cwd), str(seconds), str(len(arguments)), *map(str, arguments)]
        self.process.stdin.write(b"".join(os.fsencode(word) + b"\0" for word in words))
        self.process.stdin.flush()
        code, number, *sizes = map(int, self.process.stdout.readline().split())
        out, err = (self.process.stdout.read(size).decode(errors="replace") for size in sizes)
        return -number if number else code, out, err

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.place, ignore_errors=True)


def check_entries(text):
    """What `check` prints, one line for each check: a sentence that stands below its check is joined to it."""
    return re.sub(r"(?:\n {6}.*)+", lambda below: "  " + " ".join(below[0].split()), text).splitlines()


def left_in(folder):
    """Names of the files there, sorted; without the words in which jobs say how they ended (FILE.outcome)."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".outcome"))


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Results:
    """What a results file holds, in memory."""

    def __init__(self, path):
        with h5py.File(path, "r") as file:
            self.runs, self.cases = file["runs/table"][()], file["cases/table"][()]
            self.sketch = file["runs/sketch"][()]
            self.commit = file["runs/commit"][()]
            self.statuses = [word.decode() for word in file.attrs["statuses"]]
            self.problems = [label.decode() for label in file["problems"]["label"]]
            self.estimators = [label.decode() for label in file["estimators"]["label"]]
            self.np = list(file["problems"]["np"])
            self.arrays = {}
            file["cases"].visititems(self.keep)
            if "runs/gradients" in file:
                file["runs/gradients"].visititems(self.keep)

    def keep(self, name, item):
        if isinstance(item, h5py.Dataset):
            self.arrays[name] = item[()]

    def done(self):
        return self.commit["status"] >= 0

    def status_of(self, row):
        return self.statuses[row["status"]]

    def select(self, problem=None, estimator=None):
        chosen = np.ones(len(self.runs), bool)
        if problem is not None:
            chosen &= self.runs["problem"] == self.problems.index(problem)
        if estimator is not None:
            chosen &= self.runs["estimator"] == self.estimators.index(estimator)
        return self.runs[chosen]


def committed(path):
    """{run key: bytes of the row and of its sketch} of the finished rows; also while a job writes."""
    with h5py.File(path, "r") as file:
        done = file["runs/commit"]["status"] >= 0
        rows, sketch = file["runs/table"][()], file["runs/sketch"][()]
    return {int(rows[r]["run_key"]): rows[r].tobytes() + sketch[r].tobytes() for r in np.flatnonzero(done)}


class InFolder(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = pathlib.Path(keeper.name)

    def sweep(self, out, *options, ranks=0, code=0):
        """Digest that the sweep prints, None where it does not."""
        found, text, err = run("sweep", *options, "-out", self.folder / out, ranks=ranks, cwd=self.folder)
        self.assertEqual(found, code, text + err)
        self.text = text
        digests = [line.split()[1] for line in text.splitlines() if line.startswith("digest:")]
        self.assertEqual(len(digests), 1 if code == 0 else 0, text)
        return digests[0] if digests else None

    def results(self, out):
        return Results(self.folder / out)
