"""test_hostile.py -- plug-ins that try to bend the counts, built as an ordinary user does it: from an installed tree alone

What must not be reached does not compile or does not load. What can be reached by including our headers is tried in one
estimator, on a problem that counts its own calls: the counts that the program prints are the calls that the plant saw.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import program

CC = None         # the compiler, flags and libraries that find_package(ctpgbench) leads to
place = None      # pathlib.Path
PROJECT = """cmake_minimum_required(VERSION 3.18)
project(hostile C)
find_package(ctpgbench REQUIRED)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_library(probe MODULE probe.c)
target_link_libraries(probe PRIVATE ctpgbench::ctpgbench)
set_target_properties(probe PROPERTIES PREFIX "")
"""

# A problem that is the template's cart and a spy: it says at the end how often the plant was called.
SPY = [("typedef struct {", "#include <stdio.h>\n\nstatic long evals, products;\n\ntypedef struct {"),
       ("  const Cart *cart = ctx;\n  (void)task, (void)t;\n  for (PetscInt p = 0; p < n; p++, x += 2, u++, f += 2) {",
        "  const Cart *cart = ctx;\n  (void)task, (void)t;\n  evals += n;\n"
        "  for (PetscInt p = 0; p < n; p++, x += 2, u++, f += 2) {"),
       ("  const Cart *cart = ctx;\n  (void)task, (void)t;\n"
        "  for (PetscInt p = 0; p < n; p++, x += 2, u++, v += 2, gx += 2, gu++) {",
        "  const Cart *cart = ctx;\n  (void)task, (void)t;\n  products += n;\n"
        "  for (PetscInt p = 0; p < n; p++, x += 2, u++, v += 2, gx += 2, gu++) {"),
       ("  PetscCallVoid(PetscFree(*ctx));", '  fprintf(stderr, "the plant saw %ld f + %ld vjp\\n", evals, products);\n'
        "  PetscCallVoid(PetscFree(*ctx));")]

# All that the public set lets an estimator do, where and in an order in which nobody should. The handle of the loop is kept
# in a static, to be used when the engine is not looking.
HOSTILE = """
static CtpgClosedLoop kept;
static PetscReal at[16], slope[16], cost[8], product[16], other[4096];

static void Evaluate(CtpgClosedLoop loop) {
  const PetscReal t[4] = {0, 0.1, 0.2, 0.3}, c[4] = {1, 1, 1, 1};
  if (!loop) return;
  CtpgClosedLoopEval(loop, 4, t, at, slope, cost);
  CtpgClosedLoopVJP(loop, 2, t, at, slope, c, product, NULL);
  CtpgClosedLoopEval(loop, 0, t, at, slope, cost);
  CtpgClosedLoopEval(loop, -3, t, at, slope, cost);
}

static void Meddle(CtpgClosedLoop loop) {
  static const PetscInt start[4] = {0, 0, 0, 0};
  CtpgClosedLoopSetPurpose(loop, (CtpgPurpose)77);
  Evaluate(loop);
  CtpgClosedLoopMoveCounts(loop, (CtpgPurpose)77);
  CtpgClosedLoopMoveCounts(loop, CTPG_FORWARD);
  CtpgClosedLoopMarkCounts(loop);
  Evaluate(loop);
  CtpgClosedLoopMoveCounts(loop, CTPG_REJECTED);
  CtpgClosedLoopMoveCounts(loop, CTPG_REJECTED);
  CtpgClosedLoopUseTheta(loop, other);
  Evaluate(loop);
  CtpgClosedLoopUseTheta(loop, NULL);
  CtpgClosedLoopSetStarts(loop, 4, start, NULL);
  Evaluate(loop);
  CtpgClosedLoopSetStart(loop, 0);
  CtpgClosedLoopSetPiece(loop, 12);
  Evaluate(loop);
  CtpgClosedLoopSetPiece(loop, -1);
  CtpgClosedLoopFail(loop, CTPG_OK, "nothing");
  Evaluate(loop);
  CtpgClosedLoopSetPurpose(loop, CTPG_FORWARD);
}
"""


def hostile(text):
    """The template, meddling wherever it is called."""
    def put(function, line):
        nonlocal text
        head = re.search(rf"static \w+ {function}_my_midpoint\(.*?\) {{\n(?:.*;\n)*?(?:  PetscFunctionBeginUser;\n)?", text,
                         re.DOTALL)
        text = text[:head.end()] + line + text[head.end():]

    put("EstimatorSetUp", "  kept = loop;\n  Meddle(loop);\n")
    put("EstimatorGradientOfStart", "  Meddle(loop);\n")
    put("EstimatorDestroy", "  Evaluate(kept);\n  kept = NULL;\n")
    text = text.replace("static PetscErrorCode EstimatorCreate", HOSTILE + """
static PetscErrorCode EstimatorMemory_my_midpoint(void *est, PetscViewer viewer, PetscBool load) {
  (void)est, (void)viewer, (void)load;
  if (kept) Meddle(kept);
  return 0;
}

static PetscErrorCode EstimatorCreate""", 1)
    return text.replace("    .destroy = ", "    .memory = EstimatorMemory_my_midpoint,\n    .destroy = ", 1)


def setUpModule():
    global place
    place = pathlib.Path(tempfile.mkdtemp(prefix="ctpghostile"))
    unittest.addModuleCleanup(shutil.rmtree, place, ignore_errors=True)
    subprocess.run(["cmake", "--install", program.PROGRAM.parent, "--prefix", place / "prefix"], check=True,
                   capture_output=True)
    for kind, name in (("problem", "my_cart"), ("estimator", "my_midpoint")):
        outcome = run(f"new-{kind}", name)
        if outcome.returncode:
            raise AssertionError(outcome.stderr)
    learn_commands()


def run(*words):
    environment = program.environment(0)
    environment.pop("LD_LIBRARY_PATH", None)
    return subprocess.run([place / "prefix/bin/ctpgbench", *words], cwd=place, env=environment, capture_output=True,
                          text=True, timeout=program.LIMIT)


def learn_commands():
    """How find_package compiles and links a plug-in: once by CMake, then by the same words for every probe."""
    global CC
    folder = place / "probe"
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(PROJECT, encoding="ascii")
    (folder / "probe.c").write_text("int nothing;\n", encoding="ascii")
    for command in (["-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={place / 'prefix'}"],
                    ["--build", folder / "build"]):
        subprocess.run(["cmake", *command], check=True, capture_output=True)
    words = (folder / "build/CMakeFiles/probe.dir/flags.make").read_text(encoding="utf-8")
    flags = [word for line in re.findall(r"^C_(?:INCLUDES|DEFINES|FLAGS) = (.*)$", words, re.MULTILINE)
             for word in line.split()]
    link = (folder / "build/CMakeFiles/probe.dir/link.txt").read_text(encoding="utf-8").split()
    libraries = [word for word in link if word.startswith(("-Wl", "-l", "-L", "/"))
                 and not word.endswith((".o", "cc", "gcc", "mpicc"))]
    CC = ([link[0], *flags, "-Wall", "-Wextra", "-Werror"], libraries)


def build(name, text):
    """name.so from text: (its path, None), or (None, what the compiler says)."""
    source, library = place / f"{name}.c", place / f"{name}.so"
    source.write_text(text, encoding="utf-8")
    words = [*CC[0], "-shared", "-fPIC", "-MD", "-MF", place / f"{name}.d", source, "-o", library, *CC[1]]
    outcome = subprocess.run(words, capture_output=True, text=True)
    return (library, None) if outcome.returncode == 0 else (None, outcome.stderr)


def template(name):
    return (place / name / f"{name}.c").read_text(encoding="utf-8")


def replaced(text, pairs):
    for old, new in pairs:
        if text.count(old) != 1:
            raise AssertionError(f"the template holds {old!r} {text.count(old)} times; adapt this test")
        text = text.replace(old, new)
    return text


def installed_headers():
    include = place / "prefix/include"
    return sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))


class Installed(unittest.TestCase):
    def test_the_public_set_and_nothing_else(self):
        public = program.ROOT / "include"
        self.assertEqual(installed_headers(), sorted(path.relative_to(public).as_posix() for path in public.rglob("*.h")))
        self.assertEqual([name for name in installed_headers() if "private" in name or "engine" in name], [])

    def test_the_source_is_out_of_sight(self):
        """Neither a word of the commands nor a header that the compiler read lies in the checkout or the build tree."""
        text = "".join(f"#include <{name}>\n" for name in installed_headers()) + "int nothing;\n"
        library, message = build("everything", text)
        self.assertTrue(library, message)
        read = (place / "everything.d").read_text(encoding="utf-8")
        for folder in (program.ROOT, program.PROGRAM.parent):
            self.assertNotIn(f"{folder}/", read)
            self.assertEqual([word for word in [*CC[0], *CC[1]] if f"{folder}/" in str(word)], [])


class Hidden(unittest.TestCase):
    """With every installed header included."""

    def compiled(self, body):
        headers = "".join(f"#include <{name}>\n" for name in installed_headers())
        return build("hidden", f"{headers}\nvoid Probe(CtpgClosedLoop loop);\nvoid Probe(CtpgClosedLoop loop) {{\n{body}\n}}\n")

    def test_what_is_allowed_compiles(self):
        self.assertTrue(self.compiled("  CtpgClosedLoopSetPurpose(loop, CTPG_ADJOINT);")[0])

    def test_what_is_hidden_has_no_declaration(self):
        for call in ("CtpgClosedLoopStart(loop, NULL)", "CtpgClosedLoopStop(loop)", "CtpgClosedLoopStartSetUp(loop)",
                     "CtpgClosedLoopSetCase(loop, NULL, 1, NULL, 1)", "CtpgClosedLoopSetObserver(loop, NULL, NULL)",
                     "CtpgClosedLoopControl(loop, 0, NULL, NULL)", "CtpgClosedLoopDestroy(&loop)",
                     "CtpgClosedLoopCreate(NULL, NULL, NULL, NULL, &loop)", "ProblemCreateLoop(NULL, &loop)",
                     "CtpgStreamOpen(0, NULL, 0, 0, 0)", "PolicyEval(NULL, NULL, 1, NULL, NULL, NULL)"):
            with self.subTest(call):
                library, message = self.compiled(f"  {call};")
                self.assertIsNone(library)
                self.assertIn("implicit declaration", message)

    def test_handles_are_opaque(self):
        for body in ("  loop->counts[0].nf = 0;", "  *loop = (struct CtpgClosedLoop_s){0};", "  (void)sizeof *loop;"):
            with self.subTest(body):
                library, message = self.compiled(body)
                self.assertIsNone(library)
                self.assertRegex(message, "(incomplete|undefined) type")

    def test_engine_headers_are_not_there(self):
        for header in ("run/instance.h", "loop/closedloop_engine.h", "ctpgbench/closedloop_engine.h", "loop/policy.h",
                       "src/run/instance.h", "store/store.h"):
            with self.subTest(header):
                library, message = build("absent", f'#include "{header}"\nint nothing;\n')
                self.assertIsNone(library)
                self.assertIn("No such file", message)

    def test_who_declares_it_himself_is_not_loaded(self):
        """Names of the engine, guessed: the library does not show them, and the plug-in is refused."""
        for name in ("CtpgClosedLoopStart", "ProblemCreateLoop", "CtpgProblem_lqr"):
            with self.subTest(name):
                text = replaced(template("my_midpoint"), [
                    ("  PetscCall(PetscNew(&m));", f"  extern void {name}(void *, void *);\n  {name}(NULL, NULL);\n"
                                                   "  PetscCall(PetscNew(&m));")])
                library, message = build("guessed", text)
                self.assertTrue(library, message)
                outcome = run("list", "-estimator_library", library)
                self.assertEqual(outcome.returncode, 1, outcome.stdout)
                self.assertIn(f"undefined symbol: {name}", outcome.stderr)


class Reachable(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.problem, message = build("spy", replaced(template("my_cart"), SPY))
        assert cls.problem, message
        cls.estimator, message = build("meddler", hostile(template("my_midpoint")))
        assert cls.estimator, message
        cls.honest, message = build("honest", template("my_midpoint"))
        assert cls.honest, message

    def counts(self, estimator, *options):
        """(f, vjp) as printed, (f, vjp) as the plant saw them."""
        outcome = run("gradient", "-problem_library", self.problem, "-estimator_library", estimator, "-problem", "my_cart",
                      "-estimator", "my_midpoint", "-reference", "0", "-dt", "2e-5", *options)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        printed = re.search(r"= (\d+) f \+ (\d+) vjp", outcome.stdout)
        seen = re.search(r"the plant saw (\d+) f \+ (\d+) vjp", outcome.stderr)
        return [tuple(int(number) for number in match.groups()) for match in (printed, seen)]

    def test_what_is_printed_is_what_the_plant_saw(self):
        """A solve that is long enough to be timed once; setup counts, and nothing is evaluated outside."""
        honest, seen = self.counts(self.honest)
        self.assertEqual(honest, seen)
        printed, seen = self.counts(self.estimator)
        self.assertEqual(printed, seen)
        meddled = 6  # calls of Evaluate in a Meddle: 4 f + 2 vjp each; in setup, memory and gradient
        self.assertEqual(printed[0] - honest[0], 3 * meddled * 4)
        self.assertEqual(printed[1] - honest[1], 3 * meddled * 2)

    def test_check_agrees(self):
        outcome = run("check", "-estimator_library", self.estimator, "-estimators", "my_midpoint", "-check_repeats",
                      "5")
        self.assertRegex(outcome.stdout, r"(?m)^ok +my_midpoint on lqr +counts .*, as the plant saw them$")

    def test_a_failed_run_evaluates_nothing_more(self):
        outcome = run("gradient", "-problem_library", self.problem, "-estimator_library", self.estimator, "-problem",
                      "my_cart", "-estimator", "my_midpoint", "-reference", "0", "-dt", "0.1", "-eval_limit", "60")
        printed = re.search(r"= (\d+) f \+ (\d+) vjp", outcome.stdout)
        seen = re.search(r"the plant saw (\d+) f \+ (\d+) vjp", outcome.stderr)
        self.assertIn("eval_limit", outcome.stdout)
        self.assertEqual(printed.groups(), seen.groups())


if __name__ == "__main__":
    unittest.main()
