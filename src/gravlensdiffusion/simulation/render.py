"""Parameters to pixels: shoot the rays, look up the light, convolve."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.instrument import Imaging
from gravlensdiffusion.config.simulation import Cosmology
from gravlensdiffusion.simulation.cosmology import lens_geometry
from gravlensdiffusion.simulation.gallery import Gallery
from gravlensdiffusion.simulation.instrument import build_instrument
from gravlensdiffusion.simulation.profiles import LIGHT, MASS, Profile, components
from gravlensdiffusion.simulation.substructure import Substructure


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

    def image(
        self,
        values: Mapping[str, float],
        substructure: Substructure,
        gallery: Gallery | None = None,
    ) -> NDArray[np.float64]:
        """Render one image without noise.

        Args:
            values: The parameters of lens and galaxies, see `components`, and of the point spread
                function where it varies.
            substructure: What is added to the smooth lens, where there is one.
            gallery: Images of real galaxies, where sources are taken from them.

        Returns:
            Shape ``(H, W)`` [e- / s].
        """
        x, y = self._x, self._y
        made_of = components(values, self.instrument.counts, gallery)
        light = np.zeros_like(x)
        if made_of.source:
            alpha_x, alpha_y = self.deflection(x, y, made_of.mass, substructure)
            _add_light(light, x - alpha_x, y - alpha_y, made_of.source)
        _add_light(light, x, y, made_of.front)
        return self.instrument.image(light, values)

    def deflection(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        mass: Sequence[Profile],
        substructure: Substructure,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the deflection along x and y, each of shape ``(N,)`` [arcsec].

        Args:
            x: Where it is wanted, shape ``(N,)`` [arcsec].
            y: Where it is wanted, shape ``(N,)`` [arcsec].
            mass: The smooth lens; nothing is deflected without one.
            substructure: What is added to it.
        """
        alpha_x, alpha_y = np.zeros_like(x), np.zeros_like(y)
        for each in mass:
            own_x, own_y = MASS[each.name].derivatives(x, y, **each.arguments)
            alpha_x += own_x
            alpha_y += own_y
        if mass:
            substructure.add_deflection(alpha_x, alpha_y, x, y, self.geometry)
        return alpha_x, alpha_y


def _add_light(
    light: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    galaxies: Sequence[Profile],
) -> None:
    """Add the surface brightness of galaxies at x and y [e- / s / arcsec^2]."""
    for each in galaxies:
        light += LIGHT[each.name, each.quick](x, y, **each.arguments)


@lru_cache(maxsize=4)
def build_renderer(cosmology: Cosmology, imaging: Imaging) -> Renderer:
    """Return the renderer of a configuration, built once in each process."""
    return Renderer(cosmology, imaging)
