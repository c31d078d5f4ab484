"""Bringing image sets to common ground, one size, scale and number of grey levels, and the cache of what is measured there."""

import hashlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import Rescale
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import whole_file
from gravlensdiffusion.sets.copies import Signatures, sign
from gravlensdiffusion.sets.flux import (
    EIGHT_BIT,
    FULL_SCALE,
    PEAK,
    UNKNOWN,
    is_per_pixel,
    peak_scaled,
)
from gravlensdiffusion.sets.images import Indices, evenly_spread
from gravlensdiffusion.sets.lens_set import LensSet, View

Arrays = dict[str, NDArray[np.generic]]

BLOCK = 500
"""Images that are read and measured at a time; fixed, so that no result depends on it."""
PEAK_LEVELS = (0.0116, 1.0)
"""Mean lower quartile and mean maximum of peak-scaled `deeplense` images of native size."""
UNIT_RANGE = {PEAK, FULL_SCALE}
"""Flux units of images that run from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What both sets of a comparison go through, in this order."""

    size: int  # height and width [pixel]
    # Unit that a set which does not tell its own is taken to be in: that of the others; None where
    # no set tells.
    flux_unit: str | None = None
    # `peak` where each image is shifted and scaled to [0, 1] by its own extremes.
    rescale: Rescale = "none"
    levels: int | None = None  # number of steps that [0, 1] is rounded to, or None for no rounding
    # Flux that the encoders see as that of the faint quarter of peak-scaled pixels [flux unit];
    # None for sets that are on that scale already.
    faint: float | None = None
    # Flux that they see as that of their brightest pixel [flux unit]; None likewise.
    bright: float | None = None
    # Side of the field of a set that does not know its pixel scale [arcsec]: that of the others;
    # None where no set knows.
    field_arcsec: float | None = None

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prepare images that have their size, shape ``(..., size, size)``."""
        if self.rescale == "peak":
            images, _ = peak_scaled(images)
        if self.levels is not None:
            images = np.round(np.clip(images, 0, 1) * self.levels) / np.float32(self.levels)
        return np.asarray(images, dtype=np.float32)

    def on_peak_scale(
        self, images: NDArray[np.float32], levels: tuple[float, float] = PEAK_LEVELS
    ) -> NDArray[np.float32]:
        """Shift and scale all images alike to where peak-scaled ones lie.

        Args:
            images: Prepared images, shape ``(N, size, size)``.
            levels: What `faint` and `bright` become.
        """
        if self.faint is None or self.bright is None:
            return images
        faint, bright = levels
        gain = (bright - faint) / (self.bright - self.faint)
        return np.asarray((images - self.faint) * gain + faint, dtype=np.float32)


class PreparedSource(View):
    """A set of images as a comparison sees it: one channel, at its size and on its scale.

    Args:
        stored: The images as they are stored.
        title: What to call the set.
        preparation: What they go through; None for their own size and values.
        channel: Which channel of the images counts, from 0.

    Raises:
        GravLensError: If there is no such channel, or the images are not square.
    """

    def __init__(
        self, stored: LensSet, title: str, preparation: Preparation | None = None, channel: int = 0
    ) -> None:
        self.num_channels, height, width = stored.image_shape
        if not 0 <= channel < self.num_channels:
            raise GravLensError(
                f"{title}: has no channel {channel + 1}; its channels are 1 to {self.num_channels}"
            )
        if height != width:
            raise GravLensError(f"{title}: images must be square, these are {height} by {width}")
        self._stored, self._given, self._channel = stored, title, channel
        several = self.num_channels > 1
        self.title = f"{title}, channel {channel + 1} of {self.num_channels}" if several else title
        self.preparation = preparation or Preparation(size=height)
        size = self.preparation.size
        self._sized = stored.resized(size, flux_unit=self.preparation.flux_unit)
        super().__init__(
            self._sized,
            image_shape=(1, size, size),
            change=lambda images: self.preparation(images[:, [channel]]),
        )

    def prepared(self, preparation: Preparation) -> "PreparedSource":
        """Return the same images, prepared in another way."""
        return PreparedSource(self._stored, self._given, preparation, self._channel)

    def of_channel(self, channel: int) -> "PreparedSource":
        """Return another channel of the same images, by its number from 0."""
        return PreparedSource(self._stored, self._given, self.preparation, channel)

    def select(self, indices: Indices) -> "PreparedSource":
        """Return some of the images, prepared in the same way."""
        return PreparedSource(
            self._stored.select(indices), self._given, self.preparation, self._channel
        )

    def at(self, size: int) -> "PreparedSource":
        """Return the same images, prepared in the same way at another size [pixel]."""
        own = self.preparation
        unit = own.flux_unit if self.flux_unit == UNKNOWN else self.flux_unit
        factor = (own.size / size) ** 2 if is_per_pixel(unit or UNKNOWN) else 1.0
        faint = None if own.faint is None else own.faint * factor
        bright = None if own.bright is None else own.bright * factor
        return self.prepared(replace(own, size=size, faint=faint, bright=bright))

    @cached_property
    def noise_free(self) -> "PreparedSource":
        """The noise-free twins at the same size, in their own flux."""
        own = replace(self.preparation, rescale="none", levels=None, faint=None, bright=None)
        return PreparedSource(self._stored.twins(), self._given, own, self._channel)

    @property
    def stored_size(self) -> int:
        """Height and width of the images as they are stored [pixel]."""
        return self._stored.image_shape[1]

    @property
    def flux_unit(self) -> str:
        """Unit of the pixel values as they are stored."""
        return self.header.flux_unit

    @property
    def resize_method(self) -> str | None:
        """Name of the resize that the images go through, or None."""
        return None if self.stored_size == self.preparation.size else self.header.resize

    @property
    def pixel_scale_arcsec(self) -> float | None:
        """Side of a prepared pixel [arcsec], or None where it is not known."""
        field = self.field_arcsec or self.preparation.field_arcsec
        return None if field is None else field / self.preparation.size

    @property
    def field_arcsec(self) -> float | None:
        """Side of the field [arcsec], or None where the set does not know its pixel scale."""
        scale = self._stored.header.pixel_scale_arcsec
        return None if scale is None else scale * self.stored_size

    @property
    def origin(self) -> Literal["simulated", "generated", "unknown"]:
        """Where the images come from, as far as the set says so.

        A set of ``gravlens sample`` carries the configuration of its model and no preset.
        """
        if self.is_generated.all():
            return "generated"
        if self.header.preset is not None:
            return "simulated"
        return "generated" if self.header.config else "unknown"

    @cached_property
    def is_eight_bit(self) -> bool:
        """Whether all values are whole 255ths, as far as 64 images tell."""
        values = self._some() * EIGHT_BIT
        is_whole = np.abs(values - np.round(values)).max() < 1e-3
        return bool(is_whole and 1 < values.max() < EIGHT_BIT + 1)

    @cached_property
    def is_far_beyond_one(self) -> bool:
        """Whether images reach far out of 0 to 1, as far as 64 of them tell."""
        return bool(np.abs(self._some()).max((1, 2)).mean() > 2)

    @cached_property
    def are_at_their_peak(self) -> bool:
        """Whether each image runs exactly from 0 to 1 as it is stored, as far as 64 images tell."""
        some = self._some()
        return bool((some.min((1, 2)) == 0).all() and (some.max((1, 2)) == 1).all())

    @cached_property
    def extremes(self) -> tuple[float, float, float]:
        """Mean over the images of their smallest, lower-quartile and largest value [flux unit]."""
        sums = np.zeros(3)
        for block in self.prepared(replace(self.preparation, levels=None)).pixel_blocks():
            quartiles = np.quantile(block, 0.25, axis=(1, 2))
            sums += [block.min((1, 2)).sum(), quartiles.sum(), block.max((1, 2)).sum()]
        low, faint, high = (float(value) for value in sums / len(self))
        return low, faint, high

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the prepared images."""
        digest = hashlib.sha256(repr(self.preparation).encode())
        for block in self.blocks(BLOCK):
            digest.update(np.ascontiguousarray(block).tobytes())
        if self.has_masked:
            for masked in self.masked_blocks():
                digest.update(np.packbits(np.asarray(masked)).tobytes())
        return digest.hexdigest()

    @cached_property
    def signatures(self) -> Signatures:
        """What copies of the prepared images are known by."""
        return sign(self.blocks(BLOCK))

    def pixels(self, indices: Indices) -> NDArray[np.float32]:
        """Return prepared images without their channel, shape ``(B, size, size)``."""
        return self.read(indices)[:, 0]

    def pixel_blocks(self, share: range | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield a share of the images without gaps, or all, each block ``(B, size, size)``."""
        yield from map(self.pixels, self._slices(share))

    def masked_blocks(self, share: range | None = None) -> Iterator[NDArray[np.bool_] | None]:
        """Yield which pixels of `pixel_blocks` were not observed; None where all were."""
        for some in self._slices(share):
            yield self._sized.read_masked(some)[:, self._channel] if self.has_masked else None

    def _slices(self, share: range | None) -> Iterator[slice]:
        share = range(len(self)) if share is None else share
        for start in range(share.start, share.stop, BLOCK):
            yield slice(start, min(start + BLOCK, share.stop))

    def _some(self) -> NDArray[np.float32]:
        """Return 64 images as they are stored, or all of fewer, shape ``(B, H, W)``."""
        return self._stored.read(evenly_spread(len(self), 64))[:, self._channel]


def cached(
    *parts: str,
    modules: Sequence[ModuleType] = (),
    compute: Callable[[], Mapping[str, NDArray[np.generic]]],
) -> Arrays:
    """Return arrays from the cache, or compute and keep them there.

    They are known by ``parts``, all that they depend on, and by the source code of ``modules``. A
    damaged file is computed anew; a folder that cannot be written to is no fault.
    """
    folder = _cache_folder()
    if folder is None:
        return dict(compute())
    digest = hashlib.sha256()
    for part in (*parts, *map(inspect.getsource, modules)):
        digest.update(part.encode() + b"\0")
    path = folder / f"{digest.hexdigest()}.npz"
    # A damaged archive may raise anything, or seem to hold nothing.
    with (
        suppress(Exception),
        path.open("rb") as stored,
        np.load(stored, allow_pickle=False) as arrays,
    ):
        if found := dict(arrays):
            return found
    computed = dict(compute())
    with suppress(GravLensError), whole_file(path, overwrite=True) as temporary:
        np.savez(temporary, **computed)  # type: ignore[arg-type]
    return computed


def _cache_folder() -> Path | None:
    """Return our folder in the user's cache folder; None where the user has no home folder."""
    # An empty or relative path is to be ignored, says the XDG Base Directory Specification.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "gravlens" / "features"
