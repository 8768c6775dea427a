"""prices.py -- three prices of a run's evaluations, which differ where it takes full Jacobians

  1  nfe of the file: a Jacobian counts the policy's products that it took, njac_products
  2  the same, and what these leave out: the plant's calls of each Jacobian, and one product for theta each, which the
     correction at the Jacobians would take if they had not kept their factors
  3  a Jacobian counts min(nx, nu + 1) products: what a user pays who has nothing but a vector-Jacobian product

The plant's calls are in nplant, beside one for each f, product and directional derivative. Where the problem's products
are finite differences nplant says nothing of that kind, and the plant's part is taken as nx + 1 products.

A headline names a ratio of evaluations at price 1 only where price 3 has the same sign (`headline`).
"""
from __future__ import annotations

import math

import numpy as np

from ctpgbench_analysis.read.sweep import Results

PRICES = (1, 2, 3)
DIFFERENCED = 2  # of cases/table.flags


def priced(results: Results, rows: np.ndarray, price: int = 1) -> np.ndarray:
    """[r] evaluations of runs (mask or indices [r] of runs/table) at a price of PRICES."""
    run = results.runs[rows]
    nfe, njac = run["nfe"].astype(float), run["njac"].astype(float)
    if price == 1:
        return nfe
    problem = results.problems[run["problem"]]
    nx, nu = problem["nx"].astype(float), problem["nu"].astype(float)
    if price == 3:
        return nfe - run["njac_products"] + njac * np.minimum(nx, nu + 1)
    differenced = results.cases["flags"][run["case_index"]] & DIFFERENCED != 0
    beside = run["nplant"] - (run["nf"] + run["nvjp"] + run["njvp"]).astype(float)
    plant = np.where(differenced, njac * (nx + 1), np.maximum(beside, 0))
    return nfe + np.where(njac > 0, plant + njac, 0)


def headline(first: float, third: float) -> float:
    """The ratio that may be named of these two, of evaluations at price 1 and at price 3: the first where both say the
    same of who needs fewer, else the third; NaN where either is."""
    if math.isnan(first) or math.isnan(third):
        return math.nan
    return first if (first < 1) == (third < 1) else third
