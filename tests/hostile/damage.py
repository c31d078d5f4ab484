"""Damage that needs no knowledge of the format: what transfers, disks and fuzzers do to files."""

from collections.abc import Callable

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]


def cut_off(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(0, len(content))]


def flip_bit(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return bytes(changed)


def flip_many(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in random.integers(0, len(changed), max(4, len(changed) // 100)):
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    start = int(random.integers(len(content)))
    junk = random.bytes(int(random.integers(1, 64)))
    return content[:start] + junk + content[start + len(junk) :]


def extreme_number(content: bytes, random: np.random.Generator) -> bytes:
    """Put a number that is zero, negative or as large as can be where one may stand."""
    start = int(random.integers(len(content)))
    number = [bytes(8), b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\x00\x00\x00\x80", b"9" * 12]
    junk = number[random.integers(len(number))]
    return content[:start] + junk + content[start + len(junk) :]


def swap_parts(content: bytes, random: np.random.Generator) -> bytes:
    low, middle, high = sorted(int(place) for place in random.integers(0, len(content) + 1, 3))
    return content[:low] + content[middle:high] + content[low:middle] + content[high:]


def repeat_part(content: bytes, random: np.random.Generator) -> bytes:
    low, high = sorted(int(place) for place in random.integers(0, len(content) + 1, 2))
    return content[:high] + content[low:high] * int(random.integers(1, 4)) + content[high:]


def zero_part(content: bytes, random: np.random.Generator) -> bytes:
    low, high = sorted(int(place) for place in random.integers(0, len(content) + 1, 2))
    return content[:low] + bytes(high - low) + content[high:]


DAMAGES: dict[str, Damage] = {
    "cut off": cut_off,
    "one bit flipped": flip_bit,
    "many bits flipped": flip_many,
    "junk written over": overwrite,
    "extreme number": extreme_number,
    "parts swapped": swap_parts,
    "a part repeated": repeat_part,
    "a part zeroed": zero_part,
}
