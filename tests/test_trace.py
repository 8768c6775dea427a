"""test_trace.py -- ctpgbench trace against independent numbers; what is drawn of it; the gallery"""
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
from scipy.interpolate import CubicSpline

from analysis_package import ROOT, analysis
from ctpgbench_analysis.draw.bodies import outline, views
from ctpgbench_analysis.draw.traces import in_order
from ctpgbench_analysis.read.traces import Back, load_trace

PROGRAM = Path(os.environ.get("CTPG_BUILD", ROOT / "build")) / "ctpgbench"
FIGURES = ("pdf", "png", "txt")


def run(*arguments):
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True, check=True,
                          env=environment).stdout


def draw(*arguments):
    """(exit code, stdout, stderr) of the command."""
    return analysis("trace", *arguments)


def distances(one, label):
    """Distance of every point of an estimator to a spline through the samples of the true path."""
    back = {back.label: back for back in one.back}[label]
    return np.linalg.norm(back.x - CubicSpline(one.t, one.x)(back.t), axis=1)


class Traces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        keeper = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keeper.cleanup)
        cls.folder = Path(keeper.name)
        run("trace", "-problem", "lqr", "-rtol", "1e-6", "-out", cls.folder / "lqr.h5")
        run("trace", "-problem", "long=lqr", "-lqr_horizon", 25, "-out", cls.folder / "long.h5")
        run("trace", "-problem", "cartpole-analytic", "-rtol", "1e-6", "-dt", 0.01, "-out", cls.folder / "cartpole.h5")
        cls.lqr, cls.long, cls.cartpole = (load_trace(cls.folder / f"{name}.h5")
                                           for name in ("lqr", "long", "cartpole"))


class Paths(Traces):
    def test_what_the_file_says(self):
        self.assertEqual((self.long.problem, self.long.type, self.long.horizon), ("long", "lqr", 25.0))
        self.assertEqual((self.cartpole.nq, self.cartpole.x.shape, self.cartpole.u.shape), (2, (401, 4), (401, 1)))
        self.assertEqual([back.label for back in in_order(self.lqr)],
                         ["euler-bptt", "neural-ode", "neural-ode-ckpt", "ctpg"])

    def test_ctpg_lies_on_the_path_within_its_tolerance(self):
        for one in (self.lqr, self.cartpole):
            largest = np.linalg.norm(one.x, axis=1).max()
            self.assertLess(distances(one, "ctpg").max(), 10 * 1e-6 * largest)

    def test_the_closed_loop_of_lqr_is_linear(self):
        # x' = u with u = K x + b: three samples give K and b, hence every other sample of u
        x, u = self.lqr.x, self.lqr.u
        rows = [0, 60, 120]
        K = np.linalg.solve(np.column_stack([x[rows], np.ones(3)]), u[rows])
        np.testing.assert_allclose(np.column_stack([x, np.ones(len(x))]) @ K, u, atol=1e-9)
        slope = CubicSpline(self.lqr.t, x)(self.lqr.t, 1)
        np.testing.assert_allclose(slope, u, atol=1e-5)

    def test_euler_of_lqr_is_a_forward_polygon(self):
        one = self.lqr
        rows = [0, 60, 120]
        K = np.linalg.solve(np.column_stack([one.x[rows], np.ones(3)]), one.u[rows])
        euler = {back.label: back for back in one.back}["euler-bptt"]
        t, x = euler.t[::-1], euler.x[::-1]
        np.testing.assert_allclose(t, np.arange(20) * 0.5, atol=1e-14)
        np.testing.assert_allclose(x[0], one.x[0], atol=1e-14)
        controls = np.column_stack([x[:-1], np.ones(len(x) - 1)]) @ K
        np.testing.assert_allclose(np.diff(x, axis=0), 0.5 * controls, atol=1e-9)

    def test_euler_of_cartpole_moves_with_its_velocity(self):
        euler = {back.label: back for back in self.cartpole.back}["euler-bptt"]
        x = euler.x[::-1]
        self.assertEqual(len(x), 300)
        np.testing.assert_allclose(np.diff(x[:, :2], axis=0), 0.01 * x[:-1, 2:], atol=1e-14)
        np.testing.assert_allclose(x[0], self.cartpole.x[0], atol=1e-14)

    def test_the_way_out(self):
        """Start and ends of steps: of Euler those on the way back and the end, of ctpg few and near the true path."""
        for one, count in ((self.lqr, 21), (self.cartpole, 301)):
            euler, ctpg = ({back.label: back for back in one.back}[label] for label in ("euler-bptt", "ctpg"))
            np.testing.assert_array_equal(euler.out_x[:-1], euler.x[::-1])
            np.testing.assert_allclose(euler.out_t, np.linspace(0, one.horizon, count), atol=1e-12)
            np.testing.assert_array_equal(ctpg.out_x[0], one.x[0])
            self.assertEqual((ctpg.out_t[0], ctpg.out_t[-1]), (0, one.horizon))
            self.assertTrue((np.diff(ctpg.out_t) > 0).all())
            away = np.linalg.norm(ctpg.out_x - CubicSpline(one.t, one.x)(ctpg.out_t), axis=1)
            self.assertLess(away.max(), 1e-5 * np.linalg.norm(one.x, axis=1).max())
            self.assertLess(len(ctpg.out_t), len(ctpg.t))

    def test_whose_policy_it_is(self):
        self.assertEqual(self.lqr.theta, "")
        run("train", "-problems", "lqr", "-estimators", "ctpg", "-iterations", 2, "-out", self.folder / "t.h5")
        place = f"{self.folder / 't.h5'}:/training/lqr/ctpg"
        run("trace", "-problem", "lqr", "-theta_file", place, "-estimators", "ctpg", "-out", self.folder / "theta.h5")
        self.assertEqual(load_trace(self.folder / "theta.h5").theta, place)

    def test_the_loss_counts_in_the_backsolve_error(self):
        """x' = -x, w = 2 |x|^2: of an error e of x at 0, grown like exp(T), the loss is off by |e|^2 - |x0|^2."""
        def error(*options):
            text = run("gradient", "-problem", "lqr", "-lqr_perturbation", 0, "-horizon", 25, "-rtol", "1e-3",
                       "-estimator", "neural-ode", "-out", self.folder / "g.h5", *options)
            return float(re.search(r"- x0\|\| = (\S+)", text)[1])

        plain = error()
        self.assertGreater(plain, 1e3)
        self.assertAlmostEqual(error("-backsolve_loss") / plain**2, 1, delta=0.01)

    def test_neural_ode_strays_far_where_the_policy_stabilises(self):
        self.assertGreater(distances(self.long, "neural-ode").max(), 1e4)
        self.assertLess(distances(self.long, "neural-ode-ckpt").max(), 0.1)
        self.assertLess(distances(self.long, "ctpg").max(), 1e-2)
        backs = {back.label: back for back in self.long.back}
        self.assertGreater(backs["neural-ode"].err_rel, 1e3)
        self.assertLess(backs["ctpg"].err_rel, 1e-3)

    def test_astray_and_the_path_between_samples(self):
        largest = np.linalg.norm(self.long.x, axis=1).max()
        back = {back.label: back for back in self.long.back}["neural-ode"]
        kept = ~back.retried()
        expected = distances(self.long, "neural-ode")[kept].max() / largest
        self.assertAlmostEqual(self.long.astray(back) / expected, 1, 6)
        times = np.linspace(0, 3, 777)
        exact = CubicSpline(self.cartpole.t, self.cartpole.x)(times)
        np.testing.assert_allclose(self.cartpole.at(times), exact, atol=1e-4)

    def test_retried(self):
        # a step from 10 to 4 is rejected; the next try asks at 9, 8; then a checkpoint asks at 8 again
        back = Back("b", "b", "rtol", "ok", 1e-3, 0.0, np.array([10, 8, 6, 4, 9, 8, 8, 7.0]), np.zeros((8, 1)),
                    np.empty(0), np.empty((0, 1)))
        self.assertEqual(back.retried().tolist(), [False, True, True, True, False, False, False, False])


class Drawing(Traces):
    def test_figures_of_two_files(self):
        code, out, err = draw(self.folder / "lqr.h5", self.folder / "cartpole.h5", "-o", self.folder / "f", "--dpi", 50)
        self.assertEqual((code, err), (0, ""))
        for name in ("problem_lqr", "trace_lqr", "problem_cartpole-analytic", "trace_cartpole-analytic"):
            for kind in FIGURES:
                self.assertGreater((self.folder / "f" / f"{name}.{kind}").stat().st_size, 100, f"{name}.{kind}")
        text = (self.folder / "f" / "trace_lqr.txt").read_text()
        self.assertRegex(text, r"euler-bptt \(dt 0\.5\): error 1\.5e-01; 20 products, 0 of them in rejected steps")

    def test_any_other_problem(self):
        """One state, unknown type, an estimator of somebody else that failed with numbers no renderer can draw."""
        with h5py.File(self.folder / "lqr.h5") as source, h5py.File(self.folder / "own.h5", "w") as file:
            for name, value in {**source.attrs, "problem": "mine/1", "type": "mine"}.items():
                file.attrs[name] = value
            file["forward/t"], file["forward/x"] = source["forward/t"][()], source["forward/x"][:, 0]
            file["forward/u"] = source["forward/u"][:, 0]
            file["back/own/t"], file["back/own/x"] = np.array([3.0, 2, 1]), np.array([0.1, 1e300, np.inf])
            file["back/own"].attrs.update(dict(source["back/ctpg"].attrs), type="own", status="diverged",
                                          err_rel=np.nan)
        code, _, err = draw(self.folder / "own.h5", "-o", self.folder / "own", "--dpi", 50)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("own (rtol 1e-06): diverged", (self.folder / "own" / "trace_mine_1.txt").read_text())

    def test_wide_states(self):
        run("trace", "-problem", "wide=lqr", "-lqr_nx", 40, "-estimators", "ctpg", "-out", self.folder / "wide.h5")
        self.assertEqual(draw(self.folder / "wide.h5", "-o", self.folder, "--dpi", 50)[0], 0)


def turned(seed):
    """A rotation matrix."""
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix * np.linalg.det(matrix)


def inside(solid, size, p):
    """[k] which points [k, 3], in its own axes, lie in a solid."""
    x, y, z = p.T
    if solid == "box":
        return (np.abs(p) <= size).all(axis=1)
    if solid == "ellipsoid":
        return ((p / size)**2).sum(axis=1) <= 1
    if solid == "cylinder":
        return (np.hypot(x, y) <= size[0]) & (np.abs(z) <= size[1])
    beyond = np.maximum(np.abs(z) - (size[1] if solid == "capsule" else 0), 0)
    return np.hypot(np.hypot(x, y), beyond) <= size[0]


class Bodies(unittest.TestCase):
    def test_outlines(self):
        """In every direction of a picture an outline goes as far as points of the solid do."""
        size, middle = np.array([0.3, 0.5, 0.2]), np.array([1.0, -2, 3])
        corners = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(8, 3) * size * (1 - 1e-9)
        points = np.vstack([corners, np.random.default_rng(0).uniform(-0.8, 0.8, size=(200000, 3))])
        for number, solid in enumerate(("sphere", "capsule", "ellipsoid", "cylinder", "box")):
            axes = turned(number)
            world = middle + points[inside(solid, size, points)] @ axes.T
            for view in ((0, 2), (1, 2), (0, 1)):
                shape = outline(solid, size, middle, axes, view)
                for angle in np.linspace(0, 6, 25):
                    way = np.array([np.cos(angle), np.sin(angle)])
                    far, found = (world[:, view] @ way).max(), (shape @ way).max()
                    self.assertLess(far, found + 1e-3, (solid, view, angle))
                    self.assertGreater(far, found - 0.03, (solid, view, angle))

    def test_a_model_is_drawn_by_its_bodies(self):
        if "unavailable" in next(line for line in run("list").splitlines() if line.startswith("mujoco")):
            self.skipTest("built without MuJoCo")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "arm.h5"
            run("trace", "-problem", "arm=mujoco", "-estimators", "rk-adjoint", "-reference", "no", "-out", file)
            arm = load_trace(file)
            self.assertTrue(np.isnan(arm.back[0].err_rel))
            shoulder, elbow = arm.x[:, 0], arm.x[:, 0] + arm.x[:, 1]
            links = [np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) for angle in (shoulder, elbow)]
            np.testing.assert_array_equal(arm.bodies.solid, [2, 2])
            np.testing.assert_allclose(arm.bodies.size[:, :2], [[0.02, 0.25]] * 2)
            np.testing.assert_allclose(arm.bodies.middle[:, 0], 0.25 * links[0], atol=1e-12)
            np.testing.assert_allclose(arm.bodies.middle[:, 1], 0.5 * links[0] + 0.25 * links[1], atol=1e-12)
            np.testing.assert_allclose(np.abs(arm.bodies.axes[:, 1, :, 2]), np.abs(links[1]), atol=1e-12)
            self.assertEqual(views(arm)[0], (0, 1))
            self.assertEqual(draw(file, "-o", folder, "--dpi", 50)[0], 0)
            self.assertIn("its bodies at equal times", (Path(folder) / "problem_arm.txt").read_text(encoding="utf-8"))
            with h5py.File(file, "r+") as damaged:
                del damaged["bodies/size"]
                damaged["bodies/size"] = np.ones(3)
            self.assertIn("the arrays in bodies differ in length", draw(file, "-o", folder)[2])


class BadInput(Traces):
    def check(self, sentence, *arguments):
        code, _, err = draw(*arguments, "-o", self.folder / "never")
        self.assertEqual(code, 1)
        self.assertIn(sentence, err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertFalse((self.folder / "never").exists())

    def edited(self, change):
        path = self.folder / "edited.h5"
        path.write_bytes((self.folder / "lqr.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    def test_not_there(self):
        self.check("none.h5 cannot be read: No such file or directory.", self.folder / "none.h5")

    def test_not_hdf5(self):
        self.check("is not an HDF5 file; expected a trace file of ctpgbench trace.", __file__)

    def test_a_gradient(self):
        run("gradient", "-problem", "lqr", "-estimator", "ctpg", "-rtol", "1e-3", "-out", self.folder / "g.h5")
        self.check("without the attribute schema; expected a file of ctpgbench trace.", self.folder / "g.h5")

    def test_a_sweep(self):
        path = self.edited(lambda file: file.attrs.update(kind="sweep"))
        self.check("is of kind sweep; expected a file of kind trace.", path)

    def test_schema(self):
        path = self.edited(lambda file: file.attrs.update(schema=99))
        self.check("has schema 99; these scripts read schema 3.", path)

    def test_nothing_inside(self):
        def empty(file):
            del file["forward"]
        self.check("has no group forward", self.edited(empty))

    def test_lengths_differ(self):
        def cut(file):
            times = file["back/ctpg/t"][:-1]
            del file["back/ctpg/t"]
            file["back/ctpg/t"] = times
        self.check("is damaged: the arrays in back/ctpg differ in length", self.edited(cut))

    def test_other_states(self):
        def cut(file):
            states = file["back/ctpg/x"][:, :1]
            del file["back/ctpg/x"]
            file["back/ctpg/x"] = states
        self.check("back/ctpg has not the 2 states of the true path", self.edited(cut))

    def test_attribute(self):
        def cut(file):
            del file["back/ctpg"].attrs["err_rel"]
        self.check("has no attribute err_rel at /back/ctpg", self.edited(cut))

    def test_no_estimator(self):
        def cut(file):
            del file["back"]
        self.check("holds no path of an estimator", self.edited(cut))

    def test_same_label_twice(self):
        path = self.edited(lambda file: None)
        self.check("are both of lqr under a random policy and would overwrite", self.folder / "lqr.h5", path)


class Gallery(unittest.TestCase):
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")

    def test_every_problem_has_its_section_and_picture(self):
        listed = run("list").split("\n\n")[0].splitlines()[1:]
        names = [line.split()[0] for line in listed if not line.startswith("built with ")]
        self.assertGreaterEqual(len(names), 11)
        sections = re.findall(r"^## (\S+)$", self.text, re.MULTILINE)
        self.assertEqual(sorted(sections), sorted(names))
        for name in names:
            self.assertIn(f"(gallery/{name}.png)", self.text)

    def test_pictures_are_there_and_small(self):
        pictures = re.findall(r"\((gallery/\S+\.png)\)", self.text)
        self.assertEqual(len(pictures), len(set(pictures)))
        for picture in pictures:
            self.assertLessEqual((ROOT / "docs" / picture).stat().st_size, 60 * 1024, picture)

    def test_the_script_runs_the_commands_of_the_page(self):
        script = (ROOT / "jobs" / "gallery.sh").read_text(encoding="utf-8")
        shown = re.findall(r"^build/ctpgbench trace (.*)$", self.text, re.MULTILINE)
        made = re.findall(r"^(?:policy=\S+ )?pictures? \S+ \S+ (.*)$", script, re.MULTILINE)
        self.assertEqual(shown, made)


if __name__ == "__main__":
    unittest.main()
