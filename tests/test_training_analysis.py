"""test_training_analysis.py -- what is drawn and said of trainings, against numbers worked out here from the file alone

Synthetic files (make_training.py) whose losses fall by known rates, and one small file of `ctpgbench train`.
"""
import contextlib
import io
import math
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

import make_results
import make_training
import program
import seal
from analysis_package import analysis
from ctpgbench_analysis import commands
from ctpgbench_analysis.draw import curves, field, ladder as ladder_figures, style
from ctpgbench_analysis.draw.everything import FIGURES
from ctpgbench_analysis.measure import episodes, intervals, ladder as ladders
from ctpgbench_analysis.read import training as load_training
from ctpgbench_analysis.read.sweep import load_finished
from ctpgbench_analysis.report import beyond, claims
from make_training import Run

INF, NAN = math.inf, math.nan


def quietly(*words):
    """What a command printed, which ended well."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = commands.main(list(map(str, words)))
    if code:
        raise AssertionError(f"{words} ended with {code}")
    return printed.getvalue()


def row_of(printed, *keys):
    """The cells of the row of these keys, whose table may go on below."""
    rows = [re.split(r"  +", line) for line in printed.splitlines()]
    parts = [row[len(keys):] for row in rows if row[:len(keys)] == list(keys)]
    return [*keys, *[cell for part in parts for cell in part]]


class InFolder(unittest.TestCase):
    def setUp(self):
        keeper = tempfile.TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)

    def training(self, *runs, **values):
        return load_training.load_training(make_training.write(self.folder / "training.h5", runs, **values))


class Intervals(unittest.TestCase):
    def test_median_between_order_statistics(self):
        # tables of the binomial: ranks 1 and 6 of 6, 2 and 9 of 10, 6 and 15 of 20
        for n, low, high in ((6, 1, 6), (10, 2, 9), (20, 6, 15), (32, 10, 23)):
            found = intervals.median_interval(np.arange(n, 0, -1))
            self.assertEqual((found.value, found.low, found.high), ((n + 1) / 2, low, high))

    def test_too_few_have_no_interval(self):
        found = intervals.median_interval([1, 2, 3, 4, 5])
        self.assertEqual(found.value, 3)
        self.assertFalse(found.known)
        self.assertIn("fewer than 6", found.text())

    def test_infinite_values_count(self):
        found = intervals.median_interval([1, 2, 3, 4, INF, INF, INF])
        self.assertEqual((found.value, found.high), (4, INF))
        self.assertEqual(intervals.median_interval([1, INF] * 4).value, INF)

    def test_bounds(self):
        found = intervals.median_interval([1] * 8, [INF] * 8)
        self.assertEqual((found.low, found.high), (1, INF))
        self.assertTrue(found.text().startswith("at least 1 "))

    def test_share(self):
        # Clopper and Pearson: 0 of 10: 1 - 0.025^(1/10); 5 of 10: 0.1871 to 0.8129
        self.assertAlmostEqual(intervals.share_interval(0, 10).high, 1 - 0.025 ** 0.1, 12)
        self.assertAlmostEqual(intervals.share_interval(8, 8).low, 0.025 ** (1 / 8), 12)
        found = intervals.share_interval(5, 10)
        self.assertAlmostEqual(found.low, 0.1871, 4)
        self.assertAlmostEqual(found.high, 0.8129, 4)


class Loading(InFolder):
    def test_moving_mean(self):
        values = np.random.default_rng(0).normal(size=(2, 200))
        found = load_training.moving_mean(values, 64)
        for i in (0, 5, 63, 64, 199):
            np.testing.assert_allclose(found[:, i], values[:, max(0, i - 63):i + 1].mean(axis=1), rtol=1e-12)
        values[0, 100] = NAN
        found = load_training.moving_mean(values, 64)
        self.assertTrue(np.isnan(found[0, 100:164]).all() and np.isfinite(found[0, 164:]).all())
        self.assertTrue(np.isfinite(found[1]).all())

    def test_pending_runs_are_left_out(self):
        training = self.training(Run("electric", "ctpg", "ctpg", seeds=4, status=["ok", None, "ok", "ok"]))
        pair = training.pairs[0]
        self.assertEqual(pair.seeds.tolist(), [0, 2, 3])
        self.assertEqual(pair.history("loss")[1, 0], 1 + 0.5 * 1.2)
        self.assertIn("1 of 4 runs", load_training.remarks([pair])[0])

    def test_damaged_runs_are_named_and_left_out(self):
        """Whether it is the row, or any of its arrays."""
        path = make_training.write(self.folder / "training.h5", [Run("electric", "ctpg", "ctpg", seeds=4)])
        with h5py.File(path, "r+") as file:
            rows = file["training/table"][()]
            rows["estimator"][1] = 7
            file["training/table"][...] = rows
            file["training/electric/ctpg/theta"][2, 1, 0] += 1e-9
        with contextlib.redirect_stderr(io.StringIO()) as said:
            pair = load_training.load_training(path).pairs[0]
        self.assertEqual(pair.seeds.tolist(), [0, 3])
        self.assertEqual(said.getvalue(), f"note: {path}: 2 finished rows of training/table fail the checksum and are "
                         "left out: 1, 2.\n")

    def test_a_history_ends_where_the_run_does(self):
        training = self.training(Run("electric", "ctpg", "ctpg", seeds=2, iterations=100, status=["ok", "diverged"]))
        pair = training.pairs[0]
        self.assertEqual(np.isfinite(pair.history("loss")).sum(axis=1).tolist(), [100, 50])
        self.assertEqual(np.nanmax(pair.nfe(), axis=1).tolist(), [100 * 100, 50 * 100])
        self.assertEqual(pair.final_losses()[1], INF)
        self.assertTrue(np.isnan(pair.test_losses()[1, 3:]).all())

    def test_a_test_with_a_failed_start_is_infinite(self):
        training = self.training(Run("electric", "ctpg", "ctpg", failures=1))
        self.assertTrue(np.isinf(training.pairs[0].test_losses()).all())

    def test_work_to_a_loss(self):
        # losses 0.5 + exp(-0.02 i), tests every 20, 100 NFE and 0.01 s each: the middle of those at 40 and 60 is at 50
        pair = self.training(Run("electric", "ctpg", "ctpg", spread=0)).pairs[0]
        targets = np.full(8, 0.5 + (math.exp(-0.8) + math.exp(-1.2)) / 2)
        for name, expected in (("iterations", 50), ("nfe", 5000), ("seconds", 0.5), ("cpu", 0.5)):
            np.testing.assert_allclose(pair.work_to(targets, name), expected, rtol=1e-12)
        self.assertTrue((pair.work_to(np.full(8, 2.0), "nfe") == 0).all())
        self.assertTrue(np.isinf(pair.work_to(np.full(8, 0.5), "nfe")).all())

    def test_colour_by_type(self):
        self.assertEqual(style.style("bptt-electric", "euler-bptt"), style.style("euler-bptt"))
        self.assertEqual(style.style("ctpg", "other"), style.style("ctpg"))
        self.assertEqual(style.style("mine", "mine too"), style.style("mine"))


class Claims(InFolder):
    def electric(self, **values):
        bptt = {"nfe": 400, "seconds": 0.02, "knob": "dt", **values}
        return claims.claim_electric(self.training(Run("electric", "ctpg", "ctpg"),
                                                   Run("electric", "bptt", "euler-bptt", **bptt)))

    def test_electric(self):
        found = self.electric()
        self.assertEqual(found.verdict, claims.CONFIRMED)
        self.assertTrue(found.numbers[0].startswith("NFE, BPTT / ctpg: 4 (95 % interval 4 to 4; n = 8)"))
        self.assertTrue(found.numbers[1].startswith("CPU time, BPTT / ctpg: 2 "))

    def test_electric_refuted_by_either(self):
        self.assertEqual(self.electric(seconds=0.005).verdict, claims.REFUTED)
        self.assertEqual(self.electric(nfe=40).verdict, claims.REFUTED)

    def test_electric_open(self):
        self.assertEqual(self.electric(seconds=0.01).verdict, claims.OPEN)
        few = claims.claim_electric(self.training(Run("electric", "ctpg", "ctpg", seeds=5),
                                                  Run("electric", "bptt", "euler-bptt", seeds=5, nfe=400)))
        self.assertEqual(few.verdict, claims.OPEN)
        self.assertIn("only 5 seeds", few.reason)

    def test_electric_failures_count(self):
        found = self.electric(status=["diverged"] * 6 + ["ok"] * 2)
        self.assertEqual(found.verdict, claims.CONFIRMED)
        self.assertIn("Final loss of bptt: inf", found.numbers[2])
        ctpg = Run("electric", "ctpg", "ctpg", status="diverged")
        found = claims.claim_electric(self.training(ctpg, Run("electric", "bptt", "euler-bptt", nfe=400)))
        self.assertEqual(found.verdict, claims.REFUTED)
        found = claims.claim_electric(self.training(ctpg, Run("electric", "bptt", "euler-bptt", status="diverged")))
        self.assertEqual(found.verdict, claims.OPEN)

    def test_ratios_of_work(self):
        low, high = claims.ratio_bounds([6, INF, 6, INF, 0, 6], [2, 2, INF, INF, 0, 0])
        self.assertEqual(low.tolist(), [3, INF, 0, 0, 0, INF])
        self.assertEqual(high.tolist(), [3, INF, 0, INF, INF, INF])

    def neural(self, losses, seeds=8, **values):
        falling = 2 + make_training.fall(seeds, 200, level=0)
        return claims.claim_neural_ode(self.training(
            Run("lqr", "ctpg", "ctpg", losses=falling, seeds=seeds),
            Run("lqr", "neural-ode", "neural-ode", losses=losses, seeds=seeds, **values)), None)

    def test_neural_ode(self):
        falling = 2 + make_training.fall(8, 200, level=0)
        self.assertEqual(self.neural(falling).verdict, claims.REFUTED)
        self.assertEqual(self.neural(falling + 1).verdict, claims.CONFIRMED)
        self.assertEqual(self.neural(falling, status="diverged").verdict, claims.CONFIRMED)
        half = falling + np.arange(8)[:, None] % 2
        self.assertEqual(self.neural(half).verdict, claims.OPEN)
        self.assertEqual(self.neural(falling[:5] + 1, seeds=5).verdict, claims.OPEN)

    def test_optimum(self):
        """Against the Riccati equation integrated backwards: P' = P^2 - I, P(T) = 0."""
        training = self.training(Run("lqr", "ctpg", "ctpg"))
        p, h = 0.0, 25 / 100000
        for _ in range(100000):
            p += h * (1 - p * p)
        self.assertAlmostEqual(episodes.optimum(training.pairs[0])[0], 2 * p, 6)
        self.assertIsNone(episodes.optimum(self.training(Run("lqr", "ctpg", "ctpg"),
                                                         options="A = 0,2,-2,0\n").pairs[0]))

    def cartpole(self, seeds=8, last=-0.6, **bptt):
        falling = np.linspace(3, last, 201) * np.ones((seeds, 1))
        return claims.claim_cartpole(self.training(
            Run("cartpole", "ctpg", "ctpg", seeds=seeds, losses=falling),
            Run("cartpole", "bptt", "euler-bptt", **{"seeds": seeds, "losses": falling, "nfe": 400, **bptt})))

    def test_cartpole(self):
        found = self.cartpole()
        self.assertEqual(found.verdict, claims.CONFIRMED)
        self.assertIn("NFE, BPTT / ctpg: 4 (95 % interval 4 to 4; n = 8).", found.numbers)
        # f is called 200 and 50 times for four starts: 50 steps of Euler's, 12.5 / 6 of Tsit5's
        self.assertIn("Integration points, BPTT / ctpg: 24 (95 % interval 24 to 24; n = 8).", found.numbers)
        self.assertEqual(self.cartpole(nfe=40).verdict, claims.REFUTED)
        self.assertEqual(self.cartpole(nfe=100).verdict, claims.OPEN)
        self.assertEqual(self.cartpole(seeds=5).verdict, claims.OPEN)
        never = np.ones((8, 201))
        self.assertEqual(self.cartpole(losses=never).verdict, claims.CONFIRMED)
        self.assertEqual(self.cartpole(losses=never, last=1).verdict, claims.OPEN)
        late = np.where(np.arange(8)[:, None] < 3, never, np.linspace(3, -0.6, 201))
        found = self.cartpole(losses=late, nfe=100)
        self.assertIn("bptt: 5 of 8 seeds get to -0.3, 5 stay there", " ".join(found.numbers))
        self.assertEqual(found.verdict, claims.OPEN)

    def quadrotor(self, level=1e4, nfe=100, seeds=8, status="ok", rates=None):
        losses = {name: 19000 * np.exp(-0.1 * np.arange(201)) + end * np.ones((seeds, 1))
                  for name, end in (("ctpg", 500), ("bptt", level))}
        path = make_training.write(self.folder / "quadrotor.h5", [
            Run("quadrotor", "ctpg", "ctpg", seeds=seeds, losses=losses["ctpg"]),
            Run("quadrotor", "bptt", "euler-bptt", nfe=nfe, seeds=seeds, status=status, losses=losses["bptt"]),
            Run("quadrotor", "more", "euler-bptt", nfe=2 * nfe, seeds=seeds, losses=losses["ctpg"])])
        make_training.add_paths(path, rates or {"ctpg": 1, "bptt": -0.3, "more": 0.1})
        return claims.claim_quadrotor(load_training.load_training(path))

    def test_quadrotor(self):
        found = self.quadrotor()
        self.assertEqual(found.verdict, claims.CONFIRMED)
        rest = " ".join(found.numbers)
        self.assertIn("bptt, with 1 times the NFE: final loss / that of ctpg = 20 (95 % interval 20 to 20; n = 8); "
                      "higher on 8 of 8 seeds.", rest)
        self.assertIn("more, with 2 times the NFE: final loss / that of ctpg = 1 (", rest)
        self.assertRegex(rest, "ctpg: final loss 500 .* 8 of 8 runs come below a 10th .* 8 of 8 policies hover")
        self.assertRegex(rest, "bptt: .* 0 of 8 runs come below a 10th .* 0 of 8 policies hover")
        self.assertEqual(self.quadrotor(level=600).verdict, claims.REFUTED)
        mixed = np.where(np.arange(8)[:, None] < 4, 600, 1e4)
        self.assertEqual(self.quadrotor(level=mixed).verdict, claims.OPEN)
        self.assertEqual(self.quadrotor(nfe=200).verdict, claims.OPEN)  # BPTT had more
        self.assertEqual(self.quadrotor(nfe=40).verdict, claims.OPEN)   # or fewer
        self.assertEqual(self.quadrotor(status="diverged").verdict, claims.CONFIRMED)
        self.assertEqual(self.quadrotor(seeds=5).verdict, claims.OPEN)

    def test_yaw_at_the_end(self):
        path = make_training.write(self.folder / "q.h5", [Run("quadrotor", "ctpg", "ctpg", seeds=2)])
        make_training.add_paths(path, {"ctpg": 1})
        with h5py.File(path) as file:
            ends = file["training/quadrotor/ctpg/path"][:, -1, :, -1, 11]
        found = episodes.yaw_rates_at_end(load_training.load_training(path).pairs[0])
        np.testing.assert_array_equal(np.sort(found), np.sort(np.abs(ends).ravel()))

    def gradients(self, euler, ctpg):
        """Errors 10^-k at NFE 10^euler k and 10^ctpg k, 8 seeds."""
        writer = make_results.Writer([dict(label="lqr")], [dict(label="bptt", type="euler-bptt", knob="dt"),
                                                           dict(label="ctpg")])
        for seed in range(8):
            writer.case(0, seed)
            for k in range(1, 5):
                for e, power in enumerate((euler, ctpg)):
                    writer.run(0, seed, e, 10.0**-k, 10.0**-k, round(1e4 * 10 ** (power * k)))
        return claims.claim_gradients(load_finished(writer.write(self.folder / "sweep.h5")))

    def test_gradients(self):
        found = self.gradients(1.0, 0.8)  # 10^3 against 10^2.4
        self.assertEqual(found.verdict, claims.CONFIRMED)
        self.assertIn(f"= {10**0.6:.3g} (95 %", found.numbers[0])
        self.assertEqual(self.gradients(1.0, 0.9).verdict, claims.REFUTED)
        self.assertEqual(claims.claim_gradients(None).verdict, claims.OPEN)

    def test_an_error_that_is_not_reached_is_a_bound(self):
        writer = make_results.Writer([dict(label="lqr")], [dict(label="euler-bptt", knob="dt"), dict(label="ctpg")])
        for seed in range(8):
            writer.case(0, seed)
            for k in (1, 2):
                writer.run(0, seed, 0, 10.0**-k, 10.0**-k, 10**(k + 2))
                writer.run(0, seed, 1, 10.0**-k, 10.0**(-2 * k), 10**k)
        found = claims.claim_gradients(load_finished(writer.write(self.folder / "sweep.h5")))
        self.assertIn("at least", found.numbers[0])
        self.assertEqual(found.verdict, claims.CONFIRMED)


class Pictures(InFolder):
    def check_image(self, name):
        with Image.open(self.folder / "out" / f"{name}.png") as picture:
            image = np.asarray(picture.convert("L"))
        self.assertGreater((image < 250).mean(), 0.01, name)
        self.assertGreater(len((self.folder / "out" / f"{name}.txt").read_text()), 200)
        self.assertTrue((self.folder / "out" / f"{name}.pdf").read_bytes().startswith(b"%PDF"))

    def test_all_of_the_paper(self):
        path = make_training.paper_file(self.folder / "paper.h5", iterations=100)
        printed = quietly("paper", path, "-o", self.folder / "out")
        for name in FIGURES:
            self.check_image(name)
        for name, frames in (("diffdrive", 3), ("electric", 41)):
            with Image.open(self.folder / "out" / f"{name}.gif") as image:
                self.assertGreaterEqual(image.n_frames, frames)
        self.assertIn("figure1 is not drawn: no traces were given", printed)
        text = (self.folder / "out/summary.md").read_text()
        verdicts = re.findall(r"^\*\*(.*?)\*\*", text, re.MULTILINE)
        self.assertEqual(verdicts, ["not decided", *["confirmed"] * 4])
        self.check_numbers(path, text)

    def check_numbers(self, path, text):
        """Numbers of the summary, from the file by other means."""
        with h5py.File(path) as file:
            group = file["training"]
            work = []
            for label in ("bptt-electric", "ctpg"):
                pair = group[f"electric/{label}"]
                last = pair["test_loss"][:, -1]
                counts = pair["nf"][()] + pair["nvjp_x"][()] + pair["nvjp_theta"][()]
                work.append([row[:int(i)].sum() for row, i in zip(counts, [
                    np.interp(-level, -losses, pair["test_iteration"]) for losses, level in zip(pair["test_loss"][()],
                                                                                                last)])])
            ratio = np.median(np.array(work[0]) / work[1])
            ends = [group[f"quadrotor/{label}/loss"][:, -10:].mean(axis=1) for label in ("bptt-quadrotor", "ctpg")]
            worst = group["lqr/neural-ode/backsolve_error"][()].max(axis=1)
        self.assertIn(f"NFE, BPTT / ctpg: {ratio:.3g} ", text)
        self.assertIn(f"final loss / that of ctpg = {np.median(ends[0] / ends[1]):.3g} ", text)
        self.assertIn(f"median over seeds {np.median(worst):.3g}, largest {worst.max():.3g}", text)

    def test_what_is_not_there_is_not_drawn(self):
        path = make_training.write(self.folder / "one.h5", [Run("electric", "ctpg", "ctpg", seeds=1, iterations=50)])
        printed = quietly("paper", path, "-o", self.folder / "out")
        self.check_image("figure5")
        missing = [line for line in printed.splitlines() if "is not drawn" in line]
        self.assertEqual(len(missing), 9)
        self.assertTrue(all(line.endswith(".") and line.count(": ") == 1 for line in missing), missing)
        text = (self.folder / "out/summary.md").read_text()
        self.assertEqual(re.findall(r"^\*\*(.*?)\*\*", text, re.MULTILINE), ["not decided"] * 5)

    def test_equal_data_give_equal_files(self):
        runs = [run for run in make_training.paper_runs(seeds=2, iterations=50) if run.problem == "electric"]
        path = make_training.write(self.folder / "electric.h5", runs)
        make_training.add_paths(path, {"ctpg": 1, "bptt-electric": 0.3}, samples=4)
        for name in ("out", "again"):
            quietly("paper", path, "-o", self.folder / name)
        files = sorted(file.name for file in (self.folder / "out").iterdir())
        self.assertEqual(len(files), 9)
        for name in files:
            self.assertEqual((self.folder / "out" / name).read_bytes(), (self.folder / "again" / name).read_bytes(),
                             name)

    def test_a_ladder_enters_the_summary(self):
        ladder = Ladder.file(self.folder / "ladder.h5")
        path = make_training.write(self.folder / "one.h5", [Run("electric", "ctpg", "ctpg", seeds=2, iterations=50)])
        quietly("paper", path, "--beyond", ladder, "-o", self.folder / "out")
        self.assertIn("### electric: to a test loss of", (self.folder / "out/summary.md").read_text())

    def test_bands(self):
        """Median and percentiles against NFE, of runs whose iterations cost differently."""
        training = self.training(Run("electric", "ctpg", "ctpg", seeds=7, status=["ok"] * 5 + ["diverged"] * 2))
        pair = training.pairs[0]
        work, losses = pair.work("nfe"), pair.history("loss")
        grid = np.array([5000.0, 15000.0])
        found = curves.quantiles(curves.on_grid(pair, work, losses, grid), (5, 50, 95))
        start = np.array([0.5 * (1 + 0.1 * s) + math.exp(-0.02 * 49) for s in range(7)])
        later = np.array([0.5 * (1 + 0.1 * s) + math.exp(-0.02 * 149) for s in range(5)] + [1e300] * 2)
        np.testing.assert_allclose(found[:, 0], np.percentile(start, (5, 50, 95)), rtol=1e-12)
        self.assertAlmostEqual(found[1, 1], np.sort(later)[3], 12)
        self.assertTrue(np.isnan(found[2, 1]))

    def test_field(self):
        electrodes = field.Electrodes(make_training.ELECTRODES, 1e-3, 0.1)
        charges, point = np.arange(8) - 3.5, np.array([0.47, 0.12])  # nearer than 0.1 to the sixth
        expected = np.zeros(2)
        for u, place in zip(charges, [(.1, .1), (.1, .9), (.9, .9), (.9, .1), (.5, .9), (.5, .1), (.1, .5), (.9, .5)]):
            r = point - place
            expected += 1e-3 * u * r / max(math.hypot(*r), 0.1) ** 3
        np.testing.assert_allclose(field.field_of(electrodes, charges, point[None])[0], expected, rtol=1e-12)
        goals = np.array([[0, 0], [1, 2], [3, 0.0]])
        np.testing.assert_allclose(field.goal_at(goals, np.array([0, 2, 4, 6, 8.0]), 8.0),
                                   [[0, 0], [0.5, 1], [1, 2], [2, 1], [3, 0]])


class Ladder(InFolder):
    """Losses 1 + exp(-rate i), tested at every iteration."""
    RATES = {"fine": 0.05, "good": 0.049, "poor": 0.02, "never": 0.001}

    @staticmethod
    def file(path, audits=True):
        kinds = {"fine": ("rk-adjoint", "rtol", 1e-9), "good": ("ctpg", "rtol", 1e-3), "poor": ("euler-bptt", "dt",
                                                                                                0.1),
                 "never": ("euler-bptt", "dt", 0.4)}
        runs = [Run("electric", label, kind, knob=knob, accuracy=accuracy, every=1, iterations=300, nfe=nfe,
                    rate=Ladder.RATES[label], spread=0.0, level=1.0)
                for (label, (kind, knob, accuracy)), nfe in zip(kinds.items(), (1000, 100, 40, 20))]
        make_training.write(path, runs)
        if audits:
            make_training.add_audits(path, {"fine": 1e-8, "good": 1e-3, "poor": 0.2, "never": 0.9}, stderr=0.5)
        return path

    def climb(self, **values):
        training = load_training.load_training(self.file(self.folder / "ladder.h5", **values))
        return ladders.climb(training, "electric"), training

    def test_work_and_verdicts(self):
        ladder, _ = self.climb()
        self.assertEqual([rung.pair.label for rung in ladder.rungs], ["fine", "good", "poor", "never"])
        final = np.mean(1 + np.exp(-0.05 * np.arange(271, 301)))
        target = final + 0.1 * (2 - final)
        self.assertAlmostEqual(ladder.target, target, 12)
        steps = np.arange(301)
        expected = [np.interp(-target, -(1 + np.exp(-rate * steps)), steps) for rate in self.RATES.values()]
        self.assertAlmostEqual(expected[0], math.log(1 / (target - 1)) / 0.05, 1)
        for rung, iterations, nfe in zip(ladder.rungs[:3], expected, (1000, 100, 40)):
            self.assertAlmostEqual(rung.work["iterations"].value, iterations, 9)
            self.assertAlmostEqual(rung.work["nfe"].value, iterations * nfe, 6)
            self.assertAlmostEqual(rung.ratio["iterations"].value, iterations / expected[0], 12)
        never = ladder.rungs[3]
        self.assertEqual((never.work["nfe"].value, never.reached), (INF, 0))
        self.assertAlmostEqual(never.ratio["iterations"].low, 300 / expected[0], 12)  # at least: it was stopped there
        self.assertEqual([rung.verdict for rung in ladder.rungs], ["equal", "equal", "more iterations",
                                                                   "more iterations"])
        # 8 of 8 seeds against 0 of 8, and later on 8 of 8: by hand, times the number of tests that Holm counts
        self.assertAlmostEqual(never.reached_p, 3 * 2 / 2**8, 12)
        self.assertAlmostEqual(ladder.rungs[2].earlier_p, 3 * math.erfc(math.sqrt(8 / 2)), 12)
        self.assertEqual(ladder.rungs[2].reached_p, 1.0)
        # by hand: all three others get there on each of 8 seeds, so that it would miss each by one chance in four
        self.assertAlmostEqual(never.pooled_p, 3 * 2 / 4**8, 12)
        self.assertEqual((ladder.rungs[2].pooled_p, never.finer), (1.0, (24, 24)))
        self.assertEqual([round(rung.error / rung.stderr, 12) for rung in ladder.rungs], [2e-8, 2e-3, 0.4, 1.8])

    def test_words(self):
        ladder, training = self.climb()
        text = "\n".join(beyond.conclusion(training)[0])
        self.assertIn("On 1 of 1 problems (electric) a gradient of the ladder needs more iterations", text)
        self.assertIn("up to 0.002 (electric) are as good as the most accurate ones: 0.002 suffices on it", text)
        self.assertIn("The least error that is known to cost iterations is 0.4 (electric).", text)
        self.assertIn("As many iterations as fine (0.9 to 1.1 times) take: fine, good; more: poor, never; fewer: none; "
                      "not decided: none.", text)
        self.assertIn("that of good: gradient error 1.0e-03, 0.002 times the standard error of the batch.", text)
        self.assertIn(f"Least NFE to the target among those that are as good: good, "
                      f"{ladder.rungs[1].work['nfe'].value:.4g} ", text)

    def test_files(self):
        for audits in (True, False):
            path, out = self.file(self.folder / "ladder.h5", audits=audits), self.folder / f"out{audits}"
            quietly("beyond", path, "-o", out)
            names = ["beyond", "beyond_electric"] if audits else ["beyond_electric"]
            self.assertEqual({file.name for file in out.iterdir()},
                             {"conclusion.md", *(f"{name}.{form}" for name in names for form in ("pdf", "png", "txt"))})

    def test_which_accuracy_suffices(self):
        ladder, _ = self.climb()
        axes = ladder_figures.suffices_figure([ladder]).axes[0]
        marks = {float(line.get_xdata()[0]): line for line in axes.lines if line.get_marker() not in ("None", None, "")}
        for rung in ladder.rungs:
            mark = marks[max(rung.in_noise, 1e-7)]
            self.assertAlmostEqual(mark.get_ydata()[0], min(rung.ratio["iterations"].value, ladder_figures.TOP))
            self.assertEqual(mark.get_marker() == "x", rung.verdict == ladders.MORE)
        self.assertEqual([text.get_text() for text in axes.figure.legends[0].get_texts()],
                         ["electric", "equal", "not decided, or fewer", "more iterations"])

    def test_rungs_of_several_files(self):
        whole = self.file(self.folder / "ladder.h5")
        quietly("beyond", whole, "-o", self.folder / "out")
        parts = []
        for name, gone in (("a", ("fine", "never")), ("b", ("good", "poor"))):
            parts.append(self.folder / f"{name}.h5")
            shutil.copy(whole, parts[-1])
            with h5py.File(parts[-1], "r+", libver=seal.FORMAT) as file:
                commits, rows = file["training/commit"][()], file["training/table"][()]
                labels = [row["label"].decode() for row in file["estimators"]]
                commits["status"][np.isin(rows["estimator"], [labels.index(label) for label in gone])] = -1
                file["training/commit"][...] = commits
            seal.seal(parts[-1])
        quietly("beyond", *parts, "-o", self.folder / "both")
        text, expected = ((self.folder / name / "conclusion.md").read_text() for name in ("both", "out"))
        self.assertIn("Data: a.h5, b.h5, plan", text)
        self.assertEqual(text.rpartition("Data: ")[0], expected.rpartition("Data: ")[0])
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            self.assertEqual(commands.main(["beyond", str(whole), str(parts[0]), "-o", str(self.folder / "x")]), 1)
            self.assertEqual(commands.main(["beyond", str(whole), "--problems", "lqr"]), 1)
        self.assertIn("both hold a training of electric with good; expected it in one file", errors.getvalue())
        self.assertIn(f"there is no training of lqr in {whole}; expected some of electric.", errors.getvalue())

    def test_page(self):
        page = self.folder / "accuracy.md"
        page.write_text("# Title\n\n<!-- accuracy: ladder -->\nold\n<!-- end -->\n\nBy hand.\n", encoding="utf-8")
        quietly("beyond", self.file(self.folder / "ladder.h5"), "-o", self.folder / "out", "--page", page)
        text = page.read_text(encoding="utf-8")
        self.assertRegex(text, r"(?s)^# Title\n.*As many iterations as fine.*<!-- end -->\n\nBy hand\.\n$")
        self.assertNotIn("old", text)
        self.assertIn("](accuracy/beyond.png)", text)
        self.assertTrue((self.folder / "accuracy" / "beyond.png").exists())

    def test_without_tests_the_training_loss_counts(self):
        path = self.file(self.folder / "ladder.h5")
        with h5py.File(path, "r+", libver=seal.FORMAT) as file:
            for label in self.RATES:
                for name in ("test_loss", "test_failures", "test_iteration"):
                    del file[f"training/electric/{label}/{name}"]
        ladder = ladders.climb(load_training.load_training(seal.seal(path)), "electric")
        self.assertFalse(ladder.tested)
        final = np.mean(1 + np.exp(-0.05 * np.arange(290, 300)))
        self.assertAlmostEqual(ladder.target, final + 0.1 * (2 - final), 12)
        self.assertEqual([rung.verdict for rung in ladder.rungs], ["equal", "equal", "more iterations",
                                                                   "more iterations"])

    def test_a_reference_that_fails_is_beaten(self):
        """The target is that of the best rung; who gets there more often needs fewer iterations."""
        runs = [Run("electric", label, kind, knob=knob, accuracy=accuracy, every=1, iterations=300, rate=rate,
                    spread=0.0)
                for label, kind, knob, accuracy, rate in (("fine", "rk-adjoint", "rtol", 1e-9, 0.001),
                                                          ("rough", "ctpg", "rtol", 1e-1, 0.05))]
        path = make_training.write(self.folder / "two.h5", runs)
        make_training.add_audits(path, {"fine": 1e-8, "rough": 0.1})
        ladder = ladders.climb(load_training.load_training(path), "electric")
        self.assertEqual([(rung.reached, rung.verdict) for rung in ladder.rungs],
                         [(0, "equal"), (8, "fewer iterations")])

    def test_tolerance_that_follows_the_gradient(self):
        path = self.file(self.folder / "ladder.h5")
        with h5py.File(path, "r+") as file:
            file["training/electric/good/accuracy"][:, 10:] = 1e-2
        seal.seal(path)
        training = load_training.load_training(path)
        rungs = {rung.pair.label: rung.following for rung in ladders.climb(training, "electric").rungs}
        self.assertEqual(rungs, {"fine": False, "good": True, "poor": False, "never": False})


class Table(InFolder):
    def test_final_losses(self):
        path = make_training.write(self.folder / "t.h5", [
            Run("electric", "ctpg", "ctpg", status=["ok"] * 7 + ["diverged"]), Run("lqr", "ctpg", "ctpg", every=1000)])
        printed = quietly("training", path)
        levels = sorted([0.5 * (1 + 0.1 * s) + math.exp(-0.02 * 200) for s in range(7)] + [INF])
        row = row_of(printed, "electric", "ctpg")
        self.assertEqual(row[:4], ["electric", "ctpg", "rtol 0.001", "8"])
        self.assertEqual(row[4], f"{(levels[3] + levels[4]) / 2:.4g}")
        self.assertEqual(row[5], f"{levels[0]:.4g} to inf")
        self.assertEqual(row[-1], "1 of 8: diverged 1")
        self.assertEqual(row_of(printed, "lqr", "ctpg")[3], "8")


class Speed(InFolder):
    """Iterations of 10 ms of CPU time and 100 NFE that become slower after the first half of 200."""

    def write(self, ranks):
        path = make_training.write(self.folder / "t.h5", [
            Run("electric", "ctpg", "ctpg", seeds=5, status=["ok"] * 3 + ["diverged", None])])
        with h5py.File(path, "r+") as file:
            pair, late = file["training/electric/ctpg"], np.arange(200) >= 100
            pair["cpu"][...] = (1 + np.arange(5)[:, None]) * np.cumsum(0.01 + 0.03 * late)
            pair["elapsed"][...] = 7 * pair["cpu"][()]  # others had the machine, too
            pair["nf"][...] += (2 * pair["nf"][()] * late).astype("i4")
            rows = file["training/table"][()]
            rows["session_seconds"], rows["test_seconds"], rows["ranks"] = 5.3, 0.7, ranks
            file["training/table"][...] = rows
        seal.seal(path)
        return path

    def row(self, ranks=1):
        return row_of(quietly("training", self.write(ranks), "--speed"), "electric", "ctpg")

    def test_page(self):
        page = self.folder / "page.md"
        page.write_text("# By hand\n\n<!-- training: speed -->\nold\n<!-- end -->\n\nMore.\n", encoding="utf-8")
        self.assertEqual(quietly("training", self.write(1), "--page", page), "")
        text = page.read_text(encoding="utf-8")
        self.assertIn("| electric | ctpg | rtol 0.001 | 200 x 4 | 3 | 10.0 | 20.0 | 80.0 |", text)
        self.assertIn("s: CPU time of a whole run", text)
        self.assertEqual((text.startswith("# By hand\n\n"), text.endswith("\n\nMore.\n"), "old" in text),
                         (True, True, False))

    def test_medians_over_the_runs_that_ended_ok(self):
        # seeds 0 to 2 take 5, 10, 15 s; nf is half of the 100 NFE of an iteration of 4 starts, and triples
        self.assertEqual(self.row(), ["electric", "ctpg", "rtol 0.001", "200 x 4", "3", "10.0", "20.0", "80.0", "25",
                                      "50", "12 %", "1 of 4: diverged 1"])

    def test_ranks_that_share_a_batch_wait_for_each_other(self):
        self.assertEqual(self.row(ranks=2)[10], "-")


class BadFiles(InFolder):
    def refused(self, path, *words):
        for command in ("paper", "beyond", "training", "claims"):
            out = ["-o", self.folder / "out"] if command in ("paper", "beyond") else []
            code, _, errors = analysis(command, path, *out)
            self.assertEqual(code, 1, errors)
            said = [line for line in errors.splitlines() if not line.startswith("note: ")]
            self.assertEqual(len(said), 1, errors)
            for word in words:
                self.assertIn(word, errors)
            self.assertFalse((self.folder / "out").exists())

    def broken(self, change, schema=3):
        path = make_training.write(self.folder / "t.h5", [Run("electric", "ctpg", "ctpg", seeds=2, iterations=40)])
        with h5py.File(path, "r+") as file:
            change(file)
            file.attrs["schema"] = np.int32(schema)
        return path

    def test_not_a_training_file(self):
        self.refused(self.folder / "none.h5", "none.h5 cannot be read")
        writer = make_results.Writer([dict(label="lqr")], [dict(label="ctpg")])
        self.refused(writer.write(self.folder / "sweep.h5"), "is of kind sweep; expected a file of kind train")

    def test_nothing_finished(self):
        self.refused(make_training.write(self.folder / "t.h5", [Run("electric", "ctpg", "ctpg", status=None)]),
                     "holds no finished run of training yet")

    def test_damage(self):
        def shorten(file):
            del file["training/electric/ctpg/nf"]
            file["training/electric/ctpg/nf"] = np.zeros((2, 10), "i4")

        def lose(file):
            del file["training/electric/ctpg"]

        self.refused(self.broken(lose), "t.h5 is damaged", "'ctpg' doesn't exist")
        self.refused(self.broken(shorten), "t.h5 is damaged")
        unverified = "is of schema 2: what it holds is not verified"
        self.refused(self.broken(lose, schema=2), unverified, "no group training/electric/ctpg")
        self.refused(self.broken(shorten, schema=2), unverified, "training/electric/ctpg/nf is smaller than its runs")
        self.refused(self.broken(lambda file: file.pop("training/commit")), "no table training/commit")


@unittest.skipUnless(program.PROGRAM.exists(), "the program is not built")
class Real(program.InFolder):
    def test_what_train_writes(self):
        path = self.folder / "training.h5"
        code, text, err = program.run("train", "-problems", "lqr", "-policy", "mlp", "-policy_widths", "4", "-horizon",
                                      "2",
                                      "-estimators", "ctpg,neural-ode", "-seeds", "0:3", "-iterations", "12",
                                      "-test_every",
                                      "4", "-fixed_start", "1,1", "-out", path)
        self.assertEqual(code, 0, text + err)
        training = load_training.load_training(path)
        pair = training.first_of("lqr", "ctpg")[0]
        with h5py.File(path) as file:
            group = file["training/lqr/ctpg"]
            np.testing.assert_array_equal(pair.final_losses(), group["test_loss"][:, -1])
            total = sum(group[name][()].sum(axis=1) for name in ("nf", "nvjp_x", "nvjp_theta"))
            rows = file["training/table"][()]
        np.testing.assert_array_equal(pair.nfe()[:, -1], total)
        np.testing.assert_array_equal(total, (rows["nf"] + rows["nvjp_x"] + rows["nvjp_theta"])[:3])
        self.assertAlmostEqual(episodes.optimum(pair)[0], 2 * math.tanh(2), 12)
        quietly("paper", path, "-o", self.folder / "out")
        self.assertTrue((self.folder / "out/figure3.png").exists())


if __name__ == "__main__":
    unittest.main()
