"""test_folder.py -- the project configures and compiles in a folder whose name has a blank, a parenthesis, an apostrophe

The tree is linked, not copied: what CMake and the compiler see is the folder's name. One file of each kind is compiled
here, the whole project with CTPG_FOLDER=all.
"""
import os
import pathlib
import subprocess
import tempfile
import unittest

from program import ROOT

PARTS = ("CMakeLists.txt", "analysis", "docs", "estimators", "include", "jobs", "problems", "src", "tests", "LICENSE",
         "README.md")


class Folder(unittest.TestCase):
    def run_cmake(self, *arguments, cwd):
        done = subprocess.run(["cmake", *arguments], cwd=cwd, capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-3000:])

    def test_a_name_with_a_blank_a_parenthesis_and_an_apostrophe(self):
        with tempfile.TemporaryDirectory(prefix="it's (a) folder ") as name:
            folder = pathlib.Path(name)
            for part in PARTS:
                (folder / part).symlink_to(ROOT / part)
            self.run_cmake("-S", folder, "-B", folder / "build", cwd=folder)
            whole = os.environ.get("CTPG_FOLDER") == "all"
            targets = ["all"] if whole else ["build_info", "power"]
            self.run_cmake("--build", folder / "build", "--parallel", "2", "--target", *targets, cwd=folder)
            self.assertTrue((folder / "build/generated/build_info.h").exists())


if __name__ == "__main__":
    unittest.main()
