"""make_results.py -- small synthetic results files with the schema of src/store/schema.h, for the tests of analysis/

The columns and statuses are those that $CTPG_BUILD/dump_columns prints, so a test file cannot drift from what the C
side writes.
"""
import subprocess
import zlib

import h5py
import numpy as np

import seal
from program import PROGRAM

KINDS = {"U64": "u8", "I64": "i8", "I32": "i4", "F64": "f8", "TEXT": "S128", "HOST": "S32"}
PROBLEM = [("label", "S64"), ("type", "S64"), ("version", "i4"), ("options", "S1024"), ("bibtex", "S1024"),
           ("nx", "i4"), ("nu", "i4"), ("no", "i4"), ("np", "i4"), ("T", "f8"), ("policy", "S128"),
           ("derivatives", "S32"), ("cost_f", "f8"), ("cost_vjp", "f8")]
ESTIMATOR = [("label", "S64"), ("type", "S64"), ("version", "i4"), ("options", "S1024"), ("bibtex", "S1024"),
             ("knob", "S16"), ("order", "f8")]
COMMIT = [("checksum_0", "u8"), ("checksum_1", "u8"), ("status", "i4")]
SKETCH = 16


def dumped():
    """[(table, name, kind)] of what the C side writes, and ("status", name, "-") for its words."""
    lines = subprocess.run([PROGRAM.parent / "dump_columns"], check=True, capture_output=True, text=True).stdout
    return [tuple(line.split()[:3]) for line in lines.splitlines()]


def columns(table):
    """numpy dtype of the rows of "run", "case", "training" or "history"."""
    return np.dtype([(name, KINDS[kind]) for where, name, kind in DUMPED if where == table])


DUMPED = dumped()
STATUSES = [name for where, name, _ in DUMPED if where == "status"]
RUN, CASE = columns("run"), columns("case")


def blank(count, dtype):
    """Rows as they are before anything is known: NaN, zero, pending."""
    rows = np.zeros(count, dtype)
    for name in dtype.names:
        if dtype[name].kind == "f":
            rows[name] = np.nan
    rows["status"] = -1
    return rows


def joined(rows, dtype):
    """One table of arrays of one row each; numpy.concatenate would compare their types anew for each."""
    return np.frombuffer(b"".join(row.tobytes() for row in rows), dtype).copy()


BLANK_RUN, BLANK_CASE = blank(1, RUN), blank(1, CASE)


def table(dtype, entries, **defaults):
    rows = np.zeros(len(entries), dtype)
    for i, entry in enumerate(entries):
        for name, value in {**defaults, "type": entry["label"], "version": 1, **entry}.items():
            rows[name][i] = value
    return rows


class Writer:
    """Collects cases and runs, then writes the file."""

    def __init__(self, problems, estimators):
        self.problems = table(PROBLEM, problems, nx=2, nu=2, no=2, np=6, T=5.0, policy="linear", derivatives="analytic")
        self.estimators = table(ESTIMATOR, estimators, knob="rtol", order=5.0)
        self.cases, self.runs, self.case_of = [], [], {}

    def case(self, problem, seed, ref_err=1e-13, status="ok", **values):
        row = BLANK_CASE.copy()
        fields = {"problem": problem, "seed": seed, "ref_err": ref_err, "ref_err_x0": ref_err, "grad_norm": 1.0,
                  "grad_x0_norm": 1.0, "status": STATUSES.index(status) if status else -1,
                  "case_key": zlib.crc32(f"{self.problems['label'][problem]} {seed}".encode()), **values}
        for name, value in fields.items():
            row[name] = value
        self.case_of[problem, seed] = len(self.cases)
        self.cases.append(row)

    def run(self, problem, seed, estimator, accuracy, error=np.nan, nfe=0, status="ok", repeat=0, **values):
        """One run; status None: pending. `error` fills all four errors."""
        row = BLANK_RUN.copy()
        fields = {"case_index": self.case_of[problem, seed], "problem": problem, "seed": seed, "estimator": estimator,
                  "accuracy": accuracy, "repeat": repeat, "err_rel": error, "err_abs": error, "err_x0": error,
                  "err_joint": error, "nfe": nfe, "nf": nfe // 2, "nvjp": nfe - nfe // 2, "wall": nfe * 1e-6,
                  "status": STATUSES.index(status) if status else -1, **values}
        for name, value in fields.items():
            row[name] = value
        self.runs.append(row)

    def write(self, path, uncommitted=(), options=None):
        """Rows of runs listed in `uncommitted` have their payload, but no commit; options: text of the plan's."""
        runs, cases = joined(self.runs, RUN), joined(self.cases, CASE)
        with seal.create(path, "sweep", STATUSES) as file:
            file["problems"], file["estimators"] = self.problems, self.estimators
            if options is not None:
                file["plan/options"] = np.bytes_(options)
            self.write_starts(file, cases)
            file["runs/sketch"] = np.random.default_rng(1).normal(size=(len(runs), SKETCH))
            for name, rows in (("runs", runs), ("cases", cases)):
                commit = np.zeros(len(rows), COMMIT)
                commit["status"] = rows["status"]
                if name == "runs":
                    commit["status"][list(uncommitted)] = -1
                file[f"{name}/table"], file[f"{name}/commit"] = rows, commit
        return seal.seal(path)

    def write_starts(self, file, cases):
        """What is in cases/<label>, and the cases' rows there."""
        generator = np.random.default_rng(2)
        for p, problem in enumerate(self.problems):
            mine = np.flatnonzero(cases["problem"] == p)
            cases["row"][mine] = np.arange(len(mine))
            group = file.create_group(f"cases/{problem['label'].decode()}")
            group["seed"] = cases["seed"][mine]
            for name, width in (("x0", "nx"), ("grad_x0", "nx"), ("grad_theta", "np")):
                group[name] = generator.normal(size=(len(mine), problem[width]))


def add_languages(path, *languages):
    """Gives the estimators of a file that is there the column which says what they are written in."""
    with h5py.File(path, "r+") as file:
        rows = file["estimators"][()]
        wider = np.zeros(len(rows), ESTIMATOR + [("language", "S16")])
        for name, _ in ESTIMATOR:
            wider[name] = rows[name]
        wider["language"] = languages
        del file["estimators"]
        file["estimators"] = wider


PROBLEMS = [dict(label="lqr", T=10.0, policy="linear"),
            dict(label="diffdrive", T=5.0, policy="7-32-32-2 tanh,tanh,linear"),
            dict(label="quadrotor", T=5.0, policy="32-64-64-4 tanh,tanh,linear")]
ESTIMATORS = [dict(label="euler-bptt", knob="dt", order=1.0), dict(label="neural-ode"), dict(label="neural-ode-ckpt"),
              dict(label="ctpg"), dict(label="tsadjoint"), dict(label="rk-adjoint")]
SCALE = {"neural-ode": 900.0, "neural-ode-ckpt": 118.0, "ctpg": 71.0, "tsadjoint": 66.0, "rk-adjoint": 56.0}


def neural_ode_status(problem, accuracy, noise):
    """The plain neural ODE fails on stabilising policies, mostly at loose tolerances."""
    if problem == 0:
        return "ok"
    return "ok" if noise < 0.25 * np.log10(0.05 / accuracy) / problem - 0.2 else "diverged"


def realistic(path, seeds=8, problems=PROBLEMS, estimators=ESTIMATORS, ref_err=(2e-14, 1e-12, 4e-11)):
    """A file with the error laws err ~ NFE^-order, scatter over seeds, failures and a reference floor."""
    writer, rng = Writer(problems, estimators), np.random.default_rng(7)
    for p in range(len(problems)):
        for seed in range(seeds):
            writer.case(p, seed, ref_err=ref_err[p] * 10 ** rng.normal(0, 0.2))
            offset = rng.normal(0, 0.25)
            for e, estimator in enumerate(estimators):
                for accuracy in ladder(estimator):
                    synthetic_run(writer, p, seed, e, estimator, accuracy, offset, ref_err[p], rng)
    return writer.write(path)


def ladder(estimator):
    return np.logspace(-1, -4, 7) if estimator.get("knob") == "dt" else np.logspace(-2, -11, 10)


def synthetic_run(writer, p, seed, e, estimator, accuracy, offset, ref_err, rng):
    label, horizon = estimator["label"], float(writer.problems["T"][p])
    scatter = offset + rng.normal(0, 0.12)
    if label == "euler-bptt":
        nfe, error = int(2 * np.ceil(horizon / accuracy)), (0.4 + p) * accuracy * 10 ** scatter
    else:
        scale = SCALE.get(label, 80.0) * (1 + 0.4 * p) * 10 ** rng.normal(0, 0.02)
        nfe = int(scale * (accuracy / 1e-2) ** (-1 / 5)) + 12
        error = 3 * accuracy * 10 ** (scatter + rng.normal(0, 0.15)) * (200 if label == "neural-ode" else 1)
    status = neural_ode_status(p, accuracy, rng.uniform()) if label == "neural-ode" else "ok"
    error = np.hypot(error, ref_err * abs(rng.normal()))
    writer.run(p, seed, e, accuracy, error if status == "ok" else np.nan, nfe, status, timing=1,
               wall=nfe * 0.4e-6 * 3 ** p * 10 ** rng.normal(0, 0.05))
