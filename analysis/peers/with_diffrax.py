"""with_diffrax.py -- gradients by Diffrax: a solve under vmap, jitted in float64, differentiated through its steps

The set-up is that which its documentation recommends and which was fastest here: Tsit5 or Dopri8, a PIDController with
rtol and atol = 1e-3 rtol (as ours), RecursiveCheckpointAdjoint with more checkpoints than steps, so that nothing but
the stages of a step is computed again; rtol is an argument of the compiled program. The loss is a further state. Where
the control jumps, the steps are clipped.
"""
import importlib.metadata
import os
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import diffrax  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import plants  # noqa: E402
from cases import more_starts  # noqa: E402
from rows import RTOLS, Row, check, median_error, timed  # noqa: E402

jax.config.update("jax_enable_x64", True)
SOLVERS = {"diffrax-tsit5": diffrax.Tsit5, "diffrax-dopri8": diffrax.Dopri8}
CHECKPOINTS, MOST_STEPS = 512, 100000
# Median error at the tightest tolerance of a problem that is ported rightly. (No bound on all: near an electrode f has
# kinks, and order one. Half of electric's 32 starts come within 7e-10, one in ten is off by 6e-4.)
ENOUGH = 1e-7
# Relative difference that a batch may have from its starts one by one, or else their largest error: rounding differs,
# and near a kink so do the steps.
SAME = 1e-6
TARGETS = (1e-3, 1e-6)


def versions() -> str:
    """Of what is measured."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("diffrax", "jax", "jaxlib"))


def make_loss(problem, solver):
    """loss(theta, x0, task, rtol) -> (loss, steps tried)"""
    plant = plants.PLANTS[problem.type](jnp, problem.horizon)
    field = plants.augmented(jnp, plant, problem.policy)
    jumps = jnp.asarray([share * problem.horizon for share in plant.breaks])

    def loss(theta, x0, task, rtol):
        parts = plants.split(theta, problem.policy)
        controller = diffrax.PIDController(rtol=rtol, atol=1e-3 * rtol)
        if plant.breaks:
            controller = diffrax.ClipStepSizeController(controller, jump_ts=jumps)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: field(t, y, parts, task)), solver, 0.0, problem.horizon, None,
            jnp.concatenate([x0, jnp.zeros(1)]), stepsize_controller=controller, max_steps=MOST_STEPS, throw=False,
            adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=CHECKPOINTS))
        return solution.ys[0, -1], solution.stats["num_steps"]
    return loss


def compiled(function, *arguments):
    """(the program, s of CPU time that compiling took)"""
    start = time.process_time()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.process_time() - start


def evaluations(solver, steps: int) -> int:
    """NFE of steps that were tried: f at the stages out, f and its product at the stages back."""
    return 3 * int(steps) * (solver.tableau.num_stages - int(solver.tableau.fsal))


class OneStart:
    """A gradient of one start, compiled."""

    def __init__(self, problem, solver):
        self.problem, self.solver = problem, solver
        self.theta = jnp.asarray(problem.theta)
        self.program, self.seconds = compiled(jax.value_and_grad(make_loss(problem, solver), has_aux=True), self.theta,
                                              problem.x0[0], problem.task[0], RTOLS[0])

    def call(self, start: int, rtol: float):
        """((loss, steps), dL/dtheta), computed."""
        return jax.block_until_ready(self.program(self.theta, self.problem.x0[start], self.problem.task[start], rtol))

    def rows(self, label: str, repeats: int):
        """A row for each start and tolerance; {rtol: gradients [start, np]}."""
        found, gradients = [], {}
        for rtol in RTOLS:
            gradients[rtol] = []
            for start, seed in enumerate(self.problem.seeds):
                (_, steps), gradient = self.call(start, rtol)
                gradients[rtol].append(np.asarray(gradient))
                cpu, wall = timed(lambda start=start, rtol=rtol: self.call(start, rtol), repeats)
                found.append(Row(self.problem.label, label, int(seed), rtol, evaluations(self.solver, steps),
                                 plants.relative(gradients[rtol][-1], self.problem.gradients[start]), cpu, wall,
                                 self.seconds))
        return found, gradients


class ManyStarts:
    """The gradient of the mean loss of many starts, compiled."""

    def __init__(self, problem, solver, count: int):
        self.problem, self.count = problem, count
        loss = jax.vmap(make_loss(problem, solver), (None, 0, 0, None))
        self.theta, (self.x0, self.task) = jnp.asarray(problem.theta), map(jnp.asarray, more_starts(problem, count))
        self.program, self.seconds = compiled(jax.value_and_grad(lambda *arguments: loss(*arguments)[0].mean()),
                                              self.theta, self.x0, self.task, RTOLS[0])

    def call(self, rtol: float):
        """(mean loss, its gradient), computed."""
        return jax.block_until_ready(self.program(self.theta, self.x0, self.task, rtol))

    def rows(self, ones: list[Row], label: str, rtols, repeats: int, gradients=None):
        """Rows of the starts one by one, with the times of the batch; where it is of these starts their gradients must
        have its mean."""
        found = []
        for rtol in rtols:
            if gradients:
                mean = np.mean(gradients[rtol], axis=0)
                allowed = max(SAME, *(row.error for row in ones if row.accuracy == rtol))
                if plants.relative(np.asarray(self.call(rtol)[1]), mean) > allowed:
                    raise SystemExit(f"{label} on {self.problem.label}: a batch has another gradient than its starts")
            cpu, wall = timed(lambda rtol=rtol: self.call(rtol), repeats)
            found += [Row(row.problem, label, row.seed, rtol, row.nfe, row.error, cpu / self.count, wall / self.count,
                          self.seconds, self.count) for row in ones if row.accuracy == rtol]
        return found


def needed(rows: list[Row]) -> list[float]:
    """Tolerances on both sides of the targets, by the median error over the starts."""
    errors = {rtol: median_error(rows, rtol) for rtol in RTOLS}
    chosen = set()
    for target in TARGETS:
        below = [rtol for rtol in RTOLS if errors[rtol] <= target]
        above = [rtol for rtol in RTOLS if errors[rtol] > target]
        chosen |= {*below[:1], *above[-1:]}
    return sorted(chosen, reverse=True)


def measure(problem, batches=(32, 1024), repeats: int = 5, say=print) -> list[Row]:
    """All rows of a problem: each solver on one start and on the first batch, the faster one on larger ones."""
    found, quickest = [], None
    for label, solver in SOLVERS.items():
        one = OneStart(problem, solver())
        rows, gradients = one.rows(label, repeats)
        check(rows, ENOUGH)
        found += rows
        chosen = needed(rows)
        say(f"{label} on {problem.label}: compiled in {one.seconds:.1f} s, checked against the reference")
        for count in batches[:1]:
            many = ManyStarts(problem, solver(), count)
            same = gradients if count == len(problem.seeds) else None
            batch = many.rows(rows, f"{label}-b{count}", chosen, repeats, same)
            found += batch
            seconds = float(np.median([row.seconds for row in batch if row.accuracy == chosen[-1]]))
            if quickest is None or seconds < quickest[0]:
                quickest = seconds, label, solver, rows, chosen
    for count in batches[1:]:
        _, label, solver, rows, chosen = quickest
        found += ManyStarts(problem, solver(), count).rows(rows, f"{label}-b{count}", chosen, 2)
        say(f"{label} on {problem.label}: {count} starts at once")
    return found
