"""test_kill.py -- a short kill campaign, and campaigns against a program that loses rows, which must be found out

The thousand strikes are `tests/kill_campaign.py --kills 1000` (label slow).

By hand the program itself was broken, too: `sweep` laid its file out anew at every start (found at the first strike
after a row: "7 committed rows are lost"), and ran finished rows again ("committed rows have changed").
"""
import unittest

from kill_campaign import Campaign, Lost


class Kill(unittest.TestCase):
    def test_nothing_is_lost(self):
        print(Campaign(seed=8, ranks=(2, 3)).run(12))

    def test_losses_are_found(self):
        for damage, words in (("drop", "committed rows are lost"), ("flip", "have changed"),
                              ("torn", "fail their checksum")):
            with self.subTest(damage=damage), self.assertRaisesRegex(Lost, words):
                Campaign(seed=1, ranks=(2,), damage=damage).run(12)


if __name__ == "__main__":
    unittest.main()
