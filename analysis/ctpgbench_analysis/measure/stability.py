"""stability.py -- linear stability of lia's steps, and what their error estimate sees, with a matrix that is not f_x

On y' = lambda y with equal steps h, z = h lambda and M = g lambda, a step of order k (multistep.h) is a linear map of
(y_n, h F_n, .., h F_{n-k+1}):

    y^P = y_n + sum_i gamma_i (h F_{n-i}),  h f^P = z y^P,  y* = y_n + beta_0 h f^P + sum_i beta_{i+1} h F_{n-i}
    y = y^P + (y* - y^P) / (1 - beta_0 g z),  h F = h f^P + g z (y - y^P)

with the weights of Adams and Bashforth (k nodes) and of Adams and Moulton (k + 1 nodes). With g = 1 this is
Adams-Moulton of order k + 1; with g = 0 an explicit method whose slopes are those of predicted points.
"""
from __future__ import annotations

import functools
import math

import numpy as np
from numpy.polynomial import Polynomial

ORDERS = range(1, 9)


def weights(nodes: np.ndarray) -> np.ndarray:
    """Integrals over [0, 1] of Lagrange's polynomials on these nodes."""
    found = []
    for i, node in enumerate(nodes):
        basis = Polynomial([1.0])
        for j, other in enumerate(nodes):
            if j != i:
                basis *= Polynomial([-other, 1.0]) / (node - other)
        found.append(basis.integ()(1.0))
    return np.array(found)


@functools.cache
def predictor(k: int) -> np.ndarray:
    """[k] weights of F_n, F_{n-1}, .."""
    return weights(-np.arange(k, dtype=float))


@functools.cache
def corrector(k: int) -> np.ndarray:
    """[k + 1] weights of f^P, F_n, F_{n-1}, .."""
    return weights(1.0 - np.arange(k + 1, dtype=float))


def step_matrix(k: int, g: float, z: complex) -> np.ndarray:
    """[k + 1, k + 1]: the map of a step on (y_n, h F_n, .., h F_{n-k+1})."""
    first = np.zeros(k + 1, complex)
    first[0] = 1
    predicted, corrected = first.copy(), first.copy()
    beta = corrector(k)
    predicted[1:] += predictor(k)
    corrected[1:] += beta[1:]
    corrected += beta[0] * z * predicted
    y = predicted + (corrected - predicted) / (1 - beta[0] * g * z)
    matrix = np.zeros((k + 1, k + 1), complex)
    matrix[0] = y
    matrix[1] = z * predicted + g * z * (y - predicted)
    for i in range(2, k + 1):
        matrix[i, i - 1] = 1
    return matrix


def is_stable(k: int, g: float, z: complex) -> bool:
    """No growth, but for rounding."""
    return bool(np.abs(np.linalg.eigvals(step_matrix(k, g, z))).max() <= 1 + 1e-9)


def real_interval(k: int, g: float, largest: float = 1e4) -> float:
    """The largest x <= `largest` with stable steps for all z in [-x, 0]; inf: all of them are."""
    grid = np.concatenate([np.linspace(0.002, 10, 1000), np.geomspace(10, largest, 60)[1:]])
    low = 0.0
    for x in grid:
        if not is_stable(k, g, -x):
            high = x
            break
        low = x
    else:
        return math.inf
    for _ in range(40):
        centre = (low + high) / 2
        low, high = (centre, high) if is_stable(k, g, -centre) else (low, centre)
    return low


def local_error(k: int, g: float, z: float) -> tuple[float, float]:
    """(error of one step that starts from exact values of y = exp(lambda t), y_n = 1; its estimate S T_k)."""
    past = z * np.exp(-z * np.arange(k))
    state = np.concatenate([[1.0], past])
    predicted = 1 + predictor(k) @ past
    y = (step_matrix(k, g, z)[0] @ state).real
    values = np.concatenate([[z * predicted], past])
    term = (corrector(k) - np.append(corrector(k - 1) if k > 1 else [1.0], 0.0)) @ values
    return float(y - math.exp(z)), float(term / (1 - corrector(k)[0] * g * z))
