"""test_train.py -- training: every iteration against a replay in numpy; ranks, kill, resume, enlarging; policies that
travel

The replay shares nothing with the program: batches from numpy's Philox, Euler and its reverse sweep for the lqr plant
x' = u under an MLP, the updates as Flux writes them.
"""
import os
import random
import resource
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

import program
from program import InFolder, Job, run, sha256

BATCH, TEST = 3, 4  # purposes of random streams


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def uniforms(seed, problem, purpose, index, n, experiment=0):
    generator = np.random.Philox(key=[seed, fnv1a(problem)], counter=[0, index, purpose, experiment])
    return (generator.random_raw(n) >> np.uint64(11)) * 2.0**-53


def normal_pair(seed, problem, purpose, index):
    u1, u2 = uniforms(seed, problem, purpose, index, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-u1)), 2 * np.pi * u2
    return radius * np.array([np.cos(angle), np.sin(angle)])


class MLP:
    """u = W2 tanh(W1 x + b1) + b2, with x' = u and w = x.x + u.u."""

    def __init__(self, width):
        self.sizes = [(width, 2), (width,), (2, width), (2,)]

    def parts(self, theta):
        parts, at = [], 0
        for shape in self.sizes:
            n = int(np.prod(shape))
            parts.append(theta[at:at + n].reshape(shape))
            at += n
        return parts

    def initial(self, seed, scale=0.1):
        (rows, width) = self.sizes[2]
        limit = np.sqrt(6 / (width + rows))
        u = uniforms(seed, "lqr", 1, 0, 4 * width)
        w1, w2 = scale * limit * (2 * u[:2 * width] - 1), scale * limit * (2 * u[2 * width:] - 1)
        return np.concatenate([w1, np.zeros(width), w2, np.zeros(rows)])

    def control(self, theta, x):
        w1, b1, w2, b2 = self.parts(theta)
        hidden = np.tanh(w1 @ x + b1)
        return w2 @ hidden + b2, hidden

    def euler(self, theta, x0, horizon, dt):
        """Loss and gradient of forward Euler, by the reverse sweep."""
        n = int(np.ceil(horizon / dt - 1e-9))
        h, x, path, loss = horizon / n, x0, [], 0.0
        for _ in range(n):
            u, hidden = self.control(theta, x)
            path.append((x, u, hidden))
            loss += h * (x @ x + u @ u)
            x = x + h * u
        w1, _, w2, _ = self.parts(theta)
        alpha, gradient = np.zeros(2), [np.zeros(shape) for shape in self.sizes]
        for x, u, hidden in reversed(path):
            du = h * (alpha + 2 * u)
            dz = (w2.T @ du) * (1 - hidden**2)
            for part, more in zip(gradient, (np.outer(dz, x), dz, np.outer(du, hidden), du)):
                part += more
            alpha = alpha + w1.T @ dz + 2 * h * x
        return loss, np.concatenate([part.ravel() for part in gradient])

    def gradient(self, theta, x0, horizon, n=32, columns=4):
        """Errors of Euler are a power series in its step, of which Romberg's scheme takes away four terms: 1e-13."""
        row = []
        for k in range(columns + 1):
            row = [self.euler(theta, x0, horizon, horizon / (n * 2**k))[1], *row]
            for order in range(1, k + 1):
                row[order] = row[order - 1] + (row[order - 1] - row[order]) / (2**order - 1)
        return row[-1]

    def loss(self, theta, x0, horizon, n=4000):
        """By the classical Runge-Kutta method."""
        def slope(y):
            u, _ = self.control(theta, y[:2])
            return np.append(u, y[:2] @ y[:2] + u @ u)
        y, h = np.append(x0, 0.0), horizon / n
        for _ in range(n):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3))
        return y[2]


class Flux:
    def __init__(self, kind, eta, size):
        self.kind, self.eta, self.t = kind, eta, 0
        self.m, self.v = np.zeros(size), np.zeros(size)

    def update(self, theta, g):
        self.t += 1
        if self.kind == "sgd":
            return theta - self.eta * g
        if self.kind == "momentum":
            self.v = 0.9 * self.v + self.eta * g
            return theta - self.v
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g**2
        return theta - self.eta * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


class TrainCase(InFolder):
    def train(self, out, *options, ranks=0, code=0):
        """Digest that training prints, None where it does not."""
        found, text, self.err = run("train", *options, "-out", self.folder / out, ranks=ranks, cwd=self.folder)
        self.assertEqual(found, code, text + self.err)
        self.text = text
        digests = [line.split()[1] for line in text.splitlines() if line.startswith("digest:")]
        self.assertEqual(len(digests), 1 if code == 0 else 0, text)
        return digests[0] if digests else None

    def refused(self, *words, command="train", arguments=()):
        """Non-zero exit, one line on stderr that holds the words."""
        code, _, err = run(command, *arguments, cwd=self.folder)
        self.assertNotEqual(code, 0)
        lines = [line for line in err.splitlines() if line.startswith("ctpgbench:")]
        self.assertEqual(len(lines), 1, err)
        for word in words:
            self.assertIn(word, lines[0])


class Replay(TrainCase):
    WIDTH, HORIZON, DT = 5, 2.0, 0.25
    LQR = ("-problems", "lqr", "-policy", "mlp", "-policy_widths", "5", "-horizon", "2", "-estimators", "euler-bptt",
           "-dt", "0.25")

    def check(self, kind, eta, batch, clip=0.0, iterations=12):
        name = f"{kind}.h5"
        self.train(name, *self.LQR, "-seeds", "3:5", "-iterations", iterations, "-batch", batch, "-optimizer", kind,
                   "-learning_rate", eta, "-clip", clip, "-snapshots", iterations)
        policy = MLP(self.WIDTH)
        with h5py.File(self.folder / name, "r") as file:
            group = file["training/lqr/euler-bptt"]
            self.assertEqual(list(group["snapshot"]), list(range(1, iterations + 1)))
            for row, seed in enumerate((3, 4)):
                theta = policy.initial(seed)
                optimizer, clipped = Flux(kind, eta, theta.size), 0
                for i in range(iterations):
                    starts = [normal_pair(seed, "lqr", BATCH, i * batch + b) for b in range(batch)]
                    samples = [policy.euler(theta, x0, self.HORIZON, self.DT) for x0 in starts]
                    g = sum(gradient for _, gradient in samples) / batch
                    self.assertAlmostEqual(group["loss"][row, i] / np.mean([loss for loss, _ in samples]), 1, 12)
                    self.assertAlmostEqual(group["grad_norm"][row, i] / np.linalg.norm(g), 1, 11)
                    self.assertEqual(group["nf"][row, i], batch * 8)
                    clipped += np.any(np.abs(g) > clip) if clip else 0
                    theta = optimizer.update(theta, np.clip(g, -clip, clip) if clip else g)
                    np.testing.assert_allclose(group["theta"][row, i], theta, rtol=1e-10, atol=1e-13)
                self.assertTrue(not clip or clipped > 0, "nothing was clipped")
            np.testing.assert_array_equal(group["slot/theta"][0, 0], group["theta"][0, -1])

    def test_sgd(self):
        self.check("sgd", 0.05, 3)

    def test_momentum(self):
        self.check("momentum", 0.02, 2, clip=0.5)

    def test_adam(self):
        self.check("adam", 0.01, 1)

    def test_tests_and_their_starts(self):
        self.train("t.h5", *self.LQR, "-iterations", "7", "-test_every", "3", "-test_starts", "2")
        policy = MLP(self.WIDTH)
        with h5py.File(self.folder / "t.h5", "r") as file:
            group = file["training/lqr/euler-bptt"]
            self.assertEqual(list(group["test_iteration"]), [0, 3, 6, 7])
            starts = np.array([normal_pair(0, "lqr", TEST, k) for k in range(2)])
            np.testing.assert_allclose(file["training/lqr/test_x0"][0], starts, rtol=1e-14)
            for k, theta in ((0, policy.initial(0)), (3, group["theta"][0, -1])):
                expected = np.mean([policy.loss(theta, x0, self.HORIZON) for x0 in starts])
                self.assertAlmostEqual(group["test_loss"][0, k] / expected, 1, 9)
            self.assertEqual(file["training/table"][0]["test_loss"], group["test_loss"][0, -1])
            self.assertEqual(group["loss"].dims[1].label or group["loss"].dims[1][0].name,
                             "/training/lqr/euler-bptt/iteration")

    def test_step_limit_of_tests(self):
        options = (*self.LQR, "-iterations", "2", "-test_every", "1", "-test_starts", "2", "-test_paths", "100")
        self.train("free.h5", *options)
        self.train("few.h5", *options, "-audit_every", "1", "-test_step_limit", "1")
        self.train("path.h5", *options, "-test_step_limit", "50")
        with h5py.File(self.folder / "free.h5", "r") as free, h5py.File(self.folder / "few.h5", "r") as few:
            free, few = free["training/lqr/euler-bptt"], few["training/lqr/euler-bptt"]
            np.testing.assert_array_equal(few["loss"], free["loss"])
            self.assertTrue(np.isfinite(free["test_loss"][()]).all() and np.isfinite(free["path"][()]).all())
            np.testing.assert_array_equal(few["test_failures"][0], [2, 2, 2])
            self.assertTrue(np.isnan(few["test_loss"][()]).all() and np.isnan(few["audit_norm"][()]).all())
            # a stretch takes a step or more; the path shares its limit
            with h5py.File(self.folder / "path.h5", "r") as file:
                path = file["training/lqr/euler-bptt/path"][()]
                points = np.isfinite(path).all(axis=-1).sum(axis=-1)
                self.assertTrue((points >= 2).all() and (points <= 51).all(), points)
                np.testing.assert_array_equal(path[..., :2, :], free["path"][..., :2, :])

    def test_horizon_ramp(self):
        self.train("h.h5", *self.LQR, "-iterations", "6", "-batch", "2", "-horizon_ramp", "4", "-horizon_first", "0.5",
                   "-optimizer", "sgd", "-learning_rate", "0.01", "-snapshots", "6", "-test_every", "6", "-test_starts",
                   "1")
        policy = MLP(self.WIDTH)
        with h5py.File(self.folder / "h.h5", "r") as file:
            group = file["training/lqr/euler-bptt"]
            theta = policy.initial(0)
            for i, horizon in enumerate((0.5, 0.875, 1.25, 1.625, 2.0, 2.0)):
                steps = int(np.ceil(horizon / self.DT))
                samples = [policy.euler(theta, normal_pair(0, "lqr", BATCH, 2 * i + b), horizon, horizon / steps)
                           for b in range(2)]
                self.assertAlmostEqual(group["loss"][0, i] / np.mean([loss for loss, _ in samples]), 1, 12)
                self.assertEqual(group["nf"][0, i], 2 * steps)
                theta = theta - 0.01 * (samples[0][1] + samples[1][1]) / 2
                np.testing.assert_allclose(group["theta"][0, i], theta, rtol=1e-10, atol=1e-13)
            for k, tested in ((0, policy.initial(0)), (1, theta)):  # tests have the whole horizon
                expected = policy.loss(tested, normal_pair(0, "lqr", TEST, 0), self.HORIZON)
                self.assertAlmostEqual(group["test_loss"][0, k] / expected, 1, 9)

    def test_tasks_come_from_the_same_stream(self):
        self.train("e.h5", "-problems", "electric", "-estimators", "ctpg", "-iterations", "1", "-test_every", "1",
                   "-test_starts", "3")
        with h5py.File(self.folder / "e.h5", "r") as file:
            expected = [0.2 + 0.6 * uniforms(0, "electric", TEST, k, 6) for k in range(3)]
            np.testing.assert_array_equal(file["training/electric/test_task"][0], expected)

    def test_fixed_start_and_visited_states(self):
        self.train("f.h5", *self.LQR, "-iterations", "4", "-batch", "2", "-fixed_start", "1,1", "-visited", "16")
        with h5py.File(self.folder / "f.h5", "r") as file:
            group = file["training/lqr/euler-bptt"]
            loss, _ = MLP(self.WIDTH).euler(MLP(self.WIDTH).initial(0), np.ones(2), self.HORIZON, self.DT)
            self.assertAlmostEqual(group["loss"][0, 0] / loss, 1, 12)
            visited = group["visited"][0]
            self.assertEqual(visited.shape, (16, 2))
            self.assertTrue(np.isfinite(visited).all())
            np.testing.assert_array_equal(visited[::2], np.ones((8, 2)))  # two of each sample: its start and its middle

    def test_step_search_and_clamp(self):
        self.train("s.h5", *self.LQR, "-iterations", "15", "-batch", "2", "-optimizer", "step-search", "-fixed_start",
                   "1,1", "-clamp", "0.06", "-snapshots", "15")
        ladder = np.append(np.geomspace(0.03, 1e-3, 6), 1e-6)
        policy = MLP(self.WIDTH)
        with h5py.File(self.folder / "s.h5", "r") as file:
            group = file["training/lqr/euler-bptt"]
            theta = policy.initial(0)
            for i in range(15):
                loss, g = policy.euler(theta, np.ones(2), self.HORIZON, self.DT)
                candidates = [np.clip(theta - s * g, -0.06, 0.06) for s in ladder[:-1]]
                losses = [policy.euler(candidate, np.ones(2), self.HORIZON, self.DT)[0] for candidate in candidates]
                best = int(np.argmin(losses)) if min(losses) < loss else 6
                self.assertAlmostEqual(group["step_size"][0, i] / ladder[best], 1, 12)
                self.assertEqual(group["nf"][0, i], 2 * 8 * (1 + 7))  # the search's evaluations are counted
                theta = np.clip(theta - ladder[best] * g, -0.06, 0.06)
                np.testing.assert_allclose(group["theta"][0, i], theta, rtol=1e-10, atol=1e-14)
            self.assertEqual(np.abs(group["theta"][0, -1]).max(), 0.06)

    def test_tolerance_follows_the_gradient(self):
        self.train("g.h5", "-problems", "lqr", "-policy", "mlp", "-estimators", "ctpg", "-iterations", "6", "-rtol",
                   "1e-5", "-tolerance_per_gradient", "1e-3", "-tolerance_loosest", "5e-3")
        with h5py.File(self.folder / "g.h5", "r") as file:
            group = file["training/lqr/ctpg"]
            expected = np.append(1e-5, np.clip(1e-3 * group["grad_norm"][0, :-1], 1e-12, 5e-3))
            np.testing.assert_array_equal(group["accuracy"][0], expected)


PLAN = ("-problems", "lqr,diffdrive", "-lqr_policy", "mlp", "-diffdrive_horizon", "2", "-estimators",
        "ctpg,euler-bptt", "-dt", "0.1", "-iterations", "25", "-batch", "4", "-test_every", "10", "-test_starts", "3",
        "-snapshots", "10,20", "-visited", "50", "-optimizer", "momentum")


class Ranks(TrainCase):
    def test_same_bits_at_any_number_of_ranks(self):
        digests = {(ranks, k): self.train(f"{ranks}{k}.h5", *PLAN, "-seeds", "0:2", "-ranks_per_run", k, ranks=ranks)
                   for ranks, k in ((0, "auto"), (2, 1), (2, 2), (3, 2), (3, 3))}
        self.assertEqual(len(set(digests.values())), 1, digests)
        with h5py.File(self.folder / "33.h5", "r") as file:
            self.assertEqual(set(file["training/table"]["ranks"]), {3})

    def test_starts_side_by_side_are_those_alone(self):
        """-run_time_limit makes an estimator take one start after the other; a limit of evaluations stops some."""
        plan = ("-problems", "electric,diffdrive", "-estimators", "rk-adjoint,euler-bptt", "-rtol", "1e-3",
                "-dt", "0.05", "-iterations", "3", "-batch", "11", "-visited", "20", "-rk-adjoint_eval_limit", "176")
        alone = self.train("alone.h5", *plan, "-run_time_limit", "1000")
        for ranks in (0, 3):
            self.assertEqual(self.train(f"{ranks}.h5", *plan, "-ranks_per_run", max(ranks, 1), ranks=ranks), alone)
        with h5py.File(self.folder / "0.h5", "r") as file:
            rows = file["training/table"]
            failures = rows["failures"][rows["failures"] > 0]
        self.assertTrue(((failures > 0) & (failures < 33)).any(), failures)

    def test_ranks_beyond_the_runs_share_the_batch(self):
        self.train("auto.h5", "-problems", "lqr", "-estimators", "ctpg", "-iterations", "3", "-batch", "2", ranks=3)
        with h5py.File(self.folder / "auto.h5", "r") as file:
            self.assertEqual(file["training/table"][0]["ranks"], 3)


class Resume(TrainCase):
    LONG = ("-problems", "diffdrive", "-horizon", "2", "-estimators", "ctpg,euler-bptt", "-dt", "0.05", "-iterations",
            "500", "-batch", "2", "-seeds", "0:2", "-test_every", "200", "-test_starts", "2", "-snapshots", "3",
            "-checkpoint_interval", "0.01", "-clip", "10", "-optimizer", "adam")

    def progress(self):
        """Iterations in the slots of all runs."""
        try:
            with h5py.File(self.folder / "k.h5", "r") as file:
                return sum(int(np.maximum(pair["slot/iteration"][()].max(axis=1), 0).sum())
                           for pair in (file["training/diffdrive/ctpg"], file["training/diffdrive/euler-bptt"]))
        except OSError:
            return 0

    def first_clocks(self):
        """{(estimator, seed row): clock at the first iteration} of all runs that have a slot."""
        with h5py.File(self.folder / "k.h5", "r") as file:
            pairs = {label: file[f"training/diffdrive/{label}"] for label in ("ctpg", "euler-bptt")}
            return {(label, row): pair["elapsed"][row, 0] for label, pair in pairs.items() for row in (0, 1)
                    if pair["slot/iteration"][row].max() > 0}

    def wait(self, job, more):
        end, before = time.monotonic() + program.LIMIT, self.progress()
        while self.progress() < before + more and job.process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        return self.progress()

    def test_kill_and_resume(self):
        expected = self.train("undisturbed.h5", *self.LONG)
        chance = random.Random(5)
        reached = 0
        for number, ranks in ((signal.SIGUSR1, 0), (signal.SIGKILL, 0), (signal.SIGKILL, 2), (signal.SIGUSR1, 2),
                              (signal.SIGKILL, 0)):
            with self.subTest(signal=number, ranks=ranks):
                job = Job("train", *self.LONG, "-out", self.folder / "k.h5", ranks=ranks, cwd=self.folder)
                job.ranks()
                self.wait(job, chance.randint(20, 100))
                self.assertIsNone(job.process.poll(), "training ended before it was disturbed")
                if ranks and number == signal.SIGUSR1:
                    job.interrupt()
                else:
                    for pid in job.ranks() if ranks else [job.process.pid]:
                        os.kill(pid, number)
                code, out, _ = job.finish()
                job.wait_for_ranks()
                if number == signal.SIGUSR1:
                    self.assertEqual(code, 75, out)
                    self.assertNotIn("digest", out)
                now = self.progress()
                self.assertGreater(now, reached)
                reached = now
        clocks = self.first_clocks()
        status = run("status", self.folder / "k.h5")[1]
        self.assertRegex(status, r"seed \d: at iteration \d+, loss")
        self.assertEqual(self.train("k.h5", *self.LONG, ranks=2), expected)
        self.assertIn(f"digest: {expected}", run("status", self.folder / "k.h5")[1])
        now = self.first_clocks()
        self.assertEqual({key: now[key] for key in clocks}, clocks, "a run began anew")

    def test_spoilt_slot_is_not_taken(self):
        options = (*PLAN, "-checkpoint_interval", "0")
        expected = self.train("a.h5", *options)
        self.train("a.h5", *options)
        with h5py.File(self.folder / "a.h5", "r+") as file:
            file["training/commit"][...] = np.array((0, 0, -1), file["training/commit"].dtype)
            group = file["training/lqr/ctpg"]
            group["slot/theta"][0, int(np.argmax(group["slot/iteration"][0])), 0] += 1e-9
            file["training/diffdrive/ctpg/loss"][0, 3] += 1e-9  # history under both slots: begins anew
        self.assertEqual(self.train("a.h5", *options), expected)

    def test_enlarged(self):
        base = [word for word in PLAN if word not in ("-visited", "50")]
        longer = [*base]
        longer[longer.index("-iterations") + 1] = "40"
        longer[longer.index("-snapshots") + 1] = "10,20,30"
        expected = self.train("undisturbed.h5", *longer, "-seeds", "0:3")
        self.train("a.h5", *base, "-seeds", "1:3")
        with h5py.File(self.folder / "a.h5", "r") as file:
            elapsed = file["training/lqr/ctpg/elapsed"][0, 7]
        self.assertEqual(self.train("a.h5", *longer, "-seeds", "0:3"), expected)
        self.assertIn("laid out anew", self.text)
        with h5py.File(self.folder / "a.h5", "r") as file:  # what was done is not done again
            self.assertEqual(file["training/lqr/ctpg/elapsed"][1, 7], elapsed)
        before = sha256(self.folder / "a.h5")
        out = ("-out", "a.h5", "-seeds", "0:3")
        self.refused("40", "25", "shorter", arguments=(*base, *out))
        self.refused("-snapshots", "iteration 15", arguments=(
            *[word if word != "10,20,30" else "10,15,20,30" for word in longer], *out))
        self.refused("holds another training", "batch = 4 there", arguments=(
            *[word if i != longer.index("-batch") + 1 else "5" for i, word in enumerate(longer)], *out))
        self.assertEqual(sha256(self.folder / "a.h5"), before)


class Plans(TrainCase):
    """Several problems in one plan, runs that wait for others, paths and audits."""
    PAIRS = ("-problems", "lqr,diffdrive", "-estimators", "ctpg,node=neural-ode,same=euler-bptt", "-lqr_policy", "mlp",
             "-lqr_estimators", "ctpg,node", "-diffdrive_estimators", "same,ctpg", "-lqr_seeds", "0:3",
             "-diffdrive_seeds", "4:6", "-diffdrive_horizon", "2", "-horizon", "3", "-same_match_nfe", "ctpg",
             "-iterations", "8", "-batch", "3", "-optimizer", "momentum", "-learning_rate", "1e-4")

    def test_pairs_and_seeds_of_each_problem(self):
        digests = {self.train(f"{ranks}.h5", *self.PAIRS, "-ranks_per_run", k, ranks=ranks)
                   for ranks, k in ((0, 1), (2, 1), (3, 3))}
        self.assertEqual(len(digests), 1)
        with h5py.File(self.folder / "0.h5", "r") as file:
            training = file["training"]
            self.assertEqual({name for name in training["lqr"] if isinstance(training["lqr"][name], h5py.Group)},
                             {"ctpg", "node"})
            self.assertEqual(list(training["lqr/seed"]), [0, 1, 2])
            self.assertEqual(training["diffdrive/same/loss"].shape, (2, 8))
            self.assertEqual([(row["problem"], row["estimator"], row["seed"]) for row in training["table"]],
                             [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 0, 4), (1, 0, 5),
                              (1, 2, 4), (1, 2, 5)])
            self.check_match(training["table"][6:])

    def check_match(self, rows):
        for ctpg, same in zip(rows[:2], rows[2:]):
            steps = int((ctpg["nf"] + ctpg["nvjp_x"] + ctpg["nvjp_theta"]) / 3 / (8 * 3) + 0.5)
            self.assertEqual(same["h"], 2 / steps)
            self.assertEqual(same["accuracy"], same["h"])
            self.assertEqual(same["nf"], 8 * 3 * steps)
            self.assertTrue(np.isnan(ctpg["h"]))

    def plan_of(self, words):
        """plan.yaml with these options."""
        lines = [f"{key[1:]}: [{value}]\n" if "," in str(value) else f"{key[1:]}: {value}\n"
                 for key, value in zip(words[::2], words[1::2])]
        (self.folder / "plan.yaml").write_text("".join(lines), encoding="utf-8")
        return "-options_file", "plan.yaml"

    def labels(self, name):
        """{problem: estimators} of a file."""
        with h5py.File(self.folder / name, "r") as file:
            return {problem: sorted(pair for pair in group if isinstance(group[pair], h5py.Group))
                    for problem, group in file["training"].items() if isinstance(group, h5py.Group)}

    def test_one_problem_of_a_plan(self):
        plan = self.plan_of(("-problems", "lqr,robot=diffdrive", *self.PAIRS[2:8], "-robot_estimators", "same,ctpg",
                             "-lqr_seeds", "0:3", "-robot_seeds", "4:6", "-robot_horizon", "2", *self.PAIRS[-12:]))
        whole = self.train("w.h5", *plan)
        self.assertEqual(self.train("o.h5", *plan, "-problems", "lqr,robot"), whole)
        alone = self.train("a.h5", "-problems", "robot=diffdrive", "-estimators", "ctpg,same=euler-bptt",
                           "-robot_seeds", "4:6", "-robot_horizon", "2", *self.PAIRS[-12:])
        self.assertEqual(self.train("n.h5", *plan, "-problems", "robot"), alone)
        self.assertEqual(self.labels("n.h5"), {"robot": ["ctpg", "same"]})
        self.train("e.h5", *plan, "-estimators", "ctpg")
        self.assertEqual(self.labels("e.h5"), {"lqr": ["ctpg"], "robot": ["ctpg"]})
        self.train("b.h5", *plan, "-estimators", "node", "-problems", "lqr")
        self.assertEqual(self.labels("b.h5"), {"lqr": ["node"]})
        for words, options in ((("-robot_seeds",), ("-problems", "lqr", "-robot_seeds", "0:1")),
                               (("-robot_estimators", "same", "nearest: node"), ("-estimators", "node")),
                               (("same", "-<problem>_estimators"), ("-problems", "lqr", "-estimators", "ctpg,same"))):
            with self.subTest(options=options):
                self.refused(*words, arguments=(*plan, *options, "-out", "x.h5"))

    def test_match_after_the_other_run_is_done(self):
        expected = self.train("a.h5", *self.PAIRS)
        with h5py.File(self.folder / "a.h5", "r+") as file:  # the matching runs are to be made again, from their slots
            commits = file["training/commit"][()]
            commits["status"][8:] = -1
            file["training/commit"][...] = commits
        self.assertEqual(self.train("a.h5", *self.PAIRS), expected)
        with h5py.File(self.folder / "a.h5", "r") as file:
            self.check_match(file["training/table"][6:])

    def test_match_with_a_horizon_ramp(self):
        self.train("r.h5", "-problems", "lqr", "-policy", "mlp", "-horizon", "8", "-estimators", "ctpg,same=euler-bptt",
                   "-same_match_nfe", "ctpg", "-iterations", "40", "-horizon_ramp", "30", "-audit_every", "10")
        with h5py.File(self.folder / "r.h5", "r") as file:
            ctpg, euler = (sum(int(row[kind]) for kind in ("nf", "nvjp_x",
                                                           "nvjp_theta")) for row in file["training/table"])
            self.assertAlmostEqual(euler / ctpg, 1, delta=0.05)
            audit = file["training/lqr/ctpg"]
            self.assertTrue((audit["audit_error"][0] < 0.05 * audit["audit_norm"][0]).all())

    def test_match_by_a_factor(self):
        self.train("f.h5", "-problems", "lqr", "-policy", "mlp", "-estimators",
                   "ctpg,same=euler-bptt,half=euler-bptt,more=euler-bptt", "-horizon", "8", "-same_match_nfe", "ctpg",
                   "-half_match_nfe", "ctpg", "-half_match_nfe_factor", "0.5", "-more_match_nfe", "ctpg",
                   "-more_match_nfe_factor", "1.5", "-iterations", "20")
        with h5py.File(self.folder / "f.h5", "r") as file:
            ctpg, *others = [sum(int(row[kind]) for kind in ("nf", "nvjp_x", "nvjp_theta"))
                             for row in file["training/table"]]
        self.assertEqual(others, [20 * 3 * round(factor * ctpg / 3 / 20) for factor in (1, 0.5, 1.5)])

    def test_match_of_a_run_that_ended_badly(self):
        self.train("b.h5", "-problems", "lqr", "-policy", "mlp", "-estimators", "ctpg,same=euler-bptt",
                   "-same_match_nfe", "ctpg", "-optimizer", "sgd", "-learning_rate", "1e6", "-iterations", "30")
        with h5py.File(self.folder / "b.h5", "r") as file:
            row, statuses = file["training/table"][1], list(file["training/table"].attrs["statuses"])
            self.assertEqual(statuses[row["status"]], b"skipped")
            self.assertEqual(row["reason"].decode(), "-match_nfe: the run of ctpg ended as diverged")

    def test_paths_are_those_of_the_policies(self):
        self.train("p.h5", *Replay.LQR, "-iterations", "6", "-test_starts", "2", "-test_paths", "5", "-snapshots",
                   "0,3")
        policy = MLP(Replay.WIDTH)
        with h5py.File(self.folder / "p.h5", "r") as file:
            group = file["training/lqr/euler-bptt"]
            np.testing.assert_allclose(group["path_time"], np.linspace(0, Replay.HORIZON, 6), rtol=1e-15)
            self.assertEqual(group["path"].shape, (1, 3, 2, 6, 2))
            for k, theta in enumerate(group["theta"][0]):
                for start, x in enumerate(file["training/lqr/test_x0"][0]):
                    for i in range(6):
                        np.testing.assert_allclose(group["path"][0, k, start, i], x, rtol=1e-8)
                        np.testing.assert_allclose(group["path_control"][0, k, start, i], policy.control(theta, x)[0],
                                                   rtol=1e-7, atol=1e-12)
                        x = self.advance(policy, theta, x, Replay.HORIZON / 5)

    @staticmethod
    def advance(policy, theta, x, span, n=200):
        h = span / n
        for _ in range(n):
            k1 = policy.control(theta, x)[0]
            k2 = policy.control(theta, x + h / 2 * k1)[0]
            k3 = policy.control(theta, x + h / 2 * k2)[0]
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + policy.control(theta, x + h * k3)[0])
        return x

    def test_audits(self):
        options = (*Replay.LQR, "-iterations", "5", "-batch", "3", "-snapshots", "5", "-optimizer", "sgd",
                   "-learning_rate", "0.01")
        self.train("n.h5", *options)
        self.train("a.h5", *options, "-audit_every", "2")
        policy = MLP(Replay.WIDTH)
        with h5py.File(self.folder / "a.h5", "r") as file, h5py.File(self.folder / "n.h5", "r") as other:
            group = file["training/lqr/euler-bptt"]
            np.testing.assert_array_equal(group["loss"], other["training/lqr/euler-bptt/loss"])
            np.testing.assert_array_equal(group["nf"], other["training/lqr/euler-bptt/nf"])
            self.assertEqual(list(group["audit_iteration"]), [0, 2, 4])
            for a, i in enumerate((0, 2, 4)):
                theta = policy.initial(0) if i == 0 else group["theta"][0, i - 1]
                starts = [normal_pair(0, "lqr", BATCH, 3 * i + b) for b in range(3)]
                coarse = np.array([policy.euler(theta, x, Replay.HORIZON, Replay.DT)[1] for x in starts])
                fine = np.array([policy.gradient(theta, x, Replay.HORIZON) for x in starts])
                stderr = np.sqrt(fine.var(axis=0, ddof=1).sum() / 3)
                self.assertAlmostEqual(group["audit_norm"][0, a] / np.linalg.norm(fine.mean(axis=0)), 1, 8)
                self.assertAlmostEqual(group["audit_stderr"][0, a] / stderr, 1, 8)
                error = np.linalg.norm(coarse.mean(axis=0) - fine.mean(axis=0))
                self.assertAlmostEqual(group["audit_error"][0, a] / error, 1, 8)

    def test_crashed_run_is_skipped_until_it_is_asked_for(self):
        options = ("-problems", "lqr", "-estimators", "ctpg", "-iterations", "200000", "-batch", "8", "-seeds", "0:2",
                   "-checkpoint_interval", "0.05")
        job = Job("train", *options, "-out", self.folder / "c.h5", cwd=self.folder)
        end = time.monotonic() + program.LIMIT
        while time.monotonic() < end and self.slot("c.h5") < 1:
            time.sleep(0.01)
        os.kill(job.ranks()[0] if job.ranks() else job.process.pid, signal.SIGSEGV)
        self.assertNotEqual(job.finish()[0], 0)
        code, out, err = run("train", *options, "-out", self.folder / "c.h5", "-time_limit", "0.5", cwd=self.folder)
        self.assertEqual(code, 75, out + err)
        self.assertIn("1 crashed in the last session: skipped", out)
        with h5py.File(self.folder / "c.h5", "r") as file:
            self.assertEqual(file["training/table"].attrs["statuses"][file["training/table"][0]["status"]], b"crashed")
            self.assertGreater(file["training/table"][0]["iterations_done"], 0)
        before = self.slot("c.h5")
        code, out, err = run("train", *options, "-out", self.folder / "c.h5", "-time_limit", "3", "-retry_crashed",
                             cwd=self.folder)
        self.assertEqual(code, 75, out + err)
        self.assertGreater(self.slot("c.h5"), before)

    def slot(self, name):
        try:
            with h5py.File(self.folder / name, "r") as file:
                return int(file["training/lqr/ctpg/slot/iteration"][0].max())
        except OSError:
            return 0

    def test_second_job_is_refused(self):
        options = ("-problems", "lqr", "-estimators", "ctpg", "-iterations", "300000")
        job = Job("train", *options, "-out", self.folder / "l.h5", "-checkpoint_interval", "0.05", cwd=self.folder)
        end = time.monotonic() + program.LIMIT
        while time.monotonic() < end and self.slot("l.h5") < 1:
            time.sleep(0.01)
        self.refused("l.h5", "process", arguments=(*options, "-out", self.folder / "l.h5"))
        os.kill(job.process.pid, signal.SIGUSR1)
        self.assertEqual(job.finish()[0], 75)

    def test_dry_run(self):
        code, out, err = run("train", *self.PAIRS, "-out", "d.h5", "-dry_run", cwd=self.folder)
        self.assertEqual(code, 0, out + err)
        self.assertRegex(out, r"diffdrive +same +2 +8 +3")
        size = int(out.split(" runs, about ")[1].split()[0])
        self.assertFalse((self.folder / "d.h5").exists())
        self.train("d.h5", *self.PAIRS)
        self.assertAlmostEqual(size / (self.folder / "d.h5").stat().st_size, 1, delta=0.25)

    def test_refused(self):
        base = ("-problems", "lqr", "-policy", "mlp", "-estimators", "ctpg,same=euler-bptt", "-out", "x.h5")
        for words, options in ((("-lqr_estimators", "cptg", "ctpg"), ("-lqr_estimators", "cptg")),
                               (("same", "-<problem>_estimators"), ("-lqr_estimators", "ctpg")),
                               (("-match_nfe", "another estimator"), ("-same_match_nfe", "rk-adjoint")),
                               (("-match_nfe", "another estimator"), ("-same_match_nfe", "same")),
                               (("step-search",), ("-same_match_nfe", "ctpg", "-optimizer", "step-search")),
                               (("-same_match_nfe_factor 0", "0.001"),
                                ("-same_match_nfe", "ctpg", "-same_match_nfe_factor", "0")),
                               (("-lqr_seeds", "empty"), ("-lqr_seeds", "3:3"))):
            with self.subTest(options=options):
                self.refused(*words, arguments=(*base, *options))


class Policies(TrainCase):
    LQR = ("-problem", "lqr", "-policy", "mlp", "-policy_widths", "4")

    def setUp(self):
        super().setUp()
        self.train("p.h5", "-problems", "lqr", "-policy", "mlp", "-policy_widths", "4", "-estimators", "ctpg",
                   "-iterations", "20", "-seeds", "2:4", "-snapshots", "2")
        with h5py.File(self.folder / "p.h5", "r") as file:
            self.theta = file["training/lqr/ctpg/theta"][()]
        self.file = f"{self.folder}/p.h5:/training/lqr/ctpg"

    def gradient(self, *options):
        code, out, err = run("gradient", *self.LQR, "-out", "g.h5", "-reference", "0", *options, cwd=self.folder)
        self.assertEqual(code, 0, out + err)
        with h5py.File(self.folder / "g.h5", "r") as file:
            return file["theta"][()]

    def test_gradient(self):
        np.testing.assert_array_equal(self.gradient("-theta_file", self.file, "-seed", "3"), self.theta[1, 1])
        np.testing.assert_array_equal(self.gradient("-theta_file", self.file + "@10", "-seed", "2"), self.theta[0, 0])
        with h5py.File(self.folder / "plain.h5", "w") as file:
            file["a/theta"] = self.theta[1, 0]
        np.testing.assert_array_equal(self.gradient("-theta_file", "plain.h5:/a", "-seed", "7"), self.theta[1, 0])

    def test_sweep_keeps_content_and_source(self):
        plan = ("-problems", "lqr", *self.LQR[2:], "-estimators", "rk-adjoint", "-rtol", "1e-6", "-seeds", "2:4")
        digests = {self.sweep("a.h5", *plan), self.sweep("b.h5", *plan, "-theta_file", self.file),
                   self.sweep("c.h5", *plan, "-theta_file", self.file + "@10")}
        self.assertEqual(len(digests), 3)
        with h5py.File(self.folder / "b.h5", "r") as file:
            np.testing.assert_array_equal(file["cases/lqr/theta"], self.theta[:, 1])
            self.assertEqual(file["policies"][0]["theta_source"].decode(), self.file)

    def test_training_goes_on_from_it(self):
        self.train("q.h5", "-problems", "lqr", *self.LQR[2:], "-estimators", "ctpg", "-iterations", "2", "-seeds",
                   "2:4", "-learning_rate", "0", "-optimizer", "sgd", "-theta_file", self.file)
        with h5py.File(self.folder / "q.h5", "r") as file:
            np.testing.assert_array_equal(file["training/lqr/ctpg/theta"][:, 0], self.theta[:, 1])

    def test_trace(self):
        code, out, err = run("trace", *self.LQR, "-estimator", "ctpg", "-seed", "2", "-theta_file", self.file, "-out",
                             "t.h5", cwd=self.folder)
        self.assertEqual(code, 0, out + err)

    def test_refused(self):
        gradient = ("-problem", "lqr", "-policy", "mlp", "-theta_file")
        self.refused("2-4-2 tanh,linear", "2-32-2 tanh,linear", command="gradient", arguments=(*gradient, self.file))
        lqr = (*self.LQR, "-theta_file")
        self.refused("no policy of seed 5", command="gradient", arguments=(*lqr, self.file, "-seed", "5"))
        self.refused("iteration 7", "10, 20", command="gradient", arguments=(*lqr, self.file + "@7"))
        self.refused("/training/lqr holds", command="gradient", arguments=(*lqr, self.file + "x"))
        self.refused("expected FILE:/training", command="gradient", arguments=(*lqr, "p.h5"))
        self.refused("absent.h5", command="gradient", arguments=(*lqr, "absent.h5:/theta"))


class BadInput(TrainCase):
    SMALL = ("-problems", "lqr", "-estimators", "ctpg")

    def test_sentences(self):
        for words, options in ((("-iterations", "0"), ("-iterations", "0")), (("-batch", "0"), ("-batch", "0")),
                               (("momentun", "momentum"), ("-optimizer", "momentun")),
                               (("-rtol", "one"), ("-rtol", "1e-3,1e-4")),
                               (("-snapshots", "2000"), ("-snapshots", "5,2000")),
                               (("-fixed_start", "2 states"), ("-fixed_start", "1,2,3")),
                               (("-ranks_per_run", "1 ranks"), ("-ranks_per_run", "2")),
                               (("-test_step_limit", "0"), ("-test_every", "1", "-test_step_limit", "0")),
                               (("-learning_rat", "learning_rate"), ("-learning_rat", "2"))):
            with self.subTest(options=options):
                self.refused(*words, arguments=(*self.SMALL, "-out", "x.h5", *options))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_files_of_another_kind(self):
        sweep = ("-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-seeds", "0:1")
        self.sweep("s.h5", *sweep)
        self.train("t.h5", *self.SMALL, "-iterations", "2")
        before = sha256(self.folder / "s.h5"), sha256(self.folder / "t.h5")
        self.refused("s.h5", "kind sweep", arguments=(*self.SMALL, "-out", "s.h5"))
        self.refused("t.h5", "kind train", command="sweep", arguments=(*sweep, "-out", "t.h5"))
        self.assertEqual((sha256(self.folder / "s.h5"), sha256(self.folder / "t.h5")), before)

    def test_file_that_cannot_grow(self):
        self.train("t.h5", *self.SMALL, "-iterations", "2")
        before = sha256(self.folder / "t.h5")

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        for name in ("t.h5", "new.h5"):
            done = subprocess.run(program.command(("train", *self.SMALL, "-iterations", "20000", "-out", name), 0),
                                  cwd=self.folder, env=program.environment(0), preexec_fn=limit, capture_output=True,
                                  text=True, timeout=program.LIMIT)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, f"{name}: File too large")
        self.assertEqual(program.left_in(self.folder), ["t.h5"])
        self.assertEqual(sha256(self.folder / "t.h5"), before)

    def test_divergence_is_a_row_with_its_history(self):
        options = (*self.SMALL, "-policy", "mlp", "-optimizer", "sgd", "-learning_rate", "1e6", "-iterations", "30")
        digest = self.train("d.h5", *options)
        self.assertIn("1 of them not ok", self.text)
        with h5py.File(self.folder / "d.h5", "r") as file:
            row, group = file["training/table"][0], file["training/lqr/ctpg"]
            self.assertEqual(file["training/table"].attrs["statuses"][row["status"]], b"diverged")
            n = row["iterations_done"]
            self.assertRegex(row["reason"].decode(), f"^iteration {n}: ")
            self.assertTrue(0 < n < 30)
            self.assertTrue(np.isfinite(group["loss"][0, :n]).all())
            self.assertEqual(group["failures"][0, n], 1)
            self.assertTrue(np.isnan(group["loss"][0, n:]).all())
        self.assertEqual(self.train("d.h5", *options), digest)


if __name__ == "__main__":
    unittest.main()
