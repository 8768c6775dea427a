"""Estimators written in Python: the door's functions against each other, counts, the SciPy example, what goes wrong,
several ranks, and a file that changes under a results file.
"""
import json
import os
import re
import subprocess
import time
import unittest
import venv

import numpy as np

from program import PROGRAM, ROOT, InFolder, Results, run

EXAMPLE = ROOT / "estimators" / "examples" / "ctpg_scipy.py"

# The explicit Euler scheme and its reverse sweep: one point a call, then all points at once for the parameters.
EULER = """
import numpy as np
knob, order = "dt", 1

def gradient(loop, x0, dt):
    N = int(np.ceil(loop.T / dt - 1e-9))
    h, t = loop.T / N, np.arange(N) * (loop.T / N)
    x, loss = np.empty((N, loop.nx)), 0.0
    at = x0
    for n in range(N):
        x[n] = at
        f, w = loop.eval(t[n], at)
        at, loss = at + h * f, loss + h * w
    J, a = loop.terminal(at)
    loop.purpose("adjoint")
    alphas = np.empty((N, loop.nx))
    for n in reversed(range(N)):
        alphas[n] = a
        a = a + loop.vjp(t[n], x[n], h * a, h, theta=False)[0]
    gtheta = loop.vjp(t, x, h * alphas, h)[1]
    loop.report(steps=N, steps_adjoint=N, bytes=x.nbytes, h=h)
    return loss + J, gtheta, a
"""

# Every function once, against another: products in both directions, the Jacobian, batches, other parameters.
CONSISTENCY = """
import numpy as np

def close(a, b, tolerance=1e-7):
    assert np.allclose(a, b, rtol=tolerance, atol=tolerance), (a, b)

def gradient(loop, x0, accuracy):
    nx, np_ = loop.nx, loop.np
    assert x0.shape == (nx,) and loop.theta.shape == (np_,) and loop.T > 0 and loop.breaks.shape == (0,)
    v, dx, dtheta, x = loop.normal(nx), loop.normal(nx), loop.normal(np_), x0 + 0.1 * loop.normal(nx)
    assert 0 <= loop.uniform(1)[0] < 1 and abs(v).max() > 0
    f, w = loop.eval(0.3, x)
    assert f.shape == (nx,) and np.ndim(w) == 0
    fs, ws = loop.eval([0.3, 0.3, 0.4], [x, x0, x])
    assert fs.shape == (3, nx) and ws.shape == (3,)
    close(fs[0], f, 1e-15)
    gx, gtheta = loop.vjp(0.3, x, v, 0.7)
    df, dw = loop.jvp(0.3, x, dx, dtheta)
    close(gx @ dx + gtheta @ dtheta, v @ df + 0.7 * dw)
    close(loop.jacobian(0.3, x).T @ v, loop.vjp(0.3, x, v, 0)[0])
    assert loop.vjp(0.3, x, v, theta=False)[1] is None
    gxs, total = loop.vjp(0.3, [x, x0], [v, v], [0.7, 0.7])
    close(gxs[0], gx, 1e-14)
    close(total, gtheta + loop.vjp(0.3, x0, v, 0.7)[1], 1e-13)
    loop.use_theta(loop.theta + 1e-6 * dtheta)
    above = loop.eval(0.3, x)[0]
    loop.use_theta(None)
    close((above - f) / 1e-6, loop.jvp(0.3, x, 0 * dx, dtheta)[0], 1e-4)
    for wrong in (lambda: loop.eval(0, x[1:]), lambda: loop.vjp(0, x, v[1:]), lambda: loop.vjp(0, x, v, [1, 2]),
                  lambda: loop.jvp(0, x, dx, dtheta[1:]), lambda: loop.purpose("fun"), lambda: loop.use_theta(v)):
        try:
            wrong()
        except ValueError:
            continue
        raise AssertionError("bad shapes are taken")
    return 0.0, np.zeros(np_), np.zeros(nx)
"""


def unavailable():
    listing = json.loads(subprocess.run([PROGRAM, "list", "-json"], capture_output=True, text=True, check=True).stdout)
    return next(e for e in listing["estimators"] if e["name"] == "python").get("unavailable")


def value(text, word):
    """First number behind a word of `gradient`'s output."""
    return float(text.split(word, 1)[1].split()[0].rstrip(";,"))


@unittest.skipIf(unavailable(), "built without Python")
class Door(InFolder):
    def write(self, text, name="mine.py"):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def gradient(self, path, *options, problem="diffdrive"):
        code, out, err = run("gradient", "-problem", problem, "-estimator", "mine=python", "-mine_file", path, *options)
        self.assertEqual(code, 0, out + err)
        return out

    def test_functions(self):
        out = self.gradient(self.write(CONSISTENCY), "-reference", "0")
        self.assertIn("status      ok", out)

    def test_euler_is_euler_bptt(self):
        mine = self.gradient(self.write(EULER), "-dt", "0.02")
        theirs = run("gradient", "-problem", "diffdrive", "-estimator", "euler-bptt", "-dt", "0.02")[1]
        for word in ("||dL/dtheta|| =", "||dL/dx0|| =", "\nloss "):
            self.assertAlmostEqual(value(mine, word) / value(theirs, word), 1, delta=1e-9)
        self.assertEqual(value(mine, "NFE"), value(theirs, "NFE") + 500)  # the gradient's own products come on top
        self.assertIn("500 + 500 steps", mine)

    def test_example(self):
        """At its tolerance it is as good as ctpg, and it passes check."""
        try:
            import scipy  # noqa: F401  # pylint: disable=unused-import,import-outside-toplevel
        except ImportError:
            self.skipTest("no SciPy (Debian: python3-scipy)")
        for rtol, limit in (("1e-4", 1e-3), ("1e-9", 1e-8)):
            out = self.gradient(EXAMPLE, "-rtol", rtol)
            self.assertLess(value(out, "error "), limit, out)
        code, out, err = run("check", "-problems", "lqr", "-estimators", "python", "-python_file", EXAMPLE,
                             "-check_repeats", "40")
        self.assertEqual(code, 0, out + err)
        self.assertIn("python on lqr", out)

    def test_exceptions_are_the_rows_reason(self):
        cases = {"diverged: ZeroDivisionError: division by zero (mine.py, line 3)": "    return 1 / 0",
                 "skipped: NotImplementedError: wants q and v": "    raise NotImplementedError('wants q and v')",
                 "diverged: TypeError: gradient returned something else": "    return 1",
                 "diverged: ValueError: gtheta has 2 numbers; expected 6": "    return 0, [1, 2], x0"}
        for words, body in cases.items():
            path = self.write(f"def gradient(loop, x0, accuracy):\n    loop.eval(0, x0)\n{body}\n")
            self.assertIn(words, self.gradient(path, "-reference", "0", problem="lqr"))

    def test_the_loop_decides(self):
        """Whoever catches the loop's exception gets no result all the same."""
        path = self.write("def gradient(loop, x0, accuracy):\n    try:\n        while True:\n"
                          "            loop.eval(0, x0)\n    except RuntimeError:\n        return 0, loop.theta, x0\n")
        out = self.gradient(path, "-reference", "0", "-eval_limit", "100", problem="lqr")
        self.assertIn("eval_limit: more than 100 evaluations", out)

    def test_refused_before_the_first_run(self):
        """With one sentence."""
        cases = {"SyntaxError": "def gradient(loop)\n", "No module named 'nowhere'": "import nowhere\n",
                 "defines no function gradient": "x = 1\n",
                 "knob is not a word": "knob = 'force'\ndef gradient(): pass\n"}
        for words, text in cases.items():
            path = self.write(text)
            code, out, err = run("gradient", "-problem", "lqr", "-estimator", "python", "-python_file", path)
            self.assertEqual((code, out, len(err.splitlines())), (1, "", 1), out + err)
            self.assertIn(words, err)
        for options in ((), ("-python_file", "nowhere.py")):
            code, out, err = run("gradient", "-problem", "lqr", "-estimator", "python", *options)
            self.assertEqual((code, len(err.splitlines())), (1, 1), err)

    def test_what_python_files_use(self):
        """Dataclasses, pickles and processes find the module that the file is; processes cannot evaluate uncounted."""
        path = self.write("""
import dataclasses, multiprocessing, pickle
import numpy as np

@dataclasses.dataclass
class Step:
    t: float
    x: "np.ndarray"

def square(t):
    return t * t

def evaluate(t):
    return keep.eval(t, np.ones(keep.nx))[1]

def gradient(loop, x0, accuracy):
    global keep
    import ctpgbench  # of this process alone
    keep = loop
    step = pickle.loads(pickle.dumps(Step(0.5, x0)))
    assert np.all(step.x == x0)
    for kind in ("fork", "spawn"):
        with multiprocessing.get_context(kind).Pool(1) as pool:
            assert pool.map(square, [1.0, 2.0]) == [1.0, 4.0]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            pool.map(evaluate, [0.0])
        except ctpgbench.LoopFailed as failed:
            assert "forked copy" in str(failed)
            return loop.eval(0, x0)[1], np.ones(loop.np), x0
""", "my_file.py")
        code, out, err = run("sweep", "-problems", "lqr,vanderpol", "-estimators", "python", "-python_file", path,
                             "-seeds", "0:1", "-rtol", "1e-3", "-timing_threshold", "0", "-out", self.folder / "out.h5",
                             cwd=self.folder)
        self.assertEqual(code, 0, out + err)
        runs = Results(self.folder / "out.h5").runs
        self.assertEqual(list(runs["status"]), [0] * 2)
        self.assertEqual(list(runs["nf"]), [1] * 2)

    def test_ends_of_the_process_are_exceptions(self):
        cases = {"SystemExit: os._exit(0) was called (mine.py, line 3)": "    os._exit(0)",
                 "SystemExit: 0": "    sys.exit(0)",
                 "ValueError: values of an array are masked": "    return 0, np.ma.masked_invalid([np.nan] * 6), x0",
                 "ValueError: the loss is masked": "    return np.ma.masked, loop.theta, x0"}
        for words, body in cases.items():
            path = self.write(f"import os, sys, numpy as np\ndef gradient(loop, x0, accuracy):\n{body}\n")
            self.assertIn(f"diverged: {words}", self.gradient(path, "-reference", "0", problem="lqr"))
        for text in ("import os\nos._exit(0)\n", "exit(0)\n", "import ctypes\nctypes.CDLL(None).exit(0)\n"):
            code, out, err = run("gradient", "-problem", "lqr", "-estimator", "python", "-python_file",
                                 self.write(text))
            self.assertEqual((code, out, len(err.splitlines())), (1, "", 1), out + err)
            self.assertRegex(err, "exit|Exit")

    def test_without_evaluations_limits_hold(self):
        for body in ("    while True:\n        pass\n", "    time.sleep(60)\n"):
            path = self.write(f"import time\ndef gradient(loop, x0, accuracy):\n{body}")
            begin = time.monotonic()
            out = self.gradient(path, "-run_time_limit", "0.5", "-reference", "0", problem="lqr")
            self.assertIn("timeout: more than 0.5 s (-run_time_limit)", out)
            self.assertLess(time.monotonic() - begin, 5)

    def test_first_cause_of_an_import_error(self):
        self.write("import nowhere\n", "deep.py")
        path = self.write("try:\n    import deep\nexcept ImportError as error:\n"
                          "    raise ImportError('READ THIS\\n' * 50) from error\n")
        code, _, err = run("gradient", "-problem", "lqr", "-estimator", "python", "-python_file", path)
        self.assertEqual((code, len(err.splitlines())), (1, 1), err)
        self.assertIn("mine.py: ModuleNotFoundError: No module named 'nowhere'; hence ImportError: READ THIS", err)

    def test_virtual_environment(self):
        venv.create(self.folder / "env", system_site_packages=True, with_pip=False)
        packages = next((self.folder / "env" / "lib").glob("python*/site-packages"))
        (packages / "only_there.py").write_text("found = True\n", encoding="utf-8")
        path = self.write("import only_there\ndef gradient(loop, x0, accuracy):\n    return 0, loop.theta, x0\n")
        os.environ["VIRTUAL_ENV"] = str(self.folder / "env")
        self.addCleanup(os.environ.pop, "VIRTUAL_ENV", None)
        self.assertIn("status      ok", self.gradient(path, problem="lqr"))
        settings = self.folder / "env" / "pyvenv.cfg"
        settings.write_text(re.sub("version = .*", "version = 3.1.2", settings.read_text(encoding="utf-8")),
                            encoding="utf-8")
        code, _, err = run("gradient", "-problem", "lqr", "-estimator", "python", "-python_file", path)
        self.assertEqual((code, len(err.splitlines())), (1, 1), err)
        self.assertIn("has Python 3.1.2, ctpgbench was built with 3.", err)

    def test_ranks_and_a_changed_file(self):
        path = self.write(EULER)
        plan = ("-problems", "lqr,diffdrive", "-estimators", "python,euler-bptt", "-python_file", path,
                "-dt", "0.1,0.05", "-seeds", "0:3")
        one = self.sweep("one.h5", *plan)
        self.assertEqual(self.sweep("two.h5", *plan, ranks=2), one)
        results = Results(self.folder / "two.h5")
        for problem in ("lqr", "diffdrive"):
            mine, theirs = results.select(problem, "python"), results.select(problem, "euler-bptt")
            self.assertTrue(np.all(mine["status"] == 0))
            self.assertTrue(np.allclose(mine["err_rel"], theirs["err_rel"], rtol=1e-6))
        path.write_text(EULER + "# another file\n", encoding="utf-8")
        code, _, err = run("sweep", *plan, "-out", self.folder / "one.h5")
        self.assertEqual(code, 1)
        self.assertIn("python_source", err)

    def test_random_numbers(self):
        """Repeats are draws, the same ones in every sweep."""
        path = self.write("knob = 'samples'\ndef gradient(loop, x0, samples):\n"
                          "    return 0.0, loop.normal(loop.np), loop.uniform(loop.nx)\n")
        plan = ("-problems", "lqr", "-estimators", "python", "-python_file", path, "-samples", "3", "-repeats", "4",
                "-seeds", "0:1")
        self.assertEqual(self.sweep("a.h5", *plan), self.sweep("b.h5", *plan))
        norms = Results(self.folder / "a.h5").runs["grad_norm"]
        self.assertEqual(len(set(norms)), 4)


if __name__ == "__main__":
    unittest.main()
