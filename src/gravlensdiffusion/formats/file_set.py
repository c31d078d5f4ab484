"""A set of image files, looked through once and then read on demand."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import MAX_CLASSES, UNLABELLED, check_class_names
from gravlensdiffusion.errors import (
    AmbiguousImageError,
    BadFilesError,
    BadImageError,
    GravLensError,
    one_line,
)
from gravlensdiffusion.formats.entries import Entry, agreed, classes_of, common_header
from gravlensdiffusion.formats.folder import Listing
from gravlensdiffusion.formats.image import (
    MAX_MASKED,
    Facts,
    ImageReader,
    fill_masked,
    masked_pixels,
    to_float32,
)
from gravlensdiffusion.sets.flux import UNKNOWN, ends_of
from gravlensdiffusion.sets.images import Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet, middle
from gravlensdiffusion.sets.naming import split_name
from gravlensdiffusion.store.schema import MAX_NAME
from gravlensdiffusion.untrusted.probe import release

T = TypeVar("T", bound=np.generic)

MAX_PROBLEMS = 100_000


class FileSet(LensSet):
    """Images from files other than the project's own.

    Every file is read once when the set is opened, to find what cannot be used; after that only
    the names and what the headers said are in memory, and pixels are read on demand.

    Args:
        listing: The files, and what was found wrong before.
        readers: The reader of each suffix.
        psf: Returns the PSF that comes with an image of a file; None where none does.
        skip_bad, mixed, any_unit, crop: As in `open_set`.

    Raises:
        BadFilesError: If anything cannot be used, unless ``skip_bad``.
        GravLensError: If nothing is left.
    """

    def __init__(
        self,
        listing: Listing,
        readers: Mapping[str, ImageReader],
        *,
        skip_bad: bool,
        mixed: bool,
        any_unit: bool,
        crop: int | None,
        psf: Callable[[Path, int], NDArray[np.generic] | None],
    ) -> None:
        self.path = path = listing.root
        self._readers, self._crop, self._psf = readers, crop, psf
        named = tuple(map(one_line, listing.class_names))
        _check_names(path, named)
        self._stated: dict[str, str] = {}
        found = list(listing.problems)
        misfits: list[str] = []
        entries: list[Entry] = []
        try:
            for file, class_name in listing.files:
                entries += self._scan(file, class_name, found, skip_bad)
        finally:
            release()
        entries, side, notes = agreed(
            entries, found, misfits, any_unit=any_unit, mixed=mixed, crop=crop
        )
        self._crop = crop if side is None else side
        is_bad = bool(found) or (bool(misfits) and not mixed)
        found = [one_line(problem) for problem in found + misfits]
        if not entries and len(found) == 1:
            raise GravLensError(found[0])
        if is_bad and not skip_bad:
            raise BadFilesError(path, found)
        if not entries:
            raise GravLensError(f"{path}: holds no image that can be used")
        self.problems = tuple(found)
        self.notes = (*listing.notes, *notes)
        self.num_skipped = len(found)
        self.states_unit = all(entry.facts.ends is None for entry in entries)
        self.dtypes = tuple(sorted({entry.dtype for entry in entries}))
        self.has_masked = any(entry.num_masked for entry in entries)
        self._entries = entries
        channels, height, width = entries[0].shape
        self.image_shape = (channels, height, width)
        names = classes_of(entries, named)
        _check_names(path, names)
        self.header = common_header(entries, names)
        self.files = tuple(dict.fromkeys(entry.path for entry in entries))
        index = {name: k for k, name in enumerate(names)}
        labels = [index.get(entry.facts.class_name or "", UNLABELLED) for entry in entries]
        self.labels = np.array(labels, np.int16)
        self.parameters = {
            name: np.array([entry.facts.parameters.get(name, np.nan) for entry in entries])
            for name in self.header.parameter_units
        }

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from: file, and position in it."""
        return self._entries[index].name

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Read images, shape ``(B, C, H, W)``."""
        wanted = as_indices(indices, len(self))
        images = np.empty((wanted.size, *self.image_shape), np.float32)
        for place, k in enumerate(wanted):
            images[place] = self._read(self._entries[k], _to_image)
        return images

    def read_whole(self, index: int) -> NDArray[np.float32]:
        """Return all of an image, shape ``(C, H, W)``, of which the set may hold the middle."""
        return self._read(self._entries[index], _to_image, is_cropped=False)

    def read_psf(self, index: int) -> NDArray[np.generic] | None:
        """Return the PSF that comes with an image, shape ``(C, h, w)``; None where none does."""
        entry = self._entries[index]
        try:
            return self._psf(entry.path, entry.index)
        except Exception as error:
            raise GravLensError(
                f"{entry.name}: has a PSF that cannot be used: it {_reason(error)}"
            ) from error

    def close(self) -> None:
        """End the process in which files are tried out; a later read begins another."""
        release()

    def read_masked(self, indices: Indices) -> NDArray[np.bool_]:
        """Return which pixels of images were not observed, shape ``(B, C, H, W)``."""
        wanted = as_indices(indices, len(self))
        masked = np.zeros((wanted.size, *self.image_shape), bool)
        for place, k in enumerate(wanted):
            if self._entries[k].num_masked:
                masked[place] = self._read(
                    self._entries[k], lambda pixels, _: masked_pixels(pixels)
                )
        return masked

    def _read(
        self,
        entry: Entry,
        change: Callable[[NDArray[np.generic], Facts], NDArray[T]],
        *,
        is_cropped: bool = True,
    ) -> NDArray[T]:
        """Return what becomes of the pixels of an image."""
        reader = self._readers[split_name(entry.path)[1]]
        try:
            whole = reader.pixels(entry.path, entry.index)
            pixels = change(self._cropped(whole) if is_cropped else whole, entry.facts)
        # A damaged file fails in a library in any way.
        except Exception as error:
            raise GravLensError(f"{entry.name}: {_reason(error)}") from error
        if pixels.shape[-2:] != (entry.shape[-2:] if is_cropped else entry.whole):
            raise GravLensError(f"{entry.name}: has changed its size while in use")
        return pixels

    def _scan(
        self, path: Path, class_name: str | None, problems: list[str], skip_bad: bool
    ) -> list[Entry]:
        """Look at every image of a file; a file that breaks off counts as bad as a whole."""
        entries: list[Entry] = []
        bad: list[str] = []
        try:
            if path.stat().st_size == 0:
                raise BadImageError("is empty: 0 bytes")
            reader = self._readers[split_name(path)[1]]
            for index, (whole, stated) in enumerate(reader.images(path)):
                pixels = self._cropped(whole)
                name = f"{path}[{index}]" if stated.is_stacked else str(path)
                try:
                    flagged = {
                        kind: int(np.count_nonzero(self._cropped(own)))
                        for kind, own in stated.flags.items()
                    }
                    num_masked = _check_masked(pixels, flagged) if stated.has_mask else 0
                    image = to_float32(fill_masked(pixels) if num_masked else pixels)
                except BadImageError as problem:
                    bad.append(f"{name}: {problem}")
                    if len(bad) > MAX_PROBLEMS:
                        raise BadImageError(f"has over {MAX_PROBLEMS} bad images") from None
                    continue
                facts = replace(stated, flags={})
                if class_name is not None:
                    facts = replace(facts, class_name=class_name, class_names=())
                facts = self._printable(facts)
                if facts.flux_unit == UNKNOWN:
                    # Nothing but where the numbers end tells what they are.
                    ends = ends_of(fill_masked(whole) if facts.has_mask else whole)
                    facts = replace(facts, ends=ends)
                entries.append(
                    Entry(
                        path=path,
                        index=index,
                        name=name,
                        shape=pixels.shape,
                        whole=whole.shape[-2:],
                        dtype=pixels.dtype.name,
                        facts=facts,
                        is_mask=_has_two_whole_values(image),
                        num_masked=num_masked,
                        flagged=flagged,
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

    def _cropped(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        if self._crop is None:
            return pixels
        height, width = pixels.shape[-2:]
        if min(height, width) < self._crop:
            raise BadImageError(
                f"has {height} x {width} pixels, fewer than the {self._crop} to crop to"
            )
        return middle(pixels, self._crop)

    def _printable(self, facts: Facts) -> Facts:
        """Return facts whose texts can be shown, none over `MAX_NAME` letters, and in which two classes stay two."""
        name = facts.class_name or ""
        if max(len(facts.flux_unit), len(name)) > MAX_NAME:
            raise BadImageError(f"states a unit or a class of over {MAX_NAME} letters")
        if self._stated.setdefault(one_line(name), name) != name:
            raise BadImageError("states a class that is shown like another one")
        class_name = None if facts.class_name is None else one_line(name)
        return replace(facts, flux_unit=one_line(facts.flux_unit), class_name=class_name)


def _check_names(path: Path, names: tuple[str, ...]) -> None:
    """Refuse classes that cannot be asked for; folders before their files are read."""
    if len(names) > MAX_CLASSES:
        raise GravLensError(
            f"{path}: has {len(names)} classes, more than the limit of {MAX_CLASSES}"
        )
    try:
        check_class_names(names)
    except GravLensError as error:
        raise GravLensError(f"{path}: {error}") from None


def _check_masked(pixels: NDArray[np.generic], flagged: Mapping[str, int]) -> int:
    """Return how many pixels of an image were not observed; more than `MAX_MASKED` of a channel are refused."""
    masked = masked_pixels(pixels)
    for channel in masked:
        if channel.mean() > MAX_MASKED:
            num = int(channel.sum())
            told = "".join(f", {own} by its {kind}" for kind, own in flagged.items() if own)
            raise BadImageError(
                f"is masked in {num} of {channel.size} pixels, more than half{told}"
            )
    return int(masked.sum())


def _has_two_whole_values(image: NDArray[np.float32]) -> bool:
    """Return whether an image has two values, both whole, as a mask has and a photograph has not."""
    low, high = image.min(), image.max()
    are_whole = float(low).is_integer() and float(high).is_integer()
    return are_whole and bool(((image == low) | (image == high)).all())


def _to_image(pixels: NDArray[np.generic], facts: Facts) -> NDArray[np.float32]:
    filled = fill_masked(pixels) if facts.has_mask else pixels
    return to_float32(filled, facts.white, facts.factor)


def _reason(error: Exception) -> str:
    if isinstance(error, BadImageError):
        return str(error)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be read ({reason.partition(chr(10))[0]:.100})"
