"""test_paper_figures.py -- the paper's figures: what is in which panel, on which axes, against the files themselves

Synthetic files of known numbers (make_training.py, make_results.py) and small traces. Every figure is also looked at as
a whole: its width, the size of its letters, and that none of them leaves it.
"""
import atexit
import contextlib
import functools
import io
import math
import re
import tempfile
import unittest
import unittest.mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text

import make_results
import make_training
import program
from analysis_package import analysis
from ctpgbench_analysis import commands
from ctpgbench_analysis.draw import (apart as apart_figure, cartpole, curves, everything, field, gradients,
                                     ladder as ladder_figures, scheme, style, traces)
from ctpgbench_analysis.draw import training as training_figures
from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.measure import apart, ladder as ladders
from ctpgbench_analysis.read.plants import Plant
from ctpgbench_analysis.read.sweep import load_finished
from ctpgbench_analysis.read.traces import Back, Trace
from ctpgbench_analysis.read.training import load_training
from ctpgbench_analysis.report import paper_data
from ctpgbench_analysis.report.page import in_short, write_page
from legends import too_short
from make_training import Run

MM = 25.4


def line_of(axes, label):
    """x and y of the line with this label."""
    found = [line for line in axes.lines if line.get_label() == label]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} lines called {label}: {[line.get_label() for line in axes.lines]}")
    return np.asarray(found[0].get_xdata(), float), np.asarray(found[0].get_ydata(), float)


def of_colour(axes, colour):
    return [line for line in axes.lines if to_hex(line.get_color()) == to_hex(colour)]


def panels(figure):
    """Axes that are seen, those of a second scale left out."""
    return [axes for axes in figure.axes if axes.get_visible() and axes.yaxis.get_label_position() == "left"]


def plant(nx, nu=1, **constants):
    return Plant(tuple(f"x{i + 1}" for i in range(nx)), ("",) * nx, tuple(f"u{i + 1}" for i in range(nu)), ("",) * nu,
                 {name: np.asarray(value, float) for name, value in constants.items()})


def spiral(times, rate=0.3):
    return np.exp(-rate * times)[:, None] * np.stack([np.cos(times), np.sin(times)], axis=1)


def make_back(kind, out_t, out_x, shift=0.0, label=None):
    """An estimator that went out over these steps, and back `shift` beside them."""
    return Back(label or kind, kind, "rtol", "ok", 1e-3, 1e-4, out_t[::-1][1:], out_x[::-1][1:] + shift, out_t, out_x)


def scheme_trace():
    t = np.linspace(0, 10, 401)
    steps = np.linspace(0, 10, 21)
    kinds = {"neural-ode-ckpt": 0.01, "euler-bptt": 0.0, "neural-ode": 0.3, "ctpg": 0.0}
    backs = [make_back(kind, steps, spiral(steps), shift) for kind, shift in kinds.items()]
    return Trace("trace.h5", "lqr", "lqr", "seed 0", "2-2 linear", "", 10.0, 0, 0, t, spiral(t), spiral(t), backs,
                 plant(2, 2))


def cart_trace(pair, kind, count):
    t = np.linspace(0, 3, count)
    x = np.stack([np.sin(t), np.pi - t, np.cos(t), -np.ones(count)], axis=1)
    return Trace("cart.h5", "cartpole", "cartpole", "seed 0", "mlp", f"t.h5:/training/cartpole/{pair}@100", 3.0, 2, 0,
                 t, x, x[:, :1], [make_back(kind, t, x, label="any")],
                 plant(4, rods=[1.0], rail=make_training.RAIL))


@functools.cache
def paper_file():
    """All the paper's pairs, once for all tests."""
    keeper = tempfile.TemporaryDirectory()
    atexit.register(keeper.cleanup)
    return make_training.paper_file(f"{keeper.name}/paper.h5", seeds=3, iterations=100)


class WithFiles(program.InFolder):
    """One file of all the paper's pairs."""

    def setUp(self):
        super().setUp()
        self.training = load_training(paper_file())
        self.traces = [cart_trace("ctpg", "ctpg", 21), cart_trace("bptt-cartpole", "euler-bptt", 41)]

    def pair(self, problem, label):
        return next(pair for pair in self.training.of(problem) if pair.label == label)

    def median(self, problem, label, name):
        return np.median(self.pair(problem, label).read(name), axis=0)


class NeuralODE(WithFiles):
    def test_two_panels_with_two_scales(self):
        figure, caption = training_figures.figure_neural_ode(self.training)
        left, right = panels(figure)
        self.assertEqual([axes.get_title() for axes in (left, right)], ["neural-ode", "ctpg"])
        twins = [axes for axes in figure.axes if axes.yaxis.get_label_position() == "right"]
        self.assertEqual(twins[0].get_ylim(), twins[1].get_ylim())
        self.assertEqual(left.get_ylim(), right.get_ylim())
        for axes in (left, right, *twins):
            self.assertEqual(axes.get_yscale(), "linear")
        for axes, label in ((left, "neural-ode"), (right, "ctpg")):
            x, y = line_of(axes, f"loss of {label}")
            np.testing.assert_allclose(y, np.interp(x, np.arange(1, 101), self.median("lqr", label, "loss")))
            optimum = line_of(axes, "optimum")[1]
            np.testing.assert_allclose(optimum, 2 * math.tanh(25))
        x, y = line_of(twins[0], "backsolve error (right)")
        errors = self.median("lqr", "neural-ode", "backsolve_error")
        np.testing.assert_allclose(y, np.interp(x, np.arange(1, 101), errors))
        self.assertGreater(twins[0].get_ylim()[1], errors.max())
        self.assertTrue((line_of(twins[1], "backsolve error (right)")[1] == 0).all())
        self.assertIn("of the state alone", caption)

    def test_it_says_whether_the_loss_counts(self):
        pair = self.pair("lqr", "neural-ode")
        pair.estimator_options["backsolve_loss"] = "true"
        try:
            self.assertIn("of state and running loss together", training_figures.figure_neural_ode(self.training)[1])
        finally:
            del pair.estimator_options["backsolve_loss"]


class Diffdrive(WithFiles):
    def test_both_in_one_panel_per_stage(self):
        figure, caption = training_figures.figure_diffdrive(self.training)
        three = panels(figure)
        self.assertEqual([axes.get_title() for axes in three], [f"iteration {i}" for i in (50, 75, 100)])
        starts = self.pair("diffdrive", "ctpg").read("path")[0, -1, :, 0, :2]
        half = np.ceil(2 * 1.5 * np.abs(starts).max()) / 2
        for k, axes in enumerate(three):
            self.assertEqual((axes.get_xlim(), axes.get_ylim(), axes.get_aspect()), ((-half, half), (-half, half), 1.0))
            for label, solid in (("ctpg", True), ("bptt-diffdrive", False)):
                pair = self.pair("diffdrive", label)
                lines = of_colour(axes, style.style(label, pair.type)["color"])
                self.assertEqual(len(lines), 10)
                for line, path in zip(lines, pair.read("path")[0, k]):
                    np.testing.assert_array_equal(np.transpose(line.get_data()), path[:, :2])
                    self.assertEqual(line.get_linestyle() == "-", solid)
            np.testing.assert_array_equal(np.transpose(line_of(axes, "starts")), starts)
        self.assertEqual(len({tuple(line_of(axes, "starts")[0]) for axes in three}), 1)
        self.assertIn("ctpg solid, bptt-diffdrive dashed", caption)


class Electric(WithFiles):
    def test_losses_and_field(self):
        figure, caption = field.figure_electric(self.training)
        nfe, seconds, picture = panels(figure)
        self.assertEqual((nfe.get_xlabel(), seconds.get_xlabel()), ("NFE", "CPU time (s)"))
        self.assertEqual((nfe.get_yscale(), nfe.get_ylim()), ("linear", seconds.get_ylim()))
        self.assertLessEqual(nfe.get_ylim()[0], 0)
        self.assertNotIn("cut off", caption)  # all of these losses are above the printed axis
        for axes, ends in ((nfe, {"ctpg": 100 * 100, "bptt-electric": 400 * 100}),
                           (seconds, {"ctpg": 1.0, "bptt-electric": 2.0})):
            for label, end in ends.items():
                self.assertAlmostEqual(line_of(axes, label)[0][-1] / end, 1, 12)
        scene = field.scenes([self.pair("electric", "ctpg")], [0])[0]
        m = field.moment(scene)
        discs = next(one for one in picture.collections if isinstance(one, PathCollection))
        np.testing.assert_array_equal(discs.get_offsets(), make_training.ELECTRODES)
        sizes, charges = discs.get_sizes(), np.abs(scene.charges[m])
        self.assertEqual(np.argsort(sizes).tolist(), np.argsort(charges).tolist())
        np.testing.assert_allclose((sizes - 12) / charges, field.LARGEST / np.nanmax(np.abs(scene.charges)), rtol=1e-9)
        positive = [to_hex(colour) == to_hex(field.POSITIVE) for colour in discs.get_facecolors()]
        self.assertEqual(positive, (scene.charges[m] > 0).tolist())
        marks = {line.get_marker(): line.get_data() for line in picture.lines}
        np.testing.assert_array_equal(np.ravel(marks["o"]), scene.path[m, 2:4])
        np.testing.assert_array_equal(np.ravel(marks["X"]), scene.goal[m])


    def test_printed_axis(self):
        """0 to 0.5 where most of the losses are there, as in the paper"""
        runs = [Run("electric", label, kind, seeds=3, iterations=400, level=0.1, rate=0.05)
                for label, kind in (("ctpg", "ctpg"), ("bptt-electric", "euler-bptt"))]
        figure, caption = field.figure_electric(load_training(make_training.write(self.folder / "low.h5", runs)))
        self.assertEqual([axes.get_ylim() for axes in panels(figure)[:2]], [field.PRINTED] * 2)
        self.assertIn("what lies above is cut off", caption)


class Cartpole(WithFiles):
    def test_both_strobe_pictures_have_one_scale(self):
        self.traces[1].back[0].out_x[:, 0] *= 3
        figure, _ = cartpole.figure_cartpole(self.training, self.traces)
        figure.canvas.draw()
        bptt, ctpg, _ = panels(figure)
        np.testing.assert_allclose(bptt.get_xlim(), ctpg.get_xlim())
        np.testing.assert_allclose(bptt.get_ylim(), ctpg.get_ylim())

    def test_strobe_pictures_and_curve(self):
        figure, caption = cartpole.figure_cartpole(self.training, self.traces)
        bptt, ctpg, curve = panels(figure)
        for axes, count, label in ((ctpg, 21, "ctpg"), (bptt, 41, "bptt-cartpole")):
            self.assertEqual(axes.get_title(), f"{label}: {count} points")
            carts = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
            self.assertEqual(len(carts), count)
            trace = self.traces[0 if label == "ctpg" else 1]
            poles = [line.get_data() for line in axes.lines if len(line.get_xdata()) == 2][:count]
            for (x, y), cart, state in zip(poles, carts, trace.back[0].out_x):
                np.testing.assert_allclose(x, [state[0], state[0] + np.sin(state[1])])
                np.testing.assert_allclose(y, [0, np.cos(state[1])])
                self.assertAlmostEqual(cart.get_x() + cart.get_width() / 2, state[0])
        self.assertEqual((curve.get_xlabel(), curve.get_yscale()), ("NFE", "linear"))
        x, y = line_of(curve, "ctpg")
        np.testing.assert_allclose(y, np.interp(x, 100 * np.arange(1, 101), self.median("cartpole", "ctpg", "loss")))
        self.assertIn("ctpg: 21 points", caption)

    def test_a_trace_of_another_policy_is_no_rollout(self):
        self.traces[0].theta, kept = "t.h5:/training/cartpole/other", self.traces[0].theta
        try:
            figure, caption = cartpole.figure_cartpole(self.training, self.traces)
        finally:
            self.traces[0].theta = kept
        self.assertEqual(len(panels(figure)), 2)
        self.assertIn("no trace of ctpg under its policy was given", caption)


class Quadrotor(WithFiles):
    def test_loss_and_gradient_norm(self):
        figure, caption = training_figures.figure_quadrotor(self.training)
        loss, norm = panels(figure)
        self.assertEqual((loss.get_xlabel(), loss.get_ylabel(), norm.get_ylabel()),
                         ("NFE", "training loss", "norm of the gradient"))
        for label in ("ctpg", "bptt-quadrotor"):
            x, y = line_of(loss, label)
            losses = self.median("quadrotor", label, "loss")
            np.testing.assert_allclose(y, np.interp(x, 100 * np.arange(1, 101), losses))
            self.assertTrue((line_of(norm, label)[1] == 1).all())
        last = np.median(self.pair("quadrotor", "ctpg").read("loss")[:, -10:].mean(axis=1))
        self.assertIn(f"ctpg {last:.4g}", caption)

    def test_every_euler_of_the_problem_is_drawn(self):
        path = make_training.write(self.folder / "more.h5", [
            Run("quadrotor", label, kind, seeds=2, knob=knob, nfe=nfe)
            for label, kind, knob, nfe in (("ctpg", "ctpg", "rtol", 200), ("same", "euler-bptt", "dt", 200),
                                           ("more", "euler-bptt", "dt", 300))])
        loss = panels(training_figures.figure_quadrotor(load_training(path))[0])[0]
        self.assertEqual(line_of(loss, "more")[0][-1], 1.5 * line_of(loss, "same")[0][-1])
        styles = [line.get_linestyle() for line in loss.lines if line.get_label() in ("same", "more")]
        self.assertEqual(len(set(styles)), 2)


class Scheme(unittest.TestCase):
    def test_two_by_two(self):
        trace = scheme_trace()
        figure, caption = scheme.figure_scheme(trace)
        grid = np.reshape(figure.axes, (2, 2))
        self.assertEqual([axes.get_title() for axes in grid.flat],
                         ["inexact adjoint\nneural ODE with checkpoints", "exact adjoint\nEuler-BPTT", "neural ODE",
                          "CTPG"])
        self.assertEqual([axes.get_ylabel() for axes in grid[:, 0]], ["discrete checkpoints", "continuous path"])
        for axes, kind in zip(grid.flat, ("neural-ode-ckpt", "euler-bptt", "neural-ode", "ctpg")):
            back = next(one for one in trace.back if one.type == kind)
            blue, red = of_colour(axes, style.BLUE), of_colour(axes, style.RED)
            self.assertEqual(blue[0].get_linestyle() == "-", kind == "ctpg")
            filled = [line for line in blue if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
            stored = {"neural-ode-ckpt": 21, "euler-bptt": 21, "neural-ode": 1, "ctpg": 0}[kind]
            self.assertEqual(sum(len(line.get_xdata()) for line in filled), stored)
            np.testing.assert_allclose(np.transpose(red[0].get_data()), back.x)
        self.assertIn("neural-ode 1.0e-04", caption)

    def test_the_way_out_meets_every_step(self):
        trace = scheme_trace()
        ctpg = trace.back[-1]
        ctpg.out_x = ctpg.out_x + 0.05
        line = scheme.way_out(trace, ctpg)
        for step in ctpg.out_x:
            self.assertLess(np.linalg.norm(line - step, axis=1).min(), 1e-12)
        np.testing.assert_array_equal(scheme.way_out(trace, trace.back[1]), trace.back[1].out_x)

    def test_an_estimator_that_is_missing_is_named(self):
        trace = scheme_trace()
        del trace.back[2]
        with self.assertRaisesRegex(curves.Missing, "holds no way out and back of neural-ode,"):
            scheme.figure_scheme(trace)


# NFE at error 1e-3 of the first of eight seeds; on lqr the discrete adjoint is cheaper than ctpg.
NFE = {"lqr": (8000, 400, 100, 200), "electric": (8000, 800, 200, 100)}


def gradient_sweep(path):
    """A sweep in which seed s takes 1 + s times NFE."""
    writer = make_results.Writer(
        [dict(label=label) for label in NFE],
        [dict(label="bptt", type="euler-bptt", knob="dt"), dict(label="rk4-bptt", type="rk-adjoint", knob="dt"),
         dict(label="rk-adjoint"), dict(label="ctpg"), dict(label="neural-ode-ckpt")])
    for p, nfe in enumerate(NFE.values()):
        for seed in range(8):
            writer.case(p, seed)
            for e, count in enumerate((*nfe, 300)):
                for k, factor in ((2, 0.5), (3, 1), (4, 2)):
                    writer.run(p, seed, e, 10.0**-k, 10.0**-k, round(count * factor * (1 + seed)))
    return load_finished(writer.write(path))


class Apart(program.InFolder):
    def results(self):
        return gradient_sweep(self.folder / "sweep.h5")

    def test_factors_and_shares(self):
        one, two = apart.take_apart(self.results())
        np.testing.assert_allclose([factor.value for factor in (*one.factors, one.gain)], [20, 4, 0.5, 40], rtol=1e-14)
        self.assertEqual((one.gain.n, one.gain.known), (8, True))
        for shares, factors in ((one.shares, (20, 4, 0.5)), (two.shares, (10, 4, 2))):
            np.testing.assert_allclose(shares, np.log(factors) / np.log(np.prod(factors)))
            self.assertAlmostEqual(sum(shares), 1)
        self.assertEqual(one.labels, ["bptt", "rk4-bptt", "rk-adjoint", "ctpg"])

    def test_sentences(self):
        first, second = apart.sentences(apart.take_apart(self.results()))
        self.assertIn("the order of the method alone makes 53 to 81 %", first)
        self.assertIn("steps that follow the error 32 to 38 %", first)
        self.assertIn("makes -19 to 16 %: a factor of 0.5 to 2, on 1 of 2 problems below 1", second)

    def test_figure(self):
        results = self.results()
        figure, caption = apart_figure.figure_apart(results)
        axes = figure.axes[0]
        self.assertEqual([label.get_text() for label in axes.get_yticklabels()], ["lqr", "electric"])
        heights = dict(zip(NFE, axes.get_yticks()))
        for problem, nfe in NFE.items():
            marks = [line.get_xdata()[0] for line in axes.lines if line.get_ydata()[0] == heights[problem]]
            np.testing.assert_allclose(marks, 4.5 * np.array([*nfe, 300]))
        words = [text.get_text() for text in axes.texts if text.get_text()]
        self.assertEqual(words, ["×20", "×4", "×0.5", "×10", "×4", "×2"])
        self.assertEqual(axes.get_xscale(), "log")
        self.assertIn("lqr: gain 40 (95 % interval 40 to 40; n = 8) = order 20", caption)

    def test_without_its_estimators(self):
        writer = make_results.Writer([dict(label="lqr")], [dict(label="ctpg")])
        writer.case(0, 0)
        writer.run(0, 0, 0, 1e-3, 1e-3, 10)
        results = load_finished(writer.write(self.folder / "sweep.h5"))
        with self.assertRaisesRegex(curves.Missing, "RK4-BPTT"):
            apart_figure.figure_apart(results)


class Sizes(WithFiles):
    """Every figure at both widths: exactly so wide, letters of 8 pt, all of them within the figure; the lines of its
    legends long enough to be told apart."""

    def every(self):
        for name, make in everything.FIGURES.items():
            yield name, make(self.training, self.traces)[0]
        yield "figure1", scheme.figure_scheme(scheme_trace())[0]
        yield "losses", training_figures.losses_figure(self.training, self.training.of("electric"))[0]
        ladder = ladders.climb(self.training, "electric")
        for rung, error in zip(ladder.rungs, (1e-6, 0.5)):
            rung.error, rung.stderr, rung.spread = error, 0.1, (error / 2, 2 * error)
        yield "ladder", ladder_figures.ladder_figure(ladder)
        yield "suffices", ladder_figures.suffices_figure([ladder])
        results = gradient_sweep(self.folder / "sweep.h5")
        yield "apart", apart_figure.figure_apart(results)[0]
        panels = {work: [gradients.make_panel(results, p, "err_rel", work, None) for p in (0, 1)]
                  for work in gradients.WORK_LABEL}
        yield "overview", gradients.overview_figure(panels, "err_rel")
        yield "one estimator", gradients.problem_figure(panels["time"][0], "err_rel", "time")
        random, trained = (cart_trace(label, "ctpg", 41) for label in ("", "ctpg"))
        random.theta = ""
        yield "problem", traces.problem_figure([trained])
        yield "pair", traces.problem_figure([random, trained])
        yield "trace", traces.trace_figure(scheme_trace())
        yield "policies", traces.policies_figure([(random, trained)] * 3)

    def check_letters(self, name, figure, canvas):
        renderer, whole = canvas.get_renderer(), figure.bbox
        for text in figure.findobj(Text):
            if not text.get_text() or not text.get_visible() or (text.axes and not text.axes.get_visible()):
                continue
            box = text.get_window_extent(renderer)
            if not np.isfinite(box.extents).all() or not box.width:
                continue
            self.assertEqual(text.get_fontsize(), 8, f"{name}: {text.get_text()}")
            if text in figure.texts or (text.axes and text in (text.axes.title, text.axes.xaxis.label,
                                                               text.axes.yaxis.label)):
                inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= whole.width + 1 and box.y1 <= whole.height + 1
                self.assertTrue(inside, f"{name}: {text.get_text()!r} leaves the figure: {box} of {whole}")
        for legend in figure.legends:
            box = legend.get_window_extent(renderer)
            self.assertTrue(box.x0 >= -1 and box.x1 <= whole.width + 1, f"{name}: the legend leaves the figure")

    def test_widths_and_letters(self):
        for width, millimetres in (("column", 84), ("page", 174)):
            with style.our_style(width=width):
                for name, figure in self.every():
                    canvas = FigureCanvasAgg(figure)
                    canvas.draw()
                    self.assertAlmostEqual(figure.get_figwidth() * MM, millimetres, 6, name)
                    self.assertLess(figure.get_figheight(), 9, name)
                    self.check_letters(name, figure, canvas)
                    self.assertEqual(too_short(figure), [], name)

    def test_of_the_files(self):
        runs = [run for run in make_training.paper_runs(seeds=2, iterations=40) if run.problem == "lqr"]
        path = make_training.write(self.folder / "lqr.h5", runs)
        for width, millimetres in (("column", 84), ("page", 174)):
            with contextlib.redirect_stdout(io.StringIO()):
                code = commands.main(["figures", str(path), "-o", str(self.folder / width), "--width", width, "--dpi",
                                      "40"])
            self.assertEqual(code, 0)
            for made in sorted((self.folder / width).glob("*.pdf")):
                box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", made.read_bytes())
                self.assertAlmostEqual(float(box[1]) / 72 * MM, millimetres, 1, made.name)

    def test_a_matplotlibrc_changes_nothing(self):
        rough = self.folder / "rough"
        rough.mkdir()
        (rough / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nfigure.figsize: 1, 1\n")
        runs = [run for run in make_training.paper_runs(seeds=2, iterations=40) if run.problem == "lqr"]
        path = make_training.write(self.folder / "lqr.h5", runs)
        for folder in (rough, self.folder):
            code, _, errors = analysis("figures", path, "-o", folder / "f", "--dpi", "40", folder=folder)
            self.assertEqual((code, errors), (0, ""))
        for name in ("figure3.png", "training_lqr.png"):
            self.assertEqual((rough / "f" / name).read_bytes(), (self.folder / "f" / name).read_bytes())

    def test_a_width_that_is_none(self):
        code, _, errors = analysis("figures", self.training.path, "--width", "poster", "-o", self.folder / "f")
        self.assertEqual(code, 2)
        self.assertIn("column", errors)


class Page(WithFiles):
    MARKS = ("verdicts", "data", "known", "beyond", "scheme", *[f"claim {n}" for n in range(1, 6)], "stages",
             "question", "losses", "remarks")

    def page(self, marks=MARKS):
        path = self.folder / "claims.md"
        path.write_text("# By hand\n\n" + "\n\nWhat differs: this.\n\n".join(
            f"<!-- paper: {name} -->\nold\n<!-- end -->" for name in marks) + "\n", encoding="utf-8")
        return path

    def write(self, page, *more):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors, \
                unittest.mock.patch.dict(everything.GIFS, clear=True):
            code = commands.main(["paper", self.training.path, "-o", str(self.folder / "f"), "--page", str(page),
                                  "--dpi", "40", *more])
        return code, errors.getvalue()

    def test_alternatives_of_pictures_are_short(self):
        self.assertEqual(in_short("a [m] and (b, c) against d; more. Then e."), "a and against d")

    def test_claim_by_claim(self):
        page = self.page()
        self.assertEqual(self.write(page), (0, ""))
        text = page.read_text(encoding="utf-8")
        self.assertEqual((text.count("What differs: this."), "old\n" in text), (len(self.MARKS) - 1, False))
        for part, name in (("claim 2", "figure3"), ("claim 3", "figure5"), ("claim 4", "figure6"),
                           ("claim 5", "figure7"), ("stages", "figure4")):
            between = re.search(rf"<!-- paper: {part} -->(.*?)<!-- end -->", text, re.DOTALL)[1]
            self.assertIn(f"](claims/{name}.png)", between)
            self.assertTrue((self.folder / "claims" / f"{name}.png").exists())
            if part.startswith("claim"):
                self.assertRegex(between, r"\*\*(confirmed|refuted|not decided).*\n\nRule: ")
        self.assertIn("- figure2 is not drawn: no gradient sweep was given", text)
        self.assertIn("| claim of the paper | verdict |", text)

    def part(self, page, name):
        text = page.read_text(encoding="utf-8")
        return re.search(rf"<!-- paper: {name} -->(.*?)<!-- end -->", text, re.DOTALL)[1]

    def test_what_the_data_are(self):
        """seeds, those that were known, and our own set-ups are said by the files, so that any run has a true page"""
        page = self.page()
        self.assertEqual(self.write(page, "--more", paper_file()), (0, ""))
        data = self.part(page, "data")
        self.assertIn("Training: lqr, diffdrive, electric, cartpole and quadrotor with 3 seeds.", data)
        self.assertIn("ctpg on 3 of 3 known seeds", self.part(page, "known"))
        self.assertIn("There are no others.", self.part(page, "known"))
        self.assertIn("- cartpole, ctpg: 3 of 3 seeds swing up", self.part(page, "beyond"))
        self.assertRegex(self.part(page, "beyond"), r"- quadrotor, bptt-quadrotor: 0 of 3 policies hover")
        self.assertEqual(self.write(page), (0, ""))
        self.assertIn("(--more)", self.part(page, "beyond"))

    def test_seeds_that_were_not_known_are_told_apart(self):
        runs = make_training.paper_runs(seeds=15, iterations=40)
        losses = np.array([3.0] * 8 + [-0.6] * 7)[:, None] * np.ones((1, 41))
        for run in runs:
            run.losses = losses if run.problem == "cartpole" else run.losses
        training = load_training(make_training.write(self.folder / "many.h5", runs))
        quadrotor, cartpole, _ = paper_data.known_lines(training)
        self.assertIn("ctpg on 0 of 8 known seeds and on 7 of 7 others", cartpole)
        self.assertRegex(quadrotor, r"Of the others alone, BPTT / ctpg: .*; n = 7\)")

    def test_by_hand_there_are_no_numbers_of_a_run(self):
        """outside its marks docs/paper.md counts seeds only where it says of which day"""
        text = (program.ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
        self.assertEqual(set(re.findall(r"<!-- paper: (.*) -->", text)), set(self.MARKS))
        for paragraph in re.sub(r"(?s)<!-- paper: .*?<!-- end -->", "", text).split("\n\n"):
            if re.search(r"\d+ of \d+|\d+ seeds|seeds? here", paragraph):
                self.assertRegex(paragraph, r"2026-|had been seen", paragraph)

    def test_a_page_without_a_mark_is_left_alone(self):
        page = self.page(self.MARKS[:-1])
        before = page.read_bytes()
        with self.assertRaisesRegex(ResultsError, "0 places marked <!-- paper: remarks -->"):
            write_page(page, "paper", {name: ["new"] for name in self.MARKS})
        self.assertEqual(page.read_bytes(), before)

    def test_a_page_written_twice(self):
        page = self.page(("remarks",))
        for _ in range(2):
            write_page(page, "paper", {"remarks": ["new"]})
            self.assertEqual(page.read_text(encoding="utf-8"),
                             "# By hand\n\n<!-- paper: remarks -->\n\nnew\n\n<!-- end -->\n")


class RandomAndTrained(program.InFolder):
    """Two traces of one problem: beside each other in one figure, and both named."""

    def traces(self):
        for name, options in (("a", ()), ("b", ("-theta_file", f"{self.folder / 't.h5'}:/training/lqr/ctpg"))):
            program.run("trace", "-problem", "lqr", "-estimators", "ctpg", *options, "-out",
                        self.folder / f"{name}.h5")
        return self.folder / "a.h5", self.folder / "b.h5"

    def test_beside_each_other(self):
        program.run("train", "-problems", "lqr", "-estimators", "ctpg", "-iterations", 2, "-out", self.folder / "t.h5")
        first, second = self.traces()
        (group,) = traces.load_all([second, first])
        self.assertEqual([bool(trace.theta) for trace in group], [False, True])
        figure = traces.problem_figure(group)
        labels = [axes.get_xlabel() for axes in figure.axes[:2]]
        self.assertTrue(labels[0].endswith("random policy") and labels[1].endswith("trained policy"), labels)
        text = traces.problem_caption(group)
        self.assertIn("as drawn for this seed, untrained", text)
        self.assertIn("as trained (t.h5:/training/lqr/ctpg)", text)
        code, _, errors = analysis("figures", first, first, "-o", self.folder / "f")
        self.assertEqual(code, 1)
        self.assertIn("are both of lqr under a random policy", errors)

    def test_the_true_path_is_seen_under_the_dots(self):
        trace = scheme_trace()
        figure = traces.trace_figure(trace)
        axes = figure.axes[0]
        grey = max(line.get_linewidth() for line in axes.lines if to_hex(line.get_color()) == to_hex("#C8C8C8"))
        dots = max(line.get_markersize() for line in axes.lines if line.get_marker() not in (None, "None", ""))
        self.assertGreater(grey, 2 * dots)


if __name__ == "__main__":
    unittest.main()
