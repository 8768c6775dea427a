"""backend.py -- what pip calls to make a wheel of this folder (PEP 517, PEP 660), from the standard library alone, so
that `pip install ./analysis` fetches nothing"""

import base64
import hashlib
import re
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "ctpgbench_analysis"
PROJECT = (HERE / "pyproject.toml").read_text(encoding="utf-8")


def text_of(key):
    """A line `key = "text"` of pyproject.toml."""
    return re.search(rf'^{key} = "(.*)"', PROJECT, re.MULTILINE).group(1)


def list_of(key):
    """A line `key = ["text", ...]` of pyproject.toml."""
    return re.findall(r'"([^"]*)"', re.search(rf"^{key} = \[(.*)\]", PROJECT, re.MULTILINE).group(1))


def metadata():
    """What the wheel says of itself."""
    lines = ["Metadata-Version: 2.1", f"Name: {text_of('name')}", f"Version: {text_of('version')}",
             f"Summary: {text_of('description')}", f"Requires-Python: {text_of('requires-python')}",
             "Provides-Extra: all", *[f'Requires-Dist: {name}; extra == "all"' for name in list_of("all")]]
    return "\n".join(lines) + "\n"


def about():
    """{name: text} of the files that describe the wheel, but its record."""
    command = text_of("ctpgbench-analysis")
    return {"METADATA": metadata(),
            "WHEEL": "Wheel-Version: 1.0\nGenerator: ctpgbench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "entry_points.txt": f"[console_scripts]\nctpgbench-analysis = {command}\n"}


def write_wheel(folder, contents):
    """The wheel with these {name: bytes}; its file name."""
    info = f"{PACKAGE}-{text_of('version')}.dist-info"
    contents = {**contents, **{f"{info}/{name}": text.encode() for name, text in about().items()}}
    name, record = f"{PACKAGE}-{text_of('version')}-py3-none-any.whl", []
    with zipfile.ZipFile(Path(folder) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}")
            wheel.writestr(zipfile.ZipInfo(path), data)  # no clock: equal sources give equal wheels
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "\n".join([*record, f"{info}/RECORD,,", ""]))
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Hook of PEP 517."""
    sources = sorted((HERE / PACKAGE).rglob("*.py"))
    return write_wheel(wheel_directory, {path.relative_to(HERE).as_posix(): path.read_bytes() for path in sources})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """Hook of PEP 660: the package stays in this folder."""
    return write_wheel(wheel_directory, {f"{PACKAGE}.pth": f"{HERE}\n".encode()})
