"""machines.py -- may times that were taken on two machines be compared? The rule of the program (job/fingerprint.h)"""
from __future__ import annotations

import re

RATES_AGREE = 1.25


def parse(text: str) -> dict[str, tuple[float, float]]:
    """{model: (lowest, highest rate)} of "MODEL 2.6e+09 to 2.7e+09 multiply-adds/s; ..."."""
    return {model: (float(low), float(high))
            for model, low, high in re.findall(r"(?:^|; )([^;]*?) ([\d.e+-]+) to ([\d.e+-]+) multiply-adds/s", text)}


def same_machine(one: str, other: str) -> bool:
    """The same models, with rates within a quarter."""
    first, second = parse(one), parse(other)
    return first.keys() == second.keys() and all(
        first[model][0] <= RATES_AGREE * second[model][1] and second[model][0] <= RATES_AGREE * first[model][1]
        for model in first)
