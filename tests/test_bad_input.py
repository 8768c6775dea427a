"""test_bad_input.py -- what bad input gets: one sentence, a non-zero exit code, nothing on disk harmed, no hang

One line on stderr that begins with "ctpgbench: " and names the culprit, what was found and what would do; at two ranks
the same line once, and mpirun's remark about the exit code, but no MPI_Abort.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

from program import InFolder, Job, committed, left_in, run, sha256

SWEEP = ("sweep", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:2", "-rtol", "1e-3", "-out", "out.h5")
BPTT = ("sweep", "-problems", "lqr", "-estimators", "euler-bptt", "-seeds", "0:2", "-out", "out.h5")
GRADIENT = ("gradient", "-problem", "lqr", "-out", "out.h5")
NUMBERS = "expected a number, a comma list of numbers, or lo:hi:n"

# Arguments, words of the message. The last one given of an option that is given twice counts.
COMMAND_LINE = [
    (("swep",), "swep is not a command; did you mean sweep?"),
    (("lqr", "ctpg"), "lqr is not a command"),
    ((*SWEEP, "ctpg"), "the word 'ctpg' belongs to no option"),
    ((*SWEEP, "-rtol", "1e-3,", "1e-6"), "the word '1e-6' belongs to no option"),
    (("gradient", "lqr"), "the word 'lqr' belongs to no option"),
    ((*SWEEP, "-sedes", "0:3"), "-sedes; did you mean -seeds?"),
    ((*SWEEP, "-ctpg_splin", "native"), "-ctpg_splin; did you mean -ctpg_spline?"),
    ((*SWEEP, "-rk-adjoint_rk", "5dp"), "unknown option -rk-adjoint_rk"),
    ((*SWEEP, "-dt", "0.1"), "-dt is read by none of the estimators chosen"),  # none here has fixed steps
    ((*GRADIENT, "-seeds", "0"), "-seeds; did you mean -seed?"),
    (("list", "-jsno"), "-jsno; did you mean -json?"),
    (("status", "-otu", "x.h5"), "-otu; did you mean -out?"),
    ((*SWEEP, "-problems", "lqrr"), "lqrr is not a known problem; did you mean lqr?"),
    ((*SWEEP, "-estimators", "cptg"), "cptg is not a known estimator; did you mean ctpg?"),
    ((*SWEEP, "-estimators", "a=nural-ode"), "nural-ode is not a known estimator; did you mean neural-ode?"),
    ((*GRADIENT, "-problem", "quadroter"), "quadroter is not a known problem; did you mean quadrotor?"),
    (("sweep", "-estimators", "ctpg"), "-problems is missing; expected a comma list"),
    (("sweep", "-problems", "lqr"), "-estimators is missing; expected a comma list"),
    (("gradient",), "-problems is missing"),
    ((*SWEEP, "-problem", "lqr"), "-problem and -problems are both given"),
    (("gradient", "-problem", "lqr,diffdrive"), "gradient takes one problem and one estimator, not 2 and 1"),
    ((*GRADIENT, "-rtol", "1e-3,1e-6"), "gradient takes one -rtol, not 2"),
    (("status",), "status needs a file"),
]
RANGES = [
    ((*SWEEP, "-seeds", "10:0"), "-seeds 10:0 is empty; expected first:last with first < last"),
    ((*SWEEP, "-seeds", "3:3"), "-seeds 3:3 is empty"),
    ((*SWEEP, "-seeds", "a:b"), "-seeds a:b is not a range; expected first:last"),
    ((*SWEEP, "-seeds", "-1:3"), "-seeds -1:3 begins below 0"),
    ((*SWEEP, "-seeds", "5:"), "-seeds 5: is not a range"),
    ((*SWEEP, "-seeds", ""), "-seeds has no value; expected first:last"),
    ((*SWEEP, "-seeds"), "-seeds has no value; expected first:last"),
    ((*SWEEP, "-seeds", "0:99999999999999999999"), "is not a range"),
    ((*SWEEP, "-seeds", "0:9999999"), "more than a million"),
    ((*SWEEP, "-seeds", "0:1000", "-repeats", "10000", "-rtol", "1e-9:1:1000"), "more than 1e8 runs"),
    ((*SWEEP, "-rtol", "1e-3:1e-6"), "-rtol 1e-3:1e-6 is not a list of numbers; " + NUMBERS),
    ((*SWEEP, "-rtol", "1e-3:1e-6:1"), "-rtol 1e-3:1e-6:1 is not a list of numbers"),
    ((*SWEEP, "-rtol", "0:1e-6:3"), "-rtol 0:1e-6:3 is not a list of numbers"),
    ((*SWEEP, "-rtol", "0"), "-rtol 0 for ctpg is out of range; expected a number from 1e-15"),
    ((*SWEEP, "-rtol", "-1e-3"), "-rtol -0.001 for ctpg is out of range"),
    ((*SWEEP, "-ctpg_rtol", "-1"), "-ctpg_rtol -1 for ctpg is out of range"),
    ((*SWEEP, "-lqr_rtol", "-1"), "-lqr_rtol -1 for ctpg is out of range"),
    ((*SWEEP, "-rtol", "nan"), "-rtol nan is not a list of numbers"),
    ((*SWEEP, "-ctpg_rtol", "nan"), "-ctpg_rtol nan is not a list of numbers"),
    ((*SWEEP, "-rtol", "inf"), "-rtol inf is not a list of numbers"),
    ((*SWEEP, "-rtol", "1e-6x"), "-rtol 1e-6x is not a list of numbers"),
    ((*SWEEP, "-rtol", "1e-3,,1e-6"), "-rtol 1e-3,,1e-6 is not a list of numbers"),
    ((*SWEEP, "-rtol", "1e-3,0.001"), "-rtol names 0.001 twice"),
    ((*GRADIENT, "-rtol", "nan"), "-rtol nan is not a list of numbers"),
    ((*GRADIENT, "-rtol", "-1"), "-rtol -1 for ctpg is out of range"),
    ((*GRADIENT, "-seed", "-1"), "-seed -1 is out of range; expected a whole number"),
    ((*GRADIENT, "-seed", "1.5"), "-seed 1.5 is not a whole number"),
    ((*BPTT, "-dt", "0"), "-dt 0 for euler-bptt is out of range; expected a number from 1e-09"),
    ((*BPTT, "-dt", "-0.1"), "-dt -0.1 for euler-bptt is out of range"),
    ((*SWEEP, "-atol_factor", "-1"), "-atol_factor -1 is out of range; expected a number in [0,"),
    ((*SWEEP, "-atol_factor", "nan"), "-atol_factor nan is out of range"),
    ((*SWEEP, "-ctpg_step_limit", "0"), "-ctpg_step_limit 0 is out of range"),
    ((*SWEEP, "-repeats", "0"), "-repeats 0 is out of range"),
    ((*SWEEP, "-horizon", "0"), "-horizon 0 is out of range"),
    ((*SWEEP, "-horizon", "inf"), "-horizon inf is out of range"),
    ((*SWEEP, "-timing_threshold", "-1"), "-timing_threshold -1 is out of range"),
    ((*SWEEP, "-experiment", "x"), "-experiment x is not a whole number"),
    ((*SWEEP, "-save_gradients", "maybe"), "-save_gradients maybe is neither true nor false"),
    ((*SWEEP, "-ctpg_spline", "cubic"), "-ctpg_spline cubic"),
    ((*SWEEP, "-ctpg_rk", "rk4"), "-ctpg_rk rk4"),
    ((*SWEEP, "-problems", "diffdrive", "-policy_widths", "8,x"), "-policy_widths 8,x is not a list of widths"),
    ((*SWEEP, "-run_time_limit", "nan"), "-run_time_limit nan is out of range"),
]
LABELS = [
    ((*SWEEP, "-problems", "ts=lqr"), "label ts is a prefix of PETSc's own options"),
    ((*SWEEP, "-estimators", "log=ctpg"), "label log is a prefix of PETSc's own options"),
    ((*SWEEP, "-problems", "lqr,lqr"), "-problems names lqr twice"),
    ((*SWEEP, "-estimators", "a=ctpg,a=rk-adjoint"), "-estimators names a twice"),
    ((*SWEEP, "-problems", "lqr,lqr_b=lqr"), "could belong to label lqr or to label lqr_b"),
    ((*SWEEP, "-estimators", "a_b=ctpg,a=ctpg"), "could belong to label a or to label a_b"),
    ((*SWEEP, "-problems", "a=lqr", "-estimators", "a=ctpg"), "both have a label a"),
    ((*SWEEP, "-problems", "a=lqr", "-estimators", "a_b=ctpg"), "could belong to label a or to label a_b"),
    ((*GRADIENT, "-problem", "a=lqr", "-estimator", "a=ctpg"), "both have a label a"),
    ((*SWEEP, "-problems", "quadrotor=lqr"), "label quadrotor is the name of another type than lqr"),
    ((*SWEEP, "-estimators", "lqr=ctpg"), "label lqr is the name of another type than ctpg"),
    ((*SWEEP, "-problems", "lqr,"), "has an empty entry"),
    ((*SWEEP, "-problems", "=lqr"), "has an empty entry"),
    ((*SWEEP, "-problems", "a="), "is not a known problem"),
    ((*SWEEP, "-problems", ""), "-problems has no value; expected comma list of types or label=type"),
    ((*SWEEP, "-problems", "lqr,,diffdrive"), "-problems lqr,,diffdrive has an empty entry"),
    ((*SWEEP, "-problems", "a/b=lqr"), "label a/b is not usable"),
    ((*SWEEP, "-problems", "a" * 60 + "=lqr"), "is not usable; expected at most 47 letters"),
    ((*SWEEP, "-estimators", "ctpg,twin=ctpg"), "one run twice: "),
    ((*SWEEP, "-problems", "table=lqr"), "label table is taken by the results file"),
]
PATHS = [
    ((*SWEEP, "-out", "no/such/folder/out.h5"), "no/such/folder/out.h5: No such file or directory"),
    ((*SWEEP, "-out", "/proc/out.h5"), "/proc/out.h5: No such file or directory"),
    ((*SWEEP, "-out", "FILES/other.h5/out.h5"), "other.h5/out.h5: Not a directory"),
    ((*SWEEP, "-out", "FILES/folder"), "folder: it is not a regular file"),
    ((*SWEEP, "-out", "FILES/picture.png"), "picture.png: it is not an HDF5 file"),
    ((*SWEEP, "-out", "FILES/empty.h5"), "empty.h5: it is not an HDF5 file"),
    ((*SWEEP, "-out", "FILES/other.h5"), "other.h5: it is an HDF5 file, but not a results file"),
    ((*SWEEP, "-out", "FILES/gradient.h5"), "gradient.h5: it is an HDF5 file, but not a results file"),
    ((*SWEEP, "-out", "FILES/truncated.h5"), "truncated.h5: truncated file"),
    ((*SWEEP, "-out", "FILES/results.h5"), "results.h5 holds another plan: 2 of its 2 runs are not in this one"),
    ((*SWEEP, "-out", "FILES/schema.h5"), "schema.h5: its schema is 999; this program reads schema"),
    ((*SWEEP, "-out", "x" * 5000), "-out is a text of 5000 characters"),
    (("status", "none.h5"), "none.h5: No such file or directory"),
    (("status", "FILES/folder"), "folder: it is not a regular file"),
    (("status", "FILES/picture.png"), "picture.png: it is not an HDF5 file"),
    (("status", "FILES/empty.h5"), "empty.h5: it is not an HDF5 file"),
    (("status", "FILES/other.h5"), "other.h5: it is an HDF5 file, but not a results file"),
    (("status", "FILES/truncated.h5"), "truncated.h5: truncated file"),
    ((*SWEEP, "-options_file", "none.yaml"), "-options_file none.yaml cannot be read; expected a YAML file"),
    ((*SWEEP, "-options_file", "FILES/folder"), "folder cannot be read"),
    ((*SWEEP, "-options_file", "FILES/broken.yaml"), "broken.yaml is not usable: "),
    ((*SWEEP, "-options_file"), "-options_file has no value"),
    ((*SWEEP, "-options_file", "FILES/misspelt.yaml"), "-ctpg_splin; did you mean -ctpg_spline?"),
]
TRAIN = ("train", "-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3", "-iterations", "2",
         "-out", "out.h5")
IMPORT = ("import", "-source", "s", "-out", "out.h5")
# Options that say how something is done which others ask for, and what other commands take.
OTHERS = [
    ((*TRAIN, "-test_starts", "8"), "-test_starts does nothing without -test_every or -test_paths; expected both"),
    ((*TRAIN, "-lqr_test_step_limit", "8"), "-lqr_test_step_limit does nothing without -test_every or -test_paths or "),
    ((*TRAIN, "-horizon_first", "2"), "-horizon_first does nothing without -horizon_ramp"),
    ((*TRAIN, "-batch_grad_atol", "1"), "-batch_grad_atol does nothing without -batch_grad_rtol"),
    ((*TRAIN, "-batch_grad_every", "4"), "-batch_grad_every does nothing without -batch_grad_rtol"),
    ((*TRAIN, "-tolerance_loosest", "1"), "-tolerance_loosest does nothing without -tolerance_per_gradient or "),
    ((*TRAIN, "-estimators", "euler-bptt", "-dt", "0.1", "-match_nfe_factor", "2"),
     "-match_nfe_factor does nothing without -match_nfe"),
    (("bench", "-tolerance", "0.1"), "-tolerance does nothing without -against"),
    (("bench", "-problems", "lqr", "-out", "FILES/results.h5"), "results.h5 exists and is not a bench file"),
    (("plan", *SWEEP[1:], "-replicate", "2"), "-replicate does nothing without -simulate"),
    ((*GRADIENT, "-estimator_library", "FILES/empty.h5"),
     "-estimator_library FILES/empty.h5 cannot be loaded: FILES/empty.h5: file too short"),
    ((*IMPORT[:1], "FILES/bytes.csv", *IMPORT[1:]), "bytes.csv, line 1: the column '??[31m' is unknown; expected some"),
]
CASE = ("gradient", "-problem", "lqr", "-out", "out.h5", "-case_file")
CASES = [
    (("gradient", "-problem", "lqr", "-case", "good"), "only -case is given"),
    ((*CASE, "FILES/cases.h5"), "only -case_file is given"),
    ((*CASE, "none.h5", "-case", "good"), "-case_file none.h5 cannot be read: No such file or directory"),
    ((*CASE, "FILES/folder", "-case", "good"), "it is not a regular file"),
    ((*CASE, "FILES/picture.png", "-case", "good"), "it is not an HDF5 file"),
    ((*CASE, "FILES/empty.h5", "-case", "good"), "it is not an HDF5 file"),
    ((*CASE, "FILES/truncated.h5", "-case", "good"), "truncated.h5 cannot be read: truncated file"),
    ((*CASE, "FILES/other.h5", "-case", "good"), "-case good is not in FILES/other.h5, which holds apples"),
    ((*CASE, "FILES/cases.h5", "-case", "god"), "-case god is not in FILES/cases.h5, which holds"),
    ((*CASE, "FILES/cases.h5", "-case", "good/x0"), "good/x0: it is not a group"),
    ((*CASE, "FILES/cases.h5", "-case", "no_theta"), "case no_theta: there is no dataset theta"),
    ((*CASE, "FILES/cases.h5", "-case", "no_x0"), "case no_x0: there is no dataset x0"),
    ((*CASE, "FILES/cases.h5", "-case", "nan_theta"), "case nan_theta: theta holds a number that is not finite"),
    ((*CASE, "FILES/cases.h5", "-case", "inf_x0"), "case inf_x0: x0 holds a number that is not finite"),
    ((*CASE, "FILES/cases.h5", "-case", "text"), "case text: dataset x0 does not hold numbers"),
    ((*CASE, "FILES/cases.h5", "-case", "long_x0"), "case long_x0: x0 has 3 numbers, but lqr"),
    ((*CASE, "FILES/cases.h5", "-case", "short_theta"),
     "case short_theta: theta has 5 numbers, but lqr with policy 2-2 linear needs 6"),
    ((*CASE, "FILES/cases.h5", "-case", "goals"), "case goals: goals has 2 numbers, but lqr"),
    ((*CASE, "FILES/cases.h5", "-case", "layers"), "layers go from 7 to 2, but lqr observes 2 and controls 2"),
    ((*CASE, "FILES/cases.h5", "-case", "deep"), "theta has 6 numbers, but lqr with policy 2-8-2 tanh,linear needs 42"),
    ((*CASE, "FILES/cases.h5", "-case", "one_layer"), "attribute layers is not a list of two or more positive widths"),
    ((*CASE, "FILES/cases.h5", "-case", "negative_width"), "attribute layers is not a list"),
    ((*CASE, "FILES/cases.h5", "-case", "activations"), "unknown activation \"sine\""),
    ((*CASE, "FILES/cases.h5", "-case", "horizon"), "attribute horizon is not a positive number"),
    ((*CASE, "FILES/cases.h5", "-case", "horizon_text"), "attribute horizon is not a number"),
    ((*CASE, "FILES/cases.h5", "-case", "good", "-problem", "diffdrive"), "case good: x0 has 2 numbers, but diffdrive"),
    (("gradient", "-problem", "lqr", "-out", "FILES/results.h5"), "results.h5 exists and is not a gradient file"),
    (("gradient", "-problem", "lqr", "-out", "FILES/picture.png"), "picture.png exists and is not a gradient file"),
    (("gradient", "-problem", "lqr", "-out", "FILES/folder"), "folder exists and is not a gradient file"),
    (("gradient", "-problem", "lqr", "-out", "no/folder/out.h5"),
     "-out no/folder/out.h5 cannot be written: No such file"),
    (("gradient", "-problem", "lqr", "-out", "FILES/other.h5/out.h5"), "cannot be written: Not a directory"),
    (("gradient", "-problem", "lqr", "-out", "/proc/out.h5"), "-out /proc/out.h5 cannot be written: No such file"),
]


def make_cases(path):
    """Group by group one mistake each; `good` has none."""
    with h5py.File(path, "w") as file:
        def case(name, x0=(1.0, 2.0), theta=np.zeros(6), goals=None, **attributes):
            group = file.create_group(name)
            for dataset, values in (("x0", x0), ("theta", theta), ("goals", goals)):
                if values is not None:
                    group[dataset] = values
            group.attrs.update(attributes)
        case("good")
        case("no_theta", theta=None)
        case("no_x0", x0=None)
        case("nan_theta", theta=[0, 0, np.nan, 0, 0, 0])
        case("inf_x0", x0=[np.inf, 0])
        case("text", x0="zero")
        case("long_x0", x0=[1.0, 2.0, 3.0])
        case("short_theta", theta=np.zeros(5))
        case("goals", goals=[1.0, 2.0])
        case("layers", layers=[7, 2], activations=["linear"])
        case("deep", layers=[2, 8, 2], activations=["tanh", "linear"])
        case("one_layer", layers=[2])
        case("negative_width", layers=[2, -4, 2])
        case("activations", layers=[2, 2], activations=["sine"])
        case("horizon", horizon=-1.0)
        case("horizon_text", horizon="ten")


def make_files(folder):
    (folder / "folder").mkdir()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100))
    (folder / "empty.h5").write_bytes(b"")
    (folder / "bytes.csv").write_bytes(b"\xd6\x1b[31m,seed\n")
    (folder / "broken.yaml").write_text("rtol: [1e-3, 1e-6\nseeds: }\n", encoding="ascii")
    (folder / "starts.yaml").write_text("test_starts: 2\n", encoding="ascii")
    (folder / "misspelt.yaml").write_text("ctpg:\n  splin: native\n", encoding="ascii")
    with h5py.File(folder / "other.h5", "w") as file:
        file["apples"] = np.arange(3)
    make_cases(folder / "cases.h5")
    for arguments in ((*SWEEP[:-1], folder / "results.h5", "-rtol", "1e-4"), (*GRADIENT[:-1], folder / "gradient.h5")):
        code, out, err = run(*arguments)
        assert code == 0, out + err
    whole = (folder / "results.h5").read_bytes()
    (folder / "truncated.h5").write_bytes(whole[:len(whole) // 2])
    (folder / "schema.h5").write_bytes(whole)
    with h5py.File(folder / "schema.h5", "r+") as file:
        file.attrs["schema"] = np.int32(999)


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        cls.files = pathlib.Path(keeper.name)
        make_files(cls.files)
        cls.before = cls.listing(cls.files)

    @staticmethod
    def listing(folder):
        return {str(path.relative_to(folder)): sha256(path) if path.is_file() else "" for path in folder.rglob("*")}

    def outcome(self, arguments, ranks):
        """Runs in a folder of its own, in which FILES leads to the files: (exit code, out, err, what it left there)."""
        with tempfile.TemporaryDirectory() as name:
            (pathlib.Path(name) / "FILES").symlink_to(self.files)
            code, out, err = run(*arguments, ranks=ranks, cwd=name, odls_base_sigkill_timeout=0)
            return code, out, err, sorted(set(os.listdir(name)) - {"FILES"})

    def check(self, table, ranks=0):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(self.outcome, arguments, ranks) for arguments, _ in table]
        for (arguments, words), future in zip(table, futures):
            with self.subTest(arguments=" ".join(arguments), ranks=ranks):
                code, out, err, left = future.result()
                self.check_message(code, out, err, words, ranks)
                self.assertEqual(left, [])
        self.assertEqual(self.listing(self.files), self.before)

    def check_message(self, code, out, err, words, ranks):
        lines = err.splitlines()
        if ranks:
            self.assertNotIn("MPI_ABORT", err)
            lines = [line for line in lines if "ctpgbench: " in line]
        self.assertEqual(len(lines), 1, err)
        self.assertTrue(lines[0].startswith("ctpgbench: "), err)
        self.assertIn(words, lines[0])
        self.assertEqual(code, 1)

    def test_command_line(self):
        self.check(COMMAND_LINE)

    def test_ranges(self):
        self.check(RANGES)

    def test_labels(self):
        self.check(LABELS)

    def test_paths(self):
        self.check(PATHS)

    def test_other_commands(self):
        self.check(OTHERS)

    def test_an_option_that_needs_another_is_fine_where_any_label_has_that(self):
        """Or where it stands in a plan, as in jobs/accuracy.yaml: test_starts for all problems, test_every for some."""
        for words in (("-test_starts", "2", "-lqr_test_every", "1"), ("-options_file", "FILES/starts.yaml"),
                      ("-batch_grad_atol", "1", "-other_batch_grad_rtol", "0.1", "-estimators", "ctpg,other=ctpg")):
            code, out, err, left = self.outcome((*TRAIN, *words), 0)
            self.assertEqual((code, left), (0, ["out.h5", "out.h5.outcome"]), out + err)

    def test_case_files(self):
        self.check(CASES)

    def test_at_two_ranks(self):
        """Errors that every rank finds, that rank 0 alone finds, and of every file."""
        chosen = ("swep ", "-sedes", "-seeds 10:0", "-rtol 0 ", "twin=ctpg", "table=lqr", "-out no/such",
                  "-out FILES/picture", "-out FILES/other.h5", "-out FILES/truncated", "-out FILES/results",
                  "status none", "status FILES/other", "none.yaml", "broken.yaml", "misspelt.yaml")
        table = [row for row in COMMAND_LINE + RANGES + LABELS + PATHS
                 if any(words in " ".join(row[0]) + " " for words in chosen)]
        self.assertGreaterEqual(len(table), len(chosen))
        self.check([*table, (GRADIENT, "gradient runs on one rank, not on 2")], ranks=2)

    def test_every_rank_ends_by_itself(self):
        """mpirun ends all ranks as soon as one has failed, which hides those that would wait for ever: not so here."""
        for arguments in (("swep",), ("status", "none.h5"), (*SWEEP, "-rtol", "0"), (*SWEEP, "-problems", "table=lqr"),
                          (*SWEEP, "-out", "no/such/out.h5"), (*SWEEP, "-out", self.files / "results.h5"),
                          (*SWEEP, "-options_file", "none.yaml"),
                          (*SWEEP, "-options_file", self.files / "broken.yaml")):
            with self.subTest(arguments=arguments):
                _, _, err = run(*arguments, ranks=2, cwd=self.files, orte_abort_on_non_zero_status=0)
                self.assertEqual(err.count("ctpgbench: "), 1, err)
        self.assertEqual(self.listing(self.files), self.before)

    def test_good_case_is_accepted(self):
        code, out, err, left = self.outcome((*CASE, "FILES/cases.h5", "-case", "good"), 0)
        note = "note: FILES/cases.h5 has no checksums: its cases are taken as they are\n"
        self.assertEqual((code, err, left), (0, note, ["out.h5"]), out)

    def test_unknown_names_are_listed(self):
        err = self.outcome((*SWEEP, "-problems", "x"), 0)[2]
        for name in ("lqr", "diffdrive", "quadrotor"):
            self.assertIn(name, err)

    def test_usage(self):
        code, out, err = run()
        self.assertNotEqual(code, 0)
        self.assertEqual(out, "")
        self.assertIn("usage: ctpgbench <command>", err)

    def test_allow_unused(self):
        code, out, err, left = self.outcome((*SWEEP, "-sedes", "0:3", "-allow_unused"), 0)
        self.assertEqual((code, left), (0, ["out.h5", "out.h5.outcome"]), out + err)


class Help(unittest.TestCase):
    """-help: an entry a line, exit code 0, nothing is run or written."""
    EXPECTED = {"list": ["json"], "gradient": ["seed", "case_file", "case", "out", "reference"], "status": ["out"],
                "sweep": ["problems", "estimators", "seeds", "out", "save_gradients", "experiment"]}

    def test_commands(self):
        for command, names in self.EXPECTED.items():
            for ranks in ((0, 2) if command == "sweep" else (0,)):
                with self.subTest(command=command, ranks=ranks), tempfile.TemporaryDirectory() as folder:
                    code, out, err = run(command, "-help", ranks=ranks, cwd=folder)
                    self.assertEqual((code, err), (0, ""))
                    self.assertEqual(os.listdir(folder), [])
                    lines = out.splitlines()
                    for line in lines:
                        self.assertRegex(line, r"^Options of \S+:$|^  -\S+ <.*>: \S")
                    for name in names:
                        self.assertEqual(len([line for line in lines if line.startswith(f"  -{name} <")]), 1, out)

    def test_options_of_types(self):
        with tempfile.TemporaryDirectory() as folder:
            code, out, err = run("sweep", "-problems", "lqr,wide=lqr", "-estimators", "ctpg,euler-bptt", "-help",
                                 cwd=folder)
            self.assertEqual((code, err, os.listdir(folder)), (0, "", []))
        for entry in ("[<label>_|lqr_]policy_widths ", "[<label>_|lqr_]horizon ", "[<label>_|ctpg_]spline ",
                      "[<label>_|ctpg_]rtol ",
                      "[<label>_|ctpg_]repeats ", "[<label>_|euler-bptt_]dt "):
            self.assertEqual(out.count(entry), 1, entry)

    def test_program(self):
        code, out, err = run("-help")
        self.assertEqual((code, err), (0, ""))
        for command in ("list", "gradient", "sweep", "check", "status"):
            self.assertIn(f"\n  {command} ", out)


class Mounted(InFolder):
    """Full and read-only disks, made by mounting; for root, where that is allowed."""
    NO_SPACE = "No space left on device"

    def mount(self, *arguments):
        if os.geteuid() != 0:
            self.skipTest("mounting needs root")
        point = self.folder / "disk"
        point.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(point)], capture_output=True, text=True, check=False)
        if done.returncode:
            self.skipTest(f"mount is not allowed here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(point)], check=False)
        return point

    def tmpfs(self, kilobytes):
        return self.mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")

    def refused(self, arguments, words, ranks=0):
        code, out, err = run(*arguments, ranks=ranks, cwd=self.folder)
        lines = [line for line in err.splitlines() if "ctpgbench: " in line] if ranks else err.splitlines()
        self.assertEqual(len(lines), 1, out + err)
        self.assertTrue(lines[0].startswith("ctpgbench: "), err)
        self.assertIn(words, lines[0])
        self.assertIn(str(arguments[-1]), lines[0])
        self.assertEqual(code, 1, err)

    def test_full_disk(self):
        disk = self.tmpfs(64)
        for ranks in (0, 2):
            self.refused((*SWEEP[:-1], disk / "out.h5"), self.NO_SPACE, ranks)
            self.assertEqual(os.listdir(disk), [])

    def test_full_disk_and_gradient(self):
        disk = self.tmpfs(64)
        (disk / "filler").write_bytes(bytes(60 << 10))
        self.refused((*GRADIENT[:-1], disk / "out.h5"), self.NO_SPACE)
        self.assertEqual(os.listdir(disk), ["filler"])

    def test_full_disk_while_a_plan_grows(self):
        self.sweep("probe.h5", *SWEEP[1:-2])
        disk = self.tmpfs((self.folder / "probe.h5").stat().st_size // 1024 * 3 // 2)
        out = disk / "out.h5"
        self.assertEqual(run(*SWEEP[:-1], out)[0], 0)
        before = sha256(out)
        for ranks in (0, 2):
            self.refused((*SWEEP[:-2], "-seeds", "0:200", "-out", out), self.NO_SPACE, ranks)
            self.assertEqual((sha256(out), left_in(disk)), (before, ["out.h5"]))
        code, text, err = run("status", out)
        self.assertEqual(code, 0, err)
        self.assertIn("2 of 2 runs done", text)

    def test_full_disk_after_creation(self):
        """Space is taken at creation: a disk that others fill later loses nothing."""
        disk = self.tmpfs(4096)
        out = disk / "out.h5"
        self.assertEqual(run(*SWEEP[:-1], out)[0], 0)
        with h5py.File(out, "r+") as file:
            commit = file["runs/commit"][()]
            commit["status"] = -1
            file["runs/commit"][...] = commit
        with open(disk / "filler", "wb", buffering=0) as filler, self.assertRaisesRegex(OSError, self.NO_SPACE):
            while True:
                filler.write(bytes(4096))
        code, text, err = run(*SWEEP[:-1], out, ranks=2)
        self.assertEqual(code, 0, err)
        self.assertIn("2 of 2 runs done", text)

    def test_full_disk_while_it_runs(self):
        """Nothing is asked of the disk once the file is laid out."""
        plan = ("-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint", "-seeds", "0:8", "-rtol", "1e-11:1e-5:13",
                "-timing_threshold", "0")
        expected = self.sweep("quiet.h5", *plan, ranks=2)
        disk = self.tmpfs(8192)
        out = disk / "out.h5"
        job = Job("sweep", *plan, "-out", out, ranks=2, cwd=self.folder)
        while job.process.poll() is None and not (out.exists() and committed(out)):
            time.sleep(0.005)
        with open(disk / "filler", "wb", buffering=0) as filler, self.assertRaisesRegex(OSError, self.NO_SPACE):
            while True:
                filler.write(bytes(4096))
        self.assertIsNone(job.process.poll(), "the sweep ended before the disk was full")
        code, text, err = job.finish()
        self.assertEqual(code, 0, text + err)
        self.assertIn(f"digest: {expected}", text)

    def test_read_only_disk(self):
        self.sweep("probe.h5", *SWEEP[1:-2])
        source = self.folder / "source"
        source.mkdir()
        (self.folder / "probe.h5").rename(source / "out.h5")
        disk = self.mount("--bind", "-o", "ro", str(source))
        if os.access(disk, os.W_OK):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=False)
        if os.access(disk, os.W_OK):
            self.skipTest("a read-only bind mount is not possible here")
        before = sha256(source / "out.h5")
        self.refused((*SWEEP[:-1], disk / "new.h5"), "Read-only file system")
        self.refused((*SWEEP[:-1], disk / "out.h5"), "Read-only file system", 2)
        self.refused((*SWEEP[:-2], "-seeds", "0:4", "-out", disk / "out.h5"), "Read-only file system", 2)
        self.refused((*GRADIENT[:-1], disk / "new.h5"), "Read-only file system")
        self.assertEqual((sha256(source / "out.h5"), left_in(source)), (before, ["out.h5"]))


if __name__ == "__main__":
    unittest.main()
