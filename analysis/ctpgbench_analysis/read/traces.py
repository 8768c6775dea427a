"""traces.py -- the small file of `ctpgbench trace`: the true path of one case, and what the estimators believe of it"""
from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.file import SCHEMA, open_kind, plain_text
from ctpgbench_analysis.read.plants import Plant, read_plant

SOLIDS = ("plane", "sphere", "capsule", "ellipsoid", "cylinder", "box")
POSE = 12  # numbers of where a solid is


@dataclass
class Back:
    """One estimator on its way back: where it asked for vector-Jacobian products, in its order."""
    label: str
    type: str
    knob: str
    status: str
    accuracy: float
    err_rel: float
    t: np.ndarray  # [k], s
    x: np.ndarray  # [k, nx]
    out_t: np.ndarray  # [n] the start and the end of each step on its way out; empty where the file does not say
    out_x: np.ndarray  # [n, nx]

    def retried(self) -> np.ndarray:
        """[k] points of a step that was rejected: time then jumps ahead of them, to the first point of the next try."""
        again = np.zeros(len(self.t), bool)
        for ahead in np.flatnonzero(np.diff(self.t) > 1e-9 * np.ptp(self.t)) + 1:
            point = ahead - 1
            while point >= 0 and self.t[point] < self.t[ahead]:
                again[point] = True
                point -= 1
        return again


@dataclass
class Bodies:
    """The solids of a problem, and where they are along the true path."""
    solid: np.ndarray   # [g] numbers of SOLIDS
    size: np.ndarray    # [g, 3], m; see CtpgShape in include/ctpgbench/problem.h
    middle: np.ndarray  # [m, g, 3]
    axes: np.ndarray    # [m, g, 3, 3] a solid's axes as columns


@dataclass
class Trace:
    """The true path of one case, and what the estimators believe of it."""
    path: str
    problem: str  # label
    type: str
    case: str
    policy: str
    theta: str  # where its parameters are from: the value of -theta_file; "" as drawn for the seed
    horizon: float
    nq: int
    velocity_first: int  # 1: the state is (q', q, rest) instead of (q, q', rest)
    t: np.ndarray  # [m] samples of the true path, s
    x: np.ndarray  # [m, nx]
    u: np.ndarray  # [m, nu]
    back: list[Back]  # estimators that asked for a product at all
    plant: Plant  # names, units, constants
    bodies: Bodies | None = None

    def at(self, times: np.ndarray) -> np.ndarray:
        """[k, nx] the true path at these times [k]: cubic Hermite interpolation of its samples."""
        slopes = np.gradient(self.x, self.t, axis=0, edge_order=2)
        left = np.clip(np.searchsorted(self.t, times, side="right") - 1, 0, len(self.t) - 2)
        step = self.t[left + 1] - self.t[left]
        s, step = ((times - self.t[left]) / step)[:, None], step[:, None]
        return ((1 + 2 * s) * (1 - s) ** 2 * self.x[left] + s**2 * (3 - 2 * s) * self.x[left + 1]
                + step * s * (1 - s) * ((1 - s) * slopes[left] - s * slopes[left + 1]))

    def astray(self, back: Back) -> float:
        """Largest distance of an estimator's points to the true path, in units of the path's largest |x|; points of
        rejected steps do not count."""
        kept = ~back.retried()
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.linalg.norm(back.x[kept] - self.at(back.t[kept]), axis=1)
        return np.fmax.reduce(distances) / max(np.linalg.norm(self.x, axis=1).max(), np.finfo(float).tiny)


def read_path(group, path, *names: str, least: int = 1) -> list[np.ndarray]:
    """Time [m] and these arrays [m, width] of one group of a trace, m at least `least`."""
    missing = [name for name in ("t", *names) if not isinstance(group.get(name), h5py.Dataset)]
    if missing:
        raise ResultsError(f"{path} has no {missing[0]} in {group.name[1:]}; it is not a trace file of ctpgbench "
                           f"trace.")
    times = group["t"][()]
    columns = [group[name][()].reshape(len(times), -1) if len(group[name]) == len(times) else None for name in names]
    if any(column is None for column in columns) or len(times) < least:
        raise ResultsError(f"{path} is damaged: the arrays in {group.name[1:]} differ in length or hold fewer than "
                           f"{least} rows.")
    return [times, *columns]


def read_attributes(node, path, **types: type) -> dict:
    """{name: value} of attributes of these types."""
    missing = [name for name in types if name not in node.attrs]
    if missing:
        raise ResultsError(f"{path} has no attribute {missing[0]} at {node.name}; expected those of schema {SCHEMA}.")
    return {name: plain_text(node.attrs[name]) if kind is str else kind(node.attrs[name])
            for name, kind in types.items()}


def read_back(file, path) -> list[Back]:
    """Every Back of the file, in the order of the alphabet, which is that of HDF5."""
    fields = dict(type=str, knob=str, status=str, accuracy=float, err_rel=float)
    paths = []
    for label, group in file.get("back", {}).items():
        t, x = read_path(group, path, "x")
        out = file.get(f"out/{label}")
        out_t, out_x = read_path(out, path, "x") if out is not None else (np.empty(0), np.empty((0, x.shape[1])))
        paths.append(Back(label=label, t=t, x=x, out_t=out_t, out_x=out_x, **read_attributes(group, path, **fields)))
    return paths


def read_bodies(file, path, samples: int) -> Bodies | None:
    """The solids of a file that has some."""
    group = file.get("bodies")
    if not isinstance(group, h5py.Group) or any(name not in group for name in ("solid", "size", "pose")):
        return None
    solid = group["solid"][()].astype(int)
    size, pose = group["size"][()], group["pose"][()]
    if pose.size != samples * POSE * len(solid) or size.size != 3 * len(solid) or not np.isfinite(pose).all():
        raise ResultsError(f"{path} is damaged: the arrays in bodies differ in length or hold no numbers.")
    pose = pose.reshape(samples, len(solid), POSE)
    return Bodies(solid, size.reshape(-1, 3), pose[..., :3], pose[..., 3:].reshape(samples, len(solid), 3, 3))


def check_path(path, name: str, t: np.ndarray, *columns: np.ndarray) -> None:
    """The true path is one: times that grow, and numbers that are finite."""
    if not all(np.isfinite(values).all() for values in (t, *columns)) or not (np.diff(t) > 0).all():
        raise ResultsError(f"{path} is damaged: the arrays in {name} hold times that do not grow, or no numbers.")


def load_trace(path) -> Trace:
    """Trace of the file at path; ResultsError says in one sentence why there is none."""
    with open_kind(path, "trace") as file:
        head = read_attributes(file, path, problem=str, type=str, case=str, policy=str, horizon=float, nq=int,
                               velocity_first=int)
        if "forward" not in file:
            raise ResultsError(f"{path} has no group forward; it is not a trace file of ctpgbench trace.")
        t, x, u = read_path(file["forward"], path, "x", "u", least=3)
        check_path(path, "forward", t, x, u)
        trace = Trace(path=str(path), t=t, x=x, u=u, back=read_back(file, path), **head,
                      theta=plain_text(file.attrs.get("theta", b"")),
                      plant=read_plant(file, head["problem"], x.shape[1], u.shape[1]),
                      bodies=read_bodies(file, path, len(t)))
    wrong = [f"{name}/{back.label}" for back in trace.back for name, states in (("back", back.x), ("out", back.out_x))
             if states.shape[1] != x.shape[1]]
    if wrong:
        raise ResultsError(f"{path} is damaged: {wrong[0]} has not the {x.shape[1]} states of the true path.")
    return trace
