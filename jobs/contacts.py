"""contacts.py -- what gradients are worth across contacts: a ladder from hard to soft ones, of a ball and a hopper

    PYTHONPATH=analysis /usr/bin/python3 jobs/contacts.py [FOLDER]     needs build/ (or $CTPG_BUILD) with MuJoCo

For each model, each onset of the contact's force and each softness (docs/mujoco.md, Contacts), dL/dtheta by several
estimators is compared with central differences of the loss, of solves at a tight tolerance with meshes of their own,
along DIRECTIONS random directions of theta. Two steps of the differences say how good these are. Writes contacts.csv
and contacts.png into FOLDER (figures) and prints the table of the page. Minutes on one core.
"""
import csv
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np

from ctpgbench_analysis.draw.page import legend_below, new_figure
from ctpgbench_analysis.draw.style import GREY, our_style, style

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("CTPG_BUILD", ROOT / "build")) / "ctpgbench"
MODELS = {"ball": ("-horizon", "1"), "hopper": ("-horizon", "0.5", "-mujoco_target", "stand")}
ONSETS = {"model": "as the models say: the force jumps at the touch", "smooth": "the force grows from zero"}
SOFTNESS = (0.5, 1, 2, 4, 8, 16)
ESTIMATORS = {"euler-bptt": ("-dt", "1e-3"), "neural-ode-ckpt": ("-rtol", "1e-6"), "ctpg": ("-rtol", "1e-6"),
              "rk-adjoint": ("-rtol", "1e-6")}
TIGHT = ("-estimator", "rk-adjoint", "-rtol", "1e-10")
DIRECTIONS, STEP = 3, 2e-3
LIMIT = 120  # s for one gradient


def gradient(*arguments):
    """{name: array} of what `ctpgbench gradient` writes; None where it fails or takes too long."""
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "gradient.h5"
        command = [PROGRAM, "gradient", "-problem", "mujoco", "-mujoco_policy", "linear", "-mujoco_x0_range", "0",
                   "-reference", "no", "-out", out, *arguments]
        try:
            subprocess.run(list(map(str, command)), capture_output=True, timeout=LIMIT, check=True, env=environment)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return None
        with h5py.File(out) as file:
            return {**{name: file[name][()] for name in file}, "nfe": file.attrs["nfe"]}


def loss_at(theta, model):
    """The loss at theta [np], nan where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "theta.h5"
        with h5py.File(path, "w") as file:
            file["theta"] = theta
        found = gradient(*model, *TIGHT, "-mujoco_theta_file", f"{path}:/theta")
    return np.nan if found is None else float(found["loss"])


def differences(theta, directions, model, step):
    """[k] central differences of the loss at theta [np] along the directions [k, np]."""
    return np.array([(loss_at(theta + step * way, model) - loss_at(theta - step * way, model)) / (2 * step)
                     for way in directions])


def rung(model, onset, softness):
    """One row: errors of all estimators and of the differences, evaluations of rk-adjoint."""
    options = ("-mujoco_model", model, *MODELS[model], "-mujoco_contact_onset", onset, "-mujoco_contact_softness",
               softness)
    found = {name: gradient(*options, "-estimator", name, *knob) for name, knob in ESTIMATORS.items()}
    row = {"model": model, "onset": onset, "softness": softness}
    start = found["rk-adjoint"]
    if start is None:
        return {**row, "differences": np.nan, "nfe": np.nan, **dict.fromkeys(ESTIMATORS, np.nan)}
    directions = np.random.default_rng(0).normal(size=(DIRECTIONS, len(start["theta"])))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    coarse, fine = (differences(start["theta"], directions, options, step) for step in (STEP, STEP / 2))
    slope = fine + (fine - coarse) / 3
    size = np.linalg.norm(slope)
    for name, one in found.items():
        row[name] = np.nan if one is None else np.linalg.norm(directions @ one["grad_theta"] - slope) / size
    return {**row, "differences": np.linalg.norm(fine - coarse) / 3 / size, "nfe": int(start["nfe"])}


def draw(rows, path):
    """A panel for each model and onset: error against softness."""
    with our_style(150):
        figure = new_figure(4.4)
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        for line, model in zip(grid, MODELS):
            for axes, (onset, words) in zip(line, ONSETS.items()):
                mine = [row for row in rows if (row["model"], row["onset"]) == (model, onset)]
                x = [row["softness"] for row in mine]
                axes.fill_between(x, [row["differences"] for row in mine], 1e-9, color=GREY, alpha=0.25, linewidth=0,
                                  label="error of the differences")
                for name in ESTIMATORS:
                    axes.plot(x, [row[name] for row in mine], label=name, **style(name))
                axes.set(xscale="log", yscale="log", ylim=(1e-7, 10), title=f"{model}: {words}")
                axes.set_xticks(SOFTNESS, [f"{value:g}" for value in SOFTNESS])
                axes.minorticks_off()
        for axes in grid[1]:
            axes.set_xlabel("softness of all contacts")
        for axes in grid[:, 0]:
            axes.set_ylabel("error of dL/dtheta, relative")
        handles, texts = grid[0, 0].get_legend_handles_labels()
        legend_below(figure, handles, texts)
        figure.savefig(path, metadata={"Software": None})


def table(rows):
    """The rows as a table of the page."""
    columns = ["softness", *ESTIMATORS, "differences", "nfe"]
    for model in MODELS:
        for onset, words in ONSETS.items():
            print(f"\n{model}, {words}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
            for row in rows:
                if (row["model"], row["onset"]) == (model, onset):
                    cells = [f"{row[name]:{'g' if name in ('softness', 'nfe') else '.0e'}}" for name in columns]
                    print(f"| {' | '.join(cells)} |")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "figures")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for model in MODELS:
        for onset in ONSETS:
            for softness in SOFTNESS:
                rows.append(rung(model, onset, softness))
                print(rows[-1], file=sys.stderr, flush=True)
    with open(folder / "contacts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, folder / "contacts.png")
    table(rows)


if __name__ == "__main__":
    main()
