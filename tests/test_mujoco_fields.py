"""docs/mujoco-fields.md names every field, flag, type and kind of state that MuJoCo's headers know, once.

The headers are those that the program was built with; CTPG_MUJOCO_HEADERS names others, colon-separated.
"""

import fnmatch
import os
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mujoco-fields.md"
VERDICTS = {"included", "refused", "no effect"}
TYPES = {"mjtNum", "int", "float", "char", "mjtByte", "mjtBool", "mjtSize", "uintptr_t"}
ENUMS = "DisableBit EnableBit Joint Integrator Eq Trn Dyn Gain Bias Sensor State".split()
SUMS = re.compile(r"mjN|mjSTATE_(PHYSICS|FULLPHYSICS|USER|INTEGRATION)$")  # counts of a list, sums of states


def header_folders():
    """Where the mujoco/ folders of headers are; none in a build without MuJoCo."""
    given = os.environ.get("CTPG_MUJOCO_HEADERS")
    if given:
        return [pathlib.Path(folder) for folder in given.split(":")]
    cache = pathlib.Path(os.environ.get("CTPG_BUILD", ROOT / "build")) / "CMakeCache.txt"
    found = re.search(r"^MUJOCO_INCLUDE:\w+=(.*)$", cache.read_text(encoding="utf-8"), re.MULTILINE)
    return [] if found is None or "NOTFOUND" in found[1] else [pathlib.Path(found[1])]


def fields_of(xmacro):
    """Names in the lists of mjOption and mjModel, and which lists there are."""
    names = set()
    for head, body in re.findall(r"#define (MJ(?:OPTION|MODEL)\w*)(?:\([^)]*\))?((?:[^\n]*\\\n)*[^\n]*)\n", xmacro):
        if "PREAMBLE" in head:
            continue
        for entry in re.findall(r"\bX(?:NV|VEC)?\s*\(((?:[^()]|\([^()]*\))*)\)", body):
            words = [word.strip() for word in entry.split(",")]
            names.add(words[1] if words[0] in TYPES else words[0])
    return names


def enumerators_of(text):
    names = set()
    for body in re.findall(rf"typedef enum mjt(?:{'|'.join(ENUMS)})_?\s*{{(.*?)}}", text, re.DOTALL):
        names |= set(re.findall(r"^\s*(mj\w+)", re.sub(r"//[^\n]*", "", body), re.MULTILINE))
    return {name for name in names if not SUMS.match(name) and name != "mjTRN_UNDEFINED"}


def names_of(folder):
    headers = {path.name: path.read_text(encoding="utf-8") for path in (folder / "mujoco").glob("*.h")}
    return fields_of(headers["mjxmacro.h"]) | enumerators_of("".join(headers.values()))


def rows(page):
    """(pattern, verdict) of each name on the page."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            for pattern in re.findall(r"`([^`]+)`", cells[0]):
                yield pattern, cells[1]


def matches(name, patterns):
    return [pattern for pattern in patterns if fnmatch.fnmatchcase(name, pattern)]


class Fields(unittest.TestCase):
    def setUp(self):
        self.rows = list(rows(PAGE.read_text(encoding="utf-8")))
        self.folders = header_folders()
        if not self.folders:
            self.skipTest("built without MuJoCo")

    def test_every_name_of_the_headers_has_one_verdict(self):
        patterns = [pattern for pattern, _ in self.rows]
        for folder in self.folders:
            names = names_of(folder)
            self.assertGreater(len(names), 250, f"the lists of {folder} were not understood")
            missing = sorted(name for name in names if not matches(name, patterns))
            self.assertEqual(missing, [], f"{folder}: these names stand on no row of {PAGE.name}")

    def test_no_name_has_two_verdicts(self):
        patterns = [pattern for pattern, _ in self.rows]
        self.assertEqual(sorted(patterns), sorted(set(patterns)))
        for folder in self.folders:
            for name in names_of(folder):
                found = [pattern for pattern in matches(name, patterns) if pattern != name]
                self.assertLessEqual(len(found), 1, f"{name} is in the families {found}")

    def test_verdicts_are_known_words(self):
        self.assertEqual({verdict for _, verdict in self.rows} - VERDICTS, set())

    def test_a_new_field_is_noticed(self):
        text = "#define MJMODEL_POINTERS \\\n  X ( mjtNum, jnt_magic, njnt, 1 ) \\\n  X ( int, jnt_type, njnt, 1 )\n"
        patterns = [pattern for pattern, _ in self.rows]
        self.assertEqual([name for name in fields_of(text) if not matches(name, patterns)], ["jnt_magic"])
        self.assertEqual(enumerators_of("typedef enum mjtDyn_ {\n  mjDYN_MAGIC, // x\n  mjNDYN\n} mjtDyn;"),
                         {"mjDYN_MAGIC"})


if __name__ == "__main__":
    unittest.main()
