"""mujoco_files.py -- every MJCF file below some folders: accepted, refused with one sentence, or a fault

    mujoco_files.py BUILD FOLDER...      e.g. unpacked wheels of dm_control and gymnasium

Each accepted model is compared with mj_step (test_mujoco_step FILE). Prints a line for each file and the counts; ends
with 1 where a file ended in a crash or in several sentences. Run by hand: the files are others'.
"""
import collections
import pathlib
import subprocess
import sys

LIMIT = 600  # s for one file


def verdict(program, path):
    try:
        run = subprocess.run([program, path], cwd=path.parent, capture_output=True, text=True, timeout=LIMIT,
                             check=False)
    except subprocess.TimeoutExpired:
        return "fault", f"still ran after {LIMIT} s"
    lines = run.stdout.strip().splitlines()
    if run.returncode or len(lines) != 1:
        return "fault", f"exit code {run.returncode}, {len(lines)} lines: {run.stderr[-200:]}"
    word, _, rest = lines[0].removeprefix(f"{path}: ").partition(": ")
    return word, rest


def main():
    program = pathlib.Path(sys.argv[1]).resolve() / "test_mujoco_step"
    counts = collections.Counter()
    for folder in map(pathlib.Path, sys.argv[2:]):
        for path in sorted(folder.resolve().rglob("*.xml")):
            word, rest = verdict(program, path)
            counts[word] += 1
            print(f"{word:8} {path.relative_to(folder.resolve())}: {rest.replace(str(path), path.name)}", flush=True)
    print(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    return 1 if counts["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
