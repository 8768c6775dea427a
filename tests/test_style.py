"""test_style.py -- what a formatter does not see: width of lines, heads of files, names of properties, imports"""
import ast
import itertools
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("src", "include", "estimators", "problems", "tests", "jobs", "analysis", ".ci")
COLUMNS = 120
LONG = 150  # lines; a file with more says at its head how it works


def files(*endings):
    """Of ours; not those that a program writes."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))
             if path.is_file() and path.name.endswith(endings) and "build" not in path.parts]
    return found + ([ROOT / "CMakeLists.txt"] if "CMakeLists.txt" in endings else [])


def name(path):
    return str(path.relative_to(ROOT))


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def defined(tree):
    """Names at the top of a module."""
    found = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(ast.Module([one for one in tree.body
                                     if not isinstance(one, (ast.FunctionDef, ast.ClassDef))], [])):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(one.asname or one.name).split(".")[0] for one in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


class Style(unittest.TestCase):
    def test_width(self):
        """No line is wider than 120 columns, comments too."""
        wide = [f"{name(path)}:{number}: {len(line)} columns"
                for path in files(".c", ".h", ".py", ".sh", ".cmake", ".cmake.in", ".yaml", "CMakeLists.txt")
                for number, line in enumerate(lines(path), 1)
                if len(line) > COLUMNS and (path.suffix != ".yaml" or "#" in line)]  # a plan's values cannot be broken
        self.assertEqual(wide, [])

    def test_heads(self):
        """The first line of a C file gives its name, and says what it is."""
        for path in files(".c", ".h"):
            if path.name.isupper() or "TEMPLATE" in path.name:
                continue
            self.assertRegex(lines(path)[0], rf"^// {re.escape(path.name)} -- .{{8}}", name(path))

    def test_long_files_say_how_they_work(self):
        """A long source file that points to its header says at its head how it does what the header promises."""
        for path in files(".c"):
            text = lines(path)
            if len(text) > LONG and re.match(r"// \S+ -- see \S+\.h", text[0]):
                head = list(itertools.takewhile(lambda line: line.startswith("//"), text))
                self.assertGreater(len(head), 3, f"{name(path)} has {len(text)} lines, and says only '{text[0]}'")

    def test_what_a_test_takes_from_another_is_there(self):
        """Also in those that run on demand alone."""
        trees = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in files(".py")
                 if path.parent.name == "tests"}
        missing = [f"{stem}.py: {node.module}.{one.name}" for stem, tree in trees.items() for node in ast.walk(tree)
                   if isinstance(node, ast.ImportFrom) and node.module in trees for one in node.names
                   if one.name not in defined(trees[node.module])]
        self.assertEqual(missing, [])

    def test_c_tests_name_their_properties(self):
        """A test function begins with the sentence that a failure is reported under."""
        for path in ROOT.glob("tests/test_*.c"):
            text = path.read_text(encoding="utf-8")
            if "CHECK" in text:
                self.assertIn("PROPERTY(", text, name(path))


if __name__ == "__main__":
    unittest.main()
