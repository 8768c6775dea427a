"""policies.py -- the final policies of a training as small files: ctpgbench analysis policies training.h5 [-o policies]

Of each trained pair the best policies (least final test loss, best first), one file per problem label:

  <label>.h5:/training/<label>/<estimator>    theta [rows, 1, np], which seed s of any command takes as row s; the seeds
                                              that they were trained with are in trained_seed [rows]
  <label>.h5:/best                            theta [np], the first of them, one policy for every seed

Both for -theta_file, and with checksums beside theta; the first is a training file's place, so that the policy's shape
is tested, too. Numbers have single precision, which halves the files and moves no loss by more than 1e-6 of it.
README.md says what each of them does, by the numbers of the training: WORDS and the columns below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import h5py
import numpy as np

from ctpgbench_analysis.errors import ResultsError
from ctpgbench_analysis.read.training import Pair, Training
from ctpgbench_analysis.read.verify import sum_of
from ctpgbench_analysis.report.text import markdown

KEPT = 3       # policies per problem
FORMAT = ("v108", "latest")  # of HDF5, as the program writes it
LABEL, POLICY = "S64", "S512"


# ---- what they do ----

@dataclass(frozen=True)
class Words:
    """What a policy is for, the options of its problem, and whether ends [n, nx] of test starts are as they should."""
    options: str
    does: str
    aim: str
    there: Callable[[np.ndarray], np.ndarray] | None
    least: float = 0.0  # no loss is below


def near(width: float, *states: int) -> Callable[[np.ndarray], np.ndarray]:
    """Do these states lie within this distance of zero?"""
    return lambda ends: np.linalg.norm(ends[:, list(states)], axis=1) <= width


def upright(*states: int) -> Callable[[np.ndarray], np.ndarray]:
    """Are these angles within 30 degrees of upright, whatever the turns?"""
    return lambda ends: (np.cos(ends[:, list(states)]) >= np.cos(np.pi / 6)).all(axis=1)


NEAR, UPRIGHT = "within 0.5 m of the origin at T", "within 30 degrees of upright at T"
WORDS = {
    "lqr": Words("-problems lqr -lqr_policy mlp", "steers to the origin", "norm of x(T) below 0.05", near(0.05, 0, 1)),
    "lqr-wide": Words("-problems lqr-wide=lqr -lqr-wide_nx 20 -lqr-wide_policy mlp -lqr-wide_policy_widths 32",
                      "steers 20 states to the origin", "norm of x(T) below 0.05", near(0.05, *range(20))),
    "diffdrive": Words("-problems diffdrive", "drives to the origin and parks", NEAR, near(0.5, 0, 1)),
    "track": Words("-problems track", "the same with weak wheels, on the discontinuous track", NEAR, near(0.5, 0, 1)),
    "quadrotor": Words("-problems quadrotor -quadrotor_tangents 0", "hovers at the origin; one of three turns in yaw",
                       NEAR, near(0.5, 0, 1, 2)),
    "quadrotor-printed": Words("-problems quadrotor-printed=quadrotor -quadrotor-printed_mass 3 "
                               "-quadrotor-printed_wrap 1 -quadrotor-printed_policy_widths 16,16",
                               "hardly falls, drifts and spins in yaw: what figure 7 of the paper trains",
                               "within 10 m of the origin's height at T (in free fall: 120 m)", near(10.0, 2)),
    "electric": Words("-problems electric", "leads the charge along its way", "-", None),
    "cartpole": Words("-problems cartpole", "swings the pole up; fits to cartpole-analytic, too", UPRIGHT, upright(1),
                      -3.0),
    "pendulum": Words("-problems pendulum", "swings up over several swings", UPRIGHT, upright(0)),
    "double-pendulum": Words("-problems double-pendulum -double-pendulum_torque 40", "lifts both rods", UPRIGHT,
                             upright(0, 1)),
    "vanderpol": Words("-problems vanderpol", "brakes the oscillator", "norm of x(T) below 0.1", near(0.1, 0, 1)),
}


# ---- what is kept ----

@dataclass
class Kept:
    """The best policies of a pair, best first."""
    pair: Pair
    seeds: np.ndarray    # [rows] of their trainings
    theta: np.ndarray    # [rows, np], single precision
    first: np.ndarray    # [rows] test loss before training
    trained: np.ndarray  # [rows] mean loss of the last tenth of the batches
    final: np.ndarray    # [rows] final test loss
    ends: np.ndarray     # [rows, start, nx] of the test starts under the final policy


def keep(pair: Pair) -> Kept:
    """The best policies of a pair whose test starts were followed to their ends."""
    losses, paths = pair.test_losses(), pair.read("path")
    if losses is None or paths is None:
        raise ResultsError(f"{pair.problem} with {pair.label} has no tests (-test_every) or no paths (-test_paths); "
                           f"what its policies do is not known.")
    order = np.argsort(np.where(pair.ok, losses[:, -1], np.inf), kind="stable")[:KEPT]
    if not (pair.ok[order].all() and np.isfinite(losses[order, -1]).all()):
        raise ResultsError(f"{pair.problem} with {pair.label} has fewer than {len(order)} policies that finished all "
                           f"tests.")
    batches = pair.history("loss")
    return Kept(pair=pair, seeds=pair.seeds[order], theta=pair.read("theta")[order, -1].astype("<f4"),
                first=losses[order, 0], trained=batches[order, -max(1, batches.shape[1] // 10):].mean(axis=1),
                final=losses[order, -1], ends=paths[order, -1, :, -1])


def write_policies(kept: Kept, path: Path) -> None:
    """The file of a pair, in the form of a training file."""
    pair, iteration = kept.pair, np.array([kept.pair.runs["iterations"].max()], "<i8")
    sums = [[np.frombuffer(sum_of(iteration.tobytes(), row.astype("<f8").tobytes()), "<u8")] for row in kept.theta]
    with h5py.File(path, "w", libver=FORMAT) as file:
        file["policies"] = np.array([(pair.problem.encode(), pair.policy.encode())],
                                    [("label", LABEL), ("policy", POLICY)])
        group = file.create_group(f"training/{pair.problem}/{pair.label}")
        group.attrs["options"] = WORDS[pair.problem].options
        group["seed"], group["snapshot"] = np.arange(len(kept.theta)), iteration
        group["trained_seed"] = kept.seeds
        group["theta"], group["theta_checksum"] = kept.theta[:, None], np.array(sums)
        best = file.create_group("best")
        best["snapshot"], best["theta"], best["theta_checksum"] = iteration, kept.theta[0], sums[0][0]


# ---- the page ----

HEAD = """# Policies that control

Trained policies, small files for `-theta_file`. With them a sweep, a trace or a training begins where a robot parks,
not where it tumbles:

```sh
build/ctpgbench sweep -problems quadrotor -quadrotor_tangents 0 -estimators ctpg,rk-adjoint -rtol 1e-6 -seeds 0:3 \\
    -theta_file policies/quadrotor.h5:/training/quadrotor/ctpg -out hovering.h5
```

Each file holds {kept} policies, the best first; seed s of a command takes row s, so these are for `-seeds 0:{kept}`.
`policies/quadrotor.h5:/best` is the first of them, for any seed. A policy fits to its problem with the options of the
table and with no others.

"""
TAIL = """
Losses: means over test starts that no training saw ({starts} for each policy, 10 of quadrotor-printed), least and
largest over the policies; *random*: of the initial weights; *training*: of the last tenth of the batches; *held out*:
of the final policy.
*Factor*: random / held out, the least of the policies; losses of the cartpole count from -3, below which none can be.
*There*: the share of all test starts that end as the last column says.

frozen-mesh has no policy here: it is about its linear one. Nor has vanderpol when it is stiff, where little is to be
gained: at mu = 20 and 100 the optimal linear feedback at the origin needs 14 and 71 s to get there (its slow pole is
-sqrt(2)/mu), of a horizon of 10 s. From eight starts its mean loss is 51 where that of no control is 60 (mu = 20), and
204 where it is 131 (mu = 100). The policies were trained by `jobs/policies.yaml`; `bash jobs/policies.sh policies`
makes files and page anew, minutes of computing. Those of quadrotor-printed are the best three of 20 seeds: on most
seeds one start or more of ten ends at the pole of the Euler angles or spins too fast to be solved accurately.
"""


def span(values: np.ndarray) -> str:
    """Least and largest value."""
    low, high = (f"{value:.3g}" for value in (np.min(values), np.max(values)))
    return low if low == high else f"{low} to {high}"


def factor(random: np.ndarray, trained: np.ndarray, least: float) -> np.ndarray:
    """How many times a random policy's loss is the trained one's, above the least possible loss."""
    return (random - least) / (trained - least)


def row(kept: Kept, words: Words) -> list[str]:
    """Cells of the table."""
    ends = kept.ends.reshape(-1, kept.ends.shape[-1])
    there = f"{words.there(ends).mean():.0%}" if words.there else "-"
    return [kept.pair.problem, f"`{words.options}`", words.does, span(kept.first), span(kept.trained), span(kept.final),
            f"{factor(kept.first, kept.final, words.least).min():.3g}", there, words.aim]


def page(found: list[Kept]) -> str:
    """README.md."""
    header = ["file", "options", "does", "random", "training", "held out", "factor", "there", "where"]
    rows = [row(kept, WORDS[kept.pair.problem]) for kept in found]
    return "".join([HEAD.format(kept=KEPT), "\n".join(markdown(header, rows)), "\n",
                    TAIL.format(starts=found[0].ends.shape[1])])


def write(trainings: list[Training], folder: Path) -> None:
    """A file for each pair, and README.md, into the folder."""
    pairs = [pair for training in trainings for pair in training.pairs]
    unknown = [pair.problem for pair in pairs if pair.problem not in WORDS]
    if unknown:
        raise ResultsError(f"there are policies of {unknown[0]}; expected the labels of jobs/policies.yaml: "
                           f"{', '.join(WORDS)}.")
    found = [keep(pair) for pair in sorted(pairs, key=lambda pair: list(WORDS).index(pair.problem))]
    folder.mkdir(parents=True, exist_ok=True)
    for kept in found:
        write_policies(kept, folder / f"{kept.pair.problem}.h5")
    (folder / "README.md").write_text(page(found), encoding="utf-8")
    print(folder / "README.md")
