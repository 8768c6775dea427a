"""test_time_left.py -- the time left that is told after a tenth of the work, on recorded costs of real sweeps"""
import re
import unittest

from program import InFolder, run

PLANS = (
    ("-problems", "lqr", "-estimators", "ctpg,rk-adjoint,forward,neural-ode", "-rtol", "1e-8:1e-2:4", "-seeds", "0:20"),
    ("-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint,euler-bptt", "-rtol", "1e-8:1e-2:4", "-dt", "0.01,0.1",
     "-seeds", "0:8"),
    ("-problems", "vanderpol,pendulum", "-estimators", "ctpg,neural-ode,tsadjoint", "-rtol", "1e-8:1e-3:4", "-seeds",
     "0:6"),
    ("-problems", "electric", "-estimators", "ctpg,rk-adjoint", "-rtol", "1e-6,1e-3", "-seeds", "0:4"),
    ("-problems", "cartpole-analytic,lqr", "-estimators", "ctpg,alf,cvodes", "-rtol", "1e-6,1e-3", "-seeds", "0:5"),
)


class TimeLeft(InFolder):
    def test_nine_of_ten_within_a_factor(self):
        """Recorded costs, each four times over, replayed on one and two ranks."""
        ratios = []
        for number, plan in enumerate(PLANS):
            self.sweep(f"{number}.h5", *plan)
            code, text, err = run("plan", self.folder / f"{number}.h5", "-simulate", "1,2", "-replicate", "4")
            self.assertEqual(code, 0, err)
            ratios += [float(word) for word in re.findall(r"time left after a tenth of the work: .* ratio (\S+)", text)]
        self.assertEqual(len(ratios), 10)
        good = [ratio for ratio in ratios if 1 / 1.5 <= ratio <= 1.5]
        self.assertGreaterEqual(len(good), 9, ratios)


if __name__ == "__main__":
    unittest.main()
