"""plants.py -- four problems of the suite, written anew for whatever has the functions of NumPy: jax.numpy or torch

Each is a class with `dynamics(x, u, task)` -> x', `cost(x, u, t, task)` -> w and `observe(x, t, task)` -> o, on the
last axis of their arrays; `breaks`: times, as shares of the horizon, where the control jumps. The equations are those
at the head of problems/<type>.c. `augmented` puts plant and policy together: d(x, loss)/dt.
"""
import math


class DiffDrive:
    """Robot on two driven wheels."""
    breaks = ()

    def __init__(self, m, horizon):
        self.m = m

    def dynamics(self, x, u, task):
        px, py, heading, left, right = (x[..., k] for k in range(5))
        speed = 0.25 * (left + right)
        return self.m.stack([speed * self.m.cos(heading), speed * self.m.sin(heading), 0.5 * (right - left),
                             u[..., 0], u[..., 1]], -1)

    def cost(self, x, u, t, task):
        square = x * x
        return square[..., 0] + square[..., 1] + 0.1 * (square[..., 3] + square[..., 4] + (u * u).sum(-1))

    def observe(self, x, t, task):
        heading = x[..., 2]
        return self.m.stack([*(x[..., k] for k in range(5)), self.m.sin(heading), self.m.cos(heading)], -1)


class Electric:
    """Charged particle among eight electrodes, after a goal that moves along two segments."""
    breaks = (0.5,)
    ELECTRODES = ((0.1, 0.1), (0.1, 0.9), (0.9, 0.9), (0.9, 0.1), (0.5, 0.9), (0.5, 0.1), (0.1, 0.5), (0.9, 0.5))

    def __init__(self, m, horizon):
        self.m, self.half = m, horizon / 2
        self.places = [(self.constant([e[0] for e in self.ELECTRODES])), self.constant([e[1] for e in self.ELECTRODES])]

    def constant(self, values):
        """An array of these numbers."""
        make = self.m.tensor if hasattr(self.m, "tensor") else self.m.asarray
        return make(values, dtype=self.m.float64)

    def goal(self, t, task):
        """(goal, goal_v), each a pair of components."""
        late = t >= self.half
        s = t / self.half
        first = [(1 - s) * task[..., k] + s * task[..., 2 + k] for k in (0, 1)]
        second = [(2 - s) * task[..., 2 + k] + (s - 1) * task[..., 4 + k] for k in (0, 1)]
        ways = [(task[..., 2 + k] - task[..., k], task[..., 4 + k] - task[..., 2 + k]) for k in (0, 1)]
        choose = self.m.where
        return ([choose(late, b, a) for a, b in zip(first, second)], [choose(late, b, a) for a, b in ways])

    def dynamics(self, x, u, task):
        damping = 0.029910179730323616
        rx, ry = x[..., 2:3] - self.places[0], x[..., 3:4] - self.places[1]
        square = rx * rx + ry * ry
        inside = square <= 0.01
        safe = self.m.where(inside, self.m.ones_like(square), square)
        field = u * self.m.where(inside, self.m.ones_like(square), 1e-3 / (safe * self.m.sqrt(safe)))
        return self.m.stack([(field * rx).sum(-1) - damping * x[..., 0], (field * ry).sum(-1) - damping * x[..., 1],
                             x[..., 0], x[..., 1]], -1)

    def cost(self, x, u, t, task):
        goal, _ = self.goal(t, task)
        return (x[..., 2] - goal[0]) ** 2 + (x[..., 3] - goal[1]) ** 2

    def observe(self, x, t, task):
        goal, way = self.goal(t, task)
        return self.m.stack([x[..., 2], x[..., 3], x[..., 0], x[..., 1], *goal, *way], -1)


class Lqr:
    """x' = u, w = x'x + u'u."""
    breaks = ()

    def __init__(self, m, horizon):
        self.m = m

    def dynamics(self, x, u, task):
        return u

    def cost(self, x, u, t, task):
        return (x * x).sum(-1) + (u * u).sum(-1)

    def observe(self, x, t, task):
        return x


class Quadrotor:
    """Rigid quadrotor in Euler angles."""
    breaks = ()
    MASS, GRAVITY = 1.0, 9.8

    def __init__(self, m, horizon):
        self.m = m

    def dynamics(self, x, u, task):
        m = self.m
        sines, cosines = m.sin(x[..., 3:6]), m.cos(x[..., 3:6])
        spsi, stheta, sphi = (sines[..., k] for k in range(3))
        cpsi, ctheta, cphi = (cosines[..., k] for k in range(3))
        p, q, r = (x[..., k] for k in (9, 10, 11))
        k, d = q * sphi + r * cphi, q * cphi - r * sphi
        lift = -u[..., 0] / self.MASS
        return m.stack([x[..., 6], x[..., 7], x[..., 8], k / ctheta, d, p + k * stheta / ctheta,
                        lift * (sphi * spsi + cphi * cpsi * stheta), lift * (cpsi * sphi - cphi * spsi * stheta),
                        self.GRAVITY + lift * cphi * ctheta, u[..., 1], u[..., 2], u[..., 3]], -1)

    def cost(self, x, u, t, task):
        square = x * x
        return square[..., :3].sum(-1) + square[..., 6:9].sum(-1) + 0.01 * (u * u).sum(-1)

    def observe(self, x, t, task):
        m = self.m
        turning = m.concatenate([x[..., 3:6], x[..., 9:12]], -1)
        sines, cosines = m.sin(turning), m.cos(turning)
        waves = m.stack([sines, cosines, sines / cosines], -1)
        square = x * x
        squares = m.stack([square[..., :3].sum(-1), square[..., 6:9].sum(-1)], -1)
        return m.concatenate([waves.reshape((*waves.shape[:-2], 18)), squares, x], -1)


PLANTS = {"diffdrive": DiffDrive, "electric": Electric, "lqr": Lqr, "quadrotor": Quadrotor}


def layers_of(policy: str):
    """([widths], [activations]) of "7-32-32-2 tanh,tanh,linear"."""
    widths, activations = policy.split(" ")
    return [int(width) for width in widths.split("-")], activations.split(",")


def split(theta, policy: str):
    """[(W, b)] of the layers, from theta [np] as the suite orders it."""
    widths, _ = layers_of(policy)
    parts, at = [], 0
    for columns, rows in zip(widths, widths[1:]):
        weights = theta[at:at + rows * columns].reshape(rows, columns)
        at += rows * columns
        parts.append((weights, theta[at:at + rows]))
        at += rows
    return parts


def control(m, parts, policy: str, o):
    """u of an mlp with tanh and linear layers."""
    z = o
    for (weights, bias), activation in zip(parts, layers_of(policy)[1]):
        z = z @ weights.T + bias
        if activation == "tanh":
            z = m.tanh(z)
        elif activation != "linear":
            raise ValueError(f"activation {activation}; expected tanh or linear")
    return z


def augmented(m, plant, policy: str):
    """field(t, y, parts, task) = dy/dt of y = (x, loss)."""
    def field(t, y, parts, task):
        x = y[..., :-1]
        u = control(m, parts, policy, plant.observe(x, t, task))
        return m.concatenate([plant.dynamics(x, u, task), plant.cost(x, u, t, task)[..., None]], -1)
    return field


def relative(gradient, reference) -> float:
    """||g - g*|| / ||g*||"""
    difference = sum(float((a - b) ** 2) for a, b in zip(gradient, reference))
    return math.sqrt(difference / sum(float(b * b) for b in reference))
