"""Streams against numpy.random.Philox: uniforms bitwise, normals within 2 ulp of Box-Muller in numpy.

numpy's own double sin and cos are wrong by up to 2.9 ulp where it uses SVML (AVX-512): log1p, sin and cos are evaluated
in numpy's long double here, and rounded. The binary is $CTPG_BUILD/test_random; CTPG_BUILD defaults to build beside
the tests' folder.
"""
import os
import pathlib
import subprocess
import unittest

import numpy as np

BUILD = pathlib.Path(os.environ.get("CTPG_BUILD", pathlib.Path(__file__).resolve().parent.parent / "build"))
PAIRS = 2000
# seed, problem type, purpose, index, experiment
STREAMS = [
    (0, "lqr", 0, 0, 0),
    (1, "quadrotor", 1, 0, 0),
    (41, "diffdrive", 2, 0, 7),
    (2**64 - 1, "cartpole-analytic", 3, 2**63 + 5, 2**40),
    (123456789, "electric", 5, 987654321987654321, 1),
]


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def draw(stream):
    """Uniforms and normals, 2 PAIRS each, as the C code prints them."""
    command = [BUILD / "test_random", "dump", *map(str, stream), str(2 * PAIRS)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    numbers = np.array([float.fromhex(line) for line in lines])
    return numbers[: 2 * PAIRS], numbers[2 * PAIRS :]


def numpy_uniforms(seed, problem, purpose, index, experiment):
    key = np.array([seed, fnv1a64(problem)], dtype=np.uint64)
    counter = np.array([0, index, purpose, experiment], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).random(2 * PAIRS)


def rounded(function, x):
    return function(x.astype(np.longdouble)).astype(np.float64)


def box_muller(uniforms):
    first, second = uniforms[0::2], uniforms[1::2]
    radius = np.sqrt(-2 * rounded(np.log1p, -first))
    angle = 2 * np.pi * second
    return np.column_stack([radius * rounded(np.cos, angle), radius * rounded(np.sin, angle)]).ravel()


class Streams(unittest.TestCase):
    def test_uniforms_are_numpys(self):
        for stream in STREAMS:
            with self.subTest(stream=stream):
                np.testing.assert_array_equal(draw(stream)[0], numpy_uniforms(*stream))

    def test_normals_within_two_ulp(self):
        for stream in STREAMS:
            with self.subTest(stream=stream):
                expected = box_muller(numpy_uniforms(*stream))
                ulps = np.abs(draw(stream)[1] - expected) / np.spacing(np.abs(expected))
                self.assertLessEqual(ulps.max(), 2)


if __name__ == "__main__":
    unittest.main()
