"""Bringing image sets to common ground: one size, one scale, one number of grey levels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.copies import Signatures, sign
from gravlensdiffusion.sets.flux import FULL_SCALE, PEAK, UNKNOWN, is_per_pixel, peak_scaled
from gravlensdiffusion.sets.lens_set import Indices, LensSet, View, evenly_spread

Rescale = Literal["none", "peak"]

BLOCK = 500
"""Images that are read and measured at a time; fixed, so that no result depends on it."""
PEAK_LEVELS = (0.0116, 1.0)
"""Mean lower quartile and mean maximum of peak-scaled `deeplense` images of native size."""
UNIT_RANGE = {PEAK, FULL_SCALE}
"""Flux units of images that run from 0 to 1."""
EIGHT_BIT = 255
"""Largest value of an 8-bit image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What both sets of a comparison go through, in this order.

    Attributes:
        size: Height and width [pixel].
        flux_unit: Unit that a set which does not tell its own is taken to be in: that of the
            others; None where no set tells.
        rescale: ``peak`` where each image is shifted and scaled to [0, 1] by its own extremes.
        levels: Number of steps that [0, 1] is rounded to, or None for no rounding.
        faint: Flux that the encoders see as that of the faint quarter of peak-scaled pixels [flux
            unit]; None for sets that are on that scale already.
        bright: Flux that they see as that of their brightest pixel [flux unit]; None likewise.
        field_arcsec: Side of the field of a set that does not know its pixel scale [arcsec]: that
            of the others; None where no set knows.
    """

    size: int
    flux_unit: str | None = None
    rescale: Rescale = "none"
    levels: int | None = None
    faint: float | None = None
    bright: float | None = None
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
        self,
        stored: LensSet,
        title: str,
        preparation: Preparation | None = None,
        channel: int = 0,
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
        super().__init__(
            stored.resized(size, flux_unit=self.preparation.flux_unit),
            image_shape=(1, size, size),
            change=lambda images: self.preparation(images[:, [channel]]),
        )

    def prepared(self, preparation: Preparation) -> "PreparedSource":
        """Return the same images, prepared in another way."""
        return PreparedSource(self._stored, self._given, preparation, self._channel)

    def of_channel(self, channel: int) -> "PreparedSource":
        """Return another channel of the same images, by its number from 0."""
        return PreparedSource(self._stored, self._given, self.preparation, channel)

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
        return bool(np.abs(values - np.round(values)).max() < 1e-3 and values.max() > 1)

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
        return digest.hexdigest()

    @cached_property
    def signatures(self) -> Signatures:
        """What copies of the prepared images are known by."""
        return sign(self.blocks(BLOCK))

    def pixels(self, indices: Indices) -> NDArray[np.float32]:
        """Return prepared images without their channel, shape ``(B, size, size)``."""
        return self.read(indices)[:, 0]

    def pixel_blocks(
        self, share: range | None = None, *, size: int = BLOCK
    ) -> Iterator[NDArray[np.float32]]:
        """Yield images in order, prepared, each block of shape ``(B, size, size)``.

        Args:
            share: Which images, without gaps; None for all.
            size: Images in a block.
        """
        share = range(len(self)) if share is None else share
        for start in range(share.start, share.stop, size):
            yield self.pixels(slice(start, min(start + size, share.stop)))

    def _some(self) -> NDArray[np.float32]:
        """Return 64 images as they are stored, or all of fewer, shape ``(B, H, W)``."""
        return self._stored.read(evenly_spread(len(self), 64))[:, self._channel]


def prepare_sets(
    sets: Sequence[PreparedSource],
    *,
    size: int | None,
    rescale: Rescale,
    eight_bit: bool = False,
) -> list[PreparedSource]:
    """Decide what all sets of a comparison go through, and return them so prepared.

    Args:
        sets: The generated set, the reference, and any others.
        size: Size to compare at [pixel]; None for their own.
        rescale: ``peak`` to bring every image to [0, 1].
        eight_bit: Whether all are rounded to 255ths even where no set has 8 bits.

    Raises:
        GravLensError: If channels, sizes or flux units differ and nothing was said that makes them one, or
            8 bits are asked for of images that are not in [0, 1].
    """
    if len({each.num_channels for each in sets}) > 1:
        raise GravLensError(f"{_listing(sets, 'num_channels')}: the numbers of channels differ")
    sizes = {each.stored_size for each in sets}
    if size is None and len(sizes) > 1:
        raise GravLensError(
            f"{_listing(sets, 'stored_size')}: the sizes differ; `size` {min(sizes)} brings them to one"
        )
    chosen = min(sizes) if size is None else size
    if not 8 <= chosen <= min(sizes):
        raise GravLensError(
            f"`size` must lie between 8 and the {min(sizes)} pixels of the smallest images, "
            f"got {chosen}"
        )
    if rescale == "none":
        _check_units(sets)
    rounded = eight_bit or any(each.is_eight_bit for each in sets)
    levels = EIGHT_BIT if rounded else None
    fields = [each.field_arcsec for each in (sets[1], *sets) if each.field_arcsec is not None]
    units = [each.flux_unit for each in (sets[1], *sets) if each.flux_unit != UNKNOWN]
    preparation = Preparation(
        size=chosen,
        flux_unit=units[0] if units else None,
        rescale=rescale,
        levels=levels,
        field_arcsec=fields[0] if fields else None,
    )
    reference = sets[1].prepared(preparation)
    if not _is_unit_range(reference):
        if eight_bit:
            raise GravLensError(
                "`eight_bit` rounds images in [0, 1], and these have another range; `rescale` peak "
                "brings each image to it"
            )
        _, faint, bright = reference.extremes
        if not bright > faint:
            raise GravLensError(f"{reference.title}: its images have no spread")
        preparation = replace(preparation, faint=faint, bright=bright, levels=None)
    return [each.prepared(preparation) for each in sets]


def _is_unit_range(reference: PreparedSource) -> bool:
    """Whether the reference is on the scale of peak-scaled images already."""
    if reference.flux_unit != UNKNOWN and reference.preparation.rescale == "none":
        return reference.flux_unit in UNIT_RANGE
    low, _, high = reference.extremes
    return low >= -0.1 and 0.5 <= high <= 1.1


def _check_units(sets: Sequence[PreparedSource]) -> None:
    """Refuse sets whose flux units differ.

    One that is not known goes with any, but not with images from 0 to 1 where its own reach far out.
    """
    alike = UNIT_RANGE | {UNKNOWN}
    known = {each.flux_unit for each in sets} - alike
    if len(known) > 1 or (known and any(each.flux_unit in UNIT_RANGE for each in sets)):
        raise GravLensError(
            f"{_listing(sets, 'flux_unit')}: the flux units differ; `rescale` peak brings each "
            "image to [0, 1]"
        )
    for each in sets if any(one.flux_unit in UNIT_RANGE for one in sets) else ():
        if each.flux_unit == UNKNOWN and each.is_far_beyond_one:
            raise GravLensError(
                f"{_listing(sets, 'flux_unit')}: the images of {each.title} reach far beyond 1, "
                "the others lie between 0 and 1; `rescale` peak brings each image there"
            )


def _listing(sets: Sequence[PreparedSource], attribute: str) -> str:
    return ", ".join(f"{each.title} has {getattr(each, attribute)}" for each in sets)
