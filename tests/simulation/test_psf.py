"""Point spread functions with wings: their flux, their light within a distance, their shape."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from gravlensdiffusion.config.instrument import Camera, Moffat, PointSpread
from gravlensdiffusion.config.priors import Constant, Uniform
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.instruments import ACS_F814W, EUCLID_VIS, WFC3_F140W
from gravlensdiffusion.simulation.psf import Spread, _moffat_transform

SCALE, SIDE, RAYS = 0.05, 201, 3
WINGS = PointSpread(
    components=(
        Moffat(share=3.0, fwhm=0.2, beta=3.0),
        Moffat(share=1.0, fwhm=0.6, beta=1.5),
    )
)


def point(spread, shape=None, side=SIDE, rays=RAYS):
    """Return the image of a star of flux 1 in the middle."""
    light = np.zeros((side * rays, side * rays))
    light[side * rays // 2, side * rays // 2] = (rays / SCALE) ** 2
    return spread.image(light.ravel(), shape or {})


def radii(side=SIDE):
    axis = (np.arange(side) - (side - 1) / 2) * SCALE
    return axis, np.hypot(axis, axis[:, None])


def light_within(psf, radius):
    """Integrate the Moffat profiles, 1 - (1 + r^2 / a^2)^(1 - beta), each with its share."""
    total = sum(each.share for each in psf.components)
    found = 0.0
    for each in psf.components:
        scale = each.fwhm / (2 * math.sqrt(2 ** (1 / each.beta) - 1))
        found += each.share / total * (1 - (1 + (radius / scale) ** 2) ** (1 - each.beta))
    return found


@pytest.mark.parametrize("beta", [1.5, 2.5, 12.0])
def test_the_transform_is_the_integral_of_the_profile(beta):
    scale = 0.2 / (2 * math.sqrt(2 ** (1 / beta) - 1))

    def ring(r, k):
        return (
            2 * (beta - 1) / scale**2 * (1 + (r / scale) ** 2) ** -beta * r * j0(2 * np.pi * k * r)
        )

    for k in (0.0, 0.7, 2.0):
        direct = quad(ring, 0, 60, args=(k,), limit=2000)[0]
        ours = _moffat_transform(np.array([k]), 0.2, beta)[0]
        # What lies beyond 60 arcsec is missing from the integral.
        assert ours == pytest.approx(direct, abs=1.5 * (1 + (60 / scale) ** 2) ** (1 - beta) + 1e-6)


def test_flux_is_kept_and_encircled_as_the_formula_says():
    image = point(Spread(WINGS, SIDE, SCALE, RAYS))
    _, radius = radii()
    assert image.sum() == pytest.approx(1.0, abs=0.02)
    for within in (0.5, 1.0, 2.0):
        assert image[radius < within].sum() == pytest.approx(light_within(WINGS, within), abs=0.01)
    # The rest is in the border.
    wide = Spread(WINGS, SIDE, SCALE, 1)
    assert wide.transform({})[0, 0] == pytest.approx(1.0, abs=1e-12)


def test_the_width_is_where_the_brightness_has_halved():
    assert WINGS.brightness(WINGS.fwhm / 2) == pytest.approx(WINGS.brightness(0) / 2, rel=1e-6)
    one = PointSpread(components=(Moffat(share=0.3, fwhm=0.2, beta=3.0),))
    assert one.fwhm == pytest.approx(0.2, rel=1e-9)


def test_a_wider_and_elliptical_one_is_so_by_its_moments():
    # A steep profile has moments within the image.
    round_one = PointSpread(components=(Moffat(share=1.0, fwhm=0.4, beta=12.0),))
    spread = Spread(round_one, SIDE, SCALE, RAYS)
    axis, _ = radii()
    plain, q = point(spread), 0.8
    e = (1 - q) / (1 + q)
    shape = {"psf_fwhm": 0.6, "psf_e1": e * 0.6, "psf_e2": e * 0.8}

    def moments(image):
        total = image.sum()
        xx, yy = ((image * a**2).sum() / total for a in (axis, axis[:, None]))
        pixel = SCALE**2 / 12 * (1 - 1 / RAYS**2)
        return xx - pixel, yy - pixel, (image * axis * axis[:, None]).sum() / total

    before = moments(plain)[0]
    xx, yy, xy = moments(point(spread, shape))
    assert math.sqrt(xx * yy - xy**2) == pytest.approx(before * 1.5**2, rel=2e-3)
    # Axes in the ratio q have second moments in q^2.
    modulus = (1 - q**2) / (1 + q**2)
    assert (xx - yy) / (xx + yy) == pytest.approx(0.6 * modulus, rel=2e-3)
    assert 2 * xy / (xx + yy) == pytest.approx(0.8 * modulus, rel=2e-3)


def test_a_steep_one_is_nearly_a_gaussian():
    steep = PointSpread(components=(Moffat(share=1.0, fwhm=0.4, beta=20.0),))
    image = point(Spread(steep, SIDE, SCALE, RAYS))
    _, radius = radii()
    gaussian = np.exp(-4 * math.log(2) * (radius / 0.4) ** 2)
    gaussian /= gaussian.sum()
    assert np.abs(image - gaussian).max() < 0.05 * image.max()


@pytest.mark.parametrize(
    ("camera", "within"),
    [
        # Shares of the stamps' light within a distance, times that of all light in the stamp.
        (ACS_F814W, {0.125: 0.811 * 0.863, 0.225: 0.9485 * 0.863}),
        (WFC3_F140W, {0.2: 0.727 * 0.960, 0.6: 0.904 * 0.960, 1.2: 0.955 * 0.960}),
        (EUCLID_VIS, {0.25: 0.833 * 0.979, 0.55: 0.963 * 0.979}),
    ],
    ids=["acs", "wfc3", "vis"],
)
def test_presets_have_the_light_of_the_real_ones(camera, within):
    side, rays = 121, 5
    spread = Spread(camera.psf, side, camera.pixel_scale, rays)
    light = np.zeros((side * rays, side * rays))
    light[side * rays // 2, side * rays // 2] = (rays / camera.pixel_scale) ** 2
    image = spread.image(light.ravel(), {})
    axis = (np.arange(side) - side // 2) * camera.pixel_scale
    radius = np.hypot(axis, axis[:, None])
    for distance, share in within.items():
        assert image[radius < distance].sum() == pytest.approx(share, abs=0.02)


def test_shapes_are_drawn_from_their_priors():
    psf = replace(WINGS, width=Uniform(low=0.9, high=1.1), e1=Uniform(low=-0.05, high=0.05))
    spread, rng = Spread(psf, 16, SCALE, 1), np.random.default_rng(0)
    drawn = [spread.draw(rng) for _ in range(500)]
    widths = np.array([each["psf_fwhm"] for each in drawn]) / WINGS.fwhm
    assert 0.9 <= widths.min() < 0.91
    assert 1.09 < widths.max() <= 1.1
    assert np.std([each["psf_e1"] for each in drawn]) == pytest.approx(0.1 / math.sqrt(12), rel=0.1)
    assert {each["psf_e2"] for each in drawn} == {0.0}


@pytest.mark.parametrize(
    "change",
    [
        {"components": ()},
        {"width": Constant(value=0.0)},
        {"e1": Constant(value=0.7)},
    ],
)
def test_impossible_ones_are_refused(change):
    with pytest.raises(GravLensError):
        replace(WINGS, **change)


def test_a_camera_has_one_point_spread_function():
    numbers = {"pixel_scale": 0.05, "zero_point": 25.0, "background_rms": 0.0}
    for both in ({}, {"psf_fwhm": 0.1, "psf": WINGS}):
        with pytest.raises(GravLensError, match="needs a psf_fwhm or a psf"):
            Camera(**numbers, **both)
    with pytest.raises(GravLensError, match="beta"):
        Moffat(share=1.0, fwhm=0.1, beta=1.0)
