"""Parameters to pixels: shoot the rays, look up the light, convolve."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from lenstronomy.LensModel.Profiles.shear import Shear
from lenstronomy.LensModel.Profiles.sie import SIE
from lenstronomy.LightModel.Profiles.sersic import SersicElliptic
from numpy.typing import NDArray

from gravlensdiffusion.config.simulation import Cosmology, Imaging
from gravlensdiffusion.simulation.cosmology import lens_geometry
from gravlensdiffusion.simulation.instrument import build_instrument
from gravlensdiffusion.simulation.population import COMPANION, LENS_LIGHT, SOURCE
from gravlensdiffusion.simulation.substructure import Substructure

PLACES = {SOURCE: "source", LENS_LIGHT: "lens", COMPANION: "companion"}
"""How the parameters of each galaxy's position begin; the lens galaxy's is that of its mass."""


class Renderer:
    """Renders noise-free images.

    The profiles and the convolution are lenstronomy's own functions. What differs from calling
    its ``ImageModel`` for every image is that grid and kernel are built once, and that the
    subhaloes go through one loop without its bookkeeping.
    """

    def __init__(self, cosmology: Cosmology, imaging: Imaging) -> None:
        """Build grid and profiles.

        Args:
            cosmology: Cosmology and redshifts.
            imaging: The instrument and the image.
        """
        self.geometry = lens_geometry(cosmology)
        self.instrument = build_instrument(imaging)
        self._x, self._y = self.instrument.numerics.coordinates_evaluate
        self._ellipsoid, self._shear, self._sersic = SIE(), Shear(), SersicElliptic()

    def image(
        self, values: Mapping[str, float], substructure: Substructure, lensed: bool = True
    ) -> NDArray[np.float64]:
        """Render one image without noise.

        Args:
            values: The parameters of lens and galaxies; a galaxy without a magnitude, or one of
                NaN, is not there.
            substructure: What is added to the smooth lens.
            lensed: False to leave the light of the source where it is.

        Returns:
            Shape ``(H, W)`` [e- / s].
        """
        light = np.zeros_like(self._x)
        for prefix, place in PLACES.items():
            if math.isnan(values.get(f"{prefix}_magnitude", math.nan)):
                continue
            x, y = self._x, self._y
            if lensed and prefix == SOURCE:
                alpha_x, alpha_y = self.deflection(x, y, values, substructure)
                x, y = x - alpha_x, y - alpha_y
            centre = (values[f"{place}_x"], values[f"{place}_y"])
            light += self._light(prefix, values, centre, x, y)
        return np.asarray(self.instrument.numerics.re_size_convolve(light))

    def deflection(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        values: Mapping[str, float],
        substructure: Substructure,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the deflection along x and y, each of shape ``(N,)`` [arcsec]."""
        alpha_x, alpha_y = self._ellipsoid.derivatives(
            x,
            y,
            theta_E=values["theta_E"],
            e1=values["lens_e1"],
            e2=values["lens_e2"],
            center_x=values["lens_x"],
            center_y=values["lens_y"],
        )
        shear_x, shear_y = self._shear.derivatives(
            x, y, gamma1=values["gamma1"], gamma2=values["gamma2"]
        )
        alpha_x, alpha_y = alpha_x + shear_x, alpha_y + shear_y
        substructure.add_deflection(alpha_x, alpha_y, x, y, self.geometry)
        return alpha_x, alpha_y

    def _light(
        self,
        prefix: str,
        values: Mapping[str, float],
        centre: tuple[float, float],
        x: NDArray[np.float64],
        y: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the surface brightness of a galaxy at x and y [e- / s / arcsec^2]."""
        shape = {
            "R_sersic": values[f"{prefix}_R_sersic"],
            "n_sersic": values[f"{prefix}_n_sersic"],
            "e1": values[f"{prefix}_e1"],
            "e2": values[f"{prefix}_e2"],
        }
        flux = self.instrument.counts(values[f"{prefix}_magnitude"])
        amplitude = flux / self._sersic.total_flux(amp=1.0, **shape)
        return np.asarray(
            self._sersic.function(
                x, y, amp=amplitude, center_x=centre[0], center_y=centre[1], **shape
            )
        )


@lru_cache(maxsize=4)
def build_renderer(cosmology: Cosmology, imaging: Imaging) -> Renderer:
    """Return the renderer of a configuration, built once in each process."""
    return Renderer(cosmology, imaging)
