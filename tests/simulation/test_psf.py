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
from gravlensdiffusion.presets.simulation import ACS_F814W, EUCLID_VIS, WFC3_F140W
from gravlensdiffusion.simulation.gallery import _deconvolved, _full_width
from gravlensdiffusion.simulation.instrument import _moffat_transform, _Spread

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
    image = point(_Spread(WINGS, SIDE, SCALE, RAYS))
    _, radius = radii()
    assert image.sum() == pytest.approx(1.0, abs=0.02)
    for within in (0.5, 1.0, 2.0):
        assert image[radius < within].sum() == pytest.approx(light_within(WINGS, within), abs=0.01)
    # The rest is in the border.
    wide = _Spread(WINGS, SIDE, SCALE, 1)
    assert wide.transform({})[0, 0] == pytest.approx(1.0, abs=1e-12)


def test_the_width_is_where_the_brightness_has_halved():
    assert WINGS.brightness(WINGS.fwhm / 2) == pytest.approx(WINGS.brightness(0) / 2, rel=1e-6)
    one = PointSpread(components=(Moffat(share=0.3, fwhm=0.2, beta=3.0),))
    assert one.fwhm == pytest.approx(0.2, rel=1e-9)


def test_a_wider_and_elliptical_one_is_so_by_its_moments():
    # A steep profile has moments within the image.
    round_one = PointSpread(components=(Moffat(share=1.0, fwhm=0.4, beta=12.0),))
    spread = _Spread(round_one, SIDE, SCALE, RAYS)
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
    image = point(_Spread(steep, SIDE, SCALE, RAYS))
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
    spread = _Spread(camera.psf, side, camera.pixel_scale, rays)
    light = np.zeros((side * rays, side * rays))
    light[side * rays // 2, side * rays // 2] = (rays / camera.pixel_scale) ** 2
    image = spread.image(light.ravel(), {})
    axis = (np.arange(side) - side // 2) * camera.pixel_scale
    radius = np.hypot(axis, axis[:, None])
    for distance, share in within.items():
        assert image[radius < distance].sum() == pytest.approx(share, abs=0.02)


def test_shapes_are_drawn_from_their_priors():
    psf = replace(WINGS, width=Uniform(low=0.9, high=1.1), e1=Uniform(low=-0.05, high=0.05))
    spread, rng = _Spread(psf, 16, SCALE, 1), np.random.default_rng(0)
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


TO_FWHM = 2 * math.sqrt(2 * math.log(2))


def gaussian(size, fwhm, flux=1.0, shift=0.0):
    """Return a round Gaussian, as light in pixels that are much smaller than it."""
    y, x = np.indices((size, size)) - size // 2
    sigma = fwhm / TO_FWHM
    light = np.exp(-0.5 * (y**2 + (x - shift) ** 2) / sigma**2) / (2 * math.pi * sigma**2)
    return flux * light


def width(image):
    """Return the full width at half maximum of a Gaussian by its second moment."""
    _, x = np.indices(image.shape) - np.array(image.shape)[:, None, None] // 2
    mean = np.average(x, weights=image)
    return TO_FWHM * math.sqrt(np.average((x - mean) ** 2, weights=image))


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("target", [2.0, 2.8, 4.0])
def test_a_gaussian_comes_back_as_the_target_shows_it(size, target):
    # Gaussians add in quadrature: a galaxy of 5 pixels through a PSF of 4, and through the target.
    seen = gaussian(size, math.hypot(5, 4), flux=3.0, shift=1.0)
    sharp = _deconvolved(seen, gaussian(41, 4.0), target)
    assert width(sharp) == pytest.approx(math.hypot(5, target), rel=0.01)
    assert sharp.sum() == pytest.approx(3.0, rel=1e-4)
    assert sharp.min() > -0.01 * sharp.max()
    np.testing.assert_allclose(
        sharp, gaussian(size, math.hypot(5, target), 3.0, 1.0), atol=0.01 * sharp.max()
    )


def test_a_point_becomes_the_target():
    psf = gaussian(41, 4.0)
    sharp = _deconvolved(np.pad(psf, 10), psf, 2.0)
    # The finest of it is lost in the regularisation.
    assert 2.0 < _full_width(sharp) < 2.4
    assert _full_width(_deconvolved(np.pad(psf, 10), psf, 3.2)) == pytest.approx(3.2, rel=0.03)
    assert sharp.min() > -0.02 * sharp.max()
    assert np.unravel_index(sharp.argmax(), sharp.shape) == (30, 30)


def test_the_middle_of_the_psf_moves_nothing():
    image, psf = gaussian(48, 6.0), gaussian(31, 4.0)
    moved = np.roll(psf, (3, -4), (0, 1))
    np.testing.assert_allclose(
        _deconvolved(image, moved, 3.0), _deconvolved(image, psf, 3.0), atol=1e-6 * image.max()
    )


@pytest.mark.parametrize(("target", "most"), [(4.0, 1.05), (3.2, 6.0), (2.0, 420.0)])
def test_noise_is_amplified_within_a_bound(target, most):
    noise = np.random.default_rng(0).standard_normal((128, 128))
    found = _deconvolved(noise, gaussian(41, 4.0), target)[16:-16, 16:-16].std()
    # A filter P* / (|P|^2 + K) is nowhere above 1 / (2 sqrt K).
    assert found < most < 0.5 / math.sqrt(1e-7)


def test_widths_of_gaussians_and_of_longish_ones():
    assert [_full_width(gaussian(41, fwhm)) for fwhm in (3.0, 4.0, 6.5)] == pytest.approx(
        [3.0, 4.0, 6.5], rel=0.03
    )
    y, x = np.indices((61, 61)) - 30
    long = np.exp(-4 * math.log(2) * ((x / 8.0) ** 2 + (y / 4.5) ** 2))
    assert _full_width(long) == pytest.approx(6.0, rel=0.03)


def test_a_tail_of_the_psf_to_one_side_goes_back_to_its_galaxy():
    galaxy = gaussian(64, 5.0)
    psf = np.zeros((5, 9))
    psf[2, 2], psf[2, 5], psf[3, 6] = 0.6, 0.3, 0.1
    seen = 0.6 * galaxy + 0.3 * np.roll(galaxy, 3, 1) + 0.1 * np.roll(galaxy, (1, 4), (0, 1))
    sharp = _deconvolved(seen, psf, 3.0)
    np.testing.assert_allclose(sharp, gaussian(64, math.hypot(5, 3)), atol=0.001 * sharp.max())
