"""test_docs.py -- every command of README and docs/ is run, every link and option that they name is there

Fenced blocks marked `sh` are run line by line, `python` as a whole, pages in the order of PAGES, in one scratch copy of
the sources whose build/ is the build under test. INSTEAD is the list of the commands that are not run as they stand,
with what is run in their place: now, and with CTPG_DOCS=all (ctest label slow), which takes the time that the pages
say.
"""
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from program import MPIRUN, PROGRAM, ROOT, environment, run

ALL = os.environ.get("CTPG_DOCS") == "all"
SECONDS = 3 * 3600 if ALL else 120  # for one command
PAGES = ("README.md", "docs/first-steps.md", "docs/choosing.md", "docs/your-estimator.md", "docs/compare.md",
         "docs/your-problem.md", "docs/import.md",
         "docs/sweeps.md", "docs/file.md", "docs/file-format.md", "docs/trust.md", "docs/training.md",
         "docs/accuracy.md", "docs/flagship.md", "docs/paper.md",
         "docs/mujoco.md", "docs/mujoco-fields.md", "docs/cluster.md", "docs/store.md", "docs/performance.md",
         "policies/README.md", "docs/gallery.md", "docs/architecture.md", "CONTRIBUTING.md")
SOURCES = ("CMakeLists.txt", "README.md", ".clang-format", "analysis", "baselines", "docs", "estimators", "include",
           "jobs", "policies", "problems", "src", "tests")
NOTHING, AS_IT_STANDS = "true", None


@dataclasses.dataclass
class Stead:
    """What is run in place of a command; AS_IT_STANDS: the command."""
    why: str
    now: str = NOTHING
    slow: str = AS_IT_STANDS


SHORT = "-problems lqr -lqr_seeds 0:2 -lqr_iterations 20 -lqr_test_every 10 -lqr_snapshots 2"
FEW = ("-electric_iterations 5000 -electric_test_every 500 -electric_snapshots 2 -electric_seeds 0:2 -diffdrive_seeds "
       "0:1 -quadrotor_seeds 0:2 -cartpole_seeds 0:2")
BATCH_SYSTEM = "asks for a batch system; tests/cluster.sh submits such jobs to one"
INSTEAD = {
    "bash jobs/quickstart.sh": Stead("installs, compiles everything, sweeps for a minute",
                                     "build/ctpgbench sweep -options_file jobs/suite-1.yaml -options_file "
                                     "jobs/quickstart.yaml -dry_run",
                                     "CTPG_BUILD=fresh bash jobs/quickstart.sh"),
    "bash tests/run.sh": Stead("this test is a part of it", slow=NOTHING),
    "build/ctpgbench try my_method/build/my_method.so -o my-verdict": Stead(
        "takes minutes; tests/test_try.py", "build/ctpgbench try --help"),
    "bash jobs/setup.sh --mujoco": Stead("fetches from a package index", slow=NOTHING),
    "bash jobs/build.sh -DMUJOCO_ROOT=DIR": Stead("DIR is what that printed", slow=NOTHING),
    "bash jobs/build.sh": Stead("compiles everything; build/ belongs to other sources than this copy",
                                slow="CTPG_BUILD=fresh bash jobs/build.sh"),
    "cmake -S . -B build && cmake --build build -j": Stead("likewise", "cmake -S . -B configured",
                                                           "cmake -S . -B fresh && cmake --build fresh -j"),
    "bash jobs/paper.sh small": Stead(
        "takes minutes",
        "mkdir -p results; build/ctpgbench sweep -problems lqr -estimators ctpg,euler-bptt -seeds 0:6 "
        "-rtol 1e-6:1e-2:3 -dt 1e-3:1:4 -out results/paper-small-gradients.h5 && "
        f"build/ctpgbench train -options_file jobs/paper.yaml {SHORT} "
        "-out results/paper-small-training.h5 && build/ctpgbench trace -problem lqr -out results/paper-small-trace.h5"),
    "bash jobs/paper.sh": Stead("takes hours; with `small` the same lines of the script were run", slow=NOTHING),
    "bash jobs/mpirun.sh build/ctpgbench train -options_file jobs/paper.yaml -out paper-training.h5": Stead(
        "takes an hour",
        f"build/ctpgbench train -options_file jobs/paper.yaml {SHORT} -out paper-training.h5",
        f"bash jobs/mpirun.sh build/ctpgbench train -options_file jobs/paper.yaml {FEW} -out paper-training.h5"),
    "bash jobs/accuracy.sh": Stead(
        "takes hours", "bash jobs/accuracy.sh -problems cartpole -estimators rk6,ctpg3 -cartpole_iterations 4 "
        "-cartpole_test_every 2 -cartpole_audit_every 2 -seeds 0:2",
        "bash jobs/accuracy.sh -problems cartpole -estimators rk6,ctpg3 -cartpole_iterations 20 "
        "-cartpole_test_every 5 -cartpole_audit_every 5 -seeds 0:4"),
    "bash jobs/peers.sh": Stead("takes minutes, and fetches from a package index", slow=NOTHING),
    "export PKG_CONFIG_PATH=$PETSC_DIR/$PETSC_ARCH/lib/pkgconfig:$PKG_CONFIG_PATH": Stead("names a cluster's folders",
                                                                                         slow=NOTHING),
    "cmake -S . -B build -DCMAKE_C_COMPILER=mpicc -DHDF5_ROOT=$HDF5_DIR && cmake --build build -j": Stead(
        "likewise", slow=NOTHING),
    "spack env create ctpgbench jobs/spack.yaml && spack env activate ctpgbench && spack install && bash jobs/build.sh":
        Stead("asks for Spack", slow=NOTHING),
    "sbatch my.sh plan.yaml results.h5": Stead(
        BATCH_SYSTEM,
        *2 * ("bash jobs/mpirun.sh build/ctpgbench sweep -options_file jobs/quick.yaml -out results.h5",)),
    "sbatch --array=1-8 my.sh plan.yaml results-%a.h5 -shard %a/8": Stead(
        BATCH_SYSTEM, *(f"for a in $(seq {n}); do build/ctpgbench sweep -options_file jobs/quick.yaml "
                        f"-out results-$a.h5 -shard $a/{n} || exit; done" for n in (2, 8))),
}
if not shutil.which("clang-format"):
    INSTEAD["clang-format --dry-run --Werror src/base/base.c"] = Stead("there is no clang-format here", slow=NOTHING)
# Options of other programs than ours that the pages name, and -small and -trained, ends of labels.
OTHERS = {"-small", "-trained", "-c", "-bind-to", "-K", "-J", "-l", "-o", "-v", "-march", "-fvisibility", "-log_view"}


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """(language, text) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def commands(block):
    """Lines of a block for the shell, continued ones joined, comments left out."""
    joined = re.sub(r"\\\n\s*", "", block)
    return [line for line in (re.sub(r"(^|\s+)#.*", "", line).rstrip() for line in joined.splitlines()) if line]


def commands_of(page):
    return [command for language, block in blocks(page) if language == "sh" for command in commands(block)]


def shape(text):
    """Of a program's output: its words, whatever its numbers."""
    return re.sub(r"[-+.\d]+(e[-+]?\d+)?", "#", text).split()


class Pages(unittest.TestCase):
    """One scratch folder for all pages: a later one may use a file that an earlier one made."""

    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        cls.folder = pathlib.Path(keeper.name) / "ctpgbench"
        cls.folder.mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, cls.folder / name)
        (cls.folder / "build").symlink_to(PROGRAM.parent)
        launchers = cls.folder.parent / "launchers"  # pages say mpirun, whatever the name of this build's is
        launchers.mkdir()
        (launchers / "mpirun").write_text(f'#!/bin/sh\nexec {shutil.which(MPIRUN)} "$@"\n', encoding="ascii")
        (launchers / "mpirun").chmod(0o755)
        cls.environment = {**environment(2), "CTPG_RANKS": "2", "PYTHONPATH": str(ROOT / "analysis"),
                           "PYTHONDONTWRITEBYTECODE": "1",
                           "PATH": os.pathsep.join((str(launchers), os.environ["PATH"]))}

    def execute(self, words, page, shown):
        done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              timeout=SECONDS)
        self.assertEqual(done.returncode, 0, f"{page}: {shown}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def run_page(self, page):
        output = ""
        for language, block in blocks(page):
            if language == "sh":
                for command in commands(block):
                    stead = INSTEAD.get(command)
                    words = command if not stead else (stead.slow or command) if ALL else stead.now
                    output = self.execute(["bash", "-c", words], page, words)
            elif language == "python":
                self.execute([sys.executable, "-c", block], page, block)
            elif language == "text":  # what the last command prints, but for the numbers
                self.assertEqual(shape(output), shape(block), page)
            else:
                self.fail(f"{page}: a block of language '{language}'; expected sh, python or text")


def make_test(page):
    def test(self):
        self.run_page(page)
    test.__doc__ = f"commands of {page}"
    return test


for number, name in enumerate(PAGES):
    setattr(Pages, f"test_{number:02d}_{pathlib.Path(name).stem.replace('-', '_')}", make_test(name))


class Words(unittest.TestCase):
    def test_every_page_is_read(self):
        found = {str(path.relative_to(ROOT)) for place in ("", "docs/", "policies/")
                 for path in ROOT.glob(f"{place}*.md")}
        self.assertEqual(found - {"CHANGELOG.md"}, set(PAGES))

    def test_commands_stand_in_fences(self):
        """An indented line that looks like a command would be run by nobody."""
        for page in PAGES:
            prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
            self.assertEqual(re.findall(r"^    (?:build/|bash |mpirun |cmake |/usr/bin/).*", prose, re.MULTILINE), [],
                             page)

    def test_every_stead_stands_for_a_command(self):
        shown = {command for page in PAGES for command in commands_of(page)}
        self.assertEqual(set(INSTEAD) - shown, set())

    def test_links(self):
        """Files and headings that pages point to."""
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page).replace("\n", " ")):
                if re.match(r"\w+://", target):
                    continue
                path, _, heading = target.partition("#")
                there = (ROOT / page).parent / path if path else ROOT / page
                self.assertTrue(there.exists(), f"{page}: {target}")
                if heading:
                    headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
                    anchors = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]
                    self.assertIn(heading, anchors, f"{page}: {target}")

    def test_options(self):
        """Every `-option` in the prose is one that a command's help lists, perhaps behind a label."""
        listed = run("list", "-json")[1]
        problems, estimators = (re.findall(r'"name": "([^"]+)"', part) for part in listed.split('"estimators"'))
        all_labels = ("-problems", ",".join(problems), "-estimators", ",".join(estimators))
        labels = {"gradient": ("-problem", "lqr", "-estimator", "ctpg"), **dict.fromkeys(
            ("list", "merge", "import", "bench", "convert", "status"), ())}
        known = set()
        for command in ("list", "gradient", "sweep", "plan", "train", "trace", "check", "merge", "import", "bench",
                        "convert", "status"):
            for chosen in (labels.get(command, all_labels), ()):  # () also lists what only some labels take
                text = run(command, *chosen, "-help")[1]
                known |= set(re.findall(r"^  -(?:\[[^]]*\])?([\w-]+) <", text, re.MULTILINE))
        self.assertGreater(len(known), 80)
        for command in ("compare", "try"):
            known |= set(re.findall(r"^  -(\w+)(?: \w+)?, --", run(command, "--help")[1], re.MULTILINE))
        known |= {"options_file", "help", "version"}
        unknown = []
        for page in PAGES:
            prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
            for code in re.findall(r"`([^`]+)`", prose):
                for option in re.findall(r"(?<![\w<>-])-[a-z<][\w<>-]*", code, re.IGNORECASE):
                    if option in OTHERS or option.startswith("-D"):
                        continue
                    name = option[1:]
                    ends = {name} | {name[k + 1:] for k, letter in enumerate(name) if letter == "_"}
                    if not ends & known:
                        unknown.append(f"{page}: {option} in `{code}`")
        self.assertEqual(unknown, [])


if __name__ == "__main__":
    unittest.main()
