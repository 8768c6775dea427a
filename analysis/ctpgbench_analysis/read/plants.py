"""plants.py -- what a problem's numbers are: names and units of states and controls, and constants, as the file says

The group plants/<problem label> has the attributes state_names [nx], state_units [nx], control_names [nu] and
control_units [nu], and datasets constants/<name> [.] or [., .] with an attribute unit. A file that says nothing, or not
as many names as there are states, gives generic names x1, x2, ... without units, and no constants: nothing here is a
copy of a problem's source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import h5py
import numpy as np

from ctpgbench_analysis.read.file import plain_text


@dataclass(frozen=True)
class Plant:
    """One problem of a file."""
    state_names: tuple[str, ...]    # [nx]
    state_units: tuple[str, ...]    # [nx], "" for none
    control_names: tuple[str, ...]  # [nu]
    control_units: tuple[str, ...]  # [nu]
    constants: dict[str, np.ndarray] = field(default_factory=dict)  # name: float array [.] or [., .]

    def state(self, index: int) -> str:
        """"px (m)": name and unit of a state."""
        return with_unit(self.state_names[index], self.state_units[index])

    def constant(self, name: str, *shape: int | None) -> np.ndarray | None:
        """The constant, if the file has it with this shape (None: any size) and only finite numbers; else None."""
        value = self.constants.get(name)
        if value is None or value.ndim != len(shape) or not np.isfinite(value).all():
            return None
        return value if all(size in (None, found) for size, found in zip(shape, value.shape)) else None

    def number(self, name: str) -> float | None:
        """The constant of one number; else None."""
        value = self.constant(name, 1)
        return None if value is None else float(value[0])


def with_unit(name: str, unit: str) -> str:
    """"px (m)", or the name alone where there is no unit."""
    return f"{name} ({unit})" if unit else name


def read_words(group, name: str) -> list[str]:
    """The words of an attribute; none where there is no group or no such attribute."""
    return [plain_text(word) for word in np.ravel(group.attrs.get(name, []))] if group is not None else []


def read_names(group, what: str, letter: str, size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units [size] of the states or the controls (what: state, control)."""
    names, units = (read_words(group, f"{what}_{part}") for part in ("names", "units"))
    if len(names) != size:
        return tuple(f"{letter}{i + 1}" for i in range(size)), ("",) * size
    names = [name or f"{letter}{i + 1}" for i, name in enumerate(names)]
    units = [unit.replace("^2", "²") if unit != "1" else "" for unit in units] if len(units) == size else [""] * size
    return tuple(names), tuple(units)


def read_constants(group) -> dict[str, np.ndarray]:
    """{name: float array} of the datasets in constants."""
    inner = group.get("constants") if group is not None else None
    if not isinstance(inner, h5py.Group):
        return {}
    return {name: np.asarray(node[()], float) for name, node in inner.items()
            if isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu"}


def read_plant(file: h5py.File, label: str, nx: int, nu: int) -> Plant:
    """Plant of the problem of this label, of nx states and nu controls."""
    plants = file.get("plants")
    group = plants.get(label) if isinstance(plants, h5py.Group) and label else None
    group = group if isinstance(group, h5py.Group) else None
    return Plant(*read_names(group, "state", "x", nx), *read_names(group, "control", "u", nu), read_constants(group))
