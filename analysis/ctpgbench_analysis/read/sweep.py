"""load.py -- a results file as arrays, and the numbers that figures and tables are made of

Reads the HDF5 file that `ctpgbench sweep` writes (src/store.h), also while it is being written. A row counts once it is
committed: its commit holds the same status as the row, and that is not "pending". load_trace reads the small file of
`ctpgbench trace` (src/command_trace.c) instead.

Words used by figures and tables:
  setting  one value of an estimator's accuracy knob; settings run from loose to tight (towards small rtol and dt,
           towards many samples)
  cell     one seed at one setting: the median over its repeats; it is reached only if every repeat ended "ok"
  floor    what the reference gradient can resolve, 3 times its own error, and never below the unit of float64
  judged   a seed whose reference gradient ended "ok"; the others say nothing about an estimator's error
"""
import contextlib
import importlib
import sys
from dataclasses import dataclass

SCHEMA = 2
PENDING = -1
INTERPRETER = "/usr/bin/python3"
ERRORS = {
    "err_rel": "relative error of $\\mathrm{d}L/\\mathrm{d}\\theta$",
    "err_abs": "absolute error of $\\mathrm{d}L/\\mathrm{d}\\theta$",
    "err_x0": "relative error of $\\mathrm{d}L/\\mathrm{d}x_0$",
    "err_joint": "relative error of $(\\mathrm{d}L/\\mathrm{d}x_0, \\mathrm{d}L/\\mathrm{d}\\theta)$",
}
TIMINGS = ("isolated", "throughput")
TIMING_TEXT = {
    "isolated": "isolated timing, one rank",
    "throughput": "throughput timing, other ranks worked at the same time",
}

NEEDED = {
    "problems": ("label", "policy", "T", "cost_f", "cost_vjp"),
    "estimators": ("label", "type", "knob", "order"),
    "cases/table": ("problem", "seed", "status", "grad_norm", "grad_x0_norm", "ref_err", "ref_err_x0"),
    "cases/commit": ("status",),
    "runs/table": ("case_index", "problem", "estimator", "accuracy", "repeat", "status", *ERRORS, "nf", "nvjp", "nfe",
                   "bytes", "wall", "timing"),
    "runs/commit": ("status",),
}


def require(module):
    """The module, or a sentence that says how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        package = module.partition(".")[0]
        sys.exit(f"{sys.executable or 'python3'} has no module {package}; use {INTERPRETER} with Debian's package "
                 f"python3-{package} (apt-get install python3-{package}).")


np = require("numpy")
h5py = require("h5py")


class ResultsError(Exception):
    """What is wrong with a file, in one sentence."""


@contextlib.contextmanager
def ends_with_a_sentence(folder):
    """For the main of a script that writes into a folder: what cannot be read or written ends it with one sentence."""
    try:
        yield
    except ResultsError as error:
        sys.exit(f"{error}")
    except OSError as error:
        sys.exit(f"{folder} cannot be written: {error.strerror}.")


def plain_text(value):
    """str from what HDF5 strings turn into: bytes of fixed length, or str."""
    return value.decode("utf-8", "replace").rstrip("\0") if isinstance(value, bytes) else str(value)


def decode(table, columns):
    """These columns of the table, bytes as str."""
    def column_type(name):
        kind = table.dtype[name]
        return object if kind.kind in "SO" else kind

    decoded = np.empty(table.shape, [(name, column_type(name)) for name in columns])
    for name in columns:
        is_text = table.dtype[name].kind in "SO"
        decoded[name] = [plain_text(value) for value in table[name]] if is_text else table[name]
    return decoded


def read_table(file, path, name):
    """The needed columns of one compound table."""
    if not isinstance(file.get(name), h5py.Dataset) or file[name].dtype.names is None:
        raise ResultsError(f"{path} has no table {name}; it is not a complete results file of ctpgbench sweep.")
    missing = [column for column in NEEDED[name] if column not in file[name].dtype.names]
    if missing:
        raise ResultsError(f"{path} has no column {', '.join(missing)} in {name}; "
                           f"expected the columns of schema {SCHEMA}.")
    return decode(file[name][()], NEEDED[name])


def name_languages(dataset, estimators):
    """Labels of interpreted estimators say so, "mine (python)": their wallclock is not to be compared with C's."""
    if "language" not in dataset.dtype.names:
        return
    for row, language in enumerate(map(plain_text, dataset["language"])):
        if language not in ("", "C"):
            estimators["label"][row] += f" ({language})"


def check_kind(file, path, expected):
    if "schema" not in file.attrs:
        raise ResultsError(f"{path} is an HDF5 file without the attribute schema; expected a file of ctpgbench "
                           f"{expected}.")
    schema = file.attrs["schema"]
    if schema != SCHEMA:
        raise ResultsError(f"{path} has schema {schema}; these scripts read schema {SCHEMA}.")
    kind = plain_text(file.attrs.get("kind", "unknown"))
    if kind != expected:
        raise ResultsError(f"{path} is of kind {kind}; expected a file of kind {expected}.")


@contextlib.contextmanager
def open_kind(path, kind):
    """The HDF5 file at path, of this kind; ResultsError says in one sentence why it cannot be read."""
    try:
        open(path, "rb").close()
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}.") from None
    if not h5py.is_hdf5(path):
        what = {"sweep": "results"}.get(kind, kind)
        raise ResultsError(f"{path} is not an HDF5 file; expected a {what} file of ctpgbench {kind}.")
    try:
        with h5py.File(path, "r") as file:
            check_kind(file, path, kind)
            yield file
    except OSError as error:
        raise ResultsError(f"{path} cannot be opened by HDF5 ({str(error).strip()}).") from None


def read_statuses(file, path):
    words = [plain_text(word) for word in np.ravel(file.attrs.get("statuses", []))]
    if "ok" not in words:
        raise ResultsError(f"{path} has no attribute statuses with the word ok in it, which names how a run can end.")
    return words


def check_rows(results):
    """Every row points to rows that exist, so that nothing below has to ask."""
    sizes = (("runs/table", results.runs, "problem", len(results.problems)),
             ("runs/table", results.runs, "estimator", len(results.estimators)),
             ("runs/table", results.runs, "case_index", len(results.cases)),
             ("runs/table", results.runs, "status", len(results.statuses)),
             ("cases/table", results.cases, "problem", len(results.problems)),
             ("cases/table", results.cases, "status", len(results.statuses)))
    for name, table, column, size in sizes:
        lowest = PENDING if column == "status" else 0
        bad = np.flatnonzero((table[column] < lowest) | (table[column] >= size))
        if len(bad):
            raise ResultsError(f"{results.path} is damaged: row {bad[0]} of {name} has {column} "
                               f"{table[column][bad[0]]}; expected {lowest} to {size - 1}.")
    for name, table, done in (("runs", results.runs, results.run_done), ("cases", results.cases, results.case_done)):
        if len(table) != len(done):
            raise ResultsError(f"{results.path} is damaged: {name}/table has {len(table)} rows, "
                               f"{name}/commit {len(done)}.")


def committed(rows, commits):
    if len(rows) != len(commits):
        return np.zeros(len(commits), bool)
    return (commits["status"] == rows["status"]) & (rows["status"] != PENDING)


def load(path):
    """Results of the file at path; ResultsError says in one sentence why there are none."""
    with open_kind(path, "sweep") as file:
        tables = {name: read_table(file, path, name) for name in NEEDED}
        name_languages(file["estimators"], tables["estimators"])
        words, plan = read_statuses(file, path), f"{int(file.attrs.get('plan_hash', 0)):016x}"
    results = Results(path, plan, words, tables)
    check_rows(results)
    return results


@dataclass
class Grid:
    """One estimator on one problem: arrays [seed, setting] over the judged seeds."""
    settings: object  # [setting] accuracies, from loose to tight
    floors: object    # [seed] errors below are not resolved
    error: object     # medians over repeats, NaN where not reached
    nfe: object
    work: object      # s, nf and nvjp times what one of them cost on this problem
    bytes: object     # peak of what was stored
    wall: object      # s, of the chosen timing only
    reached: object   # every committed repeat ended ok and has an error
    done: object      # at least one repeat is committed
    complete: object  # all planned repeats are committed
    timed: object     # reached, and timed the chosen way


class Results:
    """Tables of one file with decoded texts, and what is asked of them."""

    def __init__(self, path, plan_hash, statuses, tables):
        self.path, self.plan_hash = str(path), plan_hash
        self.statuses, self.ok = statuses, statuses.index("ok")
        self.problems, self.estimators = tables["problems"], tables["estimators"]
        self.cases, self.runs = tables["cases/table"], tables["runs/table"]
        self.case_done = committed(self.cases, tables["cases/commit"])
        self.run_done = committed(self.runs, tables["runs/commit"])

    def rows(self, problem, estimator=None):
        """Indices of the planned runs of a problem, and of one estimator there."""
        mask = self.runs["problem"] == problem
        return np.flatnonzero(mask if estimator is None else mask & (self.runs["estimator"] == estimator))

    def judged(self, problem):
        """Mask of the cases of a problem that have a reference gradient."""
        return (self.cases["problem"] == problem) & self.case_done & (self.cases["status"] == self.ok)

    def without_reference(self, problem):
        """How many cases ended without a reference gradient."""
        failed = self.case_done & (self.cases["status"] != self.ok)
        return int((failed & (self.cases["problem"] == problem)).sum())

    def failures(self, rows):
        """{word: number} over the committed runs among rows that did not end ok, in the order of the enumeration."""
        counts = np.bincount(self.runs["status"][rows[self.run_done[rows]]], minlength=len(self.statuses))
        return {word: int(count) for word, count in zip(self.statuses, counts) if count and word != "ok"}

    def timings(self, rows):
        """{kind: number} over the runs among rows that ended ok."""
        ok = rows[self.run_done[rows] & (self.runs["status"][rows] == self.ok)]
        return {kind: int((self.runs["timing"][ok] == code).sum()) for code, kind in enumerate(TIMINGS)
                if (self.runs["timing"][ok] == code).any()}

    def choose_timing(self, problem, wanted=None):
        """(kind, sentence or ""): the timing that is shown, wanted or the commoner one; the two are never mixed."""
        counts = self.timings(self.rows(problem))
        kind = wanted or max(counts, key=counts.get, default=TIMINGS[0])
        others = sum(counts.values()) - counts.get(kind, 0)
        if not others:
            return kind, ""
        return kind, (f"The file mixes {counts.get('isolated', 0)} isolated and {counts.get('throughput', 0)} "
                      f"throughput timings; times are of the {kind} runs only.")

    def floors(self, cases, error):
        """Per case: the smallest error of this kind that its reference gradient resolves."""
        case = self.cases[cases]
        theta, start = case["ref_err"] * case["grad_norm"], case["ref_err_x0"] * case["grad_x0_norm"]
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = {"err_rel": case["grad_norm"], "err_abs": np.ones(len(case)), "err_x0": case["grad_x0_norm"],
                     "err_joint": np.hypot(case["grad_norm"], case["grad_x0_norm"])}[error]
            size = {"err_rel": theta, "err_abs": theta, "err_x0": start, "err_joint": np.hypot(theta, start)}[error]
            unit = np.finfo(float).eps * (case["grad_norm"] if error == "err_abs" else 1)
            return np.fmax(3 * size / scale, unit)

    def grid(self, problem, estimator, error="err_rel", timing=TIMINGS[0]):
        """Grid of an estimator on a problem; `error` is one of ERRORS, `timing` one of TIMINGS."""
        planned = self.rows(problem, estimator)
        planned = planned[self.judged(problem)[self.runs["case_index"][planned]]]
        run, done = self.runs[planned], self.run_done[planned]
        cases, seed = np.unique(run["case_index"], return_inverse=True)
        settings, setting = np.unique(run["accuracy"], return_inverse=True)
        if self.estimators["knob"][estimator] != "samples":
            settings, setting = settings[::-1], len(settings) - 1 - setting
        repeats, repeat = np.unique(run["repeat"], return_inverse=True)

        def spread(values, keep, fill):
            cube = np.full((len(cases), len(settings), len(repeats)), fill)
            cube[seed[keep], setting[keep], repeat[keep]] = values[keep]
            return cube

        def median(values, keep):
            return finite_median(spread(values, keep, np.nan), axis=2)

        everything = np.ones(len(run), bool)
        good = done & (run["status"] == self.ok) & np.isfinite(run[error])
        has_result = spread(done, everything, False).any(axis=2)
        reached = has_result & ~spread(done & ~good, everything, False).any(axis=2)
        cost = self.problems[problem]
        work = cost["cost_f"] * run["nf"] + cost["cost_vjp"] * run["nvjp"]
        wall = median(run["wall"], good & (run["timing"] == TIMINGS.index(timing)))
        return Grid(settings=settings, floors=self.floors(cases, error), reached=reached, done=has_result,
                    complete=~spread(~done, everything, False).any(axis=2), timed=reached & np.isfinite(wall),
                    error=np.where(reached, median(run[error], good), np.nan),
                    nfe=np.where(reached, median(run["nfe"].astype(float), good), np.nan),
                    work=np.where(reached, median(work, good), np.nan),
                    bytes=np.where(reached, median(run["bytes"].astype(float), good), np.nan),
                    wall=np.where(reached, wall, np.nan))


def fnv1a64(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def sketch_of(gradient, projections):
    """The projections of a gradient that runs/sketch holds: sums of +-g_j by the bits of Philox words."""
    words = np.random.Philox(key=np.array([0, fnv1a64("sketch")], dtype=np.uint64),
                             counter=np.array([0, 0, 6, 0], dtype=np.uint64)).random_raw(len(gradient))
    signs = 2.0 * (words[:, None] >> np.arange(projections, dtype=np.uint64) & np.uint64(1)).astype(float) - 1
    return gradient @ signs


@dataclass
class Draws:
    """Repeats of a stochastic estimator at one setting, medians over seeds, relative to the true gradient."""
    samples: float
    repeats: int
    bias: float    # of the mean of the repeats, with its standard error taken out in the square
    unseen: float  # standard error of that mean: a bias below it cannot be seen
    spread: float  # standard deviation of one repeat


def draws_of(results, problem, estimator):
    """[Draws] of an estimator whose knob is samples, from loose to tight, where there are 3 repeats or more.

    A projection of a difference d on random signs has the mean square |d|^2: bias and spread come from the sketches."""
    if results.estimators["knob"][estimator] != "samples":
        return []
    with h5py.File(results.path, "r") as file:
        sketches, case_rows = file["runs/sketch"][()], file["cases/table"]["row"]
        gradients = file[f"cases/{results.problems['label'][problem]}/grad_theta"][()]
    rows = results.rows(problem, estimator)
    rows = rows[results.run_done[rows] & (results.runs["status"][rows] == results.ok)
                & results.judged(problem)[results.runs["case_index"][rows]]]
    found = {}
    for case, samples in {(run["case_index"], run["accuracy"]) for run in results.runs[rows]}:
        here = (results.runs["case_index"][rows] == case) & (results.runs["accuracy"][rows] == samples)
        if here.sum() >= 3:
            cell = spread_of(sketches[rows[here]], gradients[case_rows[case]])
            found.setdefault(samples, []).append((here.sum(), *cell))
    return [Draws(samples, int(min(cells)[0]), *np.median(cells, axis=0)[1:]) for samples, cells in sorted(found.items())]


def spread_of(sketches, truth):
    """(bias, its standard error, standard deviation) of gradients [repeat] given by their sketches, over |truth|."""
    variance, scale = sketches.var(axis=0, ddof=1).mean(), np.linalg.norm(truth)
    off = np.mean((sketches.mean(axis=0) - sketch_of(truth, sketches.shape[1])) ** 2)
    error = variance / len(sketches)
    return np.sqrt(max(0, off - error)) / scale, np.sqrt(error) / scale, np.sqrt(variance) / scale


@dataclass
class Back:
    """One estimator on its way back: where it asked for vector-Jacobian products, in its order."""
    label: str
    type: str
    knob: str
    status: str
    accuracy: float
    err_rel: float
    t: object  # [k]
    x: object  # [k, nx]

    def retried(self):
        """[k] points of a step that was rejected: time then jumps ahead of them, to the first point of the next try."""
        again = np.zeros(len(self.t), bool)
        for ahead in np.flatnonzero(np.diff(self.t) > 1e-9 * np.ptp(self.t)) + 1:
            point = ahead - 1
            while point >= 0 and self.t[point] < self.t[ahead]:
                again[point] = True
                point -= 1
        return again


@dataclass
class Trace:
    """The true path of one case, and what the estimators believe of it."""
    path: str
    problem: str  # label
    type: str
    case: str
    policy: str
    horizon: float
    nq: int
    velocity_first: int  # 1: the state is (q', q, rest) instead of (q, q', rest)
    t: object     # [m] samples of the true path
    x: object     # [m, nx]
    u: object     # [m, nu]
    back: list    # estimators that asked for a product at all

    def at(self, times):
        """The true path at these times: cubic Hermite interpolation of its samples."""
        slopes = np.gradient(self.x, self.t, axis=0, edge_order=2)
        left = np.clip(np.searchsorted(self.t, times, side="right") - 1, 0, len(self.t) - 2)
        step = self.t[left + 1] - self.t[left]
        s, step = ((times - self.t[left]) / step)[:, None], step[:, None]
        return ((1 + 2 * s) * (1 - s) ** 2 * self.x[left] + s**2 * (3 - 2 * s) * self.x[left + 1]
                + step * s * (1 - s) * ((1 - s) * slopes[left] - s * slopes[left + 1]))

    def astray(self, back):
        """Largest distance of an estimator's points to the true path, in units of the path's largest |x|; points of
        rejected steps do not count."""
        kept = ~back.retried()
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.linalg.norm(back.x[kept] - self.at(back.t[kept]), axis=1)
        return np.fmax.reduce(distances) / max(np.linalg.norm(self.x, axis=1).max(), np.finfo(float).tiny)


def read_path(group, path, *names, least=1):
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


def read_attributes(node, path, **types):
    """{name: value} of attributes of these types."""
    missing = [name for name in types if name not in node.attrs]
    if missing:
        raise ResultsError(f"{path} has no attribute {missing[0]} at {node.name}; expected those of schema {SCHEMA}.")
    return {name: plain_text(node.attrs[name]) if kind is str else kind(node.attrs[name])
            for name, kind in types.items()}


def read_back(file, path):
    """Every Back of the file, in the order of the alphabet, which is that of HDF5."""
    fields = dict(type=str, knob=str, status=str, accuracy=float, err_rel=float)
    paths = []
    for label, group in file.get("back", {}).items():
        t, x = read_path(group, path, "x")
        paths.append(Back(label=label, t=t, x=x, **read_attributes(group, path, **fields)))
    return paths


def load_trace(path):
    """Trace of the file at path; ResultsError says in one sentence why there is none."""
    with open_kind(path, "trace") as file:
        head = read_attributes(file, path, problem=str, type=str, case=str, policy=str, horizon=float, nq=int,
                               velocity_first=int)
        if "forward" not in file:
            raise ResultsError(f"{path} has no group forward; it is not a trace file of ctpgbench trace.")
        t, x, u = read_path(file["forward"], path, "x", "u", least=3)
        trace = Trace(path=str(path), t=t, x=x, u=u, back=read_back(file, path), **head)
    wrong = [back.label for back in trace.back if back.x.shape[1] != x.shape[1]]
    if wrong:
        raise ResultsError(f"{path} is damaged: back/{wrong[0]} has not the {x.shape[1]} states of the true path.")
    return trace


def finite_median(values, axis=None):
    return finite_quantile(values, 0.5, axis)


def finite_quantile(values, q, axis=None):
    """Quantile of the numbers that are not NaN; NaN where there are none."""
    values = np.moveaxis(np.asarray(values, float), axis, 0) if axis is not None else np.ravel(values)
    empty = np.isnan(values).all(axis=0) if len(values) else np.ones(values.shape[1:], bool)
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    return np.where(empty, np.nan, np.nanquantile(np.where(empty, 0.0, values), q, axis=0))


def plain(math):
    """An entry of ERRORS for a terminal or a text file."""
    return math.replace("$", "").replace("\\mathrm{d}", "d").replace("\\theta", "theta").replace("x_0", "x0")


def seeds_text(count):
    return f"{count} seed" + ("" if count == 1 else "s")


def without_reference_text(count):
    return f"{seeds_text(count)} without a reference gradient {'is' if count == 1 else 'are'} left out."
