"""test_layers.py -- the plan of the house holds: who includes whom, what is declared where, what the library shows

Each rule is a function from a tree to the sentences on what breaks it. The tests ask that the tree of this checkout
breaks none, and that each rule finds a violation that is put into a copy of it.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("CTPG_BUILD", ROOT / "build")).resolve()

# Whom each room may include, beside itself. A public header counts as the room of the .c file that stands behind it.
ROOMS = {
    "base": "",
    "loop": "base",
    "store": "base",
    "schedule": "base",
    "solve": "loop base",
    "adjoint": "solve loop base",
    "run": "adjoint solve loop store base",
    "job": "run store schedule loop base",
    "check": "job run adjoint solve loop base",
    "sweep": "job run store schedule loop base",
    "train": "job run adjoint solve store schedule loop base",
    "bench": "train job run adjoint solve loop store base",
    "commands": "sweep train bench check job run adjoint solve store schedule loop base",
}
# Public headers behind which there is no file of their name. problem.h stands on base alone; the store keeps what it
# says of a plant.
CONTRACTS = {"problem.h": "base", "plugin.h": "loop", "ctpgbench.h": "loop", "toolkit.h": "adjoint"}
LINKER = {"__bss_start", "_edata", "_end", "_init", "_fini"}
LEAVING = {"_exit", "_Exit"}  # ours, found by plug-ins before the C library's (job/crash.c)


def sources(root, *patterns):
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def quoted_includes(path):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', path.read_text(encoding="utf-8"), re.MULTILINE)


def bare(text):
    """C without comments, strings, preprocessor lines and what stands in braces."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    text = re.sub(r"^[ \t]*#(?:.*\\\n)*.*$", "", text, flags=re.MULTILINE)
    kept, depth = [], 0
    for piece in re.split(r"([{}])", text):
        depth -= piece == "}"
        if depth == 0:
            kept.append(piece)
        depth += piece == "{"
    return "".join(kept)


def declared_functions(path):
    names = []
    for statement in bare(path.read_text(encoding="utf-8")).split(";"):
        statement = statement.split("}")[-1].strip()
        head = re.match(r"([\w\s*]*?)\b(\w+)\s*\(", statement)
        if head and head[1] and not re.search(r"\b(typedef|static)\b", head[1]) and head[2] != "__attribute__":
            names.append(head[2])
    return names


def defined_functions(path):
    text = bare(path.read_text(encoding="utf-8"))
    heads = re.finditer(r"(?:^|\n)([\w\s*]+?)\b(\w+)\s*\((?:[^()]|\([^()]*\))*\)\s*\{\}", text)
    return [head[2] for head in heads if "static" not in head[1].split()]


def room_of_public(root, name):
    """Of include/ctpgbench/<name>, or toolkit/<name>."""
    stem = pathlib.PurePath(name).stem
    rooms = ("solve", "adjoint") if name.startswith("toolkit/") else ("base", "loop")
    for room in rooms:
        if (root / "src" / room / f"{stem}.c").exists():
            return room
    return CONTRACTS.get(name)


def room_of(root, include):
    folder, _, rest = include.partition("/")
    return room_of_public(root, rest) if folder == "ctpgbench" else folder


def engine_files(root):
    """(room, path) of every file of src/ and every public header."""
    for path in sources(root, "src/*/*.[ch]"):
        yield path.parent.name, path
    for path in sources(root, "include/ctpgbench/*.h", "include/ctpgbench/toolkit/*.h"):
        yield room_of_public(root, path.relative_to(root / "include/ctpgbench").as_posix()), path


# ---- the rules ----

def includes_name_their_folder(root):
    for path in sources(root, "src/*/*.[ch]", "include/**/*.h", "estimators/*.c", "problems/**/*.[ch]"):
        for include in quoted_includes(path):
            if "/" not in include:
                yield f'{path.relative_to(root)} includes "{include}"; expected its folder before it'


def no_room_looks_up(root):
    for room, path in engine_files(root):
        where = path.relative_to(root)
        if room not in ROOMS:
            yield f"{where} stands in no known room; expected one of {', '.join(ROOMS)}"
            continue
        for include in quoted_includes(path):
            other = room_of(root, include)
            if other not in (room, "generated", *ROOMS[room].split()):
                yield f'{where} includes "{include}" of {other}; {room} may include: {ROOMS[room] or "nobody"}'


def private_headers_stay_at_home(root):
    for path in sources(root, "src/*/*.[ch]", "include/**/*.h", "estimators/*.c", "problems/**/*.[ch]"):
        for include in quoted_includes(path):
            if include.endswith("_private.h") and path.parent != (root / "src" / include).parent:
                yield f'{path.relative_to(root)} includes "{include}", which is private to src/{include.split("/")[0]}'


def subject(header):
    """x for x.h and x_engine.h."""
    return header.stem.removesuffix("_engine")


def headers_declare_what_their_file_defines(root):
    """x.h and x_engine.h: x.c of their room; x_private.h, which several files share: their room."""
    home = {name: path for path in sources(root, "src/*/*.c") for name in defined_functions(path)}
    for room, header in engine_files(root):
        if header.suffix != ".h":
            continue
        for name in declared_functions(header):
            path = home.get(name)
            own = path and path.parent.name == room
            if not own or not (header.stem.endswith("_private") or path.stem == subject(header)):
                found = path.relative_to(root) if path else "nowhere"
                yield f"{header.relative_to(root)} declares {name}, which is defined in {found}"


def contributions_keep_to_the_contract(root):
    """Estimators include the public set, problems what problem.h is made of; both their own folder."""
    for path in sources(root, "estimators/*.c"):
        for include in quoted_includes(path):
            if not include.startswith(("ctpgbench/", f"{path.stem}/")):
                yield f'{path.relative_to(root)} includes "{include}"; an estimator includes ctpgbench/... alone'
    for path in sources(root, "problems/**/*.[ch]"):
        for include in quoted_includes(path):
            if include not in ("ctpgbench/problem.h", "generated/models.h") and not include.startswith("problems/"):
                yield f'{path.relative_to(root)} includes "{include}"; a problem includes ctpgbench/problem.h alone'


def headers_compile_alone(root, *patterns):
    """What is installed, without the rest of the tree."""
    flags = compile_flags()
    definitions = (BUILD / "CMakeFiles/engine.dir/flags.make").read_text(encoding="utf-8")
    for path in sources(root, *(patterns or ("src/*/*.h", "include/**/*.h", "problems/**/*.h"))):
        public = path.is_relative_to(root / "include")
        folders = ["include"] if public else ["", "src", "include"]
        if "mujoco" in path.parts and "-DCTPG_HAVE_MUJOCO" not in definitions:
            continue
        own = [f"-I{root / folder}" for folder in folders] + [f"-I{BUILD}"]
        command = [*flags, *own, "-fsyntax-only", "-x", "c", path]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            yield f"{path.relative_to(root)} does not compile alone: {run.stderr.splitlines()[0]}"


def guards_are_unique(root):
    """Two headers with one guard: whichever comes second is silently empty."""
    owner = {}
    for path in sources(root, "src/*/*.h", "include/**/*.h", "problems/**/*.h"):
        guard = re.search(r"^#ifndef (\w+)\n#define \1$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if guard and owner.setdefault(guard[1], path) != path:
            yield f"{path.relative_to(root)} has the guard {guard[1]} of {owner[guard[1]].relative_to(root)}"


def analysis_never_imports_src(root):
    for path in sources(root, "analysis/**/*.py"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"^\s*(?:from|import)\s+src\b", text, re.MULTILINE) or re.search(r"ctypes|\bcffi\b", text):
            yield f"{path.relative_to(root)} reaches into src/; analysis reads files alone"


RULES = (includes_name_their_folder, no_room_looks_up, private_headers_stay_at_home,
         headers_declare_what_their_file_defines, contributions_keep_to_the_contract, guards_are_unique,
         analysis_never_imports_src)


# ---- what the library shows ----

def compile_flags():
    """The compiler and the flags of the engine that say where PETSc, MPI, HDF5 and MuJoCo are."""
    flags = (BUILD / "CMakeFiles/engine.dir/flags.make").read_text(encoding="utf-8")
    compiler = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(encoding="utf-8"),
                         re.MULTILINE)[1]
    words = re.search(r"^C_INCLUDES = (.*)$", flags, re.MULTILINE)[1].split()
    return [compiler, "-std=gnu11", "-fopenmp-simd", "-Wall", "-Wextra", "-Werror",
            *(word for word in words if not word.startswith(f"-I{ROOT}"))]


def shown_symbols(library):
    lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in lines.splitlines()} - LINKER - LEAVING


def strangers(symbols):
    return sorted(name for name in symbols if not re.match(r"Ctpg|ctpgbench_", name))


class Tree(unittest.TestCase):
    def test_this_tree_keeps_every_rule(self):
        for rule in RULES:
            with self.subTest(rule.__name__):
                self.assertEqual(list(rule(ROOT)), [])

    def test_headers_compile_alone(self):
        self.assertEqual(list(headers_compile_alone(ROOT)), [])

    def test_rooms_have_no_circle(self):
        """ROOMS itself: whoever is included stands below."""
        below = set()
        for room, others in ROOMS.items():
            self.assertLessEqual(set(others.split()), below, room)
            below.add(room)


    def test_the_page_on_architecture_says_the_same(self):
        rows = re.findall(r"^\| `src/(\w+)` \|[^|]*\| ([^|]*) \|$",
                          (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
        self.assertEqual([room for room, _ in rows], list(ROOMS))
        for room, words in rows:
            said = {"nothing": set(), "all of them": set(ROOMS) - {room}}.get(words, set(words.split(", ")))
            self.assertEqual(said, set(ROOMS[room].split()), room)


class Library(unittest.TestCase):
    def test_every_name_is_ours(self):
        self.assertEqual(strangers(shown_symbols(BUILD / "libctpgbench.so")), [])

    def test_it_shows_the_public_headers_and_nothing_else(self):
        declared = {name for path in sources(ROOT, "include/**/*.h") for name in declared_functions(path)}
        self.assertEqual(shown_symbols(BUILD / "libctpgbench.so"), declared | {"CtpgMain"})  # what `ctpgbench` calls


class Seeded(unittest.TestCase):
    """A violation in a copy of the tree: the rule that is there for it finds it, and it alone."""

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ctpglayers"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        for folder in ("src", "include", "estimators", "problems", "analysis"):
            shutil.copytree(ROOT / folder, self.root / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def seed(self, path, text):
        path = self.root / path
        path.write_text(text + (path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")

    def check_found(self, rule, words):
        for other in RULES:
            found = list(other(self.root))
            if other is rule:
                self.assertEqual(len(found), 1, found)
                self.assertIn(words, found[0])
            else:
                self.assertEqual(found, [], other.__name__)

    def test_upward_include(self):
        self.seed("src/loop/policy.c", '#include "run/instance.h"\n')
        self.check_found(no_room_looks_up, 'src/loop/policy.c includes "run/instance.h" of run; loop may include: base')

    def test_upward_include_in_a_public_header(self):
        self.seed("include/ctpgbench/closedloop.h", '#include "ctpgbench/toolkit/forward.h"\n')
        self.check_found(no_room_looks_up, "of adjoint; loop may include: base")

    def test_wings_do_not_know_each_other(self):
        self.seed("src/store/lock.c", '#include "schedule/scheduler.h"\n')
        self.check_found(no_room_looks_up, "of schedule; store may include: base")

    def test_sweep_and_train_do_not_know_each_other(self):
        self.seed("src/train/record.c", '#include "sweep/plan.h"\n')
        self.check_found(no_room_looks_up, "of sweep; train may include:")

    def test_unknown_room(self):
        (self.root / "src/attic").mkdir()
        self.seed("src/attic/old.c", "int nothing;\n")
        self.check_found(no_room_looks_up, "src/attic/old.c stands in no known room")

    def test_include_without_folder(self):
        self.seed("src/run/run.c", '#include "run.h"\n')
        found = list(includes_name_their_folder(self.root))
        self.assertEqual(len(found), 1, found)
        self.assertIn('src/run/run.c includes "run.h"', found[0])

    def test_private_header_abroad(self):
        self.seed("src/commands/status.c", '#include "schedule/scheduler_private.h"\n')
        self.check_found(private_headers_stay_at_home, "which is private to src/schedule")

    def test_declaration_in_the_wrong_header(self):
        self.seed("src/run/reference.h", "void PolicyElsewhere(int a, void (*call)(void *));\n")
        self.seed("src/run/casefile.c", "void PolicyElsewhere(int a, void (*call)(void *)) {\n}\n")
        self.check_found(headers_declare_what_their_file_defines,
                         "src/run/reference.h declares PolicyElsewhere, which is defined in src/run/casefile.c")

    def test_declaration_of_nothing(self):
        self.seed("src/run/reference.h", "double Promised(void);\n")
        self.check_found(headers_declare_what_their_file_defines, "declares Promised, which is defined in nowhere")

    def test_estimator_that_looks_inside(self):
        self.seed("estimators/alf.c", '#include "run/instance.h"\n')
        self.check_found(contributions_keep_to_the_contract, 'estimators/alf.c includes "run/instance.h"')

    def test_problem_that_knows_the_closed_loop(self):
        self.seed("problems/lqr.c", '#include "ctpgbench/closedloop.h"\n')
        self.check_found(contributions_keep_to_the_contract, "a problem includes ctpgbench/problem.h alone")

    def test_analysis_that_imports_src(self):
        self.seed("analysis/peek.py", "from src import store\n")
        self.check_found(analysis_never_imports_src, "analysis/peek.py reaches into src/")

    def test_guard_of_another(self):
        self.seed("src/run/twin.h", "#ifndef CTPG_RUN_H\n#define CTPG_RUN_H\n#endif\n")
        self.check_found(guards_are_unique, "src/run/twin.h has the guard CTPG_RUN_H of src/run/run.h")

    def test_header_that_needs_another(self):
        self.seed("include/ctpgbench/needy.h", "PetscErrorCode CtpgNeedy(CtpgClosedLoop loop);\n")
        found = list(headers_compile_alone(self.root, "include/ctpgbench/needy.h"))
        self.assertEqual(len(found), 1, found)
        self.assertIn("include/ctpgbench/needy.h does not compile alone", found[0])

    def test_foreign_name_in_a_library(self):
        source, library = self.root / "a.c", self.root / "a.so"
        source.write_text("void ClosedLoopStart(void) {\n}\nvoid CtpgFine(void) {\n}\n", encoding="ascii")
        subprocess.run([compile_flags()[0], "-shared", "-fPIC", source, "-o", library], check=True)
        self.assertEqual(strangers(shown_symbols(library)), ["ClosedLoopStart"])


if __name__ == "__main__":
    unittest.main()
