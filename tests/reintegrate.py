"""reintegrate.py -- test losses of a training file, integrated once more by a program of their own

    /usr/bin/python3 tests/reintegrate.py training.h5 [--all] [--tolerance 1e-8]

Plants, observations and policies are written anew here from the equations at the heads of problems/*.c, and SciPy's
DOP853 integrates them with rtol 1e-12: nothing is shared with ctpgbench but the file. Of every run that ended ok the
final policy is integrated from all its test starts (with --all every policy that is kept and was tested), and the mean
loss compared with the file's test_loss. One line per pair: the worst difference, relative to the mean of |loss| over
the starts. Exit code 1 when it is above the tolerance anywhere, or when nothing could be compared.
"""
import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.integrate import solve_ivp

RTOL, ATOL = 1e-12, 1e-13
EVALUATIONS = 500_000  # of all starts of a policy together, then it is given up


# ---- plants: f [n, nx] and w [n] of x [n, nx] and u [n, nu]; observations [n, no] ----

class Plant:
    breaks = ()      # as fractions of the horizon
    reach = np.inf   # of the first state; what follows beyond it is not written here

    def __init__(self, options, horizon, task):
        """options: {name: text}; task [n, ntask]."""
        self.options, self.horizon, self.task = options, horizon, task

    def real(self, name):
        return float(self.options[name])

    def flag(self, name):
        return self.options[name] == "true"

    def observe(self, t, piece, x):
        return x


def squares(*columns):
    return sum((column**2).sum(axis=1) if column.ndim == 2 else column**2 for column in columns)


class Lqr(Plant):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        nx, nu = int(self.options["nx"]), int(self.options["nu"])
        self.A, self.B = self.matrix("A", nx, nx, 0), self.matrix("B", nx, nu, 1)
        self.Q, self.R = self.matrix("Q", nx, nx, 1), self.matrix("R", nu, nu, 1)

    def matrix(self, name, rows, columns, scale):
        given = [float(word) for word in self.options[name].split(",") if word]
        if len(given) > 1:
            return np.reshape(given, (rows, columns))
        return (given[0] if given else scale) * np.eye(rows, columns)

    def rate(self, t, piece, x, u):
        w = np.einsum("ni,ij,nj->n", x, self.Q, x) + np.einsum("ni,ij,nj->n", u, self.R, u)
        return x @ self.A.T + u @ self.B.T, w


class DiffDrive(Plant):
    def observe(self, t, piece, x):
        heading = x[:, 2]
        seen = np.fmod(heading, 2 * np.pi) if self.flag("wrap") else heading
        return np.column_stack([x[:, :2], seen, x[:, 3:], np.sin(heading), np.cos(heading)])

    def rate(self, t, piece, x, u):
        radius, base = 0.5, 1.0
        _, _, heading, left, right = x.T
        ahead = radius * (left + right) / 2
        f = np.column_stack([ahead * np.cos(heading), ahead * np.sin(heading), radius / base * (right - left), u])
        return f, squares(x[:, :2]) + 0.1 * squares(left, right, u)


class Track(DiffDrive):
    """Its jumps are met by small steps."""

    def rate(self, t, piece, x, u):
        return super().rate(t, piece, x, np.clip(u, -self.real("u_max"), self.real("u_max")))


class Electric(Plant):
    breaks = (0.5,)
    PLACES = np.array([(.1, .1), (.1, .9), (.9, .9), (.9, .1), (.5, .9), (.5, .1), (.1, .5), (.9, .5)])

    def goal(self, t, piece):
        points = self.task.reshape(-1, 3, 2)
        s = 2 * t / self.horizon - piece
        way = points[:, piece + 1] - points[:, piece]
        return points[:, piece] + s * way, way

    def observe(self, t, piece, x):
        return np.column_stack([x[:, 2:], x[:, :2], *self.goal(t, piece)])

    def rate(self, t, piece, x, u):
        off = x[:, None, 2:] - self.PLACES
        length = np.maximum(np.sqrt((off**2).sum(axis=2)), 0.1)
        force = 1e-3 * ((u / length**3)[..., None] * off).sum(axis=1)
        velocity = x[:, :2]
        return (np.column_stack([force - 0.029910179730323616 * velocity, velocity]),
                squares(x[:, 2:] - self.goal(t, piece)[0]))


class Pendulum(Plant):
    def observe(self, t, piece, x):
        return np.column_stack([np.sin(x[:, 0]), np.cos(x[:, 0]), x[:, 1]])

    def rate(self, t, piece, x, u):
        angle, speed = x.T
        f = np.column_stack([speed, 9.8 * np.sin(angle) - self.real("damping") * speed + self.real("torque") * u[:, 0]])
        return f, 1 - np.cos(angle) + 0.01 * speed**2 + 0.1 * u[:, 0]**2


class DoublePendulum(Plant):
    """By Lagrange's equations of two point masses of 1 kg at the ends of rods of 1 m, both joints driven, or the elbow
    alone, whose torque turns the second rod against the first."""

    def observe(self, t, piece, x):
        return np.column_stack([np.sin(x[:, 0]), np.cos(x[:, 0]), np.sin(x[:, 1]), np.cos(x[:, 1]), x[:, 2:]])

    def rate(self, t, piece, x, u):
        angles, rates = x[:, :2], x[:, 2:]
        cosine, sine = np.cos(x[:, 0] - x[:, 1]), np.sin(x[:, 0] - x[:, 1])
        elbow = self.real("torque") * u[:, -1]
        shoulder = self.real("torque") * u[:, 0] if u.shape[1] == 2 else 0
        weights = 9.81 * np.array([2.0, 1.0]) * np.sin(angles)
        force = weights + np.column_stack([-sine * rates[:, 1]**2 + shoulder - elbow, sine * rates[:, 0]**2 + elbow])
        mass = np.moveaxis(np.array([[np.full_like(cosine, 2.0), cosine], [cosine, np.ones_like(cosine)]]), 2, 0)
        acceleration = np.linalg.solve(mass, force[..., None])[..., 0]
        return (np.column_stack([rates, acceleration]),
                (1 - np.cos(angles)).sum(axis=1) + 0.01 * squares(rates) + 0.1 * squares(u))


class VanDerPol(Plant):
    def rate(self, t, piece, x, u):
        y, speed = x.T
        return (np.column_stack([speed, self.real("mu") * (1 - y**2) * speed - y + u[:, 0]]), squares(x, u))


class Cartpole(Plant):
    """By hand."""
    M, m, H, r, g = 1.0, 0.1, 1.0, 0.045, 9.81

    def rate(self, t, piece, x, u):
        slide, hinge, slide_speed, hinge_speed = x.T
        m, H, r = self.m, self.H, self.r
        cylinder, ball = np.pi * r**2 * H, 4 / 3 * np.pi * r**3  # two half balls; their masses are as the volumes
        tube, ends = m * cylinder / (cylinder + ball), m * ball / (cylinder + ball)
        # each half ball: 2/5 M r^2 of its full ball about the centre, whose centre of mass lies 3r/8 further out
        about_centre = tube * (H**2 / 12 + r**2 / 4) + ends * (2 / 5 * r**2 + H**2 / 4 + 3 / 8 * H * r)
        lever, inertia = m * H / 2, about_centre + m * H**2 / 4
        k = lever * np.cos(hinge)
        push = 10 * np.clip(u[:, 0], -1, 1) - 5e-4 * slide_speed + lever * np.sin(hinge) * hinge_speed**2
        turn = lever * self.g * np.sin(hinge) - 2e-6 * hinge_speed
        mass = np.moveaxis(np.array([[np.full_like(k, self.M + m), k], [k, np.full_like(k, inertia)]]), 2, 0)
        acceleration = np.linalg.solve(mass, np.column_stack([push, turn])[..., None])[..., 0]
        return np.column_stack([slide_speed, hinge_speed, acceleration]), 0.01 * slide**2 - np.cos(hinge)


class MujocoCartpole(Cartpole):
    """MuJoCo's accelerations are the same to rounding, up to the ends of the rail."""
    reach = 4.8


class Quadrotor(Plant):
    def observe(self, t, piece, x):
        position, angles, velocity, rates = x[:, :3], x[:, 3:6], x[:, 6:9], x[:, 9:]
        turning = np.concatenate([angles, rates], axis=1)
        tangents = np.tan(turning) if self.flag("tangents") else np.zeros_like(turning)
        circular = np.stack([np.sin(turning), np.cos(turning), tangents], axis=2).reshape(len(x), 18)
        wrap = (lambda a: np.fmod(a, 2 * np.pi)) if self.flag("wrap") else (lambda a: a)
        return np.column_stack([circular, squares(position), squares(velocity), position, wrap(angles), velocity,
                                wrap(rates)])

    def rate(self, t, piece, x, u):
        psi, theta, phi = x[:, 3:6].T
        p, q, r = x[:, 9:].T
        across, along = q * np.sin(phi) + r * np.cos(phi), q * np.cos(phi) - r * np.sin(phi)
        thrust = np.column_stack([np.sin(phi) * np.sin(psi) + np.cos(phi) * np.cos(psi) * np.sin(theta),
                                  np.cos(psi) * np.sin(phi) - np.cos(phi) * np.sin(psi) * np.sin(theta),
                                  np.cos(phi) * np.cos(theta)])
        f = np.column_stack([x[:, 6:9], across / np.cos(theta), along, p + across * np.tan(theta),
                             np.array([0, 0, 9.8]) - u[:, :1] / float(self.options.get("mass", 1)) * thrust, u[:, 1:]])
        return f, squares(x[:, :3], x[:, 6:9]) + 0.01 * squares(u)


PLANTS = {"lqr": Lqr, "diffdrive": DiffDrive, "track": Track, "electric": Electric, "pendulum": Pendulum,
          "double-pendulum": DoublePendulum, "vanderpol": VanDerPol, "cartpole": MujocoCartpole,
          "cartpole-analytic": Cartpole, "quadrotor": Quadrotor}
ACTIVATIONS = {"linear": lambda a: a, "tanh": np.tanh, "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0)))}


def policy(description, theta):
    """Controls [n, nu] of observations [n, no]; description as in "7-32-32-2 tanh,tanh,linear"."""
    widths, activations = description.split()
    sizes, at, layers = [int(width) for width in widths.split("-")], 0, []
    for inputs, outputs, name in zip(sizes, sizes[1:], activations.split(",")):
        weights = theta[at:at + inputs * outputs].reshape(outputs, inputs)
        at += inputs * outputs
        layers.append((weights, theta[at:at + outputs], ACTIVATIONS[name]))
        at += outputs
    assert at == len(theta), f"{at} parameters in {description}, {len(theta)} in the file"

    def control(o):
        for weights, bias, activate in layers:
            o = activate(o @ weights.T + bias)
        return o
    return control


class GivenUp(Exception):
    pass


class Beyond(Exception):
    """The path of a start leaves what is written here of the plant."""


def losses(plant, control, x0):
    """[n] losses of the starts x0 [n, nx], all in one system."""
    n, nx = x0.shape
    count = 0

    def slope(t, y, piece):
        nonlocal count
        count += 1
        if count > EVALUATIONS:
            raise GivenUp
        x = y[:n * nx].reshape(n, nx)
        if (np.abs(x[:, 0]) > plant.reach).any():
            raise Beyond
        f, w = plant.rate(t, piece, x, control(plant.observe(t, piece, x)))
        return np.concatenate([f.ravel(), w])

    y = np.concatenate([x0.ravel(), np.zeros(n)])
    times = plant.horizon * np.array([0, *plant.breaks, 1])
    for piece, (t, end) in enumerate(zip(times, times[1:])):
        solution = solve_ivp(slope, (t, end), y, method="DOP853", rtol=RTOL, atol=ATOL, args=(piece,), t_eval=[end])
        if not solution.success:
            raise GivenUp
        y = solution.y[:, -1]
    return y[n * nx:]


# ---- the file ----

class Pair:
    """What was compared of one problem label and one estimator label."""

    def __init__(self, problem, estimator):
        self.problem, self.estimator = problem, estimator
        self.policies = self.starts = self.failed = self.given_up = self.beyond = 0
        self.worst, self.where = 0.0, ""

    def add(self, difference, starts, where):
        self.policies += 1
        self.starts += starts
        if not difference < self.worst:
            self.worst, self.where = difference if np.isfinite(difference) else np.inf, where

    def words(self):
        notes = [f"{count} {what}" for count, what in ((self.failed, "with a failed start left out"),
                                                       (self.given_up, "given up"),
                                                       (self.beyond, "with a cart at the end of its rail left out"))
                 if count]
        found = f"{self.worst:.1e}, {self.where}" if self.policies else "nothing compared"
        return (f"{self.problem:<20} {self.estimator:<20} {self.policies:>5} policies {self.starts:>6} starts   "
                f"{found}{'; ' + ', '.join(notes) if notes else ''}")


def options_of(text):
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines())}


def case_of(problem, starts, s):
    """(plant, x0 [n, nx]) of the test starts of the s-th seed; starts: the group of the problem's label."""
    x0 = starts["test_x0"][s]
    task = starts["test_task"][s] if "test_task" in starts else np.zeros((len(x0), 0))
    return PLANTS[problem["type"].decode()](options_of(problem["options"].decode()), float(problem["T"]), task), x0


def compare_policy(pair, plant, description, theta, x0, expected, where):
    try:
        with np.errstate(all="ignore"):
            mine = losses(plant, policy(description, theta), x0)
    except GivenUp:
        pair.given_up += 1
        return
    except Beyond:
        pair.beyond += 1
        return
    pair.add(abs(mine.mean() - expected) / np.abs(mine).mean(), len(x0), where)


def compare_pair(file, problem, estimator, rows, every):
    """problem, estimator: rows of the tables of labels; rows: those of training/table that ended ok."""
    pair = Pair(problem["label"].decode(), estimator["label"].decode())
    starts, group = file[f"training/{pair.problem}"], file[f"training/{pair.problem}/{pair.estimator}"]
    seeds = starts["seed"][()].tolist()
    tests = group["test_iteration"][()].tolist() if "test_iteration" in group else []
    snapshots = group["snapshot"][()].tolist()
    for row in rows:
        plant, x0 = case_of(problem, starts, seeds.index(row["seed"]))
        for k, iteration in enumerate(snapshots):
            if iteration not in tests or not (every or iteration == snapshots[-1]):
                continue
            j = tests.index(iteration)
            if group["test_failures"][row["row"], j]:
                pair.failed += 1
                continue
            compare_policy(pair, plant, problem["policy"].decode(), group["theta"][row["row"], k], x0,
                           group["test_loss"][row["row"], j], f"seed {row['seed']}, iteration {iteration}")
    return pair


def compare(path, every=False):
    """Pairs of the file; those whose plant is not written here are left out."""
    pairs = []
    with h5py.File(path, "r") as file:
        table, done = file["training/table"][()], file["training/commit"]["status"] >= 0
        ok = done & (table["status"] == list(file.attrs["statuses"]).index(b"ok"))
        for p, problem in enumerate(file["problems"][()]):
            for e, estimator in enumerate(file["estimators"][()]):
                rows = table[ok & (table["problem"] == p) & (table["estimator"] == e)]
                if len(rows) and problem["type"].decode() in PLANTS:
                    pairs.append(compare_pair(file, problem, estimator, rows, every))
    return pairs


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Integrates the policies of a training file once more.")
    parser.add_argument("training", type=Path)
    parser.add_argument("--all", action="store_true",
                        help="every policy that is kept and was tested, not only the final one")
    parser.add_argument("--tolerance", type=float, default=1e-8)
    given = parser.parse_args(arguments)
    pairs = compare(given.training, given.all)
    for pair in pairs:
        print(pair.words(), flush=True)
    if not any(pair.policies for pair in pairs):
        sys.exit(f"{given.training} holds no final policy with a test loss (-test_every) on {', '.join(PLANTS)}.")
    worst = max(pair.worst for pair in pairs)
    print(f"worst relative difference {worst:.1e}")
    if not worst <= given.tolerance:
        sys.exit(f"above the tolerance {given.tolerance:g}")


if __name__ == "__main__":
    main()
