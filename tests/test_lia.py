"""Linearly implicit Adams: the counts and errors of its prototype, dL/dtheta under control, breaks, memory, ranks."""
import math
import re
import tempfile
import unittest

import h5py

import program

# Of the prototype, without control of dL/dtheta, seed 21: f, products, Jacobians, relative error of dL/dx0.
PROTOTYPE = {("diffdrive", "1e-2"): (13, 16, 4, 3.886e-02), ("diffdrive", "1e-4"): (27, 38, 6, 2.730e-04),
             ("quadrotor", "1e-2"): (6, 7, 3, 6.367e-03), ("quadrotor", "1e-4"): (43, 34, 10, 7.162e-05),
             ("electric", "1e-2"): (15, 26, 7, 1.840e-01), ("electric", "1e-4"): (52, 87, 12, 1.714e-03),
             ("pendulum", "1e-2"): (30, 30, 5, 1.851e-02), ("pendulum", "1e-4"): (63, 62, 10, 6.214e-05)}
PRODUCTS = {"diffdrive": 2, "quadrotor": 4, "electric": 2, "pendulum": 1}  # of a Jacobian: min(nu, rows of f_u)
NUMBER = r"([0-9.e+-]+)"


class Run:
    """One gradient, as the program prints it."""
    def __init__(self, problem, seed, rtol, *options):
        code, self.text, errors = program.run("gradient", "-problem", problem, "-seed", str(seed), "-estimator", "lia",
                                              "-rtol", rtol, *options)
        assert code == 0, errors
        self.theta, self.x0 = map(float, re.search(rf"error +{NUMBER} .*?, {NUMBER} \(dL/dx0", self.text).groups())
        self.nfe, self.nf, self.nvjp, *self.steps, self.bytes = map(int, re.search(
            r"NFE (\d+) = (\d+) f \+ (\d+) vjp.*?; (\d+) \+ (\d+) steps, (\d+) \+ (\d+) rejected; (\d+) bytes",
            self.text).groups())


class Lia(unittest.TestCase):
    def test_prototype(self):
        """Its steps forward; backwards no more work and no larger errors, on another interpolant."""
        ratios = []
        for (problem, rtol), (nf, nvjp, jacobians, error) in PROTOTYPE.items():
            with self.subTest(f"{problem} {rtol}"):
                run = Run(problem, 21, rtol, "-theta_control", "0", "-jumps", "0")
                ratios.append(run.x0 / error)
                self.assertEqual(run.nf, nf)
                self.assertLess(run.nfe, 1.05 * (nf + nvjp + jacobians * PRODUCTS[problem]))
        self.assertLess(math.prod(ratios) ** (1 / len(ratios)), 1)

    def test_kinks(self):
        """Paths that cross the kinks of electric: an interpolant that reaches across them errs by 1e-4 and more."""
        for seed in (34, 37, 40):
            with self.subTest(seed):
                self.assertLess(Run("electric", seed, "1e-9").theta, 1e-5)

    def test_one_evaluation_a_step(self):
        run = Run("diffdrive", 21, "1e-6")
        forward, backward, rejected, rejected_backward = run.steps
        self.assertEqual(run.nf, forward + rejected + 1)
        self.assertEqual(run.nvjp, backward + rejected_backward + 1)

    def test_theta_is_under_control(self):
        """With the tangents of the track the integrand of dL/dtheta has features that alpha does not have."""
        for seed in (3, 4, 5, 6):
            with self.subTest(seed):
                run, blind = Run("quadrotor", seed, "1e-6"), Run("quadrotor", seed, "1e-6", "-theta_control", "0")
                self.assertLess(run.theta, 5e-6)
                self.assertLess(run.x0, 1e-6)
                self.assertGreater(blind.theta, 1e-4)

    def test_closed_form(self):
        run = Run("lqr", 1, "1e-11")
        self.assertLess(max(run.theta, run.x0), 1e-9)

    def test_loss_is_repaired(self):
        """The loss at corrected points errs no more than the gradient."""
        for problem in ("diffdrive", "pendulum"):
            run = Run(problem, 21, "1e-6")
            loss, reference = (float(re.search(rf"loss +{NUMBER}", text).group(1))
                               for text in (run.text, Run(problem, 21, "1e-11").text))
            self.assertLess(abs(loss / reference - 1), 1e-5)

    def test_breaks(self):
        """It stops at breaks; who steps over the jump pays for it."""
        for seed in (0, 1, 4):  # whose paths meet no other kink
            with_breaks, without = (Run("electric", seed, "1e-7", *more) for more in ((), ("-respect_breaks", "0")))
            self.assertGreater(without.nfe, 1.3 * with_breaks.nfe)

    def test_dear_jacobians(self):
        """A Jacobian of 50 products is taken where it saves more than it costs: never on a smooth path, soon on a stiff
        one, whose explicit steps are bound by stability."""
        words = ("-nx", "50", "-policy", "mlp", "-policy_widths", "32")
        for rtol, most, error in (("1", 12, 1e-2), ("1e-3", 20, 1e-5), ("1e-9", 50, 1e-9)):
            with self.subTest(rtol):
                run = Run("lqr", 200, rtol, *words)
                self.assertLess(run.nfe, most)
                self.assertLess(run.theta, error)
                self.assertEqual(run.nfe, run.nf + run.nvjp)
        words = (*words, "-A", "-50")
        stiff, explicit = Run("lqr", 200, "1e-3", *words), Run("lqr", 200, "1e-3", *words, "-jacobian_steps", "0")
        self.assertGreater(stiff.nfe, stiff.nf + stiff.nvjp)
        self.assertLess(2 * stiff.nfe, explicit.nfe)

    def test_order_one(self):
        """Order 2 needs 10^6 steps where the others need 100: `check` asks it for less."""
        code, text, errors = program.run("check", "-problems", "lqr", "-estimators", "lia", "-lia_order", "1",
                                         "-check_repeats", "10")
        self.assertEqual(code, 0, text + errors)

    def test_bytes(self):
        """t, x, F, how x is interpolated, w, x - x^P of every node, and the Jacobians with their factors."""
        run = Run("pendulum", 21, "1e-6", "-jacobian_steps", "0")
        self.assertEqual(run.bytes, (run.steps[0] + 1) * (3 + 3 * 2) * 8)
        self.assertGreater(Run("pendulum", 21, "1e-6").bytes, run.bytes)

    def test_correction(self):
        """Products at predicted points err by their distance from the corrected ones, in some cases nothing else."""
        worse = [Run("pendulum", seed, "1e-6", "-correction", "0").theta / Run("pendulum", seed, "1e-6").theta
                 for seed in range(20, 25)]
        self.assertGreater(max(worse), 10)

    def test_measured_error(self):
        """Within a factor 3 of the true one in nearly all cases; under the contract it is below what was asked for."""
        with tempfile.TemporaryDirectory() as folder:
            code, _, errors = program.run(
                "sweep", "-problems", "diffdrive,quadrotor", "-estimators", "bar=lia,contract=lia", "-seeds", "40:46",
                "-rtol", "1e-3,1e-5", "-bar_error_bar", "sweep", "-contract_contract", "-grad_rtol", "1e-3,1e-5",
                "-out", f"{folder}/a.h5")
            self.assertEqual(code, 0, errors)
            with h5py.File(f"{folder}/a.h5") as file:
                rows = file["runs/table"][()]
        measured, asked = (rows[rows["estimator"] == k] for k in (0, 1))
        ratio = measured["error_bar"] / measured["err_rel"]
        self.assertGreaterEqual(((ratio > 1 / 3) & (ratio < 3)).mean(), 0.8)
        self.assertGreaterEqual((asked["err_rel"] <= asked["accuracy"]).mean(), 0.95)
        self.assertGreater(asked["nfe"].sum(), measured["nfe"].sum())

    def test_tolerances_of_a_contract(self):
        """A tenth of what is asked for, forward a sixth of that, where nothing has to be tried again."""
        with tempfile.TemporaryDirectory() as folder:
            code, _, errors = program.run(
                "sweep", "-problems", "quadrotor", "-estimators", "contract=lia,same=lia", "-seeds", "40:43",
                "-contract_contract", "-grad_rtol", "1e-3", "-same_error_bar", "sweep", "-same_guard", "50", "-rtol",
                "1e-4", "-same_forward_rtol_factor", repr(1 / 6), "-out", f"{folder}/a.h5")
            self.assertEqual(code, 0, errors)
            with h5py.File(f"{folder}/a.h5") as file:
                rows = file["runs/table"][()]
        contract, same = (rows[rows["estimator"] == k] for k in range(2))
        for name in ("loss", "grad_norm", "error_bar", "nfe"):
            self.assertEqual(contract[name].tolist(), same[name].tolist(), name)

    def test_no_measured_error_without_jacobians(self):
        for asked in (("-error_bar", "sweep", "-rtol", "1e-4"), ("-contract", "-grad_rtol", "1e-4")):
            code, _, err = program.run("gradient", "-problem", "lqr", "-lqr_horizon", "0.5", "-estimator", "lia",
                                       "-jacobian_steps", "0", *asked)
            self.assertEqual((code, len(err.splitlines())), (1, 1), err)
            self.assertIn("-jacobian_steps 0 leaves no Jacobians", err)

    def test_contract_terms(self):
        """The active term is stored, and a term that allows more costs less; nothing below 1e-12 is tried."""
        with tempfile.TemporaryDirectory() as folder:
            code, _, errors = program.run(
                "sweep", "-problems", "pendulum", "-estimators", "rel=lia,abs=lia,int=lia", "-lia_contract",
                "-abs_grad_atol", "1", "-int_grad_integral_rtol", "1e-2", "-seeds", "40:43", "-grad_rtol", "1e-6",
                "-out", f"{folder}/a.h5")
            self.assertEqual(code, 0, errors)
            with h5py.File(f"{folder}/a.h5") as file:
                rows = file["runs/table"][()]
        relative, absolute, integral = (rows[rows["estimator"] == k] for k in range(3))
        for found, term in ((relative, 1), (absolute, 2), (integral, 4)):
            self.assertEqual(set(found["promise_term"]), {term})
            self.assertTrue((found["err_rel"] <= found["promise"]).all())
        self.assertTrue((relative["promise"] == relative["accuracy"]).all())
        self.assertLess(abs(absolute["promise"] * absolute["grad_norm"] - 1).max(), 1e-3)
        self.assertTrue((integral["promise"] > 1e-6).all())

    def test_ranks(self):
        digests = set()
        with tempfile.TemporaryDirectory() as folder:
            for ranks in (1, 2, 3):
                code, text, errors = program.run(
                    "sweep", "-problems", "diffdrive,electric", "-estimators", "lia", "-seeds", "0:3",
                    "-rtol", "1e-2,1e-5", "-out", f"{folder}/{ranks}.h5", ranks=ranks)
                self.assertEqual(code, 0, errors)
                digests.add(re.search(r"digest: (\w+)", text).group(1))
        self.assertEqual(len(digests), 1)


if __name__ == "__main__":
    unittest.main()
