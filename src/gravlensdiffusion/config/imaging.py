"""How a simulated lens is observed: instrument, noise, size and unit of the image."""

from dataclasses import dataclass
from typing import Literal

from gravlensdiffusion.config.numbers import require_positive
from gravlensdiffusion.config.priors import Prior, lower_bound
from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """An instrument by its numbers.

    Attributes:
        pixel_scale: Side of a pixel [arcsec].
        psf_fwhm: Full width at half maximum of the Gaussian point spread function [arcsec].
        zero_point: AB magnitude of one electron per second [mag].
        background_rms: Standard deviation of sky and read noise in a pixel [e- / s]: a number, or
            a prior that each image draws its own from.
        exposure_time: Exposure time that sets the Poisson noise of the galaxies [s]; None where
            they have none, as if the sky outshone them by far.
    """

    kind: Literal["camera"] = "camera"
    pixel_scale: float
    psf_fwhm: float
    zero_point: float
    background_rms: float | Prior
    exposure_time: Prior | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_scale", "psf_fwhm"):
            require_positive(name, getattr(self, name))
        rms = self.background_rms
        if (rms if isinstance(rms, int | float) else lower_bound(rms)) < 0:
            raise GravLensError("background_rms must not be negative")
        if self.exposure_time is not None:
            require_positive("exposure_time", lower_bound(self.exposure_time))


@dataclass(frozen=True, kw_only=True, slots=True)
class Telescope:
    """An instrument by its name in lenstronomy's observation configurations.

    Attributes:
        name: Telescope.
        band: Filter, as lenstronomy names it.
    """

    kind: Literal["telescope"] = "telescope"
    name: Literal["Euclid", "HST"]
    band: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Imaging:
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
    num_pixels: int
    supersampling: int = 1
    flux_unit: Literal["peak", "e-/s"] = "e-/s"
    noise_free_twin: bool = False
    size: int | None = None

    def __post_init__(self) -> None:
        if self.num_pixels < 8:
            raise GravLensError(f"num_pixels must be at least 8, got {self.num_pixels}")
        if self.supersampling < 1:
            raise GravLensError(f"supersampling must be at least 1, got {self.supersampling}")
        if self.size is not None and not 8 <= self.size <= self.num_pixels:
            raise GravLensError(
                f"size must lie between 8 and the native {self.num_pixels} pixels, got {self.size}"
            )
