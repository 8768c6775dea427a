"""quantiles.py -- medians and quantiles of the numbers that are there"""
from __future__ import annotations

import numpy as np


def finite_median(values, axis: int | None = None) -> np.ndarray:
    """Median of the numbers that are not NaN, over one axis or all; NaN where there are none."""
    return finite_quantile(values, 0.5, axis)


def finite_quantile(values, q: float, axis: int | None = None) -> np.ndarray:
    """Quantile of the numbers that are not NaN, as numpy.nanquantile, which takes a loop of Python for each; NaN where
    there are none."""
    values = np.moveaxis(np.asarray(values, float), axis, 0) if axis is not None else np.ravel(values)
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    ordered, place = np.sort(values, axis=0), q * ((~np.isnan(values)).sum(axis=0) - 1)
    first = np.floor(np.fmax(place, 0)).astype(int)
    share = np.fmax(place, 0) - first

    def at(rows):
        return np.take_along_axis(ordered, rows[None], axis=0)[0]

    low, high = at(first), at(np.ceil(np.fmax(place, 0)).astype(int))
    with np.errstate(invalid="ignore"):
        step = high - low
        between = np.where(share < 0.5, low + step * share, high - step * (1 - share))
    return np.where(low == high, low, between)
