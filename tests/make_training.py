"""make_training.py -- small synthetic training files with the schema of src/store/train_schema.h, for the tests of
analysis/

The columns are those of src/store/train_schema.h. Losses fall from 1 + level to level by known
rates, so that what a test expects can be worked out by hand. add_paths and add_audits complete files of `ctpgbench
train`.
"""

import h5py
import numpy as np

import seal
from make_results import COMMIT, ESTIMATOR, PROBLEM, STATUSES, blank, columns, table

RAIL = np.array([-4.8, 4.8])
ELECTRODES = np.array([[.1, .1], [.1, .9], [.9, .9], [.9, .1], [.5, .9], [.5, .1], [.1, .5], [.9, .5]])
CONSTANTS = {"cartpole": {"rail": RAIL, "rods": np.ones(1)},
             "electric": {"electrodes": ELECTRODES, "coulomb": np.array([1e-3]), "core": np.array([0.1])}}
NAMES = {
    "cartpole": (["cart", "pole", "cart'", "pole'"], ["m", "rad", "m/s", "rad/s"], ["force"], ["10 N"]),
    "diffdrive": (
        ["px", "py", "heading", "left", "right"],
        ["m", "m", "rad", "rad/s", "rad/s"],
        ["left'", "right'"],
        ["rad/s^2"] * 2,
    ),
}
HORIZONS = {"lqr": 25.0, "diffdrive": 5.0, "electric": 15.36, "cartpole": 3.0, "quadrotor": 5.0}
STATES = {"lqr": 2, "diffdrive": 5, "electric": 4, "cartpole": 4, "quadrotor": 12}
CONTROLS = {"lqr": 2, "diffdrive": 2, "electric": 8, "cartpole": 1, "quadrotor": 4}
PARAMETERS = 6
POSITION = {"electric": 2}  # first state of the position, else 0


ROW, HISTORY = columns("training"), columns("history")


def fall(seeds, iterations, rate=0.02, level=0.5, spread=0.1):
    """[s, i + 1] losses before iteration i, another level per seed."""
    steps = np.arange(iterations + 1)
    return level * (1 + spread * np.arange(seeds)[:, None]) + np.exp(-rate * steps)[None]


class Run:
    """What one pair does: all but the problem, the label and the type has a default."""

    def __init__(self, problem, label, kind, seeds=8, iterations=200, nfe=100, seconds=0.01, knob="rtol", accuracy=1e-3,
                 every=20, status="ok", losses=None, backsolve=None, arrays=None, failures=0, **options):
        self.problem, self.label, self.type, self.knob, self.accuracy = problem, label, kind, knob, accuracy
        self.seeds, self.iterations, self.nfe, self.seconds, self.every = seeds, iterations, nfe, seconds, every
        self.status = [status] * seeds if isinstance(status, str) or status is None else status
        self.losses = fall(seeds, iterations, **options) if losses is None else losses
        self.backsolve, self.arrays, self.failures = backsolve, arrays or {}, failures


def rows_of(run, p, e):
    rows = blank(run.seeds, ROW)
    for name, value in {"problem": p, "estimator": e, "row": np.arange(run.seeds), "seed": np.arange(run.seeds),
                        "accuracy": run.accuracy, "iterations": run.iterations,
                        "iterations_done": run.iterations}.items():
        rows[name] = value
    for row, word in zip(rows, run.status):
        row["status"] = STATUSES.index(word) if word else -1
        if word not in ("ok", None):
            row["iterations_done"] = run.iterations // 2
    return rows


def write_history(group, run, rows):
    shape = (run.seeds, run.iterations)
    done = np.arange(run.iterations) < rows["iterations_done"][:, None]
    ones = np.ones(shape)
    values = {
        "loss": run.losses[:, :-1],
        "grad_norm": ones,
        "accuracy": run.accuracy * ones,
        "step_size": 1e-3 * ones,
        "backsolve_error": np.full(shape, np.nan) if run.backsolve is None else run.backsolve,
        "elapsed": run.seconds * np.cumsum(ones, axis=1),
        "cpu": run.seconds * np.cumsum(ones, axis=1),
        "nf": run.nfe // 2 * ones,
        "nvjp_x": run.nfe // 4 * ones,
        "nvjp_theta": run.nfe // 4 * ones,
        "nvjp": run.nfe // 2 * ones,
    }
    for name in HISTORY.names:
        column = values.get(name, 0 * ones)
        empty = np.nan if HISTORY[name].kind == "f" else 0
        group[name] = np.where(done, column, empty).astype(HISTORY[name])


def write_pair(file, run, rows):
    group = file.require_group(f"training/{run.problem}/{run.label}")
    write_history(group, run, rows)
    tests = np.arange(0, run.iterations + 1, run.every)
    group["seed"], group["test_iteration"] = np.arange(run.seeds), tests
    group["snapshot"] = run.iterations * np.array([2, 3, 4]) // 4
    group["theta"] = np.random.default_rng(4).normal(size=(run.seeds, 3, PARAMETERS))
    tested = tests <= rows["iterations_done"][:, None]
    group["test_loss"] = np.where(tested, run.losses[:, tests], np.nan)
    group["test_failures"] = np.full(tested.shape, run.failures, "i4")
    for name, values in run.arrays.items():
        group[name] = values


def write_starts(file, problem, kind, seeds, starts=10):
    group, generator = file.require_group(f"training/{problem}"), np.random.default_rng(1)
    x0 = generator.uniform(-2, 2, (seeds, starts, STATES[kind]))
    if kind == "lqr":
        x0[:] = 1
    goals = generator.uniform(0.2, 0.8, (seeds, starts, 6 if kind == "electric" else 0))
    if kind == "electric":
        x0 = np.concatenate([np.zeros((seeds, starts, 2)), goals[..., :2]], axis=2)
    group["seed"], group["test_x0"], group["test_task"] = np.arange(seeds), x0, goals
    group.attrs["options"] = np.bytes_("batch = 4\n")


def make_plants(file, kinds):
    """plants/<label> of problems {label: type}: what their C sources say of themselves."""
    for label, kind in kinds.items():
        group = file.create_group(f"plants/{label}")
        for key, words in zip(("state_names", "state_units", "control_names", "control_units"), NAMES.get(kind, ())):
            group.attrs[key] = np.array(words, "S32")
        for name, value in CONSTANTS.get(kind, {}).items():
            group[f"constants/{name}"] = value


def write(path, runs, types=None, options="", plants=True):
    """The file of these pairs. types: {label of a problem: its type} where they differ; plants: with their names and
    constants."""
    problems, labels = list(dict.fromkeys(run.problem for run in runs)), list(dict.fromkeys(run.label for run in runs))
    kinds = {name: (types or {}).get(name, name) for name in problems}
    estimators = {run.label: run for run in runs}
    tables = [rows_of(run, problems.index(run.problem), labels.index(run.label)) for run in runs]
    with seal.create(path, "train", STATUSES) as file:
        file["problems"] = table(
            PROBLEM,
            [
                dict(
                    label=name,
                    type=kinds[name],
                    T=HORIZONS[kinds[name]],
                    policy="mlp",
                    nx=STATES[kinds[name]],
                    nu=CONTROLS[kinds[name]],
                    options=options,
                )
                for name in problems
            ],
        )
        if plants:
            make_plants(file, kinds)
        file["estimators"] = table(ESTIMATOR, [dict(label=name, type=estimators[name].type, knob=estimators[name].knob)
                                               for name in labels])
        for name in problems:
            write_starts(file, name, kinds[name], max(run.seeds for run in runs if run.problem == name))
        for run, rows in zip(runs, tables):
            write_pair(file, run, rows)
        every = np.concatenate(tables)
        commit = np.zeros(len(every), COMMIT)
        commit["status"] = every["status"]
        file["training/table"], file["training/commit"] = every, commit
        file["training"].attrs["history"] = np.array(HISTORY.names, "S32")
    return seal.seal(path)


# ---- arrays that are added to a file ----

def put(group, name, values):
    if name in group:
        del group[name]
    group[name] = values


def add_paths(path, rates, samples=41):
    """Paths that go to the origin, or to electric's goal, with rates[label] (1/s); a negative one goes away."""
    with h5py.File(path, "r+", libver=seal.FORMAT) as file:
        kinds = {name.decode(): kind.decode() for name, kind in file["problems"][()][["label", "type"]]}
        for problem, group in file["training"].items():
            for label in [name for name in group if name in rates] if isinstance(group, h5py.Group) else []:
                pair, kind = group[label], kinds[problem]
                starts = group["test_x0"][()][:len(pair["loss"]), None]
                times = np.linspace(0, HORIZONS[kind], samples)
                stage = (1 + np.arange(len(pair["snapshot"]))) / len(pair["snapshot"])
                shrink = np.exp(-rates[label] * times * stage[:, None])[None, :, None, :, None]
                target = group["test_task"][()][:len(starts), None, :, None, 4:6] if kind == "electric" else 0.0
                states = starts[..., None, :] * np.ones_like(shrink)
                first = POSITION.get(kind, 0)
                turn = np.stack([np.cos(times), np.sin(times)], axis=-1)
                states[..., first:first + 2] = target + (states[..., first:first + 2] - target) * shrink \
                    + 0.05 * (turn - turn[0])
                states[..., first + 2:] *= shrink
                control = np.sin(times[:, None] + np.arange(CONTROLS[kind])) * np.ones((*states.shape[:-1], 1))
                put(pair, "path_time", times)
                put(pair, "path", states)
                put(pair, "path_control", control)
    seal.seal(path)


def add_audits(path, errors, stderr=0.3, iterations=(0, 50, 100)):
    """errors: {label: relative error of the batch gradient}; its norm is 2, stderr is relative, too."""
    with h5py.File(path, "r+", libver=seal.FORMAT) as file:
        for group in file["training"].values():
            for label in [name for name in group if name in errors] if isinstance(group, h5py.Group) else []:
                shape = (len(group[label]["loss"]), len(iterations))
                put(group[label], "audit_iteration", np.array(iterations))
                put(group[label], "audit_error", np.full(shape, 2 * errors[label]))
                put(group[label], "audit_stderr", np.full(shape, 2 * stderr))
                put(group[label], "audit_norm", np.full(shape, 2.0))
    seal.seal(path)


def visited(seeds, count, width, turns=0.2):
    """[s, v, 4] states of a cart pole: positions within width, angles within `turns` of a turn from hanging down."""
    generator = np.random.default_rng(3)
    states = generator.normal(0, 0.2, (seeds, count, 4))
    states[..., 0] *= 5 * width
    states[..., 1] = np.pi + 2 * np.pi * turns * generator.normal(size=(seeds, count))
    return states


def paper_runs(seeds=8, iterations=400):
    """The paper's pairs, ctpg better throughout."""
    def pair(problem, label, kind, **values):
        return Run(problem, label, kind, seeds=seeds, iterations=iterations, **values)

    falling = 2 * np.ones((seeds, iterations + 1)) + 5 * np.exp(-0.02 * np.arange(iterations + 1))
    rising = falling + np.exp(np.arange(iterations + 1) * 10 / iterations) / 100
    swinging = np.linspace(3, -0.6, iterations + 1) * np.ones((seeds, 1))
    backsolve = np.exp(np.arange(iterations) * 20 / iterations)[None] * (1 + np.arange(seeds)[:, None]) * 1e-3
    euler = dict(knob="dt", accuracy=0.05)
    return [
        pair("lqr", "ctpg", "ctpg", losses=falling),
        pair("lqr", "neural-ode", "neural-ode", losses=rising, backsolve=backsolve),
        pair("diffdrive", "ctpg", "ctpg", rate=0.02),
        pair("diffdrive", "bptt-diffdrive", "euler-bptt", rate=0.01, **euler),
        pair("electric", "ctpg", "ctpg", rate=0.02),
        pair("electric", "bptt-electric", "euler-bptt", nfe=400, seconds=0.02, rate=0.02, **euler),
        pair("cartpole", "ctpg", "ctpg", losses=swinging, arrays={"visited": visited(seeds, 2000, 0.3)}),
        pair("cartpole", "bptt-cartpole", "euler-bptt", losses=swinging, nfe=400,
             arrays={"visited": visited(seeds, 2000, 0.9, 0.5)}, **euler),
        pair("quadrotor", "ctpg", "ctpg"),
        pair("quadrotor", "bptt-quadrotor", "euler-bptt", level=5.0, **euler),
    ]


def paper_file(path, **values):
    write(path, paper_runs(**values))
    rates = {"ctpg": 0.9, "bptt-diffdrive": 0.5, "bptt-electric": 0.3, "bptt-quadrotor": -0.3}
    add_paths(path, rates)
    return path
