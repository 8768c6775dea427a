"""with_torchdiffeq.py -- gradients by torchdiffeq: odeint in float64, differentiated through its steps

dopri5 or dopri8 of one thread. Many starts are one state of more components, whose steps they share: that is how the
library takes a batch. atol = 1e-3 rtol, as ours. Where the control jumps the solver stops (jump_t). A graph is kept of
every step, so nothing is computed again.
"""
import types

import torch
import torchdiffeq

import plants
from cases import more_starts
from rows import RTOLS, Row, check, timed

LABELS = {"torchdiffeq-dopri5": "dopri5", "torchdiffeq-dopri8": "dopri8"}
ENOUGH = 1e-5
TOLERANCES = RTOLS[::2] + RTOLS[-1:]  # a gradient takes a tenth of a second and more
torch.set_num_threads(1)
M = types.SimpleNamespace(**{name: getattr(torch, name) for name in
                             ("sin", "cos", "tanh", "sqrt", "where", "stack", "ones_like", "tensor", "float64")},
                          concatenate=torch.cat)


def versions() -> str:
    """Of what is measured."""
    return f"torchdiffeq {torchdiffeq.__version__}, torch {torch.__version__}"


class Gradient:
    """Of the mean loss of some starts of a problem."""

    def __init__(self, problem, method: str, x0, task):
        self.problem, self.method = problem, method
        self.plant = plants.PLANTS[problem.type](M, problem.horizon)
        self.field = plants.augmented(M, self.plant, problem.policy)
        self.y = torch.cat([torch.tensor(x0), torch.zeros(len(x0), 1, dtype=torch.float64)], -1)
        self.task, self.evaluations = torch.tensor(task), 0

    def solve(self, rtol: float):
        """dL/dtheta"""
        theta = torch.tensor(self.problem.theta, requires_grad=True)
        parts = plants.split(theta, self.problem.policy)

        def f(t, y):
            self.evaluations += 1
            return self.field(t, y, parts, self.task)

        jumps = [share * self.problem.horizon for share in self.plant.breaks]
        options = {"jump_t": torch.tensor(jumps, dtype=torch.float64)} if jumps else None
        times = torch.tensor([0.0, self.problem.horizon], dtype=torch.float64)
        y = torchdiffeq.odeint(f, self.y, times, rtol=rtol, atol=1e-3 * rtol, method=self.method, options=options)
        y[-1, :, -1].mean().backward()
        return theta.grad.numpy()


def rows_of_one(problem, label: str, method: str, starts: int) -> list[Row]:
    """One start after the other."""
    found = []
    for rtol in TOLERANCES:
        for start in range(min(starts, len(problem.seeds))):
            one = Gradient(problem, method, problem.x0[start:start + 1], problem.task[start:start + 1])
            error = plants.relative(one.solve(rtol), problem.gradients[start])
            nfe = 2 * one.evaluations
            cpu, wall = timed(lambda one=one, rtol=rtol: one.solve(rtol), 1)
            found.append(Row(problem.label, label, int(problem.seeds[start]), rtol, nfe, error, cpu, wall))
    check(found, ENOUGH)
    return found


def rows_of_batch(problem, label: str, method: str, count: int) -> list[Row]:
    """Many starts at once; the error is that of the mean gradient, for a batch has one mesh."""
    x0, task = more_starts(problem, count)
    many, found = Gradient(problem, method, x0, task), []
    known = min(count, len(problem.seeds))
    few = Gradient(problem, method, x0[:known], task[:known])
    for rtol in TOLERANCES:
        error = plants.relative(few.solve(rtol), problem.gradients[:known].mean(0))
        many.evaluations = 0
        cpu, wall = timed(lambda rtol=rtol: many.solve(rtol), 1)
        found += [Row(problem.label, f"{label}-b{count}", int(seed), rtol, many.evaluations, error, cpu / count,
                      wall / count, batch=count) for seed in problem.seeds[:known]]
    return found


def measure(problem, batches=(32,), starts: int = 2, say=print) -> list[Row]:
    """All rows of a problem; batches beyond the first would take minutes."""
    found = []
    for label, method in LABELS.items():
        found += rows_of_one(problem, label, method, starts)
        for count in batches[:1]:
            found += rows_of_batch(problem, label, method, count)
        say(f"{label} on {problem.label}: measured")
    return found
