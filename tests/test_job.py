"""What a sweep and a training are as jobs: the same options for their limits, the same words, one name for each."""
import re
import unittest

from program import InFolder, run

PLAN = {"sweep": ("-problems", "lqr", "-estimators", "ctpg", "-seeds", "0:1", "-rtol", "1e-3"),
        "train": ("-problems", "lqr", "-estimators", "ctpg", "-rtol", "1e-3", "-iterations", "2")}
LIMITS = {"checkpoint_interval", "dry_run", "retry_crashed", "stop_grace", "time_limit", "time_margin"}


def command_options(command):
    """{name: (default, help)} of the options of the whole command that -help lists."""
    code, out, err = run(command, *PLAN[command], "-help")
    assert code == 0, err
    return {name: (default, text) for name, default, text in re.findall(r"^  -(\w+) <(.*?)>: (.*)$", out, re.M)}


class Limits(InFolder):
    def test_sweep_and_train_have_the_same_limits(self):
        sweep, train = command_options("sweep"), command_options("train")
        self.assertLessEqual(LIMITS, set(sweep))
        self.assertLessEqual(LIMITS, set(train))
        for name in LIMITS - {"checkpoint_interval"}:  # what a checkpoint is differs
            self.assertEqual(sweep[name], train[name], name)
        for options in sweep, train:
            self.assertEqual([name for name in options if "checkpoint" in name], ["checkpoint_interval"])

    def test_the_old_name_leads_to_the_new_one(self):
        for command, plan in PLAN.items():
            with self.subTest(command):
                code, out, err = run(command, *plan, "-checkpoint_every", "3", "-out", "a.h5", cwd=self.folder)
                self.assertEqual(code, 1, out + err)
                self.assertIn("-checkpoint_every is not an option any more; expected -checkpoint_interval", err)
                self.assertFalse((self.folder / "a.h5").exists())

    def test_both_stop_at_their_time_limit_and_go_on(self):
        for command, plan in PLAN.items():
            with self.subTest(command):
                place = dict(cwd=self.folder)
                code, out, err = run(command, *plan, "-out", f"{command}.h5", "-time_limit", "1e-6", **place)
                self.assertEqual(code, 75, out + err)
                self.assertIn("incomplete: the same command goes on from here", out)
                code, out, err = run(command, *plan, "-out", f"{command}.h5", **place)
                self.assertEqual(code, 0, out + err)
                self.assertRegex(out, r"resumed, 0 of \d+ runs done")
                self.assertIn("digest: ", out)


class Words(InFolder):
    def test_no_message_speaks_of_a_sweep_to_a_training(self):
        said = ""
        for more in ((), ("-time_limit", "1e-6"), (), ("-seeds", "0:2"), ("-problems", "pendulum"), ("-dry_run",)):
            said += "".join(map(str, run("train", *PLAN["train"], "-out", "t.h5", *more, cwd=self.folder)[1:]))
        self.assertIn("resumed", said)
        self.assertIn("laid out anew", said)
        self.assertIn("holds another training", said)
        self.assertNotIn("sweep", said)
        told = re.sub(r".*error_bar <.*", "", run("train", *PLAN["train"], "-help")[1])  # a sweep of Newton's method
        self.assertNotIn("sweep", told)


if __name__ == "__main__":
    unittest.main()
