"""episodes.py -- what trained policies did: how near the origin paths end, how fast they turn; what lqr could reach"""

from __future__ import annotations

import math

import numpy as np

from ctpgbench_analysis.read.training import Pair, Training

NEAR_ORIGIN = 0.5   # m from the origin at the end: this start is stabilised
MOST_STARTS = 0.9   # share of test starts that a stabilising policy brings there


def counts_loss(pair: Pair) -> bool:
    """Is the backsolve error that of state and loss, as in the paper's code?"""
    return pair.estimator_options.get("backsolve_loss") == "true"


def optimum(pair: Pair) -> np.ndarray | None:
    """[s] least loss of lqr with A = 0, B = Q = R = I: x0.x0 tanh(T), mean over the test starts; None for others."""
    given = [name for name in "ABQR" if pair.problem_options.get(name)]
    starts = pair.of_problem("test_x0")
    if given or pair.problem_type != "lqr" or not starts.size:
        return None
    return (starts**2).sum(axis=2).mean(axis=1) * math.tanh(pair.horizon)


def cartpole_pairs(training: Training) -> list[Pair] | None:
    """Euler-BPTT and ctpg on MuJoCo's cart pole, or on its witness; None unless both are there."""
    return training.first_of("cartpole", "euler-bptt", "ctpg") \
        or training.first_of("cartpole-analytic", "euler-bptt", "ctpg")


def distances_at_end(pair: Pair) -> np.ndarray:
    """[s, start] distance (m) to the origin at the end of the paths under the final policies; infinite where they
    broke."""
    ends = pair.read("path")[:, -1, :, -1, :3]
    distance = np.linalg.norm(ends, axis=-1)
    return np.where(np.isfinite(distance), distance, np.inf)


def stabilises(pair: Pair) -> np.ndarray:
    """[s] does the final policy bring most of the test starts to the origin?"""
    return (distances_at_end(pair) <= NEAR_ORIGIN).mean(axis=1) >= MOST_STARTS


def yaw_rates_at_end(pair: Pair) -> np.ndarray:
    """[n] |rate about the vertical axis| (rad/s) of the quadrotor at the end of the paths that did not break, under
    the final policies."""
    rates = np.abs(pair.read("path")[:, -1, :, -1, 11])
    return rates[np.isfinite(rates)]
