"""Semi-implicit Euler back-propagation against the same loop in complex arithmetic.

The loop is the one of the paper's electric experiment (i = 1..N: t = i h; u = pi(x, v, t); v += h a(x, v, u); x += h v;
L += h w), written anew in numpy; a perturbation of 1e-30 i along a direction makes the imaginary part of the loss the
derivative. electric keeps velocities first, pendulum positions, and its cost has the control in it. The step is coarse:
a mistake of the reverse loop cannot hide behind it.
"""

import os
import subprocess
import tempfile
import unittest

import h5py
import numpy as np

PROGRAM = os.path.join(os.environ.get("CTPG_BUILD", "."), "ctpgbench")
STEP = 1e-30
ELECTRODES = np.array([(.1, .1), (.1, .9), (.9, .9), (.9, .1), (.5, .9), (.5, .1), (.1, .5), (.9, .5)])


class Electric:
    layers, activations, T, steps = (8, 64, 8), (np.tanh, np.tanh), 15.36, 128
    goals = np.array([(.3, .7), (.6, .4), (.25, .35)])
    x0 = np.array([0, 0, .3, .7])
    extra = {"goals": goals}

    def goal(self, t):
        half = self.T / 2
        k = 0 if t < half else 1
        s = (t - k * half) / half
        return (1 - s) * self.goals[k] + s * self.goals[k + 1], self.goals[k + 1] - self.goals[k]

    def split(self, x):
        return x[2:], x[:2]

    def observe(self, t, q, v):
        return np.concatenate([q, v, *self.goal(t)])

    def acceleration(self, q, v, u):
        r = q - ELECTRODES
        square = (r * r).sum(1)
        length = np.where(square.real > 0.01, np.sqrt(square), 0.1)
        return 1e-3 * (u / length**3) @ r - 0.029910179730323616 * v

    def cost(self, t, q, v, u):
        off = q - self.goal(t)[0]
        return (off * off).sum()


class Pendulum:
    layers, activations, T, steps = (3, 32, 32, 1), (np.tanh,) * 3, 5, 50
    x0 = np.array([2.9, 0.2])
    extra = {}

    def split(self, x):
        return x[:1], x[1:]

    def observe(self, t, q, v):
        return np.concatenate([np.sin(q), np.cos(q), v])

    def acceleration(self, q, v, u):
        return 9.8 * np.sin(q) - 0.01 * v + 5 * u

    def cost(self, t, q, v, u):
        return (1 - np.cos(q) + 0.01 * v * v + 0.1 * u * u)[0]


PLANTS = {"electric": Electric(), "pendulum": Pendulum()}


def policy(plant, theta, o):
    at = 0
    for inputs, outputs, activation in zip(plant.layers, plant.layers[1:], plant.activations):
        weights = theta[at:at + inputs * outputs].reshape(outputs, inputs)
        at += inputs * outputs
        o = activation(weights @ o + theta[at:at + outputs])
        at += outputs
    return o


def loss(plant, x, theta):
    h, total = plant.T / plant.steps, 0
    q, v = plant.split(x)
    for i in range(1, plant.steps + 1):
        u = policy(plant, theta, plant.observe(i * h, q, v))
        v = v + h * plant.acceleration(q, v, u)
        q = q + h * v
        total = total + h * plant.cost(i * h, q, v, u)
    return total


def draw_theta(plant, rng):
    layers = plant.layers
    return np.concatenate([rng.normal(size=m * (n + 1)) / np.sqrt(n) for n, m in zip(layers, layers[1:])])


def run_program(problem, plant, theta, out, *options):
    """Exit code and stderr of one gradient; the case goes through a case file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "case.h5")
        with h5py.File(path, "w") as file:
            group = file.create_group("case")
            group["x0"], group["theta"] = plant.x0, theta
            for name, value in plant.extra.items():
                group[name] = value
        command = [PROGRAM, "gradient", "-problem", problem, "-case_file", path, "-case", "case", "-estimator",
                   "euler-bptt", "-scheme", "semi-implicit", "-dt", repr(plant.T / plant.steps), "-reference", "0",
                   "-out", out, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


class SemiImplicit(unittest.TestCase):
    def compare(self, problem):
        plant, rng = PLANTS[problem], np.random.default_rng(7)
        theta = draw_theta(plant, rng)
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "gradient.h5")
            run = run_program(problem, plant, theta, out)
            self.assertEqual(run.returncode, 0, run.stderr)
            with h5py.File(out) as file:
                mine = {name: file[name][()] for name in ("loss", "grad_x0", "grad_theta")}
                counts = {name: int(file.attrs[name]) for name in ("nf", "nvjp", "nplant")}
        self.assertAlmostEqual(float(mine["loss"]), loss(plant, plant.x0, theta), delta=1e-13 * abs(mine["loss"]))
        for direction in rng.normal(size=(6, len(theta))):
            exact = loss(plant, plant.x0, theta + 1j * STEP * direction).imag / STEP
            scale = np.linalg.norm(mine["grad_theta"]) * np.linalg.norm(direction)
            self.assertLess(abs(mine["grad_theta"] @ direction - exact), 1e-13 * scale)
        for direction in np.eye(len(plant.x0)):
            exact = loss(plant, plant.x0 + 1j * STEP * direction, theta).imag / STEP
            self.assertLess(abs(mine["grad_x0"] @ direction - exact), 1e-13 * np.linalg.norm(mine["grad_x0"]))
        N = plant.steps
        self.assertEqual(counts, {"nf": N, "nvjp": N, "nplant": 4 * N})

    def test_velocity_first(self):
        self.compare("electric")

    def test_cost_of_the_control(self):
        self.compare("pendulum")

    def test_refused_without_velocities(self):
        run = subprocess.run([PROGRAM, "gradient", "-problem", "diffdrive", "-estimator", "euler-bptt", "-scheme",
                              "semi-implicit", "-dt", "0.1"], capture_output=True, text=True, timeout=60)
        self.assertIn("skipped: needs positions and velocities", run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main()
