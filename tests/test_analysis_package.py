"""test_analysis_package.py -- the package ctpgbench_analysis as such: its rooms, its command line, how it is installed
and handed over to, and what damaged files, closed pipes and a user's settings do to it"""

import ast
import contextlib
import io
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

import h5py
import numpy as np

import make_results
import make_training
import program
import seal
from analysis_package import PACKAGE, ROOT, analysis
from ctpgbench_analysis import ResultsError, commands, read
from ctpgbench_analysis.draw import everything, traces  # noqa: F401  (loaded before there are forks)
from ctpgbench_analysis.draw.style import our_style
from ctpgbench_analysis.read.file import SCHEMA
from ctpgbench_analysis.read.plants import read_plant
from ctpgbench_analysis.read.traces import load_trace
from ctpgbench_analysis.read.training import load_training
from ctpgbench_analysis.report import claims, text
from make_training import Run

MODULES = sorted(".".join(("ctpgbench_analysis", *path.relative_to(PACKAGE).with_suffix("").parts))
                 for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
ROOMS = {"read": {"read"}, "measure": {"read", "measure"}, "draw": {"read", "measure", "draw"},
         "report": {"read", "measure", "draw", "report"}}
FOREIGN = {"numpy", "h5py", "matplotlib", "pandas", "scipy", "statsmodels", "xarray"}
BUILD = program.PROGRAM.parent

try:
    import xarray
except ModuleNotFoundError:
    xarray = None


class InFolder(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)

    def sweep(self, name="sweep.h5", **values):
        return make_results.realistic(
            self.folder / name, **{"seeds": 2, "problems": make_results.PROBLEMS[:1], **values}
        )

    def training(self, name="training.h5", **values):
        return make_training.write(self.folder / name, [Run("electric", "ctpg", "ctpg", seeds=2, iterations=40),
                                                        Run("electric", "bptt", "euler-bptt", seeds=2, iterations=40)],
                                   **values)

    def trace(self, name="trace.h5", states=2, controls=1, plant=None, **head):
        """A trace of a straight path; plant: {name: value} of plants/mine."""
        path, times = self.folder / name, np.linspace(0, 1, 5)
        attributes = {
            "schema": np.int32(SCHEMA),
            "kind": np.bytes_("trace"),
            "problem": "mine",
            "type": "mine",
            "case": "seed 0",
            "policy": "linear",
            "horizon": 1.0,
            "nq": 0,
            "velocity_first": 0,
            **head,
        }
        with h5py.File(path, "w") as file:
            file.attrs.update(attributes)
            file["forward/t"], file["forward/x"] = times, times[:, None] + np.arange(states)
            file["forward/u"] = np.ones((5, controls))
            file["back/ctpg/t"], file["back/ctpg/x"] = times[::-1], times[::-1, None] + np.arange(states)
            file["back/ctpg"].attrs.update(type="ctpg", knob="rtol", status="ok", accuracy=1e-3, err_rel=1e-5)
            for key, value in (plant or {}).items():
                if key.startswith("constants/"):
                    file[f"plants/mine/{key}"] = value
                else:
                    file.require_group("plants/mine").attrs[key] = np.array(value, "S32")
        return path


# ---- rooms ----

def imports_of(path):
    """Full names of the modules that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class Rooms(unittest.TestCase):
    def test_no_room_knows_a_later_one(self):
        for path in PACKAGE.rglob("*.py"):
            room = path.relative_to(PACKAGE).parts[0]
            for name in imports_of(path):
                parts = name.split(".")
                if parts[0] == "ctpgbench_analysis" and len(parts) > 1 and parts[1] in ROOMS and room in ROOMS:
                    self.assertIn(parts[1], ROOMS[room], f"{path.name} imports {name}")

    def test_nothing_but_the_standard_library_and_what_is_declared(self):
        for path in PACKAGE.rglob("*.py"):
            for name in imports_of(path):
                self.assertIn(name.split(".")[0], {"ctpgbench_analysis", *FOREIGN, *sys.stdlib_module_names}, path.name)

    def test_no_module_hides_one_of_the_standard_library(self):
        for path in PACKAGE.rglob("*.py"):
            self.assertNotIn(path.stem, sys.stdlib_module_names)

    def test_tests_leave_the_path_of_modules_alone(self):
        for path in (ROOT / "tests").glob("*.py"):
            changes = re.search(r"sys\.path\s*(\[|\.(insert|append|extend)|\+?=)", path.read_text(encoding="utf-8"))
            self.assertIsNone(changes, path.name)

    def test_imports_do_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            code = ("import importlib, os, sys\nbefore = dict(os.environ)\n"
                    f"for name in {MODULES!r}: importlib.import_module(name)\n"
                    "assert dict(os.environ) == before\nassert 'matplotlib.pyplot' not in sys.modules\n")
            ended = subprocess.run(
                [sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=folder, check=False
            )
            self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))
            self.assertEqual(os.listdir(folder), [])

    def test_functions_that_others_use_say_what_they_take(self):
        """Types of all arguments and of the result, and a sentence."""
        used = {name for path in PACKAGE.rglob("*.py") for name in imports_of(path)}
        for path in PACKAGE.rglob("*.py"):
            module = ".".join(("ctpgbench_analysis", *path.relative_to(PACKAGE).with_suffix("").parts))
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and f"{module}.{node.name}" in used:
                    self.check_described(node, f"{module}.{node.name}")

    def check_described(self, node, name):
        """Arguments whose names say it all (a path, axes of matplotlib, nodes of h5py) need no type."""
        self.assertTrue(ast.get_docstring(node), f"{name} has no docstring")
        functions = [node] if isinstance(node, ast.FunctionDef) else [
            one for one in node.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")]
        for one in functions:
            self.assertTrue(ast.get_docstring(one), f"{name}: {one.name} has no docstring")
            self.assertIsNotNone(one.returns, f"{name}: {one.name} does not say what it returns")
            for argument in [*one.args.args, *one.args.kwonlyargs]:
                if argument.arg not in ("self", "path", "axes", "axis", "file", "group", "node", "values", "value"):
                    self.assertIsNotNone(argument.annotation, f"{name}: {one.name}({argument.arg}) has no type")


# ---- the command line ----

class CommandLine(InFolder):
    def test_help(self):
        code, out, err = analysis("--help", COLUMNS="100")
        self.assertEqual((code, err), (0, ""))
        for name, (_, _, summary) in commands.COMMANDS.items():
            self.assertRegex(out, rf"(?m)^    {name}\s+{re.escape(summary[:30])}")
            code, text_of_one, err = analysis(name, "--help", COLUMNS="100")
            self.assertEqual((code, err), (0, ""))
            self.assertIn(summary[1:].replace("\n", " ")[:40], " ".join(text_of_one.split()))

    def test_mistakes(self):
        path = self.sweep()
        for words, code, sentence in (
            (["tabel", path], 2, "invalid choice: 'tabel'"),
            ([], 2, "<command>"),
            (["table", path, "--at", "1e-3,-1"], 2, "'1e-3,-1' is no list of positive errors"),
            (["figures", path, "--dpi", "1"], 2, "expected a whole number from 10 to 2000"),
            (["figures", self.training(), path], 1, "is one file too many"),
            (["table", path, "--csv", self.folder / "no" / "t.csv"], 1, "cannot be written"),
            (["figures", path, "-o", path], 1, "cannot be written: File exists"),
        ):
            found, _, err = analysis(*words)
            self.assertEqual(found, code, err)
            self.assertIn(sentence, err)
            self.assertNotIn("Traceback", err)

    def test_a_missing_module(self):
        """Said in a sentence, and only by what needs it."""
        blocked = self.folder / "blocked"
        blocked.mkdir()
        (blocked / "matplotlib.py").write_text(
            "raise ModuleNotFoundError(\"No module named 'matplotlib'\", name='matplotlib')"
        )
        path = os.pathsep.join([str(blocked), str(PACKAGE.parent)])
        self.assertEqual(analysis("table", self.sweep(), PYTHONPATH=path)[0], 0)
        code, _, err = analysis("figures", self.sweep(), "-o", self.folder / "f", PYTHONPATH=path)
        self.assertEqual(code, 1)
        self.assertRegex(
            err, r"^\S+ has no module matplotlib; use /usr/bin/python3 with Debian's package python3-matplotlib"
        )
        self.assertEqual(err.count("\n"), 1)

    def test_figures_look_at_the_kind_of_the_file(self):
        drawn = {}
        for path in (self.sweep(), self.training(), self.trace()):
            code, out, err = analysis("figures", path, "-o", self.folder / "f", "--dpi", 50)
            self.assertEqual((code, err), (0, ""))
            drawn[path.stem] = {Path(line).name for line in out.splitlines()}
        self.assertEqual(drawn["sweep"], {"error_nfe_lqr.png", "error_time_lqr.png", "overview.png"})
        self.assertEqual(drawn["training"], {"training_electric.png", "figure5.png"})
        self.assertEqual(drawn["trace"], {"problem_mine.png", "trace_mine.png"})

    def test_a_closed_pipe(self):
        for words in (
            ("table", self.sweep()),
            ("training", self.training()),
            ("figures", self.trace(), "-o", self.folder / "f"),
            ("choosing", self.sweep()),
        ):
            reader, writer = os.pipe()
            os.close(reader)
            ended = subprocess.run([sys.executable, "-m", "ctpgbench_analysis", *map(str, words)], stdout=writer,
                                   stderr=subprocess.PIPE, text=True, check=False, timeout=60)
            os.close(writer)
            self.assertEqual((ended.returncode, ended.stderr), (commands.BROKEN_PIPE, ""), words)

    def test_a_users_matplotlibrc_changes_nothing(self):
        path, expected = self.sweep(), None
        for name, lines in (
            ("plain", ""),
            ("latex", "text.usetex: True\n"),
            (
                "large",
                "no.such.key: 3\nfont.size: x\nfont.size: 30\nfigure.dpi: 37\naxes.facecolor: red\nsavefig.bbox: "
                "tight\nlines.linewidth: 9\naxes.formatter.use_locale: True\n",
            ),
        ):
            folder = self.folder / name
            folder.mkdir()
            (folder / "matplotlibrc").write_text(lines)
            code, _, err = analysis("figures", path, "-o", folder / "out", folder=folder)
            self.assertEqual((code, err), (0, ""), name)
            found = {one.name: one.read_bytes() for one in (folder / "out").iterdir()}
            expected = expected or found
            self.assertEqual(found, expected, name)


class Width(InFolder):
    """Everything printed fits 100 columns, however long labels and reasons are."""
    LONG = "a-label-of-sixty-three-characters-which-is-the-longest-there-is"

    def files(self):
        writer = make_results.Writer([dict(label=f"p-{self.LONG}"[:63], policy="32-64-64-4 tanh,tanh,linear" * 4)],
                                     [dict(label=self.LONG), dict(label="ctpg")])
        for seed in range(3):
            writer.case(0, seed, status="ok" if seed else "domain")
            for repeat in range(4):
                for e in (0, 1):
                    for k, status in enumerate(make_results.STATUSES):
                        writer.run(
                            0, seed, e, 10.0**-k, 10.0**-k, 123456789 * 10**k, status, repeat=repeat, wall=12345.678
                        )
        sweep = writer.write(self.folder / "sweep.h5")
        training = make_training.write(self.folder / "training.h5", [
            Run(f"p-{self.LONG}"[:63], self.LONG, "ctpg", accuracy=1.23456789e-10, nfe=10**8, seconds=1e5,
                status=["ok", "diverged", "domain", "timeout", "crashed", None, "ok", "ok"])], types={
                    f"p-{self.LONG}"[:63]: "electric"})
        return sweep, training

    def test_width(self):
        sweep, training = self.files()
        for words in (("table", sweep), ("table", self.sweep("other.h5", seeds=3)), ("training", training),
                      ("training", training, "--speed"), ("claims", training, "--gradients", sweep)):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self.assertEqual(commands.main([*map(str, words)]), 0, words)
            lines = printed.getvalue().splitlines()
            self.assertGreater(len(lines), 5)
            self.assertLessEqual(max(map(len, lines)), text.WIDEST, words)

    def test_nothing_is_lost(self):
        """Every cell is somewhere, beside its key."""
        header, body = ["key", *[f"h{i}" for i in range(30)]], [
            [f"k{j}", *[f"value-{i}-{j}" for i in range(30)]] for j in (1, 2)
        ]
        lines = text.aligned(header, body, part=3)
        for i in range(30):
            head = next(n for n, line in enumerate(lines) if f"h{i}" in line.split())
            for j in (1, 2):
                self.assertTrue(lines[head + 1 + j].startswith(f"k{j} "))
                place = lines[head].split().index(f"h{i}")
                self.assertEqual(lines[head + 1 + j].split()[place], f"value-{i}-{j}")
        long = " ".join(f"reason-{i}" for i in range(60))
        found = text.aligned(["key", "not ok"], [["k", long]])
        self.assertEqual(" ".join(" ".join(found[2:]).split()), f"k {long}")


# ---- names, units, constants ----

class Plants(InFolder):
    def plant(self, states, controls, **values):
        with h5py.File(self.trace(states=states, controls=controls, **values)) as file:
            return read_plant(file, "mine", states, controls)

    def test_from_the_file(self):
        plant = self.plant(
            2,
            1,
            plant={
                "state_names": ["px", "v"],
                "state_units": ["m", "m/s^2"],
                "control_names": ["force"],
                "control_units": ["1"],
                "constants/rail": [-2.0, 3.0],
                "constants/k": [0.5],
                "constants/places": [[0.0, 1.0]],
                "constants/bad": [np.nan],
            },
        )
        self.assertEqual((plant.state(0), plant.state(1), plant.control_names, plant.control_units),
                         ("px (m)", "v (m/s²)", ("force",), ("",)))
        self.assertEqual((plant.constant("rail", 2).tolist(), plant.number("k")), ([-2, 3], 0.5))
        self.assertEqual(plant.constant("places", None, 2).shape, (1, 2))
        for name, shape in (("rail", (3,)), ("rail", (None, 2)), ("bad", (1,)), ("none", (1,))):
            self.assertIsNone(plant.constant(name, *shape))

    def test_a_file_that_says_nothing(self):
        plant = self.plant(3, 2)
        self.assertEqual(
            (plant.state_names, plant.control_names, plant.state(2)), (("x1", "x2", "x3"), ("u1", "u2"), "x3")
        )
        self.assertEqual(
            self.plant(2, 1, plant={"state_names": ["px"], "state_units": ["m"]}).state_names, ("x1", "x2")
        )
        self.assertEqual(self.plant(2, 1, plant={"state_names": ["px", "py"]}).state(1), "py")

    def test_pictures_name_what_the_file_names(self):
        path = self.trace(plant={"state_names": ["height", "speed"], "state_units": ["m", "m/s"]})
        self.assertEqual(analysis("figures", path, "-o", self.folder, "--dpi", 50)[0], 0)
        self.assertIn("the states (height, speed)", (self.folder / "problem_mine.txt").read_text())

    def draw(self, path):
        with contextlib.redirect_stdout(io.StringIO()):
            return commands.main(["figures", str(path), "-o", str(self.folder), "--dpi", "30"])

    def picture(self, **values):
        trace, image = load_trace(self.trace(**values)), io.BytesIO()
        with our_style():
            traces.problem_figure([trace]).savefig(image, dpi=30)
        return image.getvalue()

    def test_shipped_problems_with_and_without_their_constants(self):
        """Each type is drawn either way."""
        states = {"cartpole": 4, "pendulum": 2, "double-pendulum": 4, "electric": 4, "quadrotor": 12, "diffdrive": 5}
        constants = {"cartpole": {"rail": [-4.8, 4.8], "rods": [1.0]}, "pendulum": {"rods": [1.0]},
                     "double-pendulum": {"rods": [1.0, 0.5]},
                     "electric": {"electrodes": make_training.ELECTRODES, "core": [0.1], "coulomb": [1e-3]}}
        for kind, count in states.items():
            pictures = []
            for plant in ({}, {f"constants/{name}": value for name, value in constants.get(kind, {}).items()}):
                pictures.append(self.picture(states=count, type=kind, plant=plant))
            self.assertEqual(pictures[0] != pictures[1], kind in constants, kind)
        self.assertTrue(self.picture(states=3, type="quadrotor"))

    def cartpole(self, **values):
        narrow, wide = make_training.visited(8, 500, 0.3), make_training.visited(8, 500, 0.9)
        return load_training(make_training.write(self.folder / "c.h5", [
            Run("cartpole", "ctpg", "ctpg", arrays={"visited": narrow}),
            Run("cartpole", "bptt", "euler-bptt", arrays={"visited": wide})], **values))

    def test_figures_of_training_without_constants(self):
        self.cartpole(plants=False)
        self.assertEqual(self.draw(self.folder / "c.h5"), 0)
        self.assertTrue((self.folder / "figure6.txt").exists())
        path = self.training(plants=False)
        make_training.add_paths(path, {"ctpg": 0.9, "bptt": 0.3})
        code, out, _ = analysis("paper", path, "-o", self.folder / "paper")
        self.assertEqual(code, 0)
        self.assertIn("figure5_field is not drawn: the file does not say where the electrodes are", out)


# ---- tables of pandas ----

class Frames(InFolder):
    def setUp(self):
        super().setUp()
        try:
            import pandas  # noqa: F401
        except ModuleNotFoundError:
            self.skipTest("pandas is not installed (python3-pandas)")

    def test_sweep(self):
        writer = make_results.Writer([dict(label="lqr")], [dict(label="ctpg"), dict(label="bptt", knob="dt")])
        for seed in range(2):
            writer.case(0, seed)
            writer.run(0, seed, 0, 1e-3, 1e-4, 100)
            writer.run(0, seed, 1, 1e-3, status="diverged", timing=1, reason=b"too far")
            writer.run(0, seed, 1, 1e-4, status=None)
        sweep = read(writer.write(self.folder / "s.h5", uncommitted=[0]))
        self.assertEqual((len(sweep.runs), sweep.planned, len(sweep.cases)), (3, 6, 2))
        good = sweep.runs[
            (sweep.runs["status"] == "ok") & (sweep.runs["estimator"] == "ctpg") & (sweep.runs["problem"] == "lqr")
        ]
        self.assertEqual(good["err_rel"].tolist(), [1e-4])
        bad = sweep.runs[sweep.runs["status"] == "diverged"]
        self.assertEqual((bad["reason"].tolist(), set(bad["timing"])), (["too far"] * 2, {"throughput"}))
        self.assertEqual(
            (sweep.estimators["knob"].tolist(), sweep.cases["status"].tolist()), (["rtol", "dt"], ["ok", "ok"])
        )

    @unittest.skipUnless(program.PROGRAM.exists(), "the program is not built")
    def test_the_lines_of_the_page(self):
        """The two loaders of docs/file.md, as they stand there."""
        code, out, err = program.run(
            "sweep",
            "-problems",
            "lqr,diffdrive",
            "-estimators",
            "ctpg,rk-adjoint",
            "-rtol",
            "1e-3",
            "-seeds",
            "0:2",
            "-horizon",
            "1",
            "-out",
            self.folder / "sweep.h5",
        )
        self.assertEqual(code, 0, out + err)
        page, names = (ROOT / "docs" / "file.md").read_text(encoding="utf-8"), {}
        parts = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        self.assertEqual(len(parts), 2)
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(io.StringIO()) as printed:
            for part in parts:
                exec(part, names)  # pylint: disable=exec-used
        self.assertEqual((len(names["good"]), len(names["g"])), (8, 1378))
        self.assertIn("rk-adjoint", printed.getvalue())
        runs = names["runs"]
        for column, word, count in (("status", "ok", 8), ("estimator", "ctpg", 4), ("reason", "", 8)):
            self.assertEqual((runs[column] == word).sum(), count, column)

    def test_trace(self):
        trace = read(self.trace(plant={"state_names": ["px", "v"], "state_units": ["m", "m/s"]}))
        self.assertEqual(list(trace.forward.columns), ["t", "px", "v", "u1"])
        self.assertEqual(trace.forward.attrs["units"], {"t": "s", "px": "m", "v": "m/s", "u1": ""})
        self.assertEqual((list(trace.back.columns), trace.back["t"].iloc[0]), (["estimator", "t", "px", "v"], 1.0))

    def test_training(self):
        training = read(self.training())
        self.assertEqual((len(training.runs), set(training.runs["estimator"]), set(training.runs["status"])),
                         (4, {"ctpg", "bptt"}, {"ok"}))
        with self.assertRaisesRegex(ResultsError, "estimator is missing; expected one of: ctpg, bptt"):
            training.dataset()
        with self.assertRaisesRegex(ResultsError, "estimator nobody is unknown"):
            training.dataset("electric", "nobody")

    @unittest.skipIf(xarray is None, "xarray is not installed (python3-xarray)")
    def test_dataset(self):
        path = self.folder / "t.h5"
        code, out, err = program.run(
            "train",
            "-problems",
            "diffdrive",
            "-policy",
            "mlp",
            "-policy_widths",
            "4",
            "-horizon",
            "2",
            "-estimators",
            "ctpg",
            "-seeds",
            "0:3",
            "-iterations",
            "12",
            "-test_every",
            "4",
            "-snapshots",
            "3",
            "-test_paths",
            "4",
            "-out",
            path,
        )
        self.assertEqual(code, 0, out + err)
        data = read(path).dataset()
        with h5py.File(path) as file:
            np.testing.assert_array_equal(
                data["loss"].sel(seed=2, iteration=5), file["training/diffdrive/ctpg/loss"][2, 5]
            )
            np.testing.assert_array_equal(
                data["test_loss"].sel(test_iteration=8), file["training/diffdrive/ctpg/test_loss"][:, 2]
            )
        self.assertEqual(data["path"].dims, ("seed", "snapshot", "test_start", "path_time", "state"))
        self.assertEqual(data["elapsed"].attrs["units"], "s")
        self.assertEqual(data.sizes["state"], 5)

    def test_sentences(self):
        with self.assertRaisesRegex(ResultsError, "cannot be read: No such file"):
            read(self.folder / "none.h5")
        path = self.sweep()
        with h5py.File(path, "r+") as file:
            rows = file["runs/table"][()]
            rows["estimator"] = 77
            file["runs/table"][...] = rows
        seal.seal(path)
        with self.assertRaisesRegex(ResultsError, "row 0 of runs/table has estimator 77"):
            read(path)


# ---- damaged files ----

MANY = 10 if os.environ.get("CTPG_DAMAGE") == "all" else 1


def answer(words):
    """(exit code, stderr) of a command in a fork, with 4 GiB of memory and 30 s of CPU time."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
        signal.alarm(300)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        try:
            code = commands.main([*map(str, words)])
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # pylint: disable=broad-except
            print(f"Traceback: {type(error).__name__}: {error}", file=sys.stderr)
            code = 99
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        errors = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), errors


class Damaged(InFolder):
    """Bytes of good files are changed at random: an answer or one sentence, never a traceback.

    CTPG_DAMAGE=all: ten times as many.
    """

    def damaged(self, path, generator):
        data = bytearray(path.read_bytes())
        for _ in range(generator.choice((1, 1, 3, 30))):
            place = generator.randrange(len(data))
            data[place] = generator.choice((0, 255, data[place] ^ 1 << generator.randrange(8)))
        if generator.random() < 0.1:
            del data[generator.randrange(len(data)):]
        damaged = self.folder / "damaged.h5"
        damaged.write_bytes(data)
        return damaged

    def check(self, path, changes, *commands_of):
        generator, refused, left_out = random.Random(path.name), 0, 0
        for number in range(changes * MANY):
            damaged = self.damaged(path, generator)
            for words in commands_of:
                code, errors = answer([words[0], damaged, *words[1:]])
                self.assertIn(code, (0, 1), f"change {number} of {path.name}, {words}: {errors}")
                said = errors.splitlines()
                notes = [line for line in said if line.startswith("note: ")]
                self.assertEqual(len(said) - len(notes), code, f"change {number} of {path.name}, {words}: {errors}")
                self.assertNotIn("Traceback", errors)
                if code:
                    self.assertIn("damaged.h5", said[-1])
                refused, left_out = refused + code, left_out + len(notes)
        self.assertGreater(refused, 0)
        return left_out

    def test_sweep(self):
        self.assertGreater(self.check(self.sweep(), 15, ("table",), ("choosing",)), 0)
        self.check(
            self.sweep(estimators=make_results.ESTIMATORS[:2]), 3, ("figures", "-o", self.folder / "f", "--dpi", "30")
        )

    def test_training(self):
        self.assertGreater(self.check(self.training(), 10, ("training",), ("claims",), ("training", "--speed")), 0)

    def test_trace(self):
        self.check(self.trace(), 5, ("figures", "-o", self.folder / "f", "--dpi", "30"))

    def test_heaps_of_links(self):
        """What HDF5 itself keeps of a group with many datasets: said in a sentence, no death of the process."""
        data = self.training().read_bytes()
        places = [found.start() for mark in (b"FHDB", b"BTLF", b"FRHP") for found in re.finditer(mark, data)]
        self.assertGreater(len(places), 5)
        for place in places:
            damaged = bytearray(data)
            damaged[place + 60] ^= 255
            (self.folder / "damaged.h5").write_bytes(damaged)
            code, errors = answer(["training", self.folder / "damaged.h5"])
            self.assertEqual((code, errors.count("\n"), "damaged.h5" in errors), (1, 1, True), f"{place}: {errors}")

    def test_values_that_pass_all_checks(self):
        """What no program writes, found only when it is drawn or counted, is said in a sentence, too."""
        for column, value in (
            ("accuracy", -1.0),
            ("accuracy", np.nan),
            ("accuracy", np.inf),
            ("wall", -1.0),
            ("err_rel", -3.0),
            ("err_rel", 1e308),
            ("nfe", -5),
            ("nfe", 2**62),
            ("repeat", -(2**31)),
            ("timing", 9),
        ):
            drawn = [("figures", self.folder / "sweep.h5", "-o", self.folder / "f")] if column == "accuracy" else []
            path = self.sweep()
            with h5py.File(path, "r+") as file:
                rows = file["runs/table"][()]
                rows[column][:3] = value
                file["runs/table"][...] = rows
            seal.seal(path)
            for words in (("table", path), *drawn):
                code, errors = answer(words)
                self.assertIn(code, (0, 1), f"{column} {value}: {errors}")
                self.assertEqual(errors.count("\n"), code, f"{column} {value}: {errors}")

    def test_an_exception_of_ours_is_a_sentence_and_can_be_seen(self):
        found = commands.mistake(ZeroDivisionError("by zero"), commands.argparse.Namespace(results="x.h5"))
        self.assertRegex(found, r"^x\.h5 cannot be evaluated \(ZeroDivisionError: by zero\); .* CTPGBENCH_TRACEBACK=1")


# ---- installed, and handed over to ----

def run(*words, **variables):
    """(exit code, stdout, stderr); variables that are None are not set."""
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **variables}
    environment = {name: str(value) for name, value in environment.items() if value is not None}
    ended = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    return ended.returncode, ended.stdout, ended.stderr


class Pip(InFolder):
    def test_a_virtual_environment(self):
        """pip installs from the checkout with no network; the command is there, without any PYTHONPATH."""
        venv, nothing = self.folder / "venv", "http://127.0.0.1:9"
        code, out, err = run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", venv)
        if code or run(venv / "bin" / "python3", "-m", "pip", "--version")[0]:
            self.skipTest(f"no venv or no pip (python3-venv, python3-pip): {out}{err}")
        source = self.folder / "source"
        shutil.copytree(PACKAGE.parent, source, ignore=shutil.ignore_patterns("__pycache__"))
        before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
        code, out, err = run(venv / "bin" / "python3", "-m", "pip", "install", "--disable-pip-version-check", source,
                             PYTHONPATH=None, http_proxy=nothing, https_proxy=nothing)
        self.assertEqual(code, 0, out + err)
        self.assertEqual({path: path.read_bytes() for path in source.rglob("*") if path.is_file()}, before)
        shutil.rmtree(source)
        path = self.sweep()
        code, out, err = run(venv / "bin" / "ctpgbench-analysis", "table", path, PYTHONPATH=None)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, analysis("table", path)[1])
        code, out, err = run(venv / "bin" / "ctpgbench-analysis", "--help", PYTHONPATH=None)
        self.assertTrue(out.startswith("usage: ctpgbench-analysis "), out)
        code, out, _ = run(
            venv / "bin" / "python3", "-c", "import ctpgbench_analysis as c; print(c.__file__)", PYTHONPATH=None
        )
        self.assertTrue(out.startswith(str(venv)), out)
        self.assertIn("ctpgbench-analysis", run(venv / "bin" / "python3", "-m", "pip", "list", PYTHONPATH=None)[1])


@unittest.skipUnless(program.PROGRAM.exists(), "the program is not built")
class HandOver(InFolder):
    def test_the_program_becomes_python(self):
        path = self.sweep()
        expected = analysis("table", path)[1]
        self.assertEqual(run(program.PROGRAM, "table", path, PYTHONPATH=None), (0, expected, ""))
        self.assertEqual(run(program.PROGRAM, "analysis", "table", path, PYTHONPATH=None), (0, expected, ""))
        code, out, err = run(program.PROGRAM, "figures", path, "-o", self.folder / "f", "--dpi", 50, PYTHONPATH=None)
        self.assertEqual((code, err), (0, ""))
        self.assertTrue((self.folder / "f" / "overview.png").exists(), out)
        code, out, err = run(program.PROGRAM, "table", self.folder / "none.h5")
        self.assertEqual(
            (code, out, err), (1, "", f"{self.folder}/none.h5 cannot be read: No such file or directory.\n")
        )

    # Of use for those who keep the project's pages and data, or with a name that is a command of the program.
    INSIDE = {"trace", "contract", "shell", "aggregate", "peers", "policies"}

    def test_every_command_is_handed_over(self):
        usage = run(program.PROGRAM, "-help")[1]
        for name in commands.COMMANDS:
            words = ("analysis", name) if name in self.INSIDE else (name,)
            self.assertRegex(usage, rf"(?m)^  {words[0]} ")
            for spelled in ("-help", "--help", "-h") if name == "table" else ("-help",):
                code, out, err = run(program.PROGRAM, *words, spelled)
                self.assertEqual((code, err), (0, ""))
                self.assertTrue(out.startswith(f"usage: ctpgbench {' '.join(words)} "), out)
        self.assertTrue(run(program.PROGRAM, "-help", "table")[1].startswith("usage: ctpgbench table "))

    def python_that_says_so(self, name, has_modules=True, starts=True):
        """A folder with a python3 that writes its name into a file when it runs the package."""
        folder = self.folder / name / "bin"
        folder.mkdir(parents=True)
        probe = "" if has_modules else '[ "$1" = -c ] && exit 1\n'
        (folder / "python3").write_text(
            "#!/bin/sh\n"
            + ("" if starts else "exit 126\n")
            + probe
            + f'[ "$1" = -c ] || echo {name} > {self.folder}/who\nexec {sys.executable} "$@"\n'
        )
        (folder / "python3").chmod(0o755)
        return folder.parent

    def who(self, **variables):
        (self.folder / "who").write_text("another\n")
        code, _, err = run(program.PROGRAM, "table", self.sweep(), **variables)
        self.assertEqual((code, err), (0, ""))
        return (self.folder / "who").read_text().strip()

    def test_which_python(self):
        venv, on_path = self.python_that_says_so("venv"), self.python_that_says_so("path")
        bare, broken = self.python_that_says_so("bare", has_modules=False), self.python_that_says_so(
            "broken", starts=False
        )

        def path_with(folder):
            return f"{folder}/bin:{os.environ['PATH']}"

        self.assertEqual(self.who(VIRTUAL_ENV=venv, PATH=path_with(on_path)), "venv")
        self.assertEqual(self.who(VIRTUAL_ENV=None, PATH=path_with(on_path)), "path")
        self.assertEqual(self.who(VIRTUAL_ENV=bare, PATH=path_with(on_path)), "path")
        self.assertEqual(self.who(VIRTUAL_ENV=broken, PATH=path_with(on_path)), "path")
        if Path("/usr/bin/python3").exists():
            self.assertEqual(self.who(VIRTUAL_ENV=bare, PATH=path_with(bare)), "another")

    def test_files_of_the_folder_are_not_modules(self):
        if sys.version_info < (3, 11):
            self.skipTest("needs Python 3.11, which knows PYTHONSAFEPATH")
        (self.folder / "numpy.py").write_text("raise SystemExit('taken from the folder')")
        (self.folder / "ctpgbench_analysis.py").write_text("raise SystemExit('taken from the folder')")
        path = self.sweep()
        with contextlib.chdir(self.folder):
            self.assertEqual(run(program.PROGRAM, "table", path, PYTHONPATH=None)[0], 0)

    def test_one_of_several_ranks(self):
        mpirun = os.environ.get("CTPG_MPIRUN") or shutil.which("mpirun")
        if not mpirun:
            self.skipTest("no mpirun")
        path = self.sweep()
        code, out, err = run(mpirun, "-n", 2, program.PROGRAM, "table", path, OMPI_MCA_rmaps_base_oversubscribe=1)
        self.assertEqual((code, out), (0, analysis("table", path)[1]), err)

    def test_without_the_package(self):
        shutil.copy(program.PROGRAM, self.folder / "ctpgbench")
        code, out, err = run(self.folder / "ctpgbench", "table", "x.h5")
        self.assertEqual((code, out, err.count("\n")), (1, "", 1))
        self.assertIn("table needs the Python package ctpgbench_analysis, which is neither in the sources", err)

    def test_installed(self):
        if not shutil.which("cmake"):
            self.skipTest("no cmake")
        prefix = self.folder / "prefix"
        code, out, err = run("cmake", "--install", BUILD, "--prefix", prefix)
        self.assertEqual(code, 0, out + err)
        path = self.sweep()
        expected = (0, analysis("table", path)[1], "")
        self.assertEqual(run(prefix / "bin" / "ctpgbench", "table", path, PYTHONPATH=None), expected)
        self.assertEqual(run(prefix / "bin" / "ctpgbench-analysis", "table", path, PYTHONPATH=None), expected)
        os.symlink(prefix / "bin" / "ctpgbench-analysis", self.folder / "link")
        self.assertEqual(run(self.folder / "link", "table", path, PYTHONPATH=None), expected)
        code, out, _ = run(prefix / "bin" / "ctpgbench-analysis", "trace", "--help", PYTHONPATH=None)
        self.assertTrue(out.startswith("usage: ctpgbench analysis trace "), out)
        installed = {one.relative_to(prefix / "share/ctpgbench/analysis") for one in
                     (prefix / "share/ctpgbench/analysis").rglob("*.py")}
        self.assertEqual(installed, {one.relative_to(PACKAGE.parent) for one in PACKAGE.rglob("*.py")})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    unittest.main()
