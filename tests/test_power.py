"""test_power.py -- power cuts: what was synced is on the disk, of the rest every page has some state since; no lie
remains

The program runs once with power.c preloaded, which logs all that it writes and syncs. The log is then cut at a random
place, and a file is made of it as a disk could hold it: everything that was synced, and of each page (4 KiB) the state
after any of the writes since. `status` must read such a file, and the same command must go on with it to the digest of
a run that nobody disturbed. --all (or CTPG_POWER=all): hundreds of cuts.
"""
import collections
import os
import pathlib
import random
import struct
import subprocess
import sys
import unittest

import program

PAGE = 4096
ALL = "--all" in sys.argv or os.environ.get("CTPG_POWER") == "all"
CUTS = 200 if ALL else 5
INTERPOSER = program.PROGRAM.with_name("libpower.so")
Write = collections.namedtuple("Write", "offset data")


def read_log(path):
    """[(kind, inode, offset, size, bytes)] of a log."""
    data, at, records = path.read_bytes(), 0, []
    while at + 32 <= len(data):
        kind, inode, offset, size = struct.unpack_from("<4q", data, at)
        at += 32
        length = size if chr(kind) == "W" else 0
        records.append((chr(kind), inode, offset, size, data[at:at + length]))
        at += length
    return records


class Disk:
    """One file as the log of it goes by: what is safe, and the writes since the last sync."""

    def __init__(self):
        self.safe, self.size, self.since = bytearray(), 0, []
        self.begun = 0  # writes since the last sync when one began

    def put(self, target, offset, data):
        end = offset + len(data)
        if len(target) < end:
            target.extend(bytes(end - len(target)))
        target[offset:end] = data

    def take(self, kind, offset, size, data):
        if kind == "W":
            self.since.append(Write(offset, data))
            self.size = max(self.size, offset + size)
        elif kind == "T":
            self.size = size
        elif kind == "B":
            self.begun = len(self.since)
        else:
            for write in self.since[:self.begun]:
                self.put(self.safe, write.offset, write.data)
            del self.since[:self.begun]

    def after_a_cut(self, chance):
        """A state that the disk may have: of each page a random number of the writes since the last sync."""
        state, pages = bytearray(self.safe), collections.defaultdict(list)
        for write in self.since:
            for page in range(write.offset // PAGE, (write.offset + len(write.data) - 1) // PAGE + 1):
                begin, end = max(write.offset, page * PAGE), min(write.offset + len(write.data), (page + 1) * PAGE)
                pages[page].append(Write(begin, write.data[begin - write.offset:end - write.offset]))
        for writes in pages.values():
            for write in writes[:chance.randint(0, len(writes))]:
                self.put(state, write.offset, write.data)
        state.extend(bytes(max(0, self.size - len(state))))
        return bytes(state[:self.size])


class PowerCuts(program.InFolder):
    def logged(self, words, out):
        """(log of the results file alone, digest) of an undisturbed run."""
        log = self.folder / "log"
        values = {**program.environment(0), "LD_PRELOAD": str(INTERPOSER),
                  "CTPG_POWER_FOLDER": str(self.folder / "disk"),
                  "CTPG_POWER_LOG": str(log)}
        (self.folder / "disk").mkdir()
        found = subprocess.run(program.command([*words, "-out", out], 0), env=values, capture_output=True, text=True,
                               timeout=program.LIMIT, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        inode = out.stat().st_ino
        return [r for r in read_log(log) if r[1] == inode], found.stdout.rsplit("digest: ", 1)[1].split()[0]

    def cut(self, records, number, path):
        """The file at a cut after `number` records."""
        disk = Disk()
        for kind, _, offset, size, data in records[:number]:
            disk.take(kind, offset, size, data)
        path.write_bytes(disk.after_a_cut(random.Random(number)))

    def survives(self, words, least):
        out = self.folder / "disk" / "results.h5"
        records, digest = self.logged(words, out)
        made = next(i for i, record in enumerate(records) if record[0] == "S") + 1  # the skeleton: it has its name now
        syncs = [i for i, record in enumerate(records) if record[0] == "S"]
        self.assertGreaterEqual(len(syncs), least, "too few syncs for a test of them")
        self.assertEqual(records[-1][0], "S", "what is written last is not brought to the disk")
        chance = random.Random(1)
        for trial in range(CUTS):
            number = chance.randint(made, len(records))
            path = self.folder / f"cut{trial}.h5"
            self.cut(records, number, path)
            for command in (["status", path], [*words, "-out", path], ["status", path, "-verify"]):
                code, text, err = program.run(*command)
                self.assertEqual(code, 0, f"cut {number} of {len(records)}: {command[0]}: {text}{err}")
            self.assertIn(digest, text, f"cut {number} of {len(records)}: {text}")
            path.unlink()

    def test_sweep(self):
        """a sweep goes on after a power cut to the digest of peace"""
        self.survives(["sweep", "-problems", "lqr,pendulum", "-estimators", "ctpg,euler-bptt", "-rtol", "1e-8:1e-3:6",
                       "-dt",
                       "0.02,0.1", "-seeds", "0:4", "-save_gradients", "-timing_threshold", "0", "-checkpoint_interval",
                       "0.02"], 3)

    def test_training(self):
        """a training goes on after a power cut to the digest of peace"""
        self.survives(["train", "-problems", "lqr,pendulum", "-estimators", "ctpg", "-rtol", "1e-4", "-iterations",
                       "60", "-batch", "2", "-seeds", "0:2", "-test_every", "10", "-snapshots", "6", "-audit_every",
                       "20", "-visited", "50", "-test_paths", "5", "-pendulum_horizon", "1",
                       "-checkpoint_interval", "0.02"], 6)

    def test_the_simulation_cuts(self):
        """the simulated disk keeps what was synced and may lose what was not"""
        disk = Disk()
        disk.take("W", 0, 3, b"old")
        disk.take("B", 0, 0, b"")
        disk.take("W", 0, 3, b"new")  # while the sync goes on, which does not cover it
        disk.take("S", 0, 0, b"")
        disk.take("W", 2 * PAGE, 1, b"x")
        states = {disk.after_a_cut(random.Random(seed))[:3] for seed in range(20)}
        self.assertEqual(states, {b"old", b"new"})
        self.assertEqual({len(disk.after_a_cut(random.Random(seed))) for seed in range(20)}, {2 * PAGE + 1})


if __name__ == "__main__":
    unittest.main(argv=[word for word in sys.argv if word != "--all"], verbosity=2)
