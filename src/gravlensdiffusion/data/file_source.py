"""A set of image files, looked through once and then read on demand."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.names import check_class_names
from gravlensdiffusion.data import numbers
from gravlensdiffusion.data.content import has_two_whole_values
from gravlensdiffusion.data.naming import natural_key
from gravlensdiffusion.data.probe import release
from gravlensdiffusion.data.schema import SUBHALO_DTYPE
from gravlensdiffusion.data.source import (
    AmbiguousImageError,
    BadFilesError,
    BadImageError,
    Facts,
    ImageReader,
    as_printable,
    to_float32,
)
from gravlensdiffusion.data.store import as_indices
from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.records import UNLABELLED, SetHeader
from gravlensdiffusion.resize import UNKNOWN

T = TypeVar("T", bound=Hashable)

MAX_PROBLEMS = 100_000
MAX_CLASSES = 2**15 - 1
"""Labels are numbers of 16 bits."""
NUM_WAYS = 5
"""Lines on which of several images were taken, at most."""
_SCALE_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One good image, without its pixels."""

    path: Path
    index: int
    name: str
    shape: tuple[int, ...]  # (C, H, W)
    dtype: str
    facts: Facts
    is_mask: bool


class FileSource:
    """Images from files other than the project's own.

    Every file is read once when the set is opened, to find what cannot be used; after that only
    the names and what the headers said are in memory, and pixels are read on demand.

    Args:
        path: The folder or file that was asked for, for messages.
        files: Image files in order, each with its class or None.
        readers: The reader of each suffix.
        class_names: Classes in order, or empty to take them from the files.
        problems: What was found wrong before.
        notes: What else a reader of the set should know.
        skip_bad: Whether to go on without what cannot be used.
        mixed: Whether to go on with the most common size, unit and scale where images differ.
        any_unit: Whether flux units may differ; that of the set is not known then.

    Raises:
        BadFilesError: If anything cannot be used, unless ``skip_bad``.
        GravLensError: If nothing is left.
    """

    has_noise_free = False

    def __init__(
        self,
        path: Path,
        files: Sequence[tuple[Path, str | None]],
        readers: Mapping[str, ImageReader],
        *,
        class_names: tuple[str, ...] = (),
        problems: Sequence[str] = (),
        notes: Sequence[str] = (),
        skip_bad: bool = False,
        mixed: bool = False,
        any_unit: bool = False,
    ) -> None:
        self.path = path
        self._readers = readers
        named = tuple(map(one_line, class_names))
        _check_names(path, named)
        self._stated: dict[str, str] = {}
        found = list(problems)
        entries: list[_Entry] = []
        try:
            for file, class_name in files:
                entries += self._scan(file, class_name, found, skip_bad)
        finally:
            release()
        entries = _without_masks(entries, found)
        entries = _with_units(entries)
        misfits: list[str] = []
        if any_unit:
            entries = _without_units(entries)
        entries = _keep_common(entries, misfits)
        is_bad = bool(found) or (bool(misfits) and not mixed)
        found = [one_line(problem) for problem in found + misfits]
        if not entries and len(found) == 1:
            raise GravLensError(found[0])
        if is_bad and not skip_bad:
            raise BadFilesError(path, found)
        if not entries:
            raise GravLensError(f"{path}: holds no image that can be used")
        self.problems = tuple(found)
        told = numbers.describe(entry.facts for entry in entries)
        self.notes = (*notes, *_taken(entries), *told)
        self.num_skipped = len(found)
        self.dtypes = tuple(sorted({entry.dtype for entry in entries}))
        self._entries = entries
        channels, height, width = entries[0].shape
        self.image_shape = (channels, height, width)
        present = {entry.facts.class_name for entry in entries}
        names = tuple(name for name in named if name in present) or _class_names(entries)
        _check_names(path, names)
        if len(names) > MAX_CLASSES:
            raise GravLensError(
                f"{path}: has {len(names)} classes, more than the limit of {MAX_CLASSES}"
            )
        self.header = _header(entries, names)

    def __len__(self) -> int:
        return len(self._entries)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files that the images are read from."""
        return tuple(dict.fromkeys(entry.path for entry in self._entries))

    @cached_property
    def labels(self) -> NDArray[np.int16]:
        """Class of each image, shape ``(N,)``; -1 where it is not known."""
        index = {name: k for k, name in enumerate(self.header.class_names)}
        labels = [index.get(entry.facts.class_name or "", UNLABELLED) for entry in self._entries]
        return np.array(labels, np.int16)

    @cached_property
    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""
        return {
            name: np.array([entry.facts.parameters.get(name, np.nan) for entry in self._entries])
            for name in self.header.parameter_units
        }

    @property
    def subhaloes(self) -> NDArray[np.void]:
        """An empty table: these files carry none."""
        return np.empty(0, SUBHALO_DTYPE)

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from: file, and position in it."""
        return self._entries[index].name

    def read_noise_free(
        self, indices: Sequence[int] | NDArray[np.integer] | slice
    ) -> NDArray[np.float32]:
        """Refuse: only the project's own format holds noise-free images."""
        raise GravLensError(f"{self.path}: holds no noise-free images, as lenses.h5 can")

    def read(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Read images.

        Args:
            indices: Which images, in any order.

        Returns:
            Shape ``(B, C, H, W)``, in the set's flux unit.

        Raises:
            GravLensError: If a file has changed since the set was opened.
            IndexError: If there is no such image.
        """
        wanted = as_indices(indices, len(self))
        images = np.empty((wanted.size, *self.image_shape), np.float32)
        for place, k in enumerate(wanted):
            entry = self._entries[k]
            reader = self._readers[entry.path.suffix.lower()]
            try:
                image = to_float32(reader.pixels(entry.path, entry.index), entry.facts.white)
            # A damaged file fails in a library in any way.
            except Exception as error:
                raise GravLensError(f"{entry.name}: {_reason(error)}") from error
            if image.shape != entry.shape:
                raise GravLensError(f"{entry.name}: has changed its size while in use")
            images[place] = image
        return images

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _scan(
        self, path: Path, class_name: str | None, problems: list[str], skip_bad: bool
    ) -> list[_Entry]:
        """Look at every image of a file; a file that breaks off counts as bad as a whole."""
        entries: list[_Entry] = []
        bad: list[str] = []
        try:
            if path.stat().st_size == 0:
                raise BadImageError("is empty: 0 bytes")
            reader = self._readers[path.suffix.lower()]
            for index, (pixels, stated) in enumerate(reader.images(path)):
                name = f"{path}[{index}]" if stated.is_stacked else str(path)
                try:
                    image = to_float32(pixels)
                except BadImageError as problem:
                    bad.append(f"{name}: {problem}")
                    if len(bad) > MAX_PROBLEMS:
                        raise BadImageError(f"has over {MAX_PROBLEMS} bad images") from None
                    continue
                facts = stated
                if class_name is not None:
                    facts = replace(stated, class_name=class_name, class_names=())
                facts = self._printable(facts)
                facts = numbers.looked_at(facts, pixels)
                entries.append(
                    _Entry(
                        path=path,
                        index=index,
                        name=name,
                        shape=pixels.shape,
                        dtype=pixels.dtype.name,
                        facts=facts,
                        is_mask=has_two_whole_values(image),
                    )
                )
        except AmbiguousImageError as error:
            if not skip_bad:
                # The files after it would mostly say the same.
                raise GravLensError(f"{path}: {error}") from error
            problems.append(f"{path}: {error}")
            return []
        # A damaged file fails in a library in any way.
        except Exception as error:  # noqa: BLE001
            problems.append(f"{path}: {_reason(error)}")
            return []
        problems += bad
        return entries

    def _printable(self, facts: Facts) -> Facts:
        """Return facts as they can be shown, in which two classes stay two."""
        shown = as_printable(facts)
        name = facts.class_name or ""
        if self._stated.setdefault(shown.class_name or "", name) != name:
            raise BadImageError("states a class that is shown like another one")
        return shown


def _check_names(path: Path, names: tuple[str, ...]) -> None:
    """Refuse classes that cannot be asked for; folders before their files are read."""
    try:
        check_class_names(names)
    except GravLensError as error:
        raise GravLensError(f"{path}: {error}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, BadImageError):
        return str(error)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be read ({reason.partition(chr(10))[0]:.100})"


def _with_units(entries: list[_Entry]) -> list[_Entry]:
    """Return the images with the unit that their numbers tell, where their files state none."""
    told = numbers.unit_told(entry.facts for entry in entries)
    if told is None:
        return entries
    return [
        replace(entry, facts=replace(entry.facts, flux_unit=told.flux_unit, white=told.white))
        if entry.facts.flux_unit == UNKNOWN
        else entry
        for entry in entries
    ]


def _without_masks(entries: list[_Entry], problems: list[str]) -> list[_Entry]:
    """Leave out what has two whole values, as a mask has, where other images have more."""
    if all(entry.is_mask for entry in entries):
        return entries
    problems += [
        f"{entry.name}: looks like a mask: it has two values, where others are images"
        for entry in entries
        if entry.is_mask
    ]
    return [entry for entry in entries if not entry.is_mask]


def _taken(entries: list[_Entry]) -> list[str]:
    """Say which of several images of a file were taken, a line for each way to choose."""
    firsts: dict[str, _Entry] = {}
    for entry in entries:
        firsts.setdefault(entry.facts.taken, entry)
    counts = Counter(entry.facts.taken for entry in entries)
    lines = [
        f"{taken}: {num} image{'s' if num > 1 else ''}, {firsts[taken].path.name} first"
        for taken, num in counts.most_common()
        if taken
    ]
    if entries and all(entry.is_mask for entry in entries):
        lines.append("all images have two values, as masks have")
    return lines[:NUM_WAYS] + [f"and {len(lines) - NUM_WAYS} other ways"] * (len(lines) > NUM_WAYS)


def _without_units(entries: list[_Entry]) -> list[_Entry]:
    """Return the images as of one unit that is not known, where they state several."""
    if len({entry.facts.flux_unit for entry in entries}) < 2:
        return entries
    return [replace(entry, facts=replace(entry.facts, flux_unit=UNKNOWN)) for entry in entries]


def _keep_common(entries: list[_Entry], problems: list[str]) -> list[_Entry]:
    """Keep what has the most common size, flux unit and pixel scale; the rest is a problem."""
    smallest = min((min(entry.shape[1:]) for entry in entries), default=0)
    entries = _keep_equal(
        entries,
        problems,
        lambda entry: entry.shape[0],
        lambda num: f"{num} channel{'s' if num > 1 else ''}",
    )
    entries = _keep_equal(
        entries,
        problems,
        lambda entry: entry.shape[1:],
        lambda shape: "{} x {} pixels".format(*shape),
        advice=f"; --crop {smallest} takes the middle of each",
    )
    entries = _keep_equal(
        entries, problems, lambda entry: entry.facts.flux_unit, lambda unit: f"flux unit '{unit}'"
    )
    scales = Counter(entry.facts.pixel_scale_arcsec for entry in entries)
    common = scales.most_common(1)[0][0] if scales else None

    def scale(entry: _Entry) -> float | None:
        own = entry.facts.pixel_scale_arcsec
        # Cut-outs of one survey differ in the last digits.
        is_close = own and common and abs(own / common - 1) < _SCALE_TOLERANCE
        return common if is_close else own

    return _keep_equal(
        entries,
        problems,
        scale,
        lambda value: f"a pixel scale of {value:.4g} arcsec" if value else "no pixel scale",
    )


def _keep_equal(
    entries: list[_Entry],
    problems: list[str],
    value: Callable[[_Entry], T],
    describe: Callable[[T], str],
    advice: str = "",
) -> list[_Entry]:
    counts = Counter(map(value, entries))
    if len(counts) < 2:
        return entries
    common = counts.most_common(1)[0][0]
    problems += [
        f"{entry.name}: has {describe(value(entry))} where most have {describe(common)}{advice}"
        for entry in entries
        if value(entry) != common
    ]
    return [entry for entry in entries if value(entry) == common]


def _class_names(entries: list[_Entry]) -> tuple[str, ...]:
    """Return the classes in the order that the files state, or else in natural order."""
    stated = {entry.facts.class_names for entry in entries}
    if len(stated) == 1 and () not in stated:
        return stated.pop()
    numbers = {
        entry.facts.class_name: entry.facts.class_number
        for entry in entries
        if entry.facts.class_name is not None
    }
    names = sorted(numbers, key=natural_key)
    if None not in numbers.values():
        names.sort(key=lambda name: numbers[name] or 0)
    return tuple(names)


def _header(entries: list[_Entry], class_names: tuple[str, ...]) -> SetHeader:
    first = entries[0].facts
    units: dict[str, str] = {}
    for entry in entries:
        units.update(entry.facts.parameter_units)
    return SetHeader(
        class_names=class_names,
        pixel_scale_arcsec=first.pixel_scale_arcsec,
        flux_unit=first.flux_unit,
        parameter_units=units,
    )
