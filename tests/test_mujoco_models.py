"""Problem mujoco through the program: options, derivatives of observations and costs, one body told in two ways."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import h5py
import numpy as np
from program import PROGRAM, run

# A pendulum on a ball joint, and the same body on three hinges; its motion stays away from where those line up.
PENDULUM = """<mujoco><compiler angle="radian"/><worldbody><body name="rod">{joints}
  <inertial pos=".1 .2 -.6" mass="2" diaginertia=".3 .2 .1"/><geom size=".1" mass="0" contype="0" conaffinity="0"/>
  <site name="tip" pos=".1 .2 -.6"/><site name="side" pos=".5 0 0"/></body></worldbody>
  <actuator><general site="tip" gear="3 0 0 0 0 0"/><general site="side" gear="0 2 0 0 0 0"/></actuator>
  <sensor><framelinvel name="tip_velocity" objtype="site" objname="tip"/>
  <framelinvel name="side_velocity" objtype="site" objname="side"/></sensor></mujoco>"""
JOINTS = {
    "ball": '<joint type="ball"/>',
    "hinges": "".join(f'<joint axis="{axis}"/>' for axis in ("1 0 0", "0 1 0", "0 0 1")),
}
# The same link ten times, hanging from its end.
LINK = '<body pos="0 0 -.2"><joint axis="0 1 0" name="{name}"/><geom type="capsule" fromto="0 0 0 0 0 -.2" size=".03"/>'
SEEN = "site:tip,site:side,tip_velocity,side_velocity"
DRONE = ("-problem", "mujoco", "-mujoco_model", "drone", "-mujoco_target", "hover")


def has_mujoco():
    listing = subprocess.run([PROGRAM, "list", "-json"], capture_output=True, text=True, check=True).stdout
    return not any("unavailable" in entry for entry in json.loads(listing)["problems"] if entry["name"] == "mujoco")


def value(text, name):
    return float(re.search(rf"^{name} .*?([-+.\de]+)(?:,|$)", text, re.MULTILINE)[1])


@unittest.skipUnless(has_mujoco(), "built without MuJoCo")
class Models(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ctpg")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def gradient(self, *arguments):
        code, text, err = run("gradient", *arguments)
        self.assertEqual(code, 0, err + text)
        return text

    def refused(self, sentence, *arguments):
        code, text, err = run("gradient", "-problem", "mujoco", "-estimator", "rk-adjoint", "-rtol", "1e-3", *arguments)
        self.assertNotEqual(code, 0, text)
        self.assertEqual(len(err.strip().splitlines()), 1, err)
        self.assertIn(sentence, err)

    def write(self, name, text):
        path = self.folder / f"{name}.xml"
        path.write_text(text, encoding="utf-8")
        return path

    def test_a_ball_is_three_hinges(self):
        """Loss and dL/dtheta of one body, seen by where its sites are, do not depend on its coordinates."""
        theta = np.random.default_rng(1).normal(size=2 * 12 + 2) * 0.3
        starts = {"ball": [1, 0, 0, 0, .3, -.2, .4], "hinges": [0, 0, 0, .3, -.2, .4]}
        with h5py.File(self.folder / "case.h5", "w") as file:
            for joint, x0 in starts.items():
                group = file.create_group(joint)
                group["x0"], group["theta"] = np.array(x0, float), theta
                group.attrs.update(layers=[12, 2], activations=["linear"], horizon=1.0)
        found = {}
        for joint in starts:
            model = self.write(joint, PENDULUM.format(joints=JOINTS[joint]))
            text = self.gradient("-problem", "mujoco", "-mujoco_model", model, "-case_file", self.folder / "case.h5",
                                 "-case", joint, "-estimator", "rk-adjoint", "-rtol", "1e-10", "-mujoco_observe", SEEN,
                                 "-mujoco_track", SEEN, "-mujoco_track_goal", "0.3", "-mujoco_terminal", "2",
                                 "-mujoco_cost_position", "0", "-mujoco_cost_velocity", "0", "-out",
                                 self.folder / f"{joint}-gradient.h5")
            with h5py.File(self.folder / f"{joint}-gradient.h5") as file:
                found[joint] = value(text, "loss"), file["grad_theta"][()]
        self.assertAlmostEqual(found["ball"][0] / found["hinges"][0], 1, delta=1e-9)
        error = np.linalg.norm(found["ball"][1] - found["hinges"][1]) / np.linalg.norm(found["hinges"][1])
        self.assertLess(error, 1e-8)

    def test_derivatives_of_what_can_be_named(self):
        """`check` on a free joint with sites, axes, a track and a terminal weight."""
        code, text, err = run("check", "-problems", "mujoco", "-mujoco_model", "drone", "-mujoco_target", "hover",
                              "-mujoco_observe", "qpos,qvel,site:front left,body_axes:drone,geom:hull", "-mujoco_track",
                              "site:rear left,body_axes:drone,qvel", "-mujoco_track_goal", "0.1", "-mujoco_terminal",
                              "3", "-mujoco_cost_control", "0.01,0.02,0.03,0.04")
        self.assertEqual(code, 0, text + err)
        self.assertRegex(text, r"o_x against Richardson")
        self.assertRegex(text, r"J_x against Richardson")

    def test_a_chain_of_ten_hinges_conforms(self):
        """Its products are differences, whose rounding alone is 1e-7 here."""
        names = [f"hinge {i}" for i in range(10)]
        links = "".join(LINK.format(name=name) for name in names) + "</body>" * len(names)
        motors = "".join(f'<motor joint="{name}"/>' for name in names)
        path = self.write("chain", '<mujoco><option><flag contact="disable"/></option>'
                          f"<worldbody>{links}</worldbody><actuator>{motors}</actuator></mujoco>")
        code, text, err = run("check", "-problems", "mujoco", "-mujoco_model", path)
        self.assertEqual(code, 0, text + err)
        found = float(re.search(r"f_x against Richardson differences +worst (\S+)", text)[1])
        self.assertLess(1e-8, found)  # or this model says nothing on the limit of differences

    def test_joints_are_pushed(self):
        """A policy that pushes the joints of a model without actuators has the gradient of one that moves motors."""
        links = "".join(LINK.format(name=name) for name in ("upper", "lower")) + "</body></body>"
        model = "<mujoco><worldbody>{links}</worldbody>{motors}</mujoco>"
        motors = '<actuator><motor joint="lower" gear="2"/><motor joint="upper" gear="3"/></actuator>'
        moved = self.write("moved", model.format(links=links, motors=motors))
        bare = self.write("bare", model.format(links=links, motors=""))
        options = ("-problem", "mujoco", "-estimator", "rk-adjoint", "-rtol", "1e-8", "-reference", "no",
                   "-mujoco_model")
        found = []
        for model, push in (moved, ()), (bare, ("-mujoco_push", "lower,upper", "-mujoco_push_gear", "2,3")):
            text = self.gradient(*options, model, *push, "-out", self.folder / "gradient.h5")
            with h5py.File(self.folder / "gradient.h5") as file:
                found.append((value(text, "loss"), file["grad_theta"][()]))
        self.assertAlmostEqual(found[0][0] / found[1][0], 1, delta=1e-12)
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=0, atol=1e-9 * np.linalg.norm(found[1][1]))
        self.refused("-mujoco_push all, or names of its hinges and slides, lets the policy push them", "-mujoco_model",
                     bare)
        code, text, err = run("check", "-problems", "mujoco", "-mujoco_model", bare, "-mujoco_push", "all",
                              "-mujoco_push_limit", "0.5")
        self.assertEqual(code, 0, text + err)

    def test_references_of_a_free_joint(self):
        text = self.gradient(*DRONE, "-estimator", "ctpg", "-rtol", "1e-7", "-horizon", "0.5")
        self.assertLess(value(text, "error"), 1e-7)
        good = re.search(r"good to ([-.\de]+) \(theta\), ([-.\de]+) \(x0\); loss differences ([-.\de]+)", text)
        self.assertLess(max(map(float, good.groups())), 1e-8)

    def test_the_version_is_named(self):
        listed = run("list", "-problems")[1]
        version = re.search(r"^built with .*MuJoCo (\d+\.\d+\.\d+)", listed, re.MULTILINE)[1]
        self.assertIn(f"MuJoCo {version}", run("-version")[1])
        self.refused(f"MuJoCo {version} can load", "-mujoco_model", self.write("newer", "<mujoco><magic/></mujoco>"))
        self.refused("docs/mujoco.md", "-mujoco_model", self.write("newer", "<mujoco><magic/></mujoco>"))

    def test_keyframes_by_name_number_and_none(self):
        body = "<mujoco><worldbody><body><joint name='j'/><geom size='.1'/></body></worldbody><actuator><motor "
        model = self.write("keys", body + "joint='j'/></actuator><keyframe><key qpos='1'/><key qpos='2'/>"
                                          "<key name='third' qpos='3'/></keyframe></mujoco>")
        for key, start in (("none", 0), ("0", 1), ("1", 2), ("third", 3), ("2", 3), (None, 1)):
            chosen = () if key is None else ("-mujoco_keyframe", key)
            text = self.gradient("-problem", "mujoco", "-mujoco_model", model, *chosen, "-mujoco_x0_range", "0",
                                 "-mujoco_cost_velocity", "0", "-mujoco_cost_control", "0", "-estimator", "rk-adjoint",
                                 "-rtol", "1e-6", "-horizon", "1e-6", "-reference", "no")
            self.assertAlmostEqual(value(text, "loss") / 1e-6, start**2, delta=1e-3, msg=key)
        self.refused("has 3; known: third", "-mujoco_model", model, "-mujoco_keyframe", "3")

    def loss_and_error(self, *arguments):
        """The loss, and by how much the reference gradient is off differences of the loss."""
        text = self.gradient("-problem", "mujoco", "-mujoco_policy", "linear", "-mujoco_x0_range", "0", "-horizon",
                             "0.6", "-estimator", "rk-adjoint", "-rtol", "1e-8", *arguments)
        return value(text, "loss"), float(re.search(r"loss differences ([-.\de]+)", text)[1])

    def test_contacts_as_they_are_said_to_be(self):
        """Softness is a factor of solref's time and solimp's width; a smooth onset is solimp 0, and f has no jump."""
        ball = (pathlib.Path(__file__).parent.parent / "problems" / "ball.xml").read_text(encoding="utf-8")
        by_hand = ball.replace('solref="0.02 0.2"', 'solref="0.1 0.2" solimp="0 0.95 0.005 0.5 2"')
        self.assertNotEqual(ball, by_hand)
        direct = ball.replace('solref="0.02 0.2"', 'solref="-250000 -20"')  # the same at softness 5: -10000, -4
        softer = ball.replace('solref="0.02 0.2"', 'solref="-10000 -4" solimp="0.9 0.95 0.005 0.5 2"')
        soft = ("-mujoco_contact_softness", "5")
        smooth = self.loss_and_error("-mujoco_model", "ball", *soft, "-mujoco_contact_onset", "smooth")
        written = self.loss_and_error("-mujoco_model", self.write("by_hand", by_hand))
        self.assertEqual(smooth[0], written[0])
        self.assertLess(smooth[1], 1e-5)
        self.assertEqual(self.loss_and_error("-mujoco_model", self.write("direct", direct), *soft)[0],
                         self.loss_and_error("-mujoco_model", self.write("softer", softer))[0])
        self.refused("-mujoco_contact_onset", "-mujoco_model", "ball", "-mujoco_contact_onset", "hard")

    def test_a_reference_while_an_activation_stays_at_an_end(self):
        """An activation rests beyond its end, where no stage sees the jump of its rate at the end."""
        model = self.write("saturated", "<mujoco><worldbody><body><joint name='x' type='slide' axis='1 0 0' "
                           "damping='.5' stiffness='1'/>"
                           "<geom size='.1' mass='1'/></body></worldbody><actuator><general joint='x' "
                           "dyntype='integrator' actlimited='true' actrange='-.01 .02' ctrllimited='true' "
                           "ctrlrange='-1 1'/></actuator></mujoco>")
        text = self.gradient("-problem", "mujoco", "-mujoco_model", model, "-estimator", "ctpg", "-rtol", "1e-6",
                             "-horizon", "10", "-mujoco_policy_init_scale", "1", "-mujoco_observe", "qpos,qvel,act",
                             "-seed", "2", "-mujoco_x0_range", "1")
        good = re.search(r"good to ([-.\de]+) \(theta\), ([-.\de]+) \(x0\); loss differences ([-.\de]+)", text)
        self.assertLess(float(good[1]), 1e-7)
        self.assertLess(float(good[3]), 1e-4)

    def test_lia_where_the_path_rests_on_a_jump(self):
        """The rate of an activation jumps where it stops, and no break says when: lia looks for jumps. At the last four
        tolerances the path rests there by slopes of ten times its moves, or comes to rest in one long step; at the two
        before it meets the jump at order 3 and above, while the velocity grows."""
        model = self.write("thrust", "<mujoco><worldbody><body><joint name='x' type='slide' axis='1 0 0'/>"
                           "<geom type='box' size='.1 .1 .1' mass='1'/></body></worldbody><actuator><general joint='x' "
                           "dyntype='integrator' ctrllimited='true' ctrlrange='-1 1' actlimited='true' "
                           "actrange='-.1 .1'/></actuator></mujoco>")
        with h5py.File(self.folder / "case.h5", "w") as file:
            group = file.create_group("held")
            group["x0"], group["theta"] = np.zeros(3), np.array([0, 0, 0.8])
            group.attrs.update(layers=[2, 1], activations=["linear"], horizon=2.0)

        def error(*options):
            text = self.gradient("-problem", "mujoco", "-mujoco_model", model, "-case_file", self.folder / "case.h5",
                                 "-case", "held", "-estimator", "lia", *options)
            return float(re.search(r"error +([-+.e\d]+)", text)[1])

        def excess(tolerances, *options):
            return np.array([error("-rtol", f"{rtol:.6g}", *options) for rtol in tolerances]) / tolerances

        hard = 1.334e-3, 1e-3, 2.371e-5, 1.334e-5, 4.217e-6, 2.738e-6
        looking = excess(np.append(np.geomspace(8.66e-4, 1.155e-6, 15), hard))
        self.assertGreaterEqual((looking < 2).sum(), 19, looking)
        self.assertLess(np.median(looking), 1)
        self.assertGreater(np.median(excess(np.geomspace(8.66e-4, 1e-5, 5), "-jumps", "0")), 10)

    def test_what_cannot_be_evaluated_is_refused(self):
        slides = "".join(f'<joint type="slide" axis="{axis}"/>' for axis in ("1 0 0", "0 1 0", "0 0 1", "1 1 0"))
        model = self.write("singular", f'<mujoco><worldbody><body>{slides}<geom size=".1"/><site name="s"/></body>'
                                       '</worldbody><actuator><motor site="s"/></actuator></mujoco>')
        self.refused("cannot be evaluated where it starts; MuJoCo says: ", "-mujoco_model", model)

    def test_what_does_not_fit_is_refused(self):
        drone = ("-mujoco_model", "drone")
        self.refused("the model has no site named 'tip'", *drone, "-mujoco_track", "site:tip")
        self.refused("expected 1 or 3", *drone, "-mujoco_track", "body:drone", "-mujoco_track_goal", "1,2")
        self.refused("expected numbers from 0", *drone, "-mujoco_cost_velocity", "-1")
        self.refused("which is no rotation", *drone, "-mujoco_target", "0,0,1,0,0,0,0")
        code, text, err = run("gradient", *DRONE, "-estimator", "euler-bptt", "-scheme", "semi-implicit", "-dt", "0.1",
                              "-reference", "no")
        self.assertRegex(err + text, r"skipped: needs positions and velocities")


if __name__ == "__main__":
    unittest.main()
