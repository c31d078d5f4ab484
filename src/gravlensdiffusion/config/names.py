"""What a class must not be called, since its name already means something where classes are asked for."""

from collections.abc import Sequence

from gravlensdiffusion.errors import GravLensError

RESERVED = {"any": "leaves the class open", "unlabelled": "stands for images without a class"}
"""Words that no class is called, in letters of either case, and what they mean."""
SEPARATORS = ",="
"""Letters that lists of classes are taken apart at, as in ``--label a,b`` and ``--merge lens=a,b``."""


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
