"""Parameters to pixels: profiles, rays, light, convolution; and what lenstronomy takes to do the same.

Each component of an image is told here, once, as a profile of lenstronomy: so what is added is in the images
and in the tables of `lenstronomy_kwargs`. Dark matter is told where it is drawn, by `Substructure`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from lenstronomy.LensModel.Profiles.shear import Shear
from lenstronomy.LensModel.Profiles.sie import SIE
from numpy.typing import NDArray

from gravlensdiffusion.config.instrument import Imaging
from gravlensdiffusion.config.simulation import Cosmology
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import PEAK
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import GENERATED, LensRecord
from gravlensdiffusion.simulation.gallery import Gallery
from gravlensdiffusion.simulation.instrument import build_instrument
from gravlensdiffusion.simulation.light import LIGHT, Profile, galaxy_profiles, is_absent
from gravlensdiffusion.simulation.population import COMPANION, LENS_LIGHT, NEIGHBOUR, SOURCE
from gravlensdiffusion.simulation.substructure import UNITS, Substructure, lens_geometry

MASS = {"SIE": SIE(), "SHEAR": Shear()}
"""The profiles of the smooth lens by lenstronomy's names."""
Values = Mapping[str, float]


class Renderer:
    """Renders noise-free images.

    The profiles and the convolution are lenstronomy's own functions. What differs from calling
    its ``ImageModel`` for every image is that grid and kernel are built once, and that the
    subhaloes go through one loop without its bookkeeping.

    Args:
        cosmology: Cosmology and redshifts.
        imaging: The instrument and the image.
    """

    def __init__(self, cosmology: Cosmology, imaging: Imaging) -> None:
        self.geometry = lens_geometry(cosmology)
        self.instrument = build_instrument(imaging)
        self._x, self._y = self.instrument.numerics.coordinates_evaluate

    def image(
        self,
        values: Mapping[str, float],
        substructure: Substructure,
        gallery: Gallery | None = None,
    ) -> NDArray[np.float64]:
        """Render one image without noise, shape ``(H, W)`` [e- / s].

        Args:
            values: The parameters of lens and galaxies, see `components`, and of the point spread
                function where it varies.
            substructure: What is added to the smooth lens, where there is one.
            gallery: Images of real galaxies, where sources are taken from them.
        """
        x, y = self._x, self._y
        mass, source, front = components(values, self.instrument.counts, gallery)
        light = np.zeros_like(x)
        if source:
            alpha_x, alpha_y = self.deflection(x, y, mass, substructure)
            _add_light(light, x - alpha_x, y - alpha_y, source)
        _add_light(light, x, y, front)
        return self.instrument.image(light, values)

    def deflection(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        mass: Sequence[Profile],
        substructure: Substructure,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the deflection along x and y at points of shape ``(N,)`` [arcsec]; none without a smooth lens."""
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


def lenstronomy_kwargs(lenses: LensSet, index: int) -> dict[str, dict[str, Any]]:
    """Return the arguments with which lenstronomy makes an image of a simulated set again.

    That is the native image without noise, in e-/s. The stored one is made of it by noise, of
    `exposure_time` and `background_rms`; where the unit is ``peak``, flux `flux_min` becomes 0 and
    `flux_max` 1, all of them parameters of the set; and by a reduction, where it has another size.
    A point spread function with wings is a kernel as wide as the image, without what lies beyond.

    Args:
        lenses: A set that `simulate` has made, from a file or not, or some of one.
        index: Which image.

    Returns:
        What lenstronomy's ``create_image_model`` takes, and as ``kwargs_params`` what the ``image``
        of its result takes: ``kwargs_lens``, ``kwargs_source`` and ``kwargs_lens_light``. The pixels
        in ``kwargs_data`` are those of the stored image in e-/s, NaN where it has another size.

    Raises:
        GravLensError: If the image was not simulated.
        IndexError: If there is no such image.

    Example:
        >>> from lenstronomy.Util.class_creator import create_image_model
        >>> table = lenstronomy_kwargs(simulate("hst", 8), 7)
        >>> params = table.pop("kwargs_params")
        >>> create_image_model(**table).image(**params).shape
        (100, 100)
    """
    record = lenses.record(index)
    config = lenses.header.simulation
    is_generated = record.parameters.get(GENERATED) == 1
    if config is None or is_generated or "background_rms" not in record.parameters:
        raise GravLensError(f"{lenses.name(index)}: nothing tells how it was simulated")
    renderer = Renderer(config.cosmology, config.imaging)
    mass, source, front = components(record.parameters, renderer.instrument.counts)
    if mass:
        rays = np.unique(renderer.instrument.numerics.coordinates_evaluate[0])
        values = {**dict.fromkeys(UNITS, math.nan), **record.parameters}
        clumps = Substructure.of(values, record.subhaloes)
        mass += clumps.profiles(renderer.geometry, rays)
    kwargs = renderer.instrument.lenstronomy_kwargs(record.parameters)
    time = record.parameters.get("exposure_time", math.nan)
    kwargs["kwargs_data"] |= {
        "image_data": _native_image(record, lenses.header.flux_unit, config.imaging.num_pixels),
        "background_rms": record.parameters["background_rms"],
        "exposure_time": None if math.isnan(time) else time,
    }
    model, params = {}, {}
    for kind, (names, profiles) in {
        "lens": ("lens_model_list", mass),
        "source": ("source_light_model_list", source),
        "lens_light": ("lens_light_model_list", front),
    }.items():
        model[names] = [each.name for each in profiles]
        params[f"kwargs_{kind}"] = [dict(each.arguments) for each in profiles]
    return kwargs | {"kwargs_model": model, "kwargs_params": params}


def _native_image(record: LensRecord, flux_unit: str, num_pixels: int) -> NDArray[np.float64]:
    """Return the stored image [e- / s], shape ``(H, W)``; NaN where it was reduced."""
    image = record.image[0].astype(np.float64)
    if image.shape != (num_pixels, num_pixels):
        return np.full((num_pixels, num_pixels), np.nan)
    if flux_unit != PEAK:
        return image
    low, high = record.parameters["flux_min"], record.parameters["flux_max"]
    return low + image * (high - low)


def components(
    values: Values, counts: Callable[[float], float], gallery: Gallery | None = None
) -> tuple[tuple[Profile, ...], tuple[Profile, ...], tuple[Profile, ...]]:
    """Return what an image is made of: the smooth lens, the source, and what lies in front.

    Args:
        values: The parameters of lens and galaxies; a galaxy without a magnitude, or one of NaN, is
            not there, and no lens without an Einstein radius.
        counts: From magnitudes [mag] to electrons per second.
        gallery: The images of real galaxies that sources are taken from, where they are.

    Returns:
        What deflects, without substructure, none in an image without lensing; the light that is
        deflected; and the light that is not, that of the lens galaxy and of what lies beside it.

    Raises:
        GravLensError: If the source is such an image, and they are not there.
    """
    source = _image(values, counts, gallery) or _galaxy(SOURCE, "source", values, counts)
    # The lens galaxy lies where its mass does.
    front = _galaxy(LENS_LIGHT, "lens", values, counts)
    front += _galaxy(COMPANION, "companion", values, counts)
    for name in values:
        if name.startswith(NEIGHBOUR) and name.endswith("_magnitude"):
            prefix = name.removesuffix("_magnitude")
            front += _galaxy(prefix, prefix, values, counts)
    return _smooth_lens(values), source, front


def _smooth_lens(values: Values) -> tuple[Profile, ...]:
    if is_absent(values, "theta_E"):
        return ()
    ellipsoid = {
        "theta_E": values["theta_E"],
        "e1": values["lens_e1"],
        "e2": values["lens_e2"],
        "center_x": values["lens_x"],
        "center_y": values["lens_y"],
    }
    shear = {"gamma1": values["gamma1"], "gamma2": values["gamma2"]}
    return Profile("SIE", ellipsoid), Profile("SHEAR", shear)


def _galaxy(
    prefix: str, place: str, values: Values, counts: Callable[[float], float]
) -> tuple[Profile, ...]:
    """Return the light of a galaxy whose parameters begin with a prefix, and its position's with another."""
    if is_absent(values, f"{prefix}_magnitude"):
        return ()
    own = {key.removeprefix(f"{prefix}_"): each for key, each in values.items()}
    centre = {"center_x": values[f"{place}_x"], "center_y": values[f"{place}_y"]}
    flux = counts(own["magnitude"])
    return galaxy_profiles(own, flux, centre, quick=prefix.startswith(NEIGHBOUR))


def _image(
    values: Values, counts: Callable[[float], float], gallery: Gallery | None
) -> tuple[Profile, ...]:
    """Return the source where it is the image of a real galaxy."""
    if is_absent(values, f"{SOURCE}_galaxy"):
        return ()
    if gallery is None:
        raise GravLensError("its source is the image of a real galaxy, which is not at hand")
    arguments = gallery.profile(
        int(values[f"{SOURCE}_galaxy"]),
        values[f"{SOURCE}_R_sersic"],
        int(values[f"{SOURCE}_texture"]),
    )
    centre = {"center_x": values[f"{SOURCE}_x"], "center_y": values[f"{SOURCE}_y"]}
    flux = counts(values[f"{SOURCE}_magnitude"])
    return (Profile("INTERPOL", arguments | centre | {"amp": flux}, quick=True),)
