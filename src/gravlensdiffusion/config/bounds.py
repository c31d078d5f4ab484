"""What configurations may hold: numbers in a range, limits of size, names of classes."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

from gravlensdiffusion.errors import GravLensError

MAX_SIDE = 4096
"""Pixels a side of the largest image that is drawn."""
MAX_NUMBER = 1e100
"""Numbers up to this can be squared."""
MAX_LEVELS = 16
MAX_CHANNELS = 2**16
MAX_STEPS = 100_000
MAX_WEIGHTS = 2**30
"""Numbers that a model may consist of: 4 GB, a hundred times the largest preset and more."""
MAX_NAME = 1000
"""Letters of a name or a unit."""
MAX_PARAMETERS = 1000
MAX_CLASSES = 2**15 - 1
"""Labels are numbers of 16 bits."""

WISE_GUIDANCE = 3.0
"""Scale beyond which the bundled models' lenses lose their shape; docs/conventions.md has their flux."""

ANY = "any"
"""What to ask for where the class, or a value, is left to the model."""
UNLABELLED = -1
"""The label of an image whose class is not known, or is left to the model."""
RESERVED = {ANY: "leaves the class open", "unlabelled": "stands for images without a class"}
"""Words that no class is called, in letters of either case, and what they mean."""
LATER = {"later": True}
"""Metadata of a field that earlier versions lack: it is saved only where it has another value."""
SEPARATORS = ",="
"""Letters that lists of classes are taken apart at, as in ``a,b`` and ``lens=a,b``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The finite numbers that a field may hold, as in ``Annotated[float, Range(above=0)]``.

    Each number of a tuple or a dictionary must lie in it, and all that a prior can give. None is
    left alone.

    Attributes:
        at_least: Smallest number that is allowed.
        at_most: Largest number that is allowed.
        above: Number that all must lie above; takes the place of `at_least`.
        below: Number that all must lie below; takes the place of `at_most`.
        because: Why it ends where it does, told after the ends.
    """

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float | None = None
    below: float | None = None
    because: str = ""

    def __contains__(self, value: float) -> bool:
        is_above = value >= self.at_least if self.above is None else value > self.above
        return is_above and (value <= self.at_most if self.below is None else value < self.below)

    def __str__(self) -> str:
        low = self.at_least if self.above is None else self.above
        high = self.at_most if self.below is None else self.below
        if math.isfinite(high):
            ends = [f"{end:g}" for end in (self.above, self.below) if end is not None]
            without = f" (not {' or '.join(ends)})" if ends else ""
            because = f", {self.because}" if self.because else ""
            return f"lie between {_shown(low)} and {_shown(high)}{without}{because}"
        if not math.isfinite(low):
            return "be finite"
        if low == 0:
            return "not be negative" if self.above is None else "be positive"
        return f"be {'at least' if self.above is None else 'above'} {_shown(low)}"


Count = Annotated[int, Range(at_least=1)]
Whole = Annotated[int, Range(at_least=0)]
NonNegative = Annotated[float, Range(at_least=0)]
Positive = Annotated[float, Range(above=0)]
Share = Annotated[float, Range(at_least=0, at_most=1)]
Side = Annotated[int, Range(at_least=4, at_most=MAX_SIDE)]
"""Pixels a side of an image."""
HeldOut = Annotated[float, Range(at_least=0, at_most=0.5)]
"""Share of the images that no step sees."""
ExposureTime = Annotated[float, Range(at_least=1e-3, at_most=MAX_NUMBER)]
"""Exposure time that noise is drawn for [s]."""
Bands = Annotated[int, Range(at_least=1, at_most=64)]
Seed = Annotated[int, Range(at_least=0, at_most=2**63 - 1)]
NoiseSeed = Annotated[int, Range(at_least=0, at_most=2**64 - 1)]
Guidance = Annotated[
    float,
    Range(at_least=0, at_most=10, because="beyond which no lenses come of it"),
]
"""Scale of classifier-free guidance; 1 is none, at 10 rings have become arcs or speckles."""
Number = Annotated[float, Range()]
"""Any number but an infinite one."""
Augmentation = Literal["none", "half_turn", "flips", "d4"]
"""Symmetries that training images are turned by; see `training.augment`."""
Precision = Literal["fp32", "bf16"]
"""Arithmetic of a training."""
Device = Literal["auto", "cpu", "cuda"]
Resize = Literal["bilinear", "area"]
"""How images are brought to another size; see `sets.flux.resized`."""
Rescale = Literal["none", "peak"]
"""Whether each image is brought to [0, 1] by its own extremes."""


class Bounded:
    """A configuration of which each number lies in the range that its field is annotated with."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check_ranges(self)
        for fault in self._faults():
            raise GravLensError(fault)

    def _faults(self) -> Iterator[str]:
        """Yield what else is wrong."""
        return iter(())


def check_ranges(config: object, name: str = "") -> None:
    """Refuse a dataclass with a number that is not in the `Range` of its field.

    Args:
        config: The dataclass.
        name: How messages name a field, ``{}`` in its place; by default after the class, as in
            ``schedule num_steps``.

    Raises:
        GravLensError: If there is one; it names the field, what is allowed, and the value.
    """
    cls: Any = type(config)
    if not name:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__.removesuffix("Config"))
        name = f"{words.lower()} {{}}"
    for field, ranges in _ranges(cls).items():
        for value in _leaves(getattr(config, field)):
            ends = getattr(value, "support", (value,))
            is_finite = not isinstance(value, float) or math.isfinite(value)
            for each in ranges:
                if not (is_finite and all(end in each for end in ends)):
                    raise GravLensError(f"{name.format(field)} must {each}, got {value}")


@cache
def _ranges(cls: type) -> Mapping[str, tuple[Range, ...]]:
    hints = get_type_hints(cls, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := tuple(_metadata(hint)))}


def _metadata(hint: Any) -> Iterator[Range]:
    for part in (*getattr(hint, "__metadata__", ()), *get_args(hint)):
        if isinstance(part, Range):
            yield part
        else:
            yield from _metadata(part)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the numbers and priors of a value, those of a long list one by one."""
    if isinstance(value, tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    elif isinstance(value, int | float) or hasattr(value, "support"):
        yield value


def _shown(number: float) -> str:
    if isinstance(number, int) and number >= 2**32 and (number + 1).bit_count() == 1:
        return f"2^{number.bit_length()} - 1"
    return str(number) if isinstance(number, int) else f"{number:g}"


def text_fault(text: str) -> str:
    """Return why a name or a unit can stand in no file or on no terminal; else an empty string."""
    if not text.isprintable():
        return "has letters that cannot be shown, control characters say"
    is_long = len(text) > MAX_NAME
    return f"has {len(text)} letters, more than the limit of {MAX_NAME}" if is_long else ""


def parameter_fault(name: str) -> str:
    """Return why a parameter cannot be called so in a file; else an empty string."""
    if not name or name.startswith(".") or "/" in name:
        return "is empty, begins with a dot or has a slash in it"
    return text_fault(name)


def text_faults(**texts: str | None) -> Iterator[str]:
    """Yield the faults of names and units, by what they are."""
    for what, text in texts.items():
        if fault := text_fault(text or ""):
            yield f"the {what.replace('_', ' ')} '{text:.100}' {fault}"


def check_class_names(names: Sequence[str]) -> None:
    """Refuse names that a class cannot be asked for by.

    Raises:
        GravLensError: If one is empty, a reserved word, has a separator or what cannot be shown
            in it or blanks around it, is too long or there twice, or there are more than `MAX_CLASSES`.
    """
    if len(names) > MAX_CLASSES:
        raise GravLensError(f"has {len(names)} classes, more than the limit of {MAX_CLASSES}")
    for name in names:
        reason = RESERVED.get(name.lower())
        marks = [mark for mark in SEPARATORS if mark in name]
        if marks:
            reason = f"has '{marks[0]}' in it, which lists of classes are taken apart at"
        elif name != name.strip() or not name:
            reason = "is empty or has blanks around it"
        if reason := reason or text_fault(name):
            raise GravLensError(f"the class name '{name:.100}' {reason}; call the class otherwise")
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise GravLensError(f"the class name '{twice}' is there twice; call one of them otherwise")
