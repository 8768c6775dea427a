"""test_plugins.py -- problems and estimators of one's own: new-problem and new-estimator write them, and they run

All plug-ins are the two that the program writes, or these with a text replaced: one mistake each. They are compiled
once, by CMake against the build tree; Installed does it again against an installed one.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import h5py

import program
from program import InFolder, sha256

PROBLEM, ESTIMATOR = "my_cart", "my_midpoint"
MACROS = {PROBLEM: f"CTPG_PLUGIN_PROBLEM(CtpgProblem_{PROBLEM})",
          ESTIMATOR: f"CTPG_PLUGIN_ESTIMATOR(CtpgEstimator_{ESTIMATOR})"}
EXPORT = f"const CtpgProblemType *const ctpgbench_problem = &CtpgProblem_{PROBLEM};\n"


def slot(kind, name):
    """The line of the descriptor that fills a slot."""
    owner = PROBLEM if kind == "Problem" else ESTIMATOR
    return f"    .{name.lower()} = {kind}{name}_{owner},\n"


def built_with(change):
    """A problem whose record of what it was built with is changed by an assignment when it is loaded."""
    return [(MACROS[PROBLEM], f"CtpgBuild ctpgbench_build = CTPG_THIS_BUILD;\n{EXPORT}"
                              f"__attribute__((constructor)) static void Change(void) {{ ctpgbench_build.{change}; }}\n"
                              "#include <string.h>")]


GRADIENT = f"    .gradient_of_start = EstimatorGradientOfStart_{ESTIMATOR},\n"

# Name of the plug-in: what it is made of, (text, replacement) ...
VARIANTS = {
    PROBLEM: (PROBLEM, []),
    ESTIMATOR: (ESTIMATOR, []),
    "problem_v2": (PROBLEM, [(".version = 1", ".version = 2")]),
    "estimator_v2": (ESTIMATOR, [(".version = 1", ".version = 2")]),
    "unavailable": (PROBLEM, [(f".create = ProblemCreate_{PROBLEM}", '.unavailable = "it needs a wind tunnel"'),
                              (slot("Problem", "Eval"), "")]),
    # refused
    "nothing": (PROBLEM, [(MACROS[PROBLEM], "")]),
    "no_build": (PROBLEM, [(MACROS[PROBLEM], EXPORT)]),
    "null": (PROBLEM, [(MACROS[PROBLEM], "const CtpgProblemType *const ctpgbench_problem = NULL;")]),
    "unresolved": (PROBLEM, [("f[0] = x[1];", "extern double Nowhere(void);\n    f[0] = Nowhere();")]),
    "petsc": (PROBLEM, built_with("petsc_minor += 1")),
    "integers": (PROBLEM, built_with("integer_bytes = 12")),
    "scalars": (PROBLEM, built_with("scalar_bytes = 16")),
    "mpi": (PROBLEM, built_with("mpi[0] = 'X'")),
    "build_size": (PROBLEM, built_with("size += 4")),
    "abi": (PROBLEM, [(".abi = CTPG_ABI", ".abi = CTPG_ABI + 1")]),
    "estimator_abi": (ESTIMATOR, [(".abi = CTPG_ABI", ".abi = CTPG_ABI + 1")]),
    "size": (PROBLEM, [("sizeof(CtpgProblemType)", "offsetof(CtpgProblemType, eval)")]),
    "estimator_size": (ESTIMATOR, [("sizeof(CtpgEstimatorType)", "64")]),
    "nameless": (PROBLEM, [(f'.name = "{PROBLEM}"', ".name = NULL")]),
    "no_eval": (PROBLEM, [(slot("Problem", "Eval"), "")]),
    "no_draw": (PROBLEM, [(slot("Problem", "Draw"), "")]),
    "no_gradient": (ESTIMATOR, [(GRADIENT, "")]),
    "two_gradients": (ESTIMATOR, [(GRADIENT, GRADIENT + f"    .gradient = WholeBatch,\n"),
                                  ("const CtpgEstimatorType CtpgEstimator_", """\
static PetscErrorCode WholeBatch(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                                 CtpgStream *stream, CtpgResult *result) {
  (void)B;
  return EstimatorGradientOfStart_my_midpoint(est, loop, x0, accuracy, stream, result);
}

const CtpgEstimatorType CtpgEstimator_""")]),
    "no_storage": (ESTIMATOR, [('    .storage = "2 N nx",\n', "")]),
    "called_lqr": (PROBLEM, [(f'.name = "{PROBLEM}"', '.name = "lqr"')]),
    "called_ctpg": (ESTIMATOR, [(f'.name = "{ESTIMATOR}"', '.name = "ctpg"')]),
    "problem_called_ctpg": (PROBLEM, [(f'.name = "{PROBLEM}"', '.name = "ctpg"')]),
    # accepted, but wrong
    "sign": (PROBLEM, [("gx[1] += v[0] - cart->damping * v[1]", "gx[1] += v[0] + cart->damping * v[1]")]),
    "leak": (PROBLEM, [("  return CTPG_OK;\n}\n\n// gx += f_x' v",
                        "  static PetscReal last;\n  f[-2] += 1e-9 * last;\n  last = x[-2];\n"
                        "  return CTPG_OK;\n}\n\n// gx += f_x' v")]),
    "nan": (PROBLEM, [("f[0] = x[1];", "f[0] = x[0] > 0.5 ? 0.0 / 0.0 : x[1];")]),
    "order_3": (ESTIMATOR, [(".order = 2", ".order = 3")]),
    "state": (ESTIMATOR, [("  result->h = h;", "  static int calls;\n  result->gtheta[0] += 1e-12 * calls++;\n"
                                               "  result->h = h;")]),
    "silent": (ESTIMATOR, [("  result->bytes = PetscMax(result->bytes, m->arena.peak);\n", "")]),
}
PROJECT = """cmake_minimum_required(VERSION 3.18)
project(variants C)
find_package(ctpgbench REQUIRED)
foreach(name {})
  add_library(${{name}} MODULE ${{name}}.c)
  target_link_libraries(${{name}} PRIVATE ctpgbench::ctpgbench)
  set_target_properties(${{name}} PROPERTIES PREFIX "")
endforeach()
"""

place = None  # pathlib.Path: the two written folders, and variants/build with the plug-ins


def cmake(source, *options):
    """Configures and builds source into source/build."""
    for command in (["-S", source, "-B", source / "build", *options], ["--build", source / "build", "-j2"]):
        run = subprocess.run(["cmake", *command], capture_output=True, text=True)
        if run.returncode:
            raise AssertionError(f"cmake {command}: {run.stdout}\n{run.stderr}")
    return run.stdout + run.stderr


def replace(text, pairs):
    for old, new in pairs:
        if text.count(old) != 1:
            raise AssertionError(f"the template holds {old!r} {text.count(old)} times; adapt this test")
        text = text.replace(old, new)
    return text


def setUpModule():
    global place
    place = pathlib.Path(tempfile.mkdtemp(prefix="ctpgplugins"))
    unittest.addModuleCleanup(shutil.rmtree, place, ignore_errors=True)
    for command, name in (("new-problem", PROBLEM), ("new-estimator", ESTIMATOR)):
        code, _, err = program.run(command, name, cwd=place)
        if code:
            raise AssertionError(err)
    (place / "variants").mkdir()
    for name, (origin, pairs) in VARIANTS.items():
        text = (place / origin / f"{origin}.c").read_text(encoding="utf-8")
        (place / "variants" / f"{name}.c").write_text(replace(text, pairs), encoding="utf-8")
    (place / "variants/CMakeLists.txt").write_text(PROJECT.format(" ".join(VARIANTS)), encoding="utf-8")
    cmake(place / "variants", f"-Dctpgbench_DIR={program.PROGRAM.parent}")


def library(name):
    return place / "variants/build" / f"{name}.so"


def load(problem=PROBLEM, estimator=ESTIMATOR):
    return ("-problem_library", library(problem), "-estimator_library", library(estimator))


def failed_checks(text):
    """{name of the check: line} of every line that says FAIL; its columns: verdict, subject, name, sentence."""
    return {re.split(r"  +", line)[2]: line for line in program.check_entries(text) if line.startswith("FAIL")}


class Sentences(InFolder):
    def check_refused(self, outcome, words):
        code, out, err = outcome
        self.assertEqual(code, 1, out + err)
        lines = [line for line in err.splitlines() if line.startswith("ctpgbench: ")]
        self.assertEqual(len(lines), 1, err)
        for word in words if isinstance(words, tuple) else (words,):
            self.assertIn(word, lines[0])
        for noise in ("PETSC ERROR", "Segmentation", "MPI_ABORT"):
            self.assertNotIn(noise, err)


class New(Sentences):
    def test_written_folders_compile(self):
        """By the commands that the program prints."""
        for command, name in (("new-problem", PROBLEM), ("new-estimator", ESTIMATOR)):
            code, out, err = program.run(command, name, cwd=self.folder)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(sorted(os.listdir(self.folder / name)), ["CMakeLists.txt", f"{name}.c"])
            self.assertNotIn("TEMPLATE", (self.folder / name / f"{name}.c").read_text(encoding="utf-8"))
            build, check = [line.strip() for line in out.splitlines() if line.startswith("  ")]
            built = subprocess.run(build, shell=True, cwd=self.folder, capture_output=True, text=True)
            self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
            self.assertNotIn("warning", built.stdout + built.stderr)
            self.assertTrue(os.access(check.split()[0], os.X_OK), check)  # the line can be pasted as it is
            self.assertTrue(check.split()[0].endswith("ctpgbench"), check)
            code, out, err = program.run(*check.split()[1:], cwd=self.folder)
            self.assertEqual((code, err), (0, ""), out)
            self.assertRegex(out.splitlines()[-1], r"^\d+ passed, 0 failed$")

    def test_bad_names(self):
        cases = [("-", "is not a usable name"), ("1abc", "is not a usable name"), ("../x", "is not a usable name"),
                 ("", "'' is not a usable name"), ("a b", "is not a usable name"),
                 ("x" * 40, "is not a usable name"), ("lqr", "there is a problem lqr already"),
                 ("ctpg", "there is an estimator ctpg already"), ("ts", "PETSc's own options")]
        for command in ("new-problem", "new-estimator"):
            for name, words in cases:
                with self.subTest(command=command, name=name):
                    self.check_refused(program.run(command, name, cwd=self.folder), words)
            self.check_refused(program.run(command, cwd=self.folder), "is not a usable name")
        self.assertEqual(os.listdir(self.folder), [])

    def test_nothing_is_overwritten(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine/mine.c").write_text("precious", encoding="ascii")
        (self.folder / "file").write_text("precious", encoding="ascii")
        for command in ("new-problem", "new-estimator"):
            for name in ("mine", "file"):
                self.check_refused(program.run(command, name, cwd=self.folder),
                                   f"folder {name} cannot be made: File exists")
        self.check_refused(program.run("new-problem", "mine", cwd=self.folder, ranks=2), "File exists")
        self.assertEqual(os.listdir(self.folder / "mine"), ["mine.c"])
        self.assertEqual((self.folder / "mine/mine.c").read_text(encoding="ascii"), "precious")
        self.assertEqual((self.folder / "file").read_text(encoding="ascii"), "precious")


class Installed(InFolder):
    def test_against_an_installed_tree(self):
        prefix = self.folder / "a prefix"
        subprocess.run(["cmake", "--install", program.PROGRAM.parent, "--prefix", prefix], check=True,
                       capture_output=True)
        installed = prefix / "bin/ctpgbench"
        environment = program.environment(0, program.scratch())
        environment.pop("LD_LIBRARY_PATH", None)
        linked = subprocess.run(["ldd", installed], capture_output=True, text=True, check=True, env=environment).stdout
        self.assertRegex(linked, rf"libctpgbench\S* => {re.escape(str(prefix))}/")
        self.assertNotIn("not found", linked)
        for part in ("share/ctpgbench/jobs/slurm.sh", "share/ctpgbench/jobs/quick.yaml",
                     "share/ctpgbench/analysis/ctpgbench_analysis/__init__.py", "share/doc/ctpgbench/LICENSE",
                     "share/doc/ctpgbench/cluster.md", "bin/ctpgbench-analysis"):
            self.assertTrue((prefix / part).exists(), part)
        for kind, name in (("problem", PROBLEM), ("estimator", ESTIMATOR)):
            told = subprocess.run([installed, f"new-{kind}", name], cwd=self.folder, env=environment, check=True,
                                  capture_output=True, text=True).stdout
            own = next(line for line in told.splitlines() if "cmake -S" in line)
            subprocess.run(["sh", "-c", own], cwd=self.folder, env=environment, check=True, capture_output=True)
            cache = (self.folder / name / "build/CMakeCache.txt").read_text(encoding="utf-8")
            found = re.search(r"(?m)^ctpgbench_DIR:\w+=(.*)", cache)[1]
            self.assertTrue(found.startswith(f"{prefix}/"), found)
            run = subprocess.run([installed, "check", f"-{kind}_library", f"{name}/build/{name}.so", f"-{kind}s", name,
                                  "-check_repeats", "10"], cwd=self.folder, env=environment, capture_output=True,
                                 text=True)
            self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)


class Use(Sentences):
    PLAN = ("-problems", f"{PROBLEM},lqr", "-estimators", f"{ESTIMATOR},ctpg", "-dt", "0.1,0.01", "-rtol",
            "1e-3,1e-6", "-timing_threshold", "0")

    def test_list(self):
        code, out, err = program.run("list", *load())
        self.assertEqual((code, err), (0, ""))
        self.assertIn(PROBLEM, out)
        self.assertIn(ESTIMATOR, out)
        self.assertNotIn(PROBLEM, program.run("list")[1])

    def test_gradient(self):
        """Of the plug-in problem by both estimators: errors of the order of the accuracy."""
        for estimator, accuracy, limit in ((ESTIMATOR, ("-dt", "1e-3"), 1e-6), ("ctpg", ("-rtol", "1e-9"), 1e-8)):
            out = self.folder / f"{estimator}.h5"
            code, text, err = program.run("gradient", *load(), "-problem", PROBLEM, "-estimator", estimator, *accuracy,
                                          "-out", out)
            self.assertEqual((code, err), (0, ""))
            error = float(re.search(r"^error +(\S+)", text, re.MULTILINE).group(1))
            self.assertLess(error, limit)
            self.assertGreater(error, 0)

    def test_name_without_folder(self):
        """A plug-in in this folder is found although dlopen looks elsewhere; labels and options work as usual."""
        shutil.copy(library(PROBLEM), self.folder)
        code, out, err = program.run("gradient", "-problem_library", f"{PROBLEM}.so", "-problem", f"cart={PROBLEM}",
                                     "-cart_damping", "0.5", "-estimator", "ctpg", cwd=self.folder)
        self.assertEqual((code, err), (0, ""), out)
        code, _, err = program.run("gradient", "-problem_library", f"{PROBLEM}.so", "-problem", PROBLEM,
                                   f"-{PROBLEM}_dampign", "0.5", cwd=self.folder)
        self.assertEqual(code, 1)
        self.assertIn("dampign; did you mean", err)

    def test_sweep(self):
        digest = self.sweep("a.h5", *load(), *self.PLAN, "-seeds", "0:2", ranks=2)
        results = self.results("a.h5")
        self.assertTrue(results.done().all())
        self.assertEqual({results.status_of(row) for row in results.runs}, {"ok"})
        with h5py.File(self.folder / "a.h5") as file:
            versions = file["sessions"]["versions"][0].decode()
            for name in (PROBLEM, ESTIMATOR):
                self.assertRegex(versions, rf"plug-ins.*\b{name}\.so@[0-9a-f]{{16}}\b")
            self.assertEqual([file[table]["version"][0] for table in ("problems", "estimators")], [1, 1])
            self.assertIn(f"{{{PROBLEM},", file["problems"]["bibtex"][0].decode())
        self.assertEqual(self.sweep("b.h5", *load(), *self.PLAN, "-seeds", "0:2"), digest)
        with h5py.File(self.folder / "a.h5", "r+") as file:
            commit = file["runs/commit"][()]
            commit["status"][3] = -1
            file["runs/commit"][...] = commit
        self.assertEqual(self.sweep("a.h5", *load(), *self.PLAN, "-seeds", "0:2", ranks=2), digest)
        self.assertIn("resumed, 15 of 16 runs done", self.text)
        enlarged = self.sweep("a.h5", *load(), *self.PLAN, "-seeds", "0:3", ranks=2)
        self.assertIn("16 of them done", self.text)
        self.assertEqual(self.sweep("c.h5", *load(), *self.PLAN, "-seeds", "0:3"), enlarged)
        self.check_refused(program.run("sweep", *self.PLAN, "-seeds", "0:2", "-out", self.folder / "a.h5"),
                           f"{PROBLEM} is not a known problem")
        self.assertEqual(program.run("status", self.folder / "a.h5")[0], 0)

    def test_another_version_is_another_plan(self):
        """Results of two versions never meet in one file, neither by resuming nor by enlarging."""
        digest = self.sweep("a.h5", *load(), *self.PLAN, "-seeds", "0:2")
        path = self.folder / "a.h5"
        before = sha256(path)
        for kind, name, libraries in (("problem", PROBLEM, load(problem="problem_v2")),
                                      ("estimator", ESTIMATOR, load(estimator="estimator_v2"))):
            for seeds in ("0:2", "0:3"):
                with self.subTest(kind=kind, seeds=seeds):
                    outcome = program.run("sweep", *libraries, *self.PLAN, "-seeds", seeds, "-out", path)
                    self.check_refused(outcome, (f"{path} holds another plan",
                                                 f"{kind} {name} is of version 1 there and of version 2 here"))
                    self.assertEqual(sha256(path), before)
            other = self.sweep(f"{kind}.h5", *libraries, *self.PLAN, "-seeds", "0:2")
            self.assertNotEqual(other, digest)
            old, new = self.results("a.h5"), self.results(f"{kind}.h5")
            untouched = old.select(*("lqr", None) if kind == "problem" else (None, "ctpg"))
            self.assertEqual(set(old.runs["run_key"]) & set(new.runs["run_key"]), set(untouched["run_key"]))

    def test_unavailable(self):
        """It may leave its slots empty; it is listed with the reason."""
        libraries = ("-problem_library", library("unavailable"))
        code, out, err = program.run("list", *libraries)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("unavailable: it needs a wind tunnel", out)
        self.check_refused(program.run("gradient", *libraries, "-problem", PROBLEM),
                           f"{PROBLEM} is not available: it needs a wind tunnel")


class Refused(Sentences):
    """Before any file is touched."""
    END_WITH = "end its source with CTPG_PLUGIN_PROBLEM("
    PROBLEMS = {"nothing": ("exports no ctpgbench_problem", END_WITH), "null": ("exports no ctpgbench_problem",),
                "no_build": ("does not say what it was built with", END_WITH),
                "build_size": ("does not say what it was built with",),
                "unresolved": ("cannot be loaded", "undefined symbol: Nowhere"),
                "petsc": ("was built with PETSc 3.", "build it with the same"),
                "integers": ("(12-byte integers), ctpgbench with PETSc",),
                "scalars": ("was built with PETSc",),
                "mpi": ("was built with X", "build it with the same"),
                "abi": ("was built for ABI 3 of ctpgbench, this is ABI 2", "build it again"),
                "size": ("its descriptor says .size =", "set .size = sizeof(CtpgProblemType)"),
                "nameless": ("lacks .name or .bibtex",),
                "no_eval": (f"{PROBLEM} lacks the slot .eval, which is needed",),
                "no_draw": (f"{PROBLEM} lacks the slot .draw, which is needed",),
                "called_lqr": ("there is a problem lqr already; rename yours",),
                "problem_called_ctpg": ("there is an estimator ctpg already; rename yours",),
                ESTIMATOR: ("holds no problem but an estimator; load it with -estimator_library",)}
    ESTIMATORS = {"estimator_abi": ("was built for ABI 3",), "estimator_size": ("says .size = 64 bytes",),
                  "no_gradient": (f"{ESTIMATOR} has no .gradient_of_start and no .gradient; it needs one of them",),
                  "two_gradients": (f"{ESTIMATOR} has .gradient and .gradient_of_start; it needs one of them",),
                  "no_storage": (f"{ESTIMATOR} lacks the slot .storage, which is needed",),
                  "called_ctpg": ("there is an estimator ctpg already; rename yours",),
                  PROBLEM: ("holds no estimator but a problem; load it with -problem_library",)}

    def setUp(self):
        super().setUp()
        self.sweep("old.h5", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3")
        self.before = self.listing()

    def listing(self):
        return {path.name: sha256(path) for path in self.folder.iterdir()}

    def attempt(self, option, value, out="new.h5", ranks=0):
        return program.run("sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3",
                           "-out", out, f"-{option}_library", *value, ranks=ranks, cwd=self.folder)

    def check_all(self, requests):
        """requests: (option, values, words)"""
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            outcomes = list(pool.map(lambda request: self.attempt(request[0], request[1]), requests))
        for (option, value, words), outcome in zip(requests, outcomes):
            with self.subTest(option=option, value=value):
                self.check_refused(outcome, words)
        self.assertEqual(self.listing(), self.before)

    def test_wrong_plug_ins(self):
        self.check_all([(option, (library(name),), (str(library(name)), *words))
                        for option, cases in (("problem", self.PROBLEMS), ("estimator", self.ESTIMATORS))
                        for name, words in cases.items()])

    def test_wrong_files(self):
        text = place / "text.so"
        text.write_text("not a library\n" * 100, encoding="ascii")
        good = str(library(PROBLEM))
        self.check_all([(option, value, words) for option in ("problem", "estimator") for value, words in (
            (("none.so",), (f"-{option}_library none.so cannot be loaded", "No such file")),
            (("no/where.so",), (f"-{option}_library no/where.so cannot be loaded", "No such file")),
            ((text,), ("text.so cannot be loaded", "invalid ELF header")),
            (("old.h5",), ("old.h5 cannot be loaded",)),
            ((place,), (f"{place} cannot be loaded",)),
            ((), f"-{option}_library has no value; expected a comma list of plug-ins"),
            (("",), f"-{option}_library has no value"))] + [
                ("problem", (f"{good},{good}",), f"there is a problem {PROBLEM} already"),
                ("problem", (f"{good},none.so",), "none.so cannot be loaded")])

    def test_at_two_ranks_and_with_an_old_file(self):
        self.check_refused(self.attempt("problem", (library("abi"),), "old.h5", ranks=2), "was built for ABI 3")
        self.check_refused(self.attempt("estimator", ("none.so",), "old.h5"), "none.so cannot be loaded")
        self.assertEqual(self.listing(), self.before)


class Checked(unittest.TestCase):
    """`check` tells the author of a wrong plug-in what is wrong, and nothing else."""

    def failures(self, kind, name, *options):
        code, out, err = program.run("check", f"-{kind}_library", library(name), f"-{kind}s",
                                     PROBLEM if kind == "problem" else ESTIMATOR, *options)
        self.assertEqual((code, err), (1, ""), out)
        return failed_checks(out)

    def test_problems(self):
        for name, check, words in (
                ("sign", "f_x against Richardson differences", "f_x[1, 1] is 0.1, differences give -0.1 "),
                ("leak", "no state from call to call", "after calls of eval at other points; ctx must hold no state"),
                ("nan", "finite at drawn starts", "f is not finite at t = 0")):
            with self.subTest(name):
                failed = self.failures("problem", name)
                self.assertEqual(list(failed), [check])
                self.assertIn(words, failed[check])

    def test_estimators(self):
        for name, check, words in (
                ("order_3", "order", "3 is claimed, but the error goes like steps^(-2.0"),
                ("state", "same bits when called again", "only workspace may outlive a call"),
                ("silent", "bytes stored", "storage is said to be 2 N nx, but bytes are 0")):
            with self.subTest(name):
                failed = self.failures("estimator", name, "-check_repeats", "10")
                self.assertEqual(list(failed), [check])
                self.assertIn(words, failed[check])


if __name__ == "__main__":
    unittest.main()
