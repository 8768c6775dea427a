"""test_verdict_statistics.py -- the statistics of `ctpgbench compare` on data whose answer is known, and how often an
estimator that equals the baseline is called better"""

import math
import unittest
from unittest import mock

import numpy as np
from scipy import stats

import analysis_package  # noqa: F401
from ctpgbench_analysis.measure import need, paired, ratios, together
from ctpgbench_analysis.measure.crossing import fitted
from ctpgbench_analysis.measure.intervals import median_interval, share_interval

NEVER, UNKNOWN = need.NEVER, need.UNKNOWN


def law(settings, order=5.0, least=30.0):
    """(error, work) of a method of this order on settings of rtol: error = rtol, least evaluations at 1e-1."""
    return settings.copy(), least * (settings / 0.1) ** (-1 / order)


def exact(values):
    """Needs [seed, 2] that are known."""
    values = np.asarray(values, float)
    return np.stack([values, values], axis=-1)


class Need(unittest.TestCase):
    def test_a_power_law_is_read_off_exactly_whatever_the_grid(self):
        for count in (8, 15, 29, 4):
            error, work = law(np.logspace(-1, -8, count))
            for target in (1e-2, 3.3e-5, 2e-7):
                low, high = need.need(target, 1e-13, error, work)
                self.assertEqual(low, high)
                self.assertAlmostEqual(low / (30.0 * (target / 0.1) ** -0.2), 1, 9)

    def test_halving_the_grid_moves_a_median_by_less_than_three_percent(self):
        """20 seeds whose errors scatter by a factor 1.6 from setting to setting, by 2 from seed to seed."""
        moved = []
        for replay in range(40):
            random = np.random.default_rng(replay)
            settings = np.logspace(-1, -10, 19)
            fine, coarse = [], []
            for _ in range(20):
                error, work = law(settings)
                error = error * 10 ** (0.2 * random.normal(size=error.shape) + 0.3 * random.normal())
                fine.append(need.need(1e-5, 1e-13, error, work)[1])
                coarse.append(need.need(1e-5, 1e-13, error[::2], work[::2])[1])
            moved.append(abs(np.median(coarse) / np.median(fine) - 1))
        self.assertLess(np.quantile(moved, 0.9), 0.03)

    def test_errors_that_hardly_differ_between_settings(self):
        """The line through them is beyond all numbers on one side or the other; what is read off lies between."""
        for sign in (1, -1):
            error = 2e-3 * (1 - sign * 1e-15 * np.arange(3))
            work = np.array([10.0, 100.0, 1000.0])
            self.assertIn(fitted(1e-3, 1e-12, error.tolist(), work.tolist()), (0.0, math.inf))
            low, high = need.need(1e-3, 1e-12, np.append(error, 1e-8), np.append(work, 1e4))
            self.assertEqual(low, high)
            self.assertTrue(1000 <= low <= 1e4)

    def test_what_is_not_reached_is_a_bound_or_never(self):
        error, work = law(np.logspace(-1, -5, 5))
        self.assertEqual(need.need(1e-7, 1e-13, error, work), (work[-1], math.inf))
        failed = np.where(error < 5e-5, np.nan, error)
        self.assertEqual(need.need(1e-7, 1e-13, failed, work), NEVER)
        self.assertEqual(need.need(1e-3, 1e-13, np.full(5, np.nan), work), NEVER)
        self.assertEqual(need.need(0.5, 1e-13, error, work), (0.0, work[0]))
        self.assertEqual(need.need(1e-7, 1e-4, error, work), UNKNOWN)


class Ratios(unittest.TestCase):
    def of(self, mine, base):
        found, neither, unresolved = ratios.bounds(np.array([mine], float), np.array([base], float))
        return tuple(found[0]), bool(neither[0]), bool(unresolved[0])

    def test_bounds(self):
        told = (False, False)
        nothing = ("nan", "nan")
        for mine, base, expected in (((80, 80), (100, 100), (0.8, 0.8)), ((0, 50), (100, 100), (0, 0.5)),
                                     ((80, 80), (0, 40), (2, math.inf)), (NEVER, (100, 100), (math.inf, math.inf)),
                                     ((100, 100), NEVER, (0, 0)), ((300, math.inf), (100, 100), (3, math.inf)),
                                     ((50, 50), (200, math.inf), (0, 0.25))):
            self.assertEqual(self.of(mine, base), (expected, *told), (mine, base))
        for mine, base, neither, unresolved in ((NEVER, NEVER, True, False), ((9, math.inf), NEVER, True, False),
                                                (UNKNOWN, (1, 1), False, True), ((1, 1), UNKNOWN, False, True),
                                                ((math.nan, math.nan), (1, 1), False, False)):
            found, *said = self.of(mine, base)
            self.assertEqual((tuple(map(str, found)), *said), (nothing, neither, unresolved), (mine, base))

    def test_median_and_interval_of_twenty_pairs(self):
        """The 6th and the 15th of 20 hold the median with at least 95 %, the 7th and 14th do not."""
        ratio = np.arange(1, 21) / 10
        found = ratios.pair(exact(ratio), exact(np.ones(20)))
        self.assertAlmostEqual(found.ratio.value, 1.05)
        self.assertAlmostEqual(found.ratio.low, 0.6)
        self.assertAlmostEqual(found.ratio.high, 1.5)
        self.assertGreaterEqual(1 - 2 * stats.binom.cdf(5, 20, 0.5), 0.95)
        self.assertLess(1 - 2 * stats.binom.cdf(6, 20, 0.5), 0.95)

    def test_infinite_and_one_sided_ratios_widen_the_interval_to_their_side(self):
        base = exact(np.full(8, 100.0))
        mine = exact(np.full(8, 50.0))
        mine[:3] = NEVER
        found = ratios.pair(mine, base)
        self.assertEqual((found.ratio.value, found.ratio.high, found.better, found.worse), (0.5, math.inf, 5, 3))
        mine[:3] = (0, 60)
        found = ratios.pair(mine, base)
        self.assertEqual((found.ratio.low, found.ratio.high, found.better), (0.0, 0.6, 8))

    def test_fewer_than_six_pairs_have_no_interval_and_no_verdict(self):
        found = ratios.pair(exact(np.full(5, 50.0)), exact(np.full(5, 100.0)))
        self.assertFalse(found.ratio.known)
        self.assertTrue(math.isnan(found.improved.low))
        self.assertEqual(ratios.verdict(found.ratio, found.p), ratios.UNKNOWN)
        found = ratios.pair(exact(np.full(6, 50.0)), exact(np.full(6, 100.0)))
        self.assertTrue(found.ratio.known)
        self.assertEqual(ratios.verdict(found.ratio, found.p), ratios.BETTER)

    def test_p_values_are_those_of_the_sign_test(self):
        random = np.random.default_rng(5)
        for n in (6, 9, 20, 57):
            ratio = np.exp(random.normal(-0.2, 1, n))
            expected = stats.binomtest(int((ratio < 1).sum()), n, 0.5).pvalue
            self.assertAlmostEqual(ratios.pair(exact(ratio), exact(np.ones(n))).p, expected, 12)

    def test_undecided_pairs_count_against_a_claim_and_equal_ones_do_not_count(self):
        mine, base = exact(np.full(10, 50.0)), exact(np.full(10, 100.0))
        mine[8:] = (0, 200)
        self.assertAlmostEqual(ratios.pair(mine, base).p, stats.binomtest(8, 10, 0.5).pvalue, 12)
        mine[8:] = (100, 100)
        self.assertAlmostEqual(ratios.pair(mine, base).p, 2 * 0.5 ** 8, 12)

    def test_probability_of_improvement(self):
        mine, base = exact(np.full(10, 50.0)), exact(np.full(10, 100.0))
        mine[7:9], mine[9] = (100, 100), (0, 200)
        found = ratios.pair(mine, base).improved
        self.assertAlmostEqual(found.value, 0.8)
        self.assertAlmostEqual(found.top, 0.9)
        self.assertAlmostEqual(found.low, stats.binomtest(7, 10).proportion_ci(method="exact").low, 9)
        self.assertEqual(found.high, 1)

    def test_shares_have_the_interval_of_clopper_and_pearson(self):
        for k, n in ((0, 7), (3, 11), (20, 20), (14, 31)):
            expected = stats.binomtest(k, n).proportion_ci(method="exact")
            self.assertAlmostEqual(share_interval(k, n).low, expected.low, 9)
            self.assertAlmostEqual(share_interval(k, n).high, expected.high, 9)

    def test_over_targets_a_seed_is_its_median_ratio(self):
        mine = exact(np.array([[50.0] * 6, [80.0] * 6, [500.0] * 6]))
        found = ratios.over_targets(mine, exact(np.full((3, 6), 100.0)))
        self.assertAlmostEqual(found.ratio.value, 0.8)
        mine[2] = NEVER
        self.assertAlmostEqual(ratios.over_targets(mine, exact(np.full((3, 6), 100.0))).ratio.value, 0.8)
        found = ratios.over_targets(mine[:2], exact(np.full((2, 6), 100.0)))
        self.assertAlmostEqual(found.ratio.value, math.sqrt(0.5 * 0.8))
        both = np.full((2, 6, 2), math.inf)
        self.assertEqual((ratios.over_targets(both, both).n, ratios.over_targets(both, both).neither), (0, 6))

    def test_equal_needs_the_declared_margin(self):
        random = np.random.default_rng(1)
        narrow, wide = np.exp(random.normal(0, 0.05, 20)), np.exp(random.normal(0, 0.6, 20))
        for ratio, expected in ((narrow, ratios.EQUAL), (wide, ratios.UNKNOWN), (np.ones(20), ratios.EQUAL)):
            found = ratios.pair(exact(ratio), exact(np.ones(20)))
            self.assertEqual(ratios.verdict(found.ratio, found.p), expected)

    def test_less_than_the_margin_is_equal_whatever_the_test_says(self):
        """Better by 5 % on every seed: within what a ladder of settings moves."""
        for centre in (0.95, 1.05):
            ratio = centre * np.exp(np.random.default_rng(6).normal(0, 0.01, 20))
            found = ratios.pair(exact(ratio), exact(np.ones(20)))
            self.assertLess(found.p, 1e-5)
            self.assertEqual(ratios.verdict(found.ratio, found.p), ratios.EQUAL)
            self.assertEqual(together.factor({str(p): {str(p): found.ratios} for p in range(6)}).verdict, ratios.EQUAL)

    def test_lucky_on_three_seeds_of_twenty_is_not_better(self):
        random = np.random.default_rng(3)
        ratio = np.where(np.arange(20) < 3, 0.1, np.exp(random.normal(0.02, 0.02, 20)))
        for values in (ratio, np.where(np.arange(20) < 3, 0.1, 1.0)):
            found = ratios.pair(exact(values), exact(np.ones(20)))
            self.assertNotEqual(ratios.verdict(found.ratio, found.p), ratios.BETTER)
            shared = together.factor({str(p): {str(p): found.ratios} for p in range(6)}, 400)
            self.assertNotEqual(shared.verdict, ratios.BETTER)


class Together(unittest.TestCase):
    def test_holm(self):
        np.testing.assert_allclose(paired.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
        self.assertEqual(len(paired.holm([])), 0)

    def test_who_reaches_among_several(self):
        random = np.random.default_rng(7)
        for _ in range(20):
            mine, other = random.random(20) < 0.7, random.random(20) < 0.4
            self.assertAlmostEqual(paired.among_p(mine, other[:, None]), paired.reached_p(mine, other), 12)
        others = np.ones((6, 4), bool)
        self.assertAlmostEqual(paired.among_p(np.zeros(6, bool), others), 2 / 5**6, 12)
        self.assertEqual(paired.among_p(np.ones(6, bool), others), 1.0)

    def test_factor_of_what_does_not_scatter(self):
        problems = {str(p): {str(p): exact(np.full(8, 0.8))} for p in range(7)}
        found = together.factor(problems)
        for value in (found.ratio.value, found.ratio.low, found.ratio.high):
            self.assertAlmostEqual(value, 0.8)
        self.assertEqual((found.verdict, found.ratio.n, found.seeds, found.resampled), (ratios.BETTER, 7, 56, True))

    def test_problems_weigh_the_same_and_share_among_their_policies(self):
        problems = {"a": {"a1": exact(np.full(6, 0.25)), "a2": exact(np.full(90, 1.0))},
                    "b": {"b": exact(np.full(6, 2.0))}}
        self.assertAlmostEqual(together.factor(problems, 100).ratio.value, 1.0)
        shares = {"a": {"a1": exact(np.full(6, 0.5)), "a2": exact(np.full(90, 2.0))},
                  "b": {"b": exact(np.full(3, 2.0))}}
        np.testing.assert_allclose(together.improvement_share(shares), (0.25, 0.25))
        shares["b"]["b"][:2] = (0, math.inf), (1, 1)
        np.testing.assert_allclose(together.improvement_share(shares), (0.25 + 1 / 12, 0.25 + 1 / 4))

    def test_problems_that_differ_widen_the_interval_once_there_are_six(self):
        few = {str(p): {str(p): exact(np.full(8, (0.5, 1.5)[p % 2]))} for p in range(4)}
        self.assertFalse(together.factor(few).resampled)
        self.assertLess(together.factor(few).ratio.high, 1)
        many = {str(p): {str(p): exact(np.full(8, (0.5, 1.5)[p % 2]))} for p in range(8)}
        self.assertEqual(together.factor(many).verdict, ratios.UNKNOWN)

    def test_what_only_one_of_both_reaches_is_named_and_left_out(self):
        problems = {str(p): {str(p): exact(np.full(8, 0.8))} for p in range(6)}
        problems["never"] = {"never": exact(np.full(8, math.inf))}
        problems["few"] = {"few": exact(np.full(5, 0.1))}
        found = together.factor(problems)
        self.assertAlmostEqual(found.ratio.value, 0.8)
        self.assertEqual(found.left_out, ["never", "few"])
        self.assertEqual(together.factor({"few": problems["few"]}).verdict, ratios.UNKNOWN)

    def test_policies_that_few_seeds_decide_are_left_out_where_nothing_can_be_told_otherwise(self):
        """Their medians are numbers, those of seeds drawn anew often are not: that made both ends infinite."""
        random = np.random.default_rng(4)
        problems = {str(p): {str(p): exact(0.5 * np.exp(random.normal(0, 0.1, 20)))} for p in range(8)}
        for ends, count in (((0, 0.5), 3), ((0, 0.5), 8), ((0.5, math.inf), 3)):  # one end is told, or rarely is not
            problems["0"]["0"][:] = exact(np.full(20, 0.5))
            problems["0"]["0"][:count] = ends
            found = together.factor(problems)
            self.assertEqual((found.left_out, found.verdict), ([], ratios.BETTER))
        problems["0"]["0"][:8] = 0.5, math.inf
        problems["1"]["1"][:8] = 0, 0.5
        found = together.factor(problems)
        self.assertEqual((found.left_out, found.verdict), (["0", "1"], ratios.BETTER))
        self.assertLess(found.ratio.high, 0.6)
        self.assertGreater(found.ratio.low, 0.4)

    def test_equal_data_give_an_equal_interval(self):
        random = np.random.default_rng(2)
        problems = {str(p): {str(p): exact(np.exp(random.normal(0, 1, 9)))} for p in range(6)}
        self.assertEqual(together.factor(problems, 200).ratio, together.factor(problems, 200).ratio)


def replay(number, problems, seeds, targets, never):
    """Is an estimator with the baseline's distribution called better anywhere: over all, on a problem, in a cell?"""
    random = np.random.default_rng(number)
    by_problem, whole, cells = {}, [], []
    for problem in range(problems):
        own = random.normal(0, 0.3, (2, 1, seeds)) + random.normal(0, 0.15, (2, targets, seeds))
        needs = exact(np.exp(6 + own))
        needs[random.random((2, targets, seeds)) < never] = NEVER
        whole.append(ratios.over_targets(*needs))
        cells += [ratios.pair(needs[0, target], needs[1, target]) for target in range(targets)]
        by_problem[str(problem)] = {str(problem): whole[-1].ratios}
    families = [(family, paired.holm([one.p for one in family])) for family in (whole, cells)]
    single = any(ratios.verdict(one.ratio, p) == ratios.BETTER for family, ps in families for one, p in zip(family, ps))
    return single or together.factor(by_problem, 300).verdict == ratios.BETTER


class ErrorRate(unittest.TestCase):
    """5 % of 400 replays and the noise of that number: 28."""

    def times_better(self, *plan):
        with mock.patch("gc.collect"):  # which statsmodels calls for every correction
            return sum(replay(number, *plan) for number in range(400))

    def test_equal_on_six_problems_with_eight_seeds(self):
        self.assertLessEqual(self.times_better(6, 8, 4, 0.0), 28)

    def test_equal_with_one_run_in_ten_that_never_gets_there(self):
        self.assertLessEqual(self.times_better(2, 20, 3, 0.1), 28)

    def test_equal_on_one_problem(self):
        self.assertLessEqual(self.times_better(1, 20, 4, 0.0), 28)

    def test_a_better_one_is_found(self):
        """Eight seeds on six problems, 30 % fewer evaluations: the study could fail otherwise, too."""
        random = np.random.default_rng(0)
        by_problem = {str(p): {str(p): exact(np.exp(random.normal(math.log(0.7), 0.1, 8)))} for p in range(6)}
        self.assertEqual(together.factor(by_problem).verdict, ratios.BETTER)
        ps = paired.holm([ratios.sign_test(policies[p]) for p, policies in by_problem.items()])
        self.assertLessEqual(max(ps), ratios.SIGNIFICANCE)

    def test_intervals_of_medians_hold_it_as_often_as_they_say(self):
        random = np.random.default_rng(4)
        held = sum(one.low <= 0 <= one.high for one in (median_interval(random.normal(size=12)) for _ in range(2000)))
        self.assertGreaterEqual(held, 1900 - 20)


if __name__ == "__main__":
    unittest.main()
