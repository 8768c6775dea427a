"""test_columns.py -- what people read on a terminal fits into 100 columns; printed commands can be pasted"""
import contextlib
import fcntl
import os
import re
import struct
import subprocess
import termios
import unittest

from program import LIMIT, PROGRAM, InFolder, environment, run

COLUMNS = 100
# Labels and options that make long lines.
CROWDED = ("-problems", "lqr,a_wide_policy_on_lqr=lqr", "-a_wide_policy_on_lqr_policy", "mlp",
           "-a_wide_policy_on_lqr_policy_widths", "16,16,16,16", "-a_wide_policy_on_lqr_policy_activations",
           "tanh,tanh,tanh,tanh,linear", "-lqr_fixed_start", "1,2", "-seeds", "0:2", "-estimators",
           "ctpg,a_rather_long_label=rk-adjoint,unlucky=euler-bptt", "-a_rather_long_label_storage", "checkpoints",
           "-a_rather_long_label_checkpoints", "4", "-unlucky_eval_limit", "10", "-rtol", "1e-3", "-dt", "0.1")
TRAINING = ("-problems", "lqr", "-estimators", "ctpg,unlucky=euler-bptt", "-unlucky_eval_limit", "10", "-rtol", "1e-3",
            "-dt", "0.1", "-seeds", "0:2", "-iterations", "3", "-test_every", "1", "-test_starts", "2")


class Columns(InFolder):
    def lines(self, *arguments):
        """Lines of a command that must succeed; a single word may be as wide as it is."""
        code, out, err = run(*arguments, cwd=self.folder)
        self.assertEqual(code, 0, err)
        lines = out.splitlines()
        self.assertEqual([line for line in lines if len(line) > COLUMNS and " " in line.strip()], [])
        return lines

    def test_list(self):
        self.lines("list")

    def test_status_of_a_sweep(self):
        self.sweep("crowded.h5", *CROWDED)
        lines = self.lines("status", "crowded.h5")
        self.assertGreater(max(map(len, lines)), 80)  # else nothing was put to the test
        self.assertRegex("\n".join(lines), r"\n    [^\n]* \\\n      -")

    def test_commands_of_status_can_be_pasted(self):
        """Each repeats its run: the same status, from a shell, also where words had to be quoted or lines continued."""
        self.sweep("crowded.h5", *CROWDED)
        place = self.folder / "it's here"
        place.mkdir()
        linked = place / "ctpgbench"
        linked.symlink_to(PROGRAM)
        text = self.shell(f'"{linked}" status crowded.h5')
        failed = text[text.index("failed runs"):text.index("session 0")]
        commands = re.findall(r"^    (?=\S)((?:.*\\\n)*.*)$", failed, re.MULTILINE)
        self.assertEqual(len(commands), 4, failed)
        for command in commands:
            self.assertIn(" \\\n", command)
            self.assertIn("eval_limit", self.shell(command), command)

    def on_terminal(self, columns, *words):
        """What appears on a terminal of so many columns."""
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        with subprocess.Popen([PROGRAM, *words], stdin=slave, stdout=slave, stderr=slave, cwd=self.folder,
                              env=environment(0)) as job:
            os.close(slave)
            said = b""
            with contextlib.suppress(OSError):  # how a terminal tells that nobody writes to it any more
                while part := os.read(master, 1 << 16):
                    said += part
            os.close(master)
        self.assertEqual(job.returncode, 0, said)
        return said.decode().replace("\r\n", "\n")

    def test_a_narrow_terminal_is_respected(self):
        self.sweep("narrow.h5", "-problems", "lqr", "-estimators", "ctpg,rk-adjoint", "-rtol", "1e-3", "-seeds", "0:2")
        for words in (("status", "narrow.h5"), ("table", "narrow.h5"), ("sweep", "-help")):
            wide, narrow = (self.on_terminal(columns, *words) for columns in (200, 60))
            broken = [line for line in narrow.splitlines() if max(map(len, line.split()), default=0) < 50]  # no digest
            self.assertLessEqual(max(map(len, broken)), 60, words)
            self.assertLessEqual(max(map(len, wide.splitlines())), COLUMNS)
            self.assertGreater(max(map(len, wide.splitlines())), 60)
            if words[0] == "status":
                words_of = [[word for word in text.split() if word != "\\"] for text in (wide, narrow)]
                self.assertEqual(*words_of)

    def test_a_progress_line_stays_one_line_and_nothing_has_a_colour(self):
        said = self.on_terminal(50, "sweep", "-problems", "diffdrive", "-estimators", "ctpg,rk-adjoint", "-rtol",
                                "1e-9", "-seeds", "0:30", "-out", "progress.h5")
        shown = re.findall(r"\r\x1b\[K([^\r\n]*)(?=\r)", said)
        self.assertTrue(shown, said)
        self.assertLessEqual(max(map(len, shown)), 49)
        self.assertNotRegex(said, r"\x1b\[[\d;]*m")

    def shell(self, command):
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, timeout=LIMIT,
                              env=environment(0))
        return done.stdout

    def test_status_of_a_training(self):
        code, _, err = run("train", *TRAINING, "-out", "training.h5", cwd=self.folder)
        self.assertEqual(code, 0, err)
        self.lines("status", "training.h5")


if __name__ == "__main__":
    unittest.main()
