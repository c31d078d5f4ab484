"""A set of image files, looked through once and then read on demand."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import MAX_NAME, UNLABELLED, check_class_names
from gravlensdiffusion.errors import (
    AmbiguousImageError,
    BadFilesError,
    BadImageError,
    GravLensError,
    one_line,
)
from gravlensdiffusion.formats.entries import Entry, agreed, common_header
from gravlensdiffusion.formats.folder import Listing
from gravlensdiffusion.formats.image import (
    MAX_MASKED,
    Facts,
    ImageReader,
    fill_masked,
    masked_pixels,
    to_float32,
    with_maps,
)
from gravlensdiffusion.sets.flux import UNKNOWN, Ends
from gravlensdiffusion.sets.images import Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet, middle
from gravlensdiffusion.sets.naming import split_name
from gravlensdiffusion.untrusted.probe import release

MAX_PROBLEMS = 100_000


class FileSet(LensSet):
    """Images from files other than the project's own.

    Every file is read once when the set is opened, to find what cannot be used; after that only
    the names and what the headers said are in memory, and pixels are read on demand.

    Args:
        listing: The files, and what was found wrong before.
        readers: The reader of each suffix.
        map_readers: Those of maps that lie beside images.
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
        map_readers: Mapping[str, ImageReader],
        *,
        skip_bad: bool,
        mixed: bool,
        any_unit: bool,
        crop: int | None,
        psf: Callable[[Path, int], NDArray[np.generic] | None],
    ) -> None:
        self._readers, self._map_readers, self._maps = readers, map_readers, listing.maps
        self._crop, self._psf = crop, psf
        named = tuple(map(one_line, listing.class_names))
        with _named(listing.root):
            check_class_names(named)  # before their files are read
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
            raise BadFilesError(listing.root, found)
        if not entries:
            raise GravLensError(f"{listing.root}: holds no image that can be used")
        self.problems, self.num_skipped = tuple(found), len(found)
        stacks = {entry.path for entry in entries if entry.facts.is_stacked}
        beside = listing.told_beside(stacks)
        self.notes = (*listing.notes, *beside, *listing.last_notes, *notes)
        with _named(listing.root):
            self.header = common_header(entries, named)
        self._take(entries)

    def _take(self, entries: list[Entry]) -> None:
        """Keep what is known of the images."""
        self._entries = entries
        self.files = tuple(dict.fromkeys(entry.path for entry in entries))
        self.states_unit = all(entry.facts.ends is None for entry in entries)
        self.dtypes = tuple(sorted({entry.dtype for entry in entries}))
        self.has_masked = any(entry.num_masked for entry in entries)
        self.image_shape = entries[0].shape
        index = {name: k for k, name in enumerate(self.header.class_names)}
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
            images[place] = self._image(self._entries[k])
        return images

    def read_whole(self, index: int) -> NDArray[np.float32]:
        """Return all of an image, shape ``(C, H, W)``, of which the set may hold the middle."""
        return self._image(self._entries[index], is_cropped=False)

    def read_psf(self, index: int) -> NDArray[np.generic] | None:
        """Return the PSF that comes with an image, shape ``(C, h, w)``; None where none does."""
        entry = self._entries[index]
        with _named(entry.name, "has a PSF that cannot be used: it "):
            return self._psf(entry.path, entry.index)

    def close(self) -> None:
        """End the process in which files are tried out; a later read begins another."""
        release()

    def read_masked(self, indices: Indices) -> NDArray[np.bool_]:
        """Return which pixels of images were not observed, shape ``(B, C, H, W)``."""
        wanted = as_indices(indices, len(self))
        masked = np.zeros((wanted.size, *self.image_shape), bool)
        for place, entry in enumerate(self._entries[k] for k in wanted):
            if entry.num_masked:
                with _named(entry.name):
                    masked[place] = masked_pixels(self._pixels(entry))
        return masked

    def _image(self, entry: Entry, *, is_cropped: bool = True) -> NDArray[np.float32]:
        with _named(entry.name):
            pixels = self._pixels(entry, is_cropped=is_cropped)
            filled = fill_masked(pixels) if entry.facts.has_mask else pixels
            return to_float32(filled, entry.facts.white, entry.facts.factor)

    def _pixels(self, entry: Entry, *, is_cropped: bool = True) -> NDArray[np.generic]:
        """Return the pixels of an image in the type that it has, those that were not observed as no number."""
        reader = self._readers[split_name(entry.path)[1]]
        whole = reader.pixels(entry.path, entry.index)
        whole, _ = self._mapped(entry.path, whole, entry.facts)
        pixels = self._cropped(whole) if is_cropped else whole
        if pixels.shape[-2:] != (entry.shape[-2:] if is_cropped else entry.whole):
            raise BadImageError("has changed its size while in use")
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
            for index, (image, known) in enumerate(reader.images(path)):
                whole, stated = self._mapped(path, image, known)
                pixels = self._cropped(whole)
                name = f"{path}[{index}]" if stated.is_stacked else str(path)
                flags = {kind: self._cropped(own) for kind, own in stated.flags.items()}
                flagged = {kind: int(np.count_nonzero(own)) for kind, own in flags.items()}
                try:
                    num_masked = _check_masked(pixels, flagged) if stated.has_mask else 0
                    filled = to_float32(fill_masked(pixels) if num_masked else pixels)
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
                    ends = Ends.of(fill_masked(whole) if facts.has_mask else whole)
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
                        is_mask=_has_two_whole_values(filled),
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

    def _mapped(
        self, path: Path, pixels: NDArray[np.generic], facts: Facts
    ) -> tuple[NDArray[np.generic], Facts]:
        """Return an image and its facts with what maps in files beside it say; of a stack they say nothing."""
        maps = {}
        for kind, beside in () if facts.is_stacked else self._maps.get(path, {}).items():
            try:
                maps[kind] = self._map_readers[split_name(beside)[1]].pixels(beside, 0)
            except BadImageError as error:
                raise BadImageError(f"has a {kind} in {beside.name} that {error}") from error
        return with_maps(pixels, facts, maps)

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


@contextmanager
def _named(name: object, what: str = "") -> Iterator[None]:
    """Name what cannot be used; a damaged file fails in a library in any way."""
    try:
        yield
    except Exception as error:
        raise GravLensError(f"{name}: {what}{_reason(error)}") from error


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


def _reason(error: Exception) -> str:
    if isinstance(error, BadImageError | GravLensError):
        return str(error)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be read ({reason.partition(chr(10))[0]:.100})"
