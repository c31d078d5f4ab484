"""What the numbers of image files are that state no unit.

Unsigned whole numbers of 8 and 16 bits are greys, with the largest number of the type as white.
Numbers of other types tell by where each image ends: at exactly 1, from exactly 0, if it was scaled
by its own extremes; at exactly 255, all of them whole, if it was a grey image of 8 bits. All others
are flux per pixel of an unknown unit, and stay as they are.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.formats.source import Facts
from gravlensdiffusion.sets.flux import FULL_SCALE, PEAK, UNKNOWN

WHITE = {"uint8": 255, "uint16": 65535}
"""Largest number of the types that hold greys."""
EIGHT_BIT = 255


def of_type(facts: Facts, dtype: np.dtype[np.generic]) -> Facts:
    """Return the facts of an image as its type tells them.

    Args:
        facts: What the file states.
        dtype: Type of the stored numbers.
    """
    white = WHITE.get(dtype.name)
    return facts if white is None else replace(facts, flux_unit=FULL_SCALE, white=white)


def looked_at(facts: Facts, pixels: NDArray[np.generic]) -> Facts:
    """Return the facts of an image with where its numbers end, if that may tell what they are.

    Args:
        facts: What the file states.
        pixels: The whole image as it is stored; a part of it need not end there.
    """
    if facts.flux_unit != UNKNOWN or facts.top is not None or pixels.dtype.kind not in "iuf":
        return facts
    numbers: NDArray[np.floating] = pixels  # type: ignore[assignment]
    low, high = numbers.min(), numbers.max()
    is_grey = low >= 0 and high == EIGHT_BIT and np.array_equal(numbers, np.floor(numbers))
    is_peak = low == 0 and high == 1
    return replace(facts, top=int(high)) if is_grey or is_peak else facts


def unit_told(facts: Iterable[Facts]) -> Facts | None:
    """Return unit and white of the images of a set that state none, where all end at one number.

    Args:
        facts: What is known of each image.

    Returns:
        Facts of which these two count; None where the numbers tell nothing.
    """
    tops = {each.top for each in facts if each.flux_unit == UNKNOWN}
    if tops == {1}:
        return Facts(flux_unit=PEAK)
    if tops == {EIGHT_BIT}:
        return Facts(flux_unit=FULL_SCALE, white=EIGHT_BIT)
    return None


def describe(facts: Iterable[Facts]) -> list[str]:
    """Say what the numbers of a set were taken for, one line each.

    Args:
        facts: What is known of each image, its unit told.
    """
    whites: Counter[int] = Counter()
    num_peak = 0
    for each in facts:
        if each.white is not None:
            whites[each.white] += 1
        num_peak += each.flux_unit == PEAK and each.top == 1
    lines = [
        f"{_images(num)} whole numbers up to {white}: divided by that, so that white is 1 (flux "
        f"unit '{FULL_SCALE}')"
        for white, num in sorted(whites.items())
    ]
    if num_peak:
        lines.append(
            f"{_images(num_peak)} no unit and run exactly from 0 to 1: taken as each scaled by its "
            f"own extremes (flux unit '{PEAK}')"
        )
    return lines


def _images(num: int) -> str:
    return "1 image has" if num == 1 else f"{num:,} images have"
