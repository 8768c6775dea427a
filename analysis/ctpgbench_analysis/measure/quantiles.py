"""quantiles.py -- medians and quantiles of the numbers that are there"""
from __future__ import annotations

import numpy as np


def finite_median(values, axis: int | None = None) -> np.ndarray:
    """Median of the numbers that are not NaN, over one axis or all; NaN where there are none."""
    return finite_quantile(values, 0.5, axis)


def finite_quantile(values, q: float, axis: int | None = None) -> np.ndarray:
    """Quantile of the numbers that are not NaN; NaN where there are none."""
    values = np.moveaxis(np.asarray(values, float), axis, 0) if axis is not None else np.ravel(values)
    empty = np.isnan(values).all(axis=0) if len(values) else np.ones(values.shape[1:], bool)
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    return np.where(empty, np.nan, np.nanquantile(np.where(empty, 0.0, values), q, axis=0))
