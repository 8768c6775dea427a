"""test_nonsense.py -- every option of every command, as -help lists it, with every kind of nonsense

Each pair must be refused in one sentence that names the option, or be of the values that its kind takes; nothing on
disk may be harmed or left behind, and it must end soon. The kind of an option is read off its entry: a truth, one of
some words, a number, or a text. An option that is new is tested by being listed. By default every 16th pair (of
`check` and `bench`, whose runs are longer, every 128th), 16 times as many with CTPG_NONSENSE=all.
"""
import os
import pathlib
import re
import tempfile
import unittest
import zlib

from program import ROOT, Forks, left_in, sha256

TINY = ("-horizon", "0.5", "-eval_limit", "3000", "-rtol", "1e-2")
LABELS = {"gradient": ("-problem", "lqr", "-estimator", "ctpg"), "judge": ("-problem", "lqr"),
          "trace": ("-problem", "lqr", "-estimators", "ctpg"),
          **dict.fromkeys(("sweep", "check", "plan", "train", "bench"), ("-problems", "lqr", "-estimators", "ctpg")),
          "import": ("-problems", "lqr")}
# Options of a run that is over at once, given before the nonsense: the last one counts.
BASE = {"gradient": (*LABELS["gradient"], *TINY, "-reference", "false"),
        "judge": (*LABELS["judge"], "-lqr_horizon", "0.5", "-eval_limit", "3000", "-gradient", "FILES/gradient.h5"),
        "trace": (*LABELS["trace"], *TINY),
        "sweep": (*LABELS["sweep"], *TINY, "-seeds", "0:1", "-timing_threshold", "0"),
        "check": (*LABELS["check"], "-horizon", "0.5", "-points", "2", "-check_repeats", "1"),
        "train": (*LABELS["train"], *TINY, "-seeds", "0:1", "-iterations", "2", "-batch", "1"),
        "plan": (*LABELS["plan"], *TINY, "-seeds", "0:1"),
        "bench": (*LABELS["bench"], "-lqr_horizon", "0.5", "-times", "false", "-rounds", "1", "-rtol", "1e-2"),
        "import": ("FILES/rows.csv", "-out", "imported.h5", *LABELS["import"], "-lqr_horizon", "0.5"),
        "merge": ("FILES/results.h5", "-out", "merged.h5"),
        "convert": ("FILES/results.h5", "-out", "converted.h5"),
        "status": ("FILES/results.h5",)}
LONG = ("check", "bench")
MISSING = object()
NUMBERS = ("-1", "0", "1e308", "1e-320", "99999999999999999999", "1e3", "0x10", "-0.0", "2147483648")
NONSENSE = (MISSING, "", "abc", *NUMBERS, "nan", "inf", "-inf", "10:0", "3:1:2", "1e-3:1e-6:-5", "1,,2", ",", "1;2",
            " ",
            "\u00fc\u2211\U0001f600", "x" * 5000, "%s%n", "a=b", "true", "folder", "FILES/precious", "fifo",
            "no/such/x",
            "FILES/other.h5", "FILES/precious/x")
EMPTY = ("policy_widths",) # which an mlp may have none of
# What a run may answer where an option, acceptable by itself, makes a path that cannot be followed.
FAILED_PATH = "cannot be traced"
NOT_READ = "is read by none of the estimators chosen"  # a contract takes the place of -rtol
OUTPUTS = ("results.h5", "trace.h5", "training.h5", "merged.h5", "converted.h5", "imported.h5")
TRUTHS = {MISSING, "", "0", "true"}
# A list of labels may be changed by these: what counts is that the option is named, or the label.
WORDY = ("problem", "problems", "estimator", "estimators")
ENTRY = re.compile(r"^  -(?:\[<label>_\|(?P<type>\S+)_\])?(?P<name>\S+) <(?P<initial>.*?)>: (?P<help>.*)$")


def kind_of(entry):
    if entry["initial"] in ("true", "false"):
        return "truth"
    if "(one of " in entry["help"]:
        return "word"
    if re.fullmatch(r"-?[\d.]+(e-?\d+)?", entry["initial"]):
        return "number"
    return "text"


def is_acceptable(kind, value):
    """May an option of this kind take the value?"""
    if kind == "truth":
        return value in TRUTHS
    if kind == "word" or value is MISSING:
        return False
    return value in NUMBERS if kind == "number" else value != ""


class Nonsense(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        cls.files = pathlib.Path(keeper.name)
        cls.forks = Forks()
        cls.addClassCleanup(cls.forks.close)
        (cls.files / "precious").write_text("precious", encoding="ascii")
        (cls.files / "rows.csv").write_text("problem,estimator,seed,accuracy,nfe,error,seconds\n"
                                            "lqr,peer,0,1e-6,900,2e-6,0.004\n", encoding="ascii")
        (cls.files / "mine.py").write_text("def gradient(loop, x0, accuracy):\n"
                                           "    return 0.0, 0 * loop.theta, 0 * x0\n", encoding="ascii")
        for name, options in (("results.h5", ()), ("other.h5", ("-experiment", "5"))):
            code, _, err = cls.forks.run("sweep", *BASE["sweep"], *options, "-out", name, cwd=cls.files)
            assert code == 0, err
        code, _, err = cls.forks.run("gradient", *BASE["gradient"], "-out", "gradient.h5", cwd=cls.files)
        assert code == 0, err
        cls.before = {path.name: sha256(path) for path in cls.files.iterdir()}
        cls.everything = os.environ.get("CTPG_NONSENSE") == "all"
        cls.pairs = cls.refused = 0

    def entries(self, *arguments):
        code, out, err = self.forks.run(*arguments, "-help", cwd=self.files)
        self.assertEqual((code, err), (0, ""), out)
        return [match.groupdict() for match in map(ENTRY.match, out.splitlines()) if match]

    def outcome(self, arguments):
        """Runs in a folder of its own: (exit code, stdout, stderr, what it left there)."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "FILES").symlink_to(self.files)
            (folder / "folder").mkdir()
            os.mkfifo(folder / "fifo")
            code, out, err = self.forks.run(*arguments, cwd=name, seconds=240 if arguments[0] in LONG else 20)
            self.assertTrue((folder / "fifo").is_fifo() and (folder / "folder").is_dir(), arguments)
            self.assertEqual(os.listdir(folder / "folder"), [])
            return code, out, err, set(left_in(name)) - {"FILES", "folder", "fifo"}

    def check(self, command, base, entry, value):
        name = (f"{entry['type']}_" if entry["type"] else "") + entry["name"]
        words = [f"-{name}"] if value is MISSING else [f"-{name}", value]
        code, out, err, left = self.outcome((command, *base, *words))
        told = err.splitlines()
        Nonsense.pairs += 1
        if code in (0, 75):
            acceptable = (is_acceptable(kind_of(entry), value)
                          or (entry["name"] in EMPTY and value in (MISSING, "", " ")))
            self.assertTrue(acceptable, f"accepted: {out}{err}")
            allowed = {*OUTPUTS, *(() if value is MISSING else (value,))}
            self.assertLessEqual(left, allowed)
        else:
            self.assertEqual(code, 1, out + err)
            self.assertEqual(left, set())
            if command == "check" and not err and "failed" in out:
                return  # acceptable, but the estimator does not conform with it
            self.assertEqual(len(told), 1, err)
            self.assertTrue(told[0].startswith("ctpgbench: "), err)
            self.assertLess(len(told[0]), 1200)
            named = entry["name"] in told[0] or (value is not MISSING and value and value in told[0])
            self.assertTrue(named or entry["name"] in WORDY or FAILED_PATH in told[0] or NOT_READ in told[0] or
                            "has no gradient of" in told[0], err)
            Nonsense.refused += 1

    def check_all(self, command, base, entries):
        for entry in entries:
            for value in NONSENSE:
                shown = "(missing)" if value is MISSING else value[:40]
                text = f"{command} -{entry['type'] or ''}_{entry['name']} {shown}"
                every = (8 if command in LONG else 1) * (1 if self.everything else 16)
                if zlib.crc32(text.encode()) % every == 0:
                    with self.subTest(text):
                        self.check(command, base, entry, value)
        self.assertEqual({path.name: sha256(path) for path in self.files.iterdir()}, self.before)

    def test_commands(self):
        code, usage, err = self.forks.run("-help", cwd=self.files)
        self.assertEqual((code, err), (0, ""))
        commands = re.findall(r"^  ([a-z-]+) ", usage, re.MULTILINE)
        self.assertGreaterEqual(len(commands), 8)
        source = (ROOT / "src" / "commands" / "analysis.c").read_text(encoding="utf-8")
        handed_over = re.findall(r'"([a-z]+)"', re.search(r"WORDS\[\] = \{([^}]*)\}", source).group(1))
        # Python's argparse answers for these: test_analysis_package.py
        self.assertLess(set(handed_over), set(commands))
        for command in commands:
            if command.startswith("new-") or command in handed_over:
                continue
            entries = self.entries(command, *LABELS.get(command, ()))
            self.assertGreaterEqual(len(entries), 3, command)
            if command == "judge":  # sets this one itself
                entries = [entry for entry in entries if entry["name"] != "error_bar"]
            entries.append({"type": None, "name": "options_file", "initial": "", "help": ""})  # read before all others
            self.check_all(command, BASE.get(command, ()), entries)

    def test_types(self):
        """Options of every problem and every estimator."""
        listed = self.forks.run("list", cwd=self.files)[1].split("\n\n")
        for kind, table in zip(("problem", "estimator"), listed):
            for line in table.splitlines()[1:]:
                if line.startswith("built with "):
                    continue
                chosen = line.split()[0]
                knob = line.split()[1] if kind == "estimator" else "rtol"
                base = (*LABELS["gradient"], f"-{kind}", chosen)
                base += ("-python_file", str(self.files / "mine.py")) if chosen == "python" else ()
                entries = [entry for entry in self.entries("gradient", *base) if entry["type"] == chosen]
                self.assertGreaterEqual(len(entries), 3, chosen)
                tiny = TINY[:-2] + {"dt": ("-dt", "0.1"), "samples": ("-samples", "2")}.get(knob, TINY[-2:])
                self.check_all("gradient", (*base, *tiny, "-reference", "false"), entries)

    @classmethod
    def tearDownClass(cls):
        print(f"{cls.pairs} pairs, {cls.refused} refused")


if __name__ == "__main__":
    unittest.main()
