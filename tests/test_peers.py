"""analysis/peers: the problems written anew for other libraries are ours, and the page made of their rows says what the
rows say. The libraries themselves are not asked for: NumPy takes the place of jax.numpy."""
import h5py
import numpy as np
from scipy.integrate import solve_ivp

import cases
import plants
import program
from analysis_package import ROOT, analysis
from ctpgbench_analysis.read.sweep import load
from ctpgbench_analysis.read.words import TIMINGS
from ctpgbench_analysis.report import peers as report

LQR = ("lqr-mlp=lqr", "-lqr-mlp_policy", "mlp", "-lqr-mlp_policy_init_scale", "1")
PROBLEMS = {"diffdrive": ("diffdrive",), "electric": ("electric",), "quadrotor": ("quadrotor",), "lqr-mlp": LQR}
HEAD = "problem,estimator,seed,accuracy,nfe,error,seconds,compile,batch\n"


class Ports(program.InFolder):
    def run_well(self, *words):
        code, out, errors = program.run(*map(str, words))
        self.assertEqual(code, 0, errors)
        return out

    def integrate(self, problem, start):
        """The loss of a start, by SciPy and NumPy."""
        plant = plants.PLANTS[problem.type](np, problem.horizon)
        field, parts = plants.augmented(np, plant, problem.policy), plants.split(problem.theta, problem.policy)
        y, ends = np.append(problem.x0[start], 0.0), [0, *(share * problem.horizon for share in plant.breaks),
                                                      problem.horizon]
        for low, high in zip(ends, ends[1:]):
            last = np.nextafter(high, low) if high < problem.horizon else high
            y = solve_ivp(lambda t, y, last=last: field(min(t, last), y, parts, problem.task[start]), (low, high), y,
                          "DOP853", rtol=1e-10, atol=1e-10).y[:, -1]
        return y[-1]

    def test_problems(self):
        """Each has the loss that our reference has: dynamics, cost, observation, policy and its layout are ours."""
        words, labels = [], []
        for label, (kind, *options) in PROBLEMS.items():
            theta = self.folder / f"{label}.h5"
            self.run_well("gradient", "-problem", kind, *options, "-estimator", "reference", "-out", theta)
            words += [*options, f"-{label}_theta_file", f"{theta}:/theta"]
            labels.append(kind)
        path = self.folder / "sweep.h5"
        self.run_well("sweep", "-problems", ",".join(labels), *words, "-estimators", "ctpg", "-rtol", "1e-2", "-seeds",
                      "1:3", "-out", path)
        with h5py.File(path) as file:
            losses = file["cases/table"]["loss"]
        found = [self.integrate(problem, start) for problem in cases.read_problems(path) for start in (0, 1)]
        np.testing.assert_allclose(found, losses, rtol=2e-8)
        problem = cases.read_problems(path)[0]
        self.assertEqual((problem.label, list(problem.seeds)), ("diffdrive", [1, 2]))
        x0, task = cases.more_starts(problem, 5)
        self.assertEqual((x0.shape, task.shape), ((5, 5), (5, 0)))
        np.testing.assert_array_equal(x0[:2], problem.x0)

    def test_script(self):
        """It names what exists: options of the plan, files, the package's command."""
        text = (ROOT / "jobs" / "peers.sh").read_text(encoding="utf-8")
        self.assertEqual(program.subprocess.run(["bash", "-n", ROOT / "jobs" / "peers.sh"]).returncode, 0)
        for name in ("analysis/peers/measure.py", "analysis/peers/requirements.txt", "jobs/peers.yaml",
                     "docs/performance.md"):
            self.assertIn(name, text)
            self.assertTrue((ROOT / name).exists(), name)
        out = self.run_well("sweep", "-options_file", ROOT / "jobs" / "peers.yaml", "-dry_run", "-out",
                            self.folder / "none.h5")
        self.assertIn("5120 runs", out)


class Page(program.InFolder):
    def setUp(self):
        super().setUp()
        rows = [f"lqr,diffrax-tsit5,{seed},{rtol:g},{nfe},{error:g},{seconds},2.5,1" for seed in (0, 1, 2)
                for rtol, nfe, error, seconds in
                ((1e-2, 90, 1e-3, 0.5), (1e-3, 180, 1e-5, 1.5), (1e-6, 360, 1e-6, 2.0))]
        many = [f"lqr,diffrax-tsit5-b32,{seed},{rtol:g},{nfe},{error:g},{seconds},4,32" for seed in (0, 1, 2)
                for rtol, nfe, error, seconds in ((1e-2, 90, 1e-3, 0.05), (1e-6, 360, 1e-6, 0.2))]
        (self.folder / "rows.csv").write_text(HEAD + "\n".join(rows + many) + "\n", encoding="utf-8")
        self.sweep("ours.h5", "-problems", "lqr", "-lqr_policy", "mlp", "-lqr_policy_init_scale", "1", "-estimators",
                   "ctpg,rk5=rk-adjoint", "-seeds", "0:3", "-rtol", "1e-9:1e-2:8")
        for words in (("import", "rows.csv", "-lqr_policy", "mlp", "-lqr_policy_init_scale", "1", "-measured_here",
                       "-source", "diffrax 0.0", "-out", "theirs.h5"),
                      ("merge", "ours.h5", "theirs.h5", "-out", "all.h5")):
            code, _, errors = program.run(*words, cwd=self.folder)
            self.assertEqual(code, 0, errors)

    def test_multiples(self):
        """Times of others are those of the rows over those of our best, at equal error."""
        path = self.folder / "all.h5"
        results = load(path)
        peers = report.load_peers(results)
        one = report.one_start(peers, 0)
        self.assertEqual(one["diffrax-tsit5"], [500.0, 2000.0])
        np.testing.assert_allclose(report.of_batch(peers, "lqr", "diffrax-tsit5-b32"), [50, 200])
        label, least = report.best(one, peers.ours, 0)
        self.assertIn(label, ("ctpg", "rk5"))
        self.assertLessEqual(least, one["ctpg"][0])
        parts = report.make_parts(results, str(self.folder / "ours.h5"))
        row = next(line.split(" | ") for line in parts["one"] if "1e-3" in line)
        header = parts["one"][0].split(" | ")
        place = [cell.strip("| ") for cell in header].index("diffrax-tsit5")
        self.assertEqual(row[place].strip("| "), f"{500 / least:.2g}")
        self.assertIn("diffrax 0.0", " ".join(parts["set-up"]))
        self.assertIn("the later times are 1.00 of the earlier ones", " ".join(parts["set-up"]))
        self.assertIn("| diffrax-tsit5-b32 | 4 |", parts["compile"])

    def test_timings(self):
        """Every row counts, whether it was timed with the machine to itself or with all cores at work."""
        results = load(self.folder / "all.h5")
        peers, timed = report.load_peers(results), []
        for timing in range(len(TIMINGS)):
            for row, about in enumerate(results.estimators):
                if "diffrax" not in about["label"]:
                    results.runs["timing"][results.rows(0, row)] = timing
            timed.append(report.one_start(peers, 0))
        self.assertGreater(timed[0]["rk5"][0], 0)
        self.assertEqual(timed, timed[:1] * len(TIMINGS))

    def test_command(self):
        """Prints the parts, rewrites the page of docs in a copy, and refuses a file of ours alone."""
        page = self.folder / "performance.md"
        page.write_text((ROOT / "docs" / "performance.md").read_text(encoding="utf-8"), encoding="utf-8")
        code, out, errors = analysis("peers", self.folder / "all.h5")
        self.assertEqual(code, 0, errors)
        self.assertIn("<!-- peers: many -->", out)
        code, _, errors = analysis("peers", self.folder / "all.h5", "--page", page)
        self.assertEqual(code, 0, errors)
        self.assertIn("diffrax, 32", page.read_text(encoding="utf-8"))
        code, _, errors = analysis("peers", self.folder / "ours.h5")
        self.assertEqual(code, 1)
        self.assertIn("holds no imported rows", errors)


if __name__ == "__main__":
    program.unittest.main()
