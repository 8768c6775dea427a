"""with_scipy.py -- gradients by SciPy: solve_ivp out, solve_ivp back for the adjoint, Gauss nodes for dL/dtheta

DOP853 with dense output both ways. f and its products are compiled by JAX, for one point at a time in the solves and
for all Gauss nodes of the gradient in one call. Where the control jumps both solves stop.
"""
import importlib.metadata

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import plants
from rows import RTOLS, Row, check, timed

LABEL, ENOUGH = "scipy-dop853", 1e-6
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)


def versions() -> str:
    """Of what is measured."""
    return f"scipy {importlib.metadata.version('scipy')}"


class Gradient:
    """Of one start."""

    def __init__(self, problem):
        self.problem = problem
        plant = plants.PLANTS[problem.type](jnp, problem.horizon)
        field = plants.augmented(jnp, plant, problem.policy)
        self.ends = [0.0, *(share * problem.horizon for share in plant.breaks), problem.horizon]

        def f(t, y, theta, task):
            return field(t, y, plants.split(theta, problem.policy), task)

        def back(t, y, v, theta, task):
            return jax.vjp(lambda y: f(t, y, theta, task), y)[1](v)[0]

        def share(t, y, v, weight, theta, task):
            """sum_i weight_i v_i' f_theta(t_i, y_i)"""
            each = jax.vmap(f, (0, 0, None, None))
            return jax.vjp(lambda theta: each(t, y, theta, task), theta)[1](weight[:, None] * v)[0]

        self.f, self.back, self.share = jax.jit(f), jax.jit(back), jax.jit(share)
        self.theta = jnp.asarray(problem.theta)

    def piece(self, function, ends, y, rtol):
        """A solve with dense output; the last state."""
        nudged = self.nudge(ends)
        solution = solve_ivp(lambda t, y: np.asarray(function(min(max(t, nudged[0]), nudged[1]), y)), ends, y, "DOP853",
                             rtol=rtol, atol=1e-3 * rtol, dense_output=True)
        if not solution.success:
            raise SystemExit(f"{LABEL} on {self.problem.label}: {solution.message}")
        return solution

    def nudge(self, ends):
        """Within the piece, where a time on its border would belong to the next one."""
        low, high = sorted(ends)
        return low, np.nextafter(high, low) if high in self.ends[1:-1] else high

    def solve(self, start: int, rtol: float):
        """(dL/dtheta, NFE)"""
        task = self.problem.task[start]
        y, pieces, nfe = np.append(self.problem.x0[start], 0.0), [], 0
        for ends in zip(self.ends, self.ends[1:]):
            pieces.append(self.piece(lambda t, y: self.f(t, y, self.theta, task), ends, y, rtol))
            y, nfe = pieces[-1].y[:, -1], nfe + pieces[-1].nfev
        v, gradient = np.eye(len(y))[-1], 0
        for out in reversed(pieces):
            ends = out.t[-1], out.t[0]
            back = self.piece(lambda t, v, out=out: -self.back(t, out.sol(t), v, self.theta, task), ends, v, rtol)
            v, nfe = back.y[:, -1], nfe + back.nfev
            part, nodes = self.quadrature(out, back, task)
            gradient, nfe = gradient + part, nfe + nodes
        return np.asarray(gradient), nfe

    def quadrature(self, out, back, task):
        """Of v' f_theta, on the steps of the adjoint; filled up to a power of two, for few programs to be compiled."""
        half = np.abs(np.diff(back.t)) / 2
        middle = (back.t[1:] + back.t[:-1]) / 2
        t = (middle[:, None] + half[:, None] * NODES).ravel()
        low, high = self.nudge((back.t[0], back.t[-1]))
        t, weight = np.clip(t, low, high), (half[:, None] * WEIGHTS).ravel()
        more = (1 << (len(t) - 1).bit_length()) - len(t)
        t, weight = np.append(t, np.full(more, t[-1])), np.append(weight, np.zeros(more))
        return self.share(t, out.sol(t).T, back.sol(t).T, weight, self.theta, task), len(t) - more


def measure(problem, _batches=(), starts: int = 4, repeats: int = 1, say=print) -> list[Row]:
    """All rows of a problem; batches, which the others take, there are none."""
    gradient, found = Gradient(problem), []
    for rtol in RTOLS:
        for start, seed in enumerate(problem.seeds[:starts]):
            value, nfe = gradient.solve(start, rtol)
            cpu, wall = timed(lambda start=start, rtol=rtol: gradient.solve(start, rtol), repeats)
            error = plants.relative(value, problem.gradients[start])
            found.append(Row(problem.label, LABEL, int(seed), rtol, nfe, error, cpu, wall))
    check(found, ENOUGH)
    say(f"{LABEL} on {problem.label}: measured")
    return found
