"""How lenses are observed: point spread function, sky, exposure, the stored image, and noise of its own for another."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    LATER,
    MAX_NUMBER,
    MAX_SIDE,
    Bounded,
    ExposureTime,
    Positive,
    Range,
    Resize,
    Side,
)
from gravlensdiffusion.config.priors import Constant, Prior

_FREQUENCIES = 48
"""Frequencies at which the power spectrum is looked at, along each axis."""
_NEGATIVE = 1e-3
"""How far below zero the power may lie, as a share of its mean: what rounded numbers bring."""

ZERO, ONE = Constant(0.0), Constant(1.0)
MAX_WIDTH = 1000
"""Pixels of the full width at half maximum of the widest Gaussian that an image is spread with."""

Length = Annotated[float, Range(at_least=1e-6, at_most=1e6)]
"""Side of a pixel, or width of what spreads a point [arcsec]."""

Ellipticity = Annotated[Prior, Range(at_least=-0.5, at_most=0.5)]
"""Each of e1 and e2 of a point spread function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkyCorrelation(Bounded):
    """Correlation of the noise of two native pixels by how far they lie apart, as stacks have it.

    It is that of all pixels, along rows and columns and in all four directions alike, and zero
    beyond the table.

    Attributes:
        table: Correlation at i rows and j columns apart, rows i of values j; 1 at i = j = 0, and
            symmetric.
    """

    table: tuple[tuple[float, ...], ...]

    def _faults(self) -> Iterator[str]:
        size = len(self.table)
        if not 1 <= size <= 16 or any(len(row) != size for row in self.table):
            yield "sky correlation: the table must be square, of 1 to 16 rows"
        if self.table[0][0] != 1 or any(not abs(c) <= 1 for row in self.table for c in row):
            yield "sky correlation: the table must begin with 1 and lie between -1 and 1"
        if any(self.table[i][j] != self.table[j][i] for i in range(size) for j in range(i)):
            yield "sky correlation: the table must be symmetric"
        waves = [self._wave(k) for k in range(_FREQUENCIES + 1)]
        if min(self._power(down, along) for down in waves for along in waves) < -_NEGATIVE:
            yield "sky correlation: no noise is correlated so; its power would be negative"

    @property
    def total(self) -> float:
        """Sum over all pixels: the variance of a large area over that of as many white pixels."""
        return self._power(*[self._wave(0)] * 2)

    def _wave(self, k: int) -> list[float]:
        """Return the weights of the numbers of pixels apart along one axis, at a frequency."""
        angle = math.pi * k / _FREQUENCIES
        return [(2 if j else 1) * math.cos(angle * j) for j in range(len(self.table))]

    def _power(self, down: list[float], along: list[float]) -> float:
        return sum(
            value * down[i] * along[j]
            for i, row in enumerate(self.table)
            for j, value in enumerate(row)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Moffat(Bounded):
    """A round Moffat profile, (1 + (r / a)^2)^-beta.

    Attributes:
        share: Share of the light; those of a sum are scaled to one.
        fwhm: Full width at half maximum, 2 a sqrt(2^(1 / beta) - 1) [arcsec].
        beta: How fast the wings fall; a Gaussian is the limit of large values.
    """

    share: Positive
    fwhm: Length
    beta: Annotated[float, Range(above=1, at_most=20)]


@dataclass(frozen=True, kw_only=True, slots=True)
class PointSpread(Bounded):
    """A point spread function with wings, of a shape of its own in each image.

    Attributes:
        components: Moffat profiles that add up to it, before the light is gathered in pixels.
        width: Factor by which all of it is wider in an image.
        e1: Its ellipticity along the axes, lenstronomy's convention.
        e2: Its ellipticity along the diagonals.
    """

    components: tuple[Moffat, ...]
    width: Annotated[Prior, Range(above=0)] = ONE
    e1: Ellipticity = ZERO
    e2: Ellipticity = ZERO

    def _faults(self) -> Iterator[str]:
        if not self.components:
            yield "a point spread function needs a component"

    @property
    def fwhm(self) -> float:
        """Full width at half maximum of the sum, at width 1 [arcsec]."""
        low, high = 0.0, max(each.fwhm for each in self.components)
        peak = self.brightness(0.0)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if 2 * self.brightness(middle / 2) > peak else (low, middle)
        return high

    def brightness(self, radius: float) -> float:
        """Return the light per area at a distance [arcsec] from the middle, up to a factor."""
        total = 0.0
        for each in self.components:
            square = each.fwhm**2 / (4 * (2 ** (1 / each.beta) - 1))
            peak = each.share * (each.beta - 1) / square
            total += peak * (1 + radius**2 / square) ** -each.beta
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth(Bounded):
    """The noise of some of a survey's images.

    Attributes:
        share: Share of the images.
        background_rms: As that of a `Camera`.
        exposure_time: As that of a `Camera`.
    """

    share: Annotated[float, Range(above=0, at_most=1)]
    background_rms: Annotated[float | Prior, Range(at_least=0)]
    exposure_time: Annotated[Prior | None, Range(above=0)] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera(Bounded):
    """An instrument by its numbers.

    Attributes:
        pixel_scale: Side of a pixel [arcsec].
        psf_fwhm: Full width at half maximum of the Gaussian point spread function [arcsec]; None
            where ``psf`` is another.
        psf: Point spread function with wings, or None.
        zero_point: AB magnitude of one electron per second [mag].
        background_rms: Standard deviation of sky and read noise in a pixel [e- / s]: a number, or
            a prior that each image draws its own from.
        exposure_time: Exposure time that sets the Poisson noise of the galaxies [s]; None where
            they have none, as if the sky outshone them by far.
        other_depths: Noise that some of the images have instead, each with its share.
        sky_correlation: Correlation of all noise, or None for white noise. The noise of a large
            area is that of its photons: that of a single pixel is less by the sum of the table.
        bad_pixels: Share of an image's pixels that were not observed, in spots of five, and are filled
            like those beside them; None for none.
    """

    kind: Literal["camera"] = "camera"
    pixel_scale: Length
    psf_fwhm: Length | None = None
    psf: PointSpread | None = field(default=None, metadata=LATER)
    zero_point: Annotated[float, Range(at_least=-100, at_most=100)]
    background_rms: Annotated[float | Prior, Range(at_least=0)]
    exposure_time: Annotated[Prior | None, Range(above=0)] = None
    other_depths: tuple[Depth, ...] = field(default=(), metadata=LATER)
    sky_correlation: SkyCorrelation | None = field(default=None, metadata=LATER)
    bad_pixels: Annotated[Prior | None, Range(at_least=0, at_most=0.5)] = field(
        default=None, metadata=LATER
    )

    def _faults(self) -> Iterator[str]:
        if (self.psf_fwhm is None) == (self.psf is None):
            yield "a camera needs a psf_fwhm or a psf, and not both"
        if self.psf_fwhm is not None and self.psf_fwhm > MAX_WIDTH * self.pixel_scale:
            yield f"a camera's psf_fwhm is wider than {MAX_WIDTH} pixels"
        if sum(each.share for each in self.other_depths) > 1:
            yield "a camera's other depths have shares of more than 1 in all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Telescope:
    """An instrument by its name in lenstronomy's observation configurations.

    Attributes:
        band: Filter, as lenstronomy names it.
    """

    kind: Literal["telescope"] = "telescope"
    name: Literal["Euclid", "HST"]
    band: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Imaging(Bounded):
    """How an image is taken and stored.

    Attributes:
        instrument: Pixel scale, point spread function and noise.
        num_pixels: Native size of the image [pixel].
        supersampling: Rays per pixel and axis.
        flux_unit: ``peak``: each image is shifted and scaled to [0, 1] at its native size;
            ``e-/s``: electrons per second and pixel, the sky subtracted.
        noise_free_twin: True to keep the noise-free image beside the noisy one, which stays as it is.
        size: Size of the stored image [pixel]; None for the native size.
    """

    instrument: Camera | Telescope
    num_pixels: Annotated[int, Range(at_least=8, at_most=MAX_SIDE)]
    supersampling: Annotated[int, Range(at_least=1, at_most=64)] = 1
    flux_unit: Literal["peak", "e-/s"] = "e-/s"
    noise_free_twin: bool = False
    size: int | None = None

    def _faults(self) -> Iterator[str]:
        if self.size is not None and not 8 <= self.size <= self.num_pixels:
            yield f"size must lie between 8 and the native {self.num_pixels} pixels, got {self.size}"

    @property
    def sky_correlation(self) -> SkyCorrelation | None:
        """Correlation of the noise, or None where it is white."""
        return self.instrument.sky_correlation if isinstance(self.instrument, Camera) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseLevel(Bounded):
    """The noise of one image of a training set; the attributes are those of `ObservationConfig`."""

    background_rms: Annotated[float, Range(at_least=0, below=MAX_NUMBER)]
    exposure_time: ExposureTime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationConfig(Bounded):
    """The noise that the instrument adds to the noise-free images of a model.

    The noise is drawn at the native pixels and reduced with the image, so that it is that of an
    image observed at native size whatever the size of the model.

    Attributes:
        num_pixels: Height and width at which the noise is drawn [pixel].
        background_rms: Standard deviation of sky and read noise in a native pixel [e- / s].
        exposure_time: Exposure time that sets the Poisson noise of the galaxies [s]; None where
            they have none.
        resize: Resize from native size to that of the model, or None.
        sky_correlation: Correlation of the noise of native pixels, or None for white noise.
        depths: What each image draws its own noise from, all alike, in place of ``background_rms`` and
            ``exposure_time``, which are the medians then; empty where all images have these.
    """

    num_pixels: Side
    background_rms: Annotated[float, Range(at_least=0, below=MAX_NUMBER)]
    exposure_time: ExposureTime | None = None
    resize: Resize | None = None
    sky_correlation: SkyCorrelation | None = field(default=None, metadata=LATER)
    depths: tuple[NoiseLevel, ...] = field(default=(), metadata=LATER)
