"""plants/<label> of results files: names, units and constants as the problems have them, in every kind of file

Sweeps, trainings and traces carry them; a file that goes on and a merged one keep them; digests do not know of them.
"""

import unittest

import h5py
import numpy as np
from program import InFolder, run


def words(group, name):
    return [word.decode() for word in group.attrs[name]]


class Plants(InFolder):
    def read(self, name):
        with h5py.File(self.folder / name) as file:
            found = {}
            for label, group in file["plants"].items():
                found[label] = {key: words(group, key) for key in group.attrs}
                found[label]["constants"] = {key: (set_[()].tolist(), set_.attrs["unit"].decode())
                                             for key, set_ in group.get("constants", {}).items()}
        return found

    def program(self, *arguments):
        code, out, err = run(*arguments, cwd=self.folder)
        self.assertEqual(code, 0, out + err)

    def small_sweep(self, name, *more):
        self.sweep(name, "-estimators", "euler-bptt", "-dt", "0.1", "-seeds", "0:1", *more)

    def test_names_units_constants(self):
        self.small_sweep("s.h5", "-problems", "drive=diffdrive,electric,pendulum,lqr,acrobot=double-pendulum",
                         "-drive_horizon", "1", "-electric_horizon", "1", "-acrobot_drive", "elbow", "-pendulum_torque",
                         "3")
        found = self.read("s.h5")
        self.assertEqual(sorted(found), ["acrobot", "drive", "electric", "lqr", "pendulum"])
        self.assertEqual(found["drive"]["state_names"], ["px", "py", "heading", "left", "right"])
        self.assertEqual(found["drive"]["state_units"], ["m", "m", "rad", "rad/s", "rad/s"])
        self.assertEqual(found["drive"]["control_names"], ["left'", "right'"])
        self.assertEqual(found["drive"]["constants"], {"wheel_radius": ([0.5], "m"), "wheel_base": ([1.0], "m")})
        self.assertEqual(np.shape(found["electric"]["constants"]["electrodes"][0]), (8, 2))
        self.assertEqual(found["electric"]["constants"]["electrodes"][0][5], [0.5, 0.1])
        self.assertEqual(found["pendulum"]["constants"]["torque_limit"], ([3.0], "N m"))
        self.assertEqual(found["acrobot"]["control_names"], ["elbow"])
        self.assertEqual(found["lqr"], {"constants": {}})

    def test_trace_and_training(self):
        self.program("trace", "-problem", "quadrotor", "-estimators", "euler-bptt", "-horizon", "0.2", "-dt", "0.1",
                         "-quadrotor_mass", "3", "-out", "t.h5")
        plant = self.read("t.h5")["quadrotor"]
        self.assertEqual(plant["control_units"], ["N", "N m", "N m", "N m"])
        self.assertEqual(len(plant["state_names"]), 12)
        self.assertEqual(plant["constants"]["mass"], ([3.0], "kg"))
        self.program("train", "-problems", "vanderpol", "-estimators", "euler-bptt", "-dt", "0.1", "-iterations", "2",
                         "-horizon", "1", "-seeds", "0:1", "-out", "n.h5")
        self.assertEqual(self.read("n.h5")["vanderpol"]["state_names"], ["y", "y'"])

    def test_going_on_and_merging(self):
        self.small_sweep("a.h5", "-problems", "pendulum", "-pendulum_torque", "3")
        self.small_sweep("b.h5", "-problems", "vanderpol", "-horizon", "1")
        whole = {**self.read("a.h5"), **self.read("b.h5")}
        self.program("merge", "a.h5", "b.h5", "-out",
                         "m.h5")
        self.assertEqual(self.read("m.h5"), whole)
        self.small_sweep("a.h5", "-problems", "pendulum,vanderpol", "-pendulum_torque", "3", "-vanderpol_horizon", "1")
        self.assertEqual(self.read("a.h5"), whole)


if __name__ == "__main__":
    unittest.main()
