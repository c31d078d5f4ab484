"""What configurations may hold: limits of size, numbers in a range, names of classes."""

from collections.abc import Sequence

from gravlensdiffusion.errors import GravLensError

MAX_SIDE = 4096
"""Pixels a side of the largest image that is drawn."""
MAX_BANDS = 64
MAX_NUMBER = 1e100
"""Numbers up to this can be squared."""
MAX_LEVELS = 16
MAX_CHANNELS = 2**16
MAX_BLOCKS = 256
MAX_STEPS = 100_000
MAX_SUPERSAMPLING = 4
MAX_WEIGHTS = 2**30
"""Numbers that a model may consist of: 4 GB, a hundred times the largest preset and more."""
MAX_ROWS = 2**20
MAX_CLASSES = 2**15 - 1
"""Labels are numbers of 16 bits."""

WISE_GUIDANCE = 3.0
"""Scale beyond which the bundled models' lenses lose their shape; docs/conventions.md has their flux."""
MAX_GUIDANCE = 10.0
"""Scale at which rings have become arcs or speckles; no larger one is taken."""

RESERVED = {"any": "leaves the class open", "unlabelled": "stands for images without a class"}
"""Words that no class is called, in letters of either case, and what they mean."""
SEPARATORS = ",="
"""Letters that lists of classes are taken apart at, as in ``--label a,b`` and ``--merge lens=a,b``."""


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is zero, negative or not a number, by its name."""
    if not value > 0:
        raise GravLensError(f"{name} must be positive, got {value}")


def require_guidance(scale: float) -> None:
    """Refuse a scale of classifier-free guidance that is negative, or draws no lenses."""
    if not 0 <= scale <= MAX_GUIDANCE:
        raise GravLensError(
            f"guidance must be a number from 0 to {MAX_GUIDANCE:g}, beyond which no lenses come of "
            f"it, got {scale:g}"
        )


def check_class_names(names: Sequence[str]) -> None:
    """Refuse names that a class cannot be asked for by.

    Args:
        names: The names of the classes of a set or of a model.

    Raises:
        GravLensError: If one is empty, a reserved word, has a separator in it or blanks around it, or
            is there twice.
    """
    for name in names:
        reason = RESERVED.get(name.lower())
        marks = [mark for mark in SEPARATORS if mark in name]
        if marks:
            reason = f"has '{marks[0]}' in it, which lists of classes are taken apart at"
        elif name != name.strip() or not name:
            reason = "is empty or has blanks around it"
        if reason:
            raise GravLensError(f"the class name '{name}' {reason}; call the class otherwise")
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise GravLensError(f"the class name '{twice}' is there twice; call one of them otherwise")
