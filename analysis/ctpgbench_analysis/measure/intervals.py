"""intervals.py -- exact confidence intervals, without assumptions on the distribution and with infinite values
allowed"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy.special import bdtr, betaincinv

LEVEL = 0.95
FEWEST = 6  # values of which the least and the largest hold the median with this confidence: 1 - 2 / 2^6 = 0.969


@dataclass
class Interval:
    """An estimate with its interval; low and high are NaN where there are too few values for one."""
    value: float
    low: float
    high: float
    n: int
    top: float = math.nan  # where the estimate is known only to lie between value and top

    @property
    def known(self) -> bool:
        """Are there values enough for an interval?"""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def estimate(self, form: str = ".3g") -> str:
        """The estimate in words."""
        if math.isnan(self.top) or f"{self.top:{form}}" == f"{self.value:{form}}":
            return f"{self.value:{form}}"
        if math.isinf(self.top):
            return f"at least {self.value:{form}}" if self.value else "unknown"
        return f"between {self.value:{form}} and {self.top:{form}}" if self.value else f"at most {self.top:{form}}"

    def text(self, form: str = ".3g") -> str:
        """Estimate, interval and number of seeds in words."""
        ends = f"{self.low:{form}} to {self.high:{form}}" if self.known else f"none, fewer than {FEWEST} seeds"
        return f"{self.estimate(form)} (95 % interval {ends}; n = {self.n})"


def middle(values: Sequence[float]) -> float:
    """Median; infinite values are fine."""
    ordered = np.sort(np.asarray(values, float))
    if not len(ordered):
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(low) if low == high else float(low + (high - low) / 2) if np.isfinite(low) else float(high)


def median_interval(values: Sequence[float], upper: Sequence[float] | None = None) -> Interval:
    """Median with the interval between two order statistics. upper: values are known only as [values, upper]."""
    upper = values if upper is None else upper
    lows, highs = np.sort(np.asarray(values, float)), np.sort(np.asarray(upper, float))
    n = len(lows)
    value, top = middle(lows), middle(highs)
    if n < FEWEST:
        return Interval(value, math.nan, math.nan, n, top)
    rank = max(k for k in range(n // 2) if 2 * bdtr(k, n, 0.5) <= 1 - LEVEL)
    return Interval(value, float(lows[rank]), float(highs[n - 1 - rank]), n, top)


def share_interval(k: int, n: int) -> Interval:
    """Share k of n with the interval of Clopper and Pearson (1934)."""
    if not n:
        return Interval(math.nan, math.nan, math.nan, 0)
    each = (1 - LEVEL) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, each))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - each))
    return Interval(k / n, low, high, n)
