"""`ctpgbench bench`: numbers in a file, and a build held against them by instructions."""
import h5py
import numpy as np

import program

COUNTS = ("bench", "-times", "0")


class Bench(program.InFolder):
    def bench(self, *words, code=0):
        found, out, errors = program.Job(*COUNTS, *words, cwd=self.folder).finish(400)
        self.assertEqual(found, code, out + errors)
        if "no instructions were counted" in out or "cannot be counted here" in errors:
            self.skipTest("instructions cannot be counted on this machine")
        return out + errors

    def test_against(self):
        """The same build is not worse than itself; one that takes half as many instructions was better."""
        out = self.bench("-out", "b.h5")
        with h5py.File(self.folder / "b.h5", "r+") as file:
            rows = file["bench"][()]
            self.assertEqual(file.attrs["kind"], b"bench")
            self.assertTrue((rows["counted"] == 1).all())
            self.assertEqual(len(rows), 10)
            values = dict(zip(rows["name"].astype(str), rows["value"]))
            kernel = values["instructions of kernel 7-32-32-2, f"]
            self.assertTrue(0.3 < kernel < 100, kernel)  # four multiply-adds an instruction, or two, and what is beside
            self.assertIn("instructions of kernel 7-32-32-2, f", out)
            gradient = values["instructions of ctpg on lqr, T = 1 s"]
            self.assertTrue(gradient > 1, gradient)
            training = values["instructions of a training on lqr, T = 1 s"]
            self.assertTrue(1 < training < 10, training)
            row = values["instructions of a row of a sweep into its file"]
            self.assertTrue(1 < row < 10000, row)
            rows["value"][0] /= 2
            file["bench"][...] = rows
        text = self.bench("-against", "b.h5", code=1)
        line = next(line for line in text.splitlines() if line.endswith("worse"))
        self.assertIn("+100.00 %", line)
        self.assertEqual(sum(line.endswith("worse") for line in text.splitlines()), 1, text)
        self.assertIn("1 ratios of instructions are more than 2 % above those of b.h5", text)

    def test_bad_input(self):
        """A sentence; what lies at -out stays."""
        (self.folder / "x.h5").write_bytes(b"precious")
        with h5py.File(self.folder / "y.h5", "w") as file:
            file.attrs["kind"] = np.bytes_("sweep")
        for words, sentence in ((("-against", "none.h5"), "none.h5 cannot be compared with"),
                                (("-against", "y.h5"), "it is of kind sweep; expected a file of bench -out"),
                                (("-out", "x.h5"), "x.h5"), (("-out", "no/b.h5"), "-out no/b.h5 cannot be written"),
                                (("-problems", "lqr", "-lqr_Q", "1e308"), "cannot be traced: f is not finite"),
                                (("-tolerances", "1"), "did you mean -tolerance?")):
            code, _, errors = program.run(*COUNTS, *words, cwd=self.folder)
            self.assertEqual((code, len(errors.splitlines())), (1, 1), errors)
            self.assertIn(sentence, errors)
        self.assertEqual((self.folder / "x.h5").read_bytes(), b"precious")


if __name__ == "__main__":
    program.unittest.main()
