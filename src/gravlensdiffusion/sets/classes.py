"""Classes of a set that have no images: nothing can be learned of them, and none are drawn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.sets.prepared import ImageSource
from gravlensdiffusion.sets.records import SetHeader


class PresentClasses:
    """A set whose classes are those that have images.

    Args:
        source: The set.

    Attributes:
        header: What is common to all images, with those classes alone.
        labels: Their class, shape ``(N,)``; -1 where it is not known.
        absent: Names of the classes that were left out.
    """

    def __init__(self, source: ImageSource) -> None:
        names = source.header.class_names
        labels = np.asarray(source.labels)
        counts = np.bincount(labels[labels >= 0], minlength=len(names))
        self._source = source
        self.absent = tuple(name for name, num in zip(names, counts, strict=True) if not num)
        kept = tuple(name for name in names if name not in self.absent)
        self.header: SetHeader = replace(source.header, class_names=kept)
        # The last place is that of -1.
        table = np.append(np.cumsum(counts > 0) - 1, -1).astype(np.int16)
        self.labels: NDArray[np.int16] = table[labels]

    def __len__(self) -> int:
        return len(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def present_classes(source: ImageSource) -> tuple[ImageSource, tuple[str, ...]]:
    """Return a set without its classes that have no images, and the names of these."""
    if not source.header.class_names:
        return source, ()
    present = PresentClasses(source)
    return (present, present.absent) if present.absent else (source, ())


def absence(names: Sequence[str]) -> str:
    """Say that classes were left out, in one line."""
    return f"no image belongs to {', '.join(names)}, left out"
