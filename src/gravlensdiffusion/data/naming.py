"""The order of file names: sample2 before sample10."""

import re


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which runs of digits count as numbers.

    Args:
        name: A file name; upper and lower case sort together.
    """
    parts = re.split(r"(\d+)", name.lower(), flags=re.ASCII)
    # The name itself comes last so that 01 and 1 have a fixed order.
    keys = [_number_key(part) if i % 2 else (0, 0, part) for i, part in enumerate(parts)]
    return (*keys, (-1, 0, name))


def _number_key(digits: str) -> tuple[int, int, str]:
    # More digits are a larger number; Python converts no number of thousands of them.
    significant = digits.lstrip("0")
    return 1, len(significant), significant
