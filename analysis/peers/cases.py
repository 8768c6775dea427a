"""cases.py -- starts, policies and reference gradients from a results file of `ctpgbench sweep`"""
from dataclasses import dataclass

import h5py
import numpy as np


@dataclass
class Problem:
    """One label: starts of one policy, and the gradients to compare with."""
    label: str
    type: str
    policy: str           # "7-32-32-2 tanh,tanh,linear"
    horizon: float        # s
    seeds: np.ndarray     # [start]
    x0: np.ndarray        # [start, nx]
    task: np.ndarray      # [start, ntask]
    theta: np.ndarray     # [np]
    gradients: np.ndarray # [start, np]
    floors: np.ndarray    # [start] relative error of the reference


def text(value) -> str:
    """str of a text of HDF5."""
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)


def read_problem(file, row: int) -> Problem:
    """A row of the table of problems."""
    info = file["problems"][row]
    label = text(info["label"])
    group, cases = file[f"cases/{label}"], file["cases/table"][()]
    mine = cases[cases["problem"] == row]
    if "theta" not in group or (group["theta"][()] != group["theta"][0]).any():
        raise SystemExit(f"{label} has not one policy for all seeds; expected a sweep with -{label}_theta_file")
    task = group["task"][()] if "task" in group else np.zeros((len(mine), 0))
    order = mine["row"]
    return Problem(label, text(info["type"]), text(info["policy"]), float(info["T"]), mine["seed"],
                   group["x0"][()][order], task[order], group["theta"][0], group["grad_theta"][()][order],
                   mine["ref_err"])


def read_problems(path) -> list[Problem]:
    """All problems of the file."""
    with h5py.File(path, "r") as file:
        return [read_problem(file, row) for row in range(len(file["problems"]))]


def more_starts(problem: Problem, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(x0 [count, nx], task [count, ntask]): those of the file, then others from the same distribution."""
    missing = max(count - len(problem.x0), 0)
    draw = np.random.default_rng(1)
    if problem.type == "diffdrive":
        x0, task = np.zeros((missing, 5)), np.zeros((missing, 0))
        x0[:, :2], x0[:, 2] = draw.uniform(-5, 5, (missing, 2)), draw.uniform(0, 2 * np.pi, missing)
    elif problem.type == "electric":
        x0, task = np.zeros((missing, 4)), 0.2 + 0.6 * draw.random((missing, 6))
        x0[:, 2:] = task[:, :2]
    elif problem.type == "quadrotor":
        x0, task = np.zeros((missing, 12)), np.zeros((missing, 0))
        x0[:, :3] = draw.uniform(-2.5, 2.5, (missing, 3))
        x0[:, 3:6], x0[:, 9:] = 0.1 * draw.normal(size=(missing, 3)), 0.1 * draw.normal(size=(missing, 3))
    else:
        x0, task = draw.normal(size=(missing, problem.x0.shape[1])), np.zeros((missing, 0))
    return (np.concatenate([problem.x0, x0])[:count], np.concatenate([problem.task, task])[:count])
