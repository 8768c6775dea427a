"""test_trust.py -- a results file is what was written: damage is found wherever it lies, one job writes, no more"""
import os
import re
import signal
import subprocess
import sys
import time
import unittest

import h5py
import numpy as np
from numpy.lib.recfunctions import repack_fields

import program
import seal
from program import Job, run

SWEEP = ("-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-6,1e-4", "-timing_threshold", "0")
TRAIN = ("train", "-problems", "pendulum", "-estimators", "ctpg", "-rtol", "1e-2", "-iterations", "20", "-batch", "1",
         "-seeds", "0:1", "-pendulum_horizon", "1", "-test_every", "5", "-snapshots", "2", "-audit_every", "10",
         "-visited", "8", "-test_paths", "3")
ANALYSIS = (sys.executable, "-B", "-m", "ctpgbench_analysis")


def flip(path, name, byte=-1):
    """One bit of a dataset, straight in the file."""
    with h5py.File(path) as file:
        dataset = file[name]
        place = dataset.id.get_offset() + (byte if byte >= 0 else dataset.id.get_storage_size() + byte)
    with open(path, "r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 0x10]))


def datasets(path):
    """Names of all datasets that hold something."""
    names = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.size else None)
    return names


class Damage(program.InFolder):
    def check_every_dataset(self, words, spared):
        path = self.folder / "x.h5"
        code, text, err = run(*words, "-out", path)
        self.assertEqual(code, 0, text + err)
        digest, whole = text.rsplit("digest: ", 1)[1].split()[0], path.read_bytes()
        tried = [name for name in datasets(path) if not re.search(spared, name)]
        self.assertGreater(len(tried), 10)
        for name in tried:
            path.write_bytes(whole)
            flip(path, name)
            code, text, err = run("status", path, "-verify")
            self.assertEqual(code, 1, f"{name}: {text}{err}")
            self.assertNotIn("verified", text)
        for name in tried:
            path.write_bytes(whole)
            flip(path, name)
            code, text, err = run(*words, "-out", path)
            if not code:  # what it goes on from is sound again; else it is a sentence
                self.assertIn(digest, text, name)
                self.assertEqual(run("status", path, "-verify")[0], 0, name)
            self.assertLess(len(err.splitlines()), 4, f"{name}: {err}")

    def test_sweep(self):
        """one bit in any dataset of a sweep is found, and a resumed sweep never ends with a wrong digest"""
        self.check_every_dataset(("sweep", *SWEEP, "-seeds", "0:3", "-save_gradients"), "^sessions")

    def test_training(self):
        """one bit in any dataset of a training is found, and a resumed one never ends with a wrong digest"""
        self.check_every_dataset(TRAIN, "^sessions|/slot/")

    def test_slot(self):
        """a slot with one wrong bit is not gone on from"""
        out = self.folder / "t.h5"
        words = [word if word != "20" else "4000" for word in TRAIN]
        peace = run(*words, "-out", self.folder / "peace.h5")[1].rsplit("digest: ", 1)[1].split()[0]
        job = Job(*words, "-checkpoint_interval", "0.01", "-out", out)
        end = time.monotonic() + 20
        while time.monotonic() < end and job.process.poll() is None:
            try:
                with h5py.File(out) as file:
                    if file["training/pendulum/ctpg/slot/iteration"][()].min() > 0:
                        break
            except (OSError, KeyError):
                pass
            time.sleep(0.01)
        job.kill()
        job.process.communicate()
        for name in ("theta", "loss", "slot/theta", "slot/count"):
            flip(out, f"training/pendulum/ctpg/{name}", 3)
        code, text, err = run(*words, "-out", out)
        self.assertEqual(code, 0, text + err)
        self.assertIn(peace, text)

    def test_policies(self):
        """a policy with one wrong bit is not taken from a file, others of it are"""
        out = self.folder / "t.h5"
        words = [word if word != "0:1" else "0:2" for word in TRAIN]
        self.assertEqual(run(*words, "-out", out)[0], 0)
        flip(out, "training/pendulum/ctpg/theta")
        take = ("gradient", "-problem", "pendulum", "-pendulum_horizon", "1", "-estimator", "ctpg", "-theta_file",
                f"{out}:/training/pendulum/ctpg")
        code, text, err = run(*take, "-seed", "0")
        self.assertEqual((code, "note" in err), (0, False), text + err)
        code, text, err = run(*take, "-seed", "1")
        self.assertEqual((code, "fails its checksum" in err), (1, True), text + err)
        with h5py.File(self.folder / "mine.h5", "w") as file, h5py.File(out) as theirs:
            file["theta"] = theirs["training/pendulum/ctpg/theta"][0, -1]
        code, text, err = run(*take[:-1], f"{self.folder}/mine.h5:/theta")
        self.assertEqual((code, "no checksums" in err), (0, True), text + err)

    def test_merge(self):
        """starts, labels and rows of a shard that have changed are not merged without a word"""
        for i in (1, 2):
            self.sweep(f"{i}.h5", *SWEEP, "-seeds", "0:4", "-shard", f"{i}/2")
        whole = (self.folder / "1.h5").read_bytes()
        flip(self.folder / "1.h5", "cases/lqr/x0", 5)
        code, text, err = run("merge", "1.h5", "2.h5", "-out", "a.h5", cwd=self.folder)
        self.assertEqual(code, 0, text + err)
        self.assertIn("1 rows are not what they were", text)
        self.assertIn("6 of 6 runs done", text)
        (self.folder / "1.h5").write_bytes(whole)
        flip(self.folder / "1.h5", "problems", 70)
        code, text, err = run("merge", "1.h5", "2.h5", "-out", "b.h5", cwd=self.folder)
        self.assertEqual((code, "problems" in err), (1, True), text + err)
        self.assertFalse((self.folder / "b.h5").exists())

    def test_starts_are_science(self):
        """sweeps that differ in a start alone have different digests"""
        self.sweep("x.h5", *SWEEP, "-seeds", "0:2")
        before = run("status", self.folder / "x.h5")[1].rsplit("digest: ", 1)[1]
        flip(self.folder / "x.h5", "cases/lqr/x0", 5)
        self.assertNotEqual(run("status", self.folder / "x.h5")[1].rsplit("digest: ", 1)[1], before)

    def test_analysis(self):
        """the analysis names damaged rows and leaves them out"""
        self.sweep("x.h5", *SWEEP, "-seeds", "0:3")
        values = {**os.environ, "PYTHONPATH": str(program.ROOT / "analysis")}
        table = [*ANALYSIS, "table", self.folder / "x.h5"]
        before = subprocess.run(table, env=values, capture_output=True, text=True, check=True)
        self.assertEqual(before.stderr, "")
        with h5py.File(self.folder / "x.h5") as file:
            row = file["runs/table"].dtype
        flip(self.folder / "x.h5", "runs/table", 2 * row.itemsize + row.fields["nfe"][1] + 1)
        after = subprocess.run(table, env=values, capture_output=True, text=True, check=True)
        self.assertIn("1 finished row of runs/table fails the checksum and is left out: 2", after.stderr)
        self.assertNotIn("2315", after.stdout)
        flip(self.folder / "x.h5", "estimators", 3)
        refused = subprocess.run(table, env=values, capture_output=True, text=True, check=False)
        self.assertEqual((refused.returncode, len(refused.stderr.splitlines())), (1, 1), refused.stderr)


class OneWriter(program.InFolder):
    LONG = ("sweep", "-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-9:1e-3:9", "-seeds", "0:400",
            "-timing_threshold", "0")

    def begun(self, out):
        job = Job(*self.LONG, "-out", out)
        end = time.monotonic() + 20
        while not out.exists() and time.monotonic() < end:
            time.sleep(0.01)
        job.process.send_signal(signal.SIGSTOP)  # so that it does not end before its time
        return job

    def end(self, job, out):
        job.process.send_signal(signal.SIGCONT)
        job.interrupt()
        self.assertIn(job.finish()[0], (0, 75))
        self.assertEqual(run("status", out, "-verify")[0], 0)

    def test_other_names(self):
        """a hard link, a symbolic link and a removed lock file do not let a second job write"""
        out, sub = self.folder / "x.h5", self.folder / "sub"
        sub.mkdir()
        job = self.begun(out)
        self.addCleanup(job.kill)
        os.link(out, sub / "hard.h5")
        os.symlink(out, sub / "soft.h5")
        for name in (sub / "hard.h5", sub / "soft.h5", out):
            if name == out:
                (self.folder / "x.h5.lock").unlink()
            code, text, err = run(*self.LONG, "-out", name)
            self.assertEqual((code, "in use by another job" in err), (1, True), f"{name}: {text}{err}")
        self.end(job, out)

    def test_merge(self):
        """merge neither writes where a sweep is about to nor replaces what has come there meanwhile"""
        self.sweep("1.h5", *SWEEP, "-seeds", "0:2")
        out = self.folder / "x.h5"
        job = self.begun(out)
        self.addCleanup(job.kill)
        moved = self.folder / "moved.h5"
        os.rename(out, moved)  # the name is free again, but the job holds it
        code, text, err = run("merge", "1.h5", "-out", "x.h5", cwd=self.folder)
        self.assertEqual((code, "in use by another job" in err, out.exists()), (1, True, False), text + err)
        os.rename(moved, out)
        self.end(job, out)
        before = out.read_bytes()
        code, text, err = run("merge", "1.h5", "-out", "x.h5", cwd=self.folder)
        self.assertEqual((code, out.read_bytes() == before), (1, True), text + err)

    def test_links(self):
        """a symbolic link at -out stays one, and what it leads to is written, there already or not"""
        (self.folder / "far").mkdir()
        for name in ("new.h5", "old.h5"):
            os.symlink(f"far/{name}", self.folder / name)
        self.sweep("new.h5", *SWEEP, "-seeds", "0:1")
        self.sweep("far/old.h5", *SWEEP, "-seeds", "0:1")
        self.sweep("old.h5", *SWEEP, "-seeds", "0:2")
        for name in ("new.h5", "old.h5"):
            self.assertTrue((self.folder / name).is_symlink())
        self.assertIn("4 of 4 runs done", run("status", self.folder / "far/old.h5")[1])
        self.assertEqual(program.left_in(self.folder / "far"), ["new.h5", "old.h5"])

    def test_what_is_kept(self):
        """a file that is laid out anew keeps mode, group and what people have added, or says what it does not keep"""
        out = self.folder / "x.h5"
        self.sweep("x.h5", *SWEEP, "-seeds", "0:2")
        os.chmod(out, 0o664)
        if os.geteuid() == 0:
            os.chown(out, -1, 100)
        group = out.stat().st_gid
        with h5py.File(out, "r+") as file:
            file["my_notes"], file.attrs["comment"], file["cases/mine"] = [1, 2, 3], "seen", [4]
        code, text, err = run("sweep", *SWEEP, "-seeds", "0:3", "-out", out)
        self.assertEqual((code, "cases/mine" in err), (0, True), text + err)
        self.assertEqual((out.stat().st_mode & 0o7777, out.stat().st_gid), (0o664, group))
        with h5py.File(out) as file:
            self.assertEqual((file["my_notes"][()].tolist(), file.attrs["comment"]), ([1, 2, 3], "seen"))

    def test_read_only(self):
        """a read-only file is neither written into nor replaced"""
        out = self.folder / "x.h5"
        self.sweep("x.h5", *SWEEP, "-seeds", "0:2")
        os.chmod(out, 0o444)
        before = program.sha256(out)
        for seeds in ("0:2", "0:3"):
            code, text, err = run("sweep", *SWEEP, "-seeds", seeds, "-out", out)
            self.assertEqual((code, "read-only" in err, program.sha256(out)), (1, True, before), text + err)

    def test_neighbours(self):
        """what lies beside -out under our names is not followed, waited for or destroyed"""
        precious = self.folder / "precious"
        precious.write_text("mine", encoding="ascii")
        for suffix in (".lock", ".crash"):
            for make in (os.mkfifo, lambda path: os.symlink(precious, path)):
                beside = self.folder / f"x.h5{suffix}"
                make(beside)
                code, text, err = run("sweep", *SWEEP, "-seeds", "0:1", "-out", self.folder / "x.h5")
                self.assertEqual((code, beside.name in err), (1, True), text + err)
                self.assertEqual(precious.read_text(encoding="ascii"), "mine")
                beside.unlink()
        (self.folder / "x.h5.new").write_text("mine", encoding="ascii")
        self.sweep("x.h5", *SWEEP, "-seeds", "0:1")
        self.assertEqual((self.folder / "x.h5.new").read_text(encoding="ascii"), "mine")


class Elsewhere(program.InFolder):
    def test_results(self):
        """a results file whose data lie in other files is refused, and these are left alone"""
        out, victim = self.folder / "x.h5", self.folder / "victim"
        self.sweep("x.h5", *SWEEP, "-seeds", "0:2")
        whole = out.read_bytes()
        for way in ("external", "link", "virtual"):
            out.write_bytes(whole)
            victim.write_text("precious" * 100, encoding="ascii")
            with h5py.File(out, "r+") as file:
                values = file["runs/sketch"][()]
                del file["runs/sketch"]
                if way == "external":
                    file["runs"].create_dataset("sketch", values.shape, values.dtype,
                                                external=[(str(victim), 0, values.nbytes)])
                elif way == "link":
                    file["runs/sketch"] = h5py.ExternalLink(str(self.folder / "other.h5"), "sketch")
                else:
                    layout = h5py.VirtualLayout(values.shape, values.dtype)
                    layout[:] = h5py.VirtualSource(str(self.folder / "other.h5"), "sketch", values.shape)
                    file["runs"].create_virtual_dataset("sketch", layout)
            for command in (("sweep", *SWEEP, "-seeds", "0:2", "-out", out), ("status", out)):
                code, text, err = run(*command)
                self.assertEqual((code, "runs/sketch" in err), (1, True), f"{way}: {text}{err}")
            self.assertEqual(victim.read_text(encoding="ascii"), "precious" * 100)

    def test_files_of_users(self):
        """so are case and theta files"""
        path = self.folder / "case.h5"
        np.zeros(2).tofile(self.folder / "raw")
        with h5py.File(path, "w") as file:
            file.create_dataset("a/x0", (2,), "f8", external=[(str(self.folder / "raw"), 0, 16)])
            file["a/theta"] = np.zeros(6)
        code, text, err = run("gradient", "-problem", "lqr", "-estimator", "ctpg", "-case_file", path, "-case", "a")
        self.assertEqual((code, "a/x0" in err), (1, True), text + err)
        code, text, err = run("gradient", "-problem", "lqr", "-estimator", "ctpg", "-theta_file", f"{path}:/a/theta")
        self.assertEqual((code, "a/x0" in err), (1, True), text + err)


def compress(path, copy):
    """A copy as h5repack -f GZIP makes one."""
    with h5py.File(path) as old, h5py.File(copy, "w") as new:
        def take(name, item):
            if isinstance(item, h5py.Group):
                made = new.require_group(name)
            else:
                options = {"chunks": True, "compression": "gzip"} if item.shape and item.size else {}
                made = new.create_dataset(name, data=item[()], dtype=item.dtype, **options)
            made.attrs.update(item.attrs)
        new.attrs.update(old.attrs)
        old.visititems(take)


class Compressed(program.InFolder):
    def digest(self, *command):
        code, text, err = run(*command)
        self.assertEqual(code, 0, text + err)
        return text.rsplit("digest: ", 1)[1].split()[0]

    def check_can_be_read(self, path):
        self.assertLess(path.stat().st_size, path.with_name(f"whole-{path.name}").stat().st_size)
        code, text, err = run("status", path, "-verify")
        self.assertEqual(code, 0, text + err)
        self.assertIn("verified", text)

    def test_sweep(self):
        whole, copy = self.folder / "whole-z.h5", self.folder / "z.h5"
        digest = self.digest("sweep", *SWEEP, "-seeds", "0:3", "-out", whole)
        compress(whole, copy)
        self.check_can_be_read(copy)
        self.assertEqual(self.digest("merge", copy, "-out", self.folder / "m.h5"), digest)
        larger = self.digest("sweep", *SWEEP, "-seeds", "0:5", "-out", whole)
        self.assertEqual(self.digest("sweep", *SWEEP, "-seeds", "0:5", "-out", copy), larger)
        with h5py.File(copy) as file:
            self.assertIsNone(file["runs/table"].compression)
            self.assertEqual(set(file["runs/table"]["session"][:]), {0, 1})  # what was done is taken over

    def test_training(self):
        whole, copy = self.folder / "whole-t.h5", self.folder / "t.h5"
        longer = [*TRAIN[:TRAIN.index("-seeds")], "-seeds", "0:2", *TRAIN[TRAIN.index("-seeds") + 2:]]
        self.digest(*TRAIN, "-out", whole)
        compress(whole, copy)
        self.check_can_be_read(copy)
        expected = self.digest(*longer, "-out", whole)
        self.assertEqual(self.digest(*longer, "-out", copy), expected)
        policy = f"{copy}:/training/pendulum/ctpg"
        code, text, err = run("gradient", "-problem", "pendulum", "-estimator", "ctpg", "-rtol", "1e-2", "-theta_file",
                              policy, "-pendulum_horizon", "1")
        self.assertEqual(code, 0, text + err)


class Older(program.InFolder):
    """A file of before columns were appended."""
    APPENDED = {"err_layer", "sign_share", "nfe_bar", "promise", "promise_term"}

    def age(self, path, dropped):
        with h5py.File(path, "r+", libver=seal.FORMAT) as file:
            rows = file["runs/table"][()]
            kept = rows[[name for name in rows.dtype.names if name not in dropped]]
            units = dict(file["runs/table"].attrs)
            del file["runs/table"]
            file["runs"].create_dataset("table", data=repack_fields(kept))
            file["runs/table"].attrs.update(units)
        seal.seal(path)

    def test_it_is_read_and_goes_on(self):
        old = self.folder / "old.h5"
        self.sweep("old.h5", *SWEEP, "-seeds", "0:3")
        self.age(old, self.APPENDED)
        code, text, err = run("status", old, "-verify")
        self.assertEqual((code, err), (0, ""), text)
        self.assertRegex(text, r" (\d+) of \1 runs done")
        self.sweep("old.h5", *SWEEP, "-seeds", "0:4")
        with h5py.File(old) as file:
            self.assertLess(self.APPENDED, set(file["runs/table"].dtype.names))
            self.assertEqual(set(file["runs/table"]["session"][:]), {0, 1})  # what was done is taken over

    def test_columns_of_another_name_are_no_older_ones(self):
        self.sweep("old.h5", *SWEEP, "-seeds", "0:1")
        with h5py.File(self.folder / "old.h5", "r+", libver=seal.FORMAT) as file:
            rows = file["runs/table"][()]
            del file["runs/table"]
            rows.dtype.names = [{"loss": "lose"}.get(name, name) for name in rows.dtype.names]
            file["runs"].create_dataset("table", data=rows)
        code, _, err = run("status", self.folder / "old.h5")
        self.assertEqual(code, 1)
        self.assertIn("runs/table has other columns than this program's", err)


class Head(program.InFolder):
    def test_a_reader_that_goes_away(self):
        """What `head -1` does; a second line would meet nobody."""
        path = self.folder / "x.h5"
        code, _, err = run("sweep", *SWEEP, "-seeds", "0:3", "-out", path)
        self.assertEqual(code, 0, err)
        for command in (("list",), ("status", path), ("table", path), ("status", path, "-verify")):
            with self.subTest(command[0]):
                reader, writer = os.pipe()
                os.close(reader)
                done = subprocess.run(program.command(command, 0), stdout=writer, stderr=subprocess.PIPE, text=True,
                                      env=program.environment(0), timeout=60, check=False)
                os.close(writer)
                self.assertEqual(done.stderr, "")


class Converted(program.InFolder):
    def test_copies(self):
        """convert takes a file of this schema, too: the same digest; it never writes over a file"""
        digest = self.sweep("x.h5", *SWEEP, "-seeds", "0:2")
        code, text, err = run("convert", "x.h5", "-out", "y.h5", cwd=self.folder)
        self.assertEqual((code, digest in text), (0, True), text + err)
        code, text, err = run("convert", "x.h5", "-out", "y.h5", cwd=self.folder)
        self.assertEqual((code, "exists" in err), (1, True), text + err)
        digest = run(*TRAIN, "-out", self.folder / "t.h5")[1].rsplit("digest: ", 1)[1].split()[0]
        code, text, err = run("convert", "t.h5", "-out", "u.h5", cwd=self.folder)
        self.assertEqual((code, digest in text), (0, True), text + err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
