"""Galaxies as a narrower point spread function shows them."""

import math

import numpy as np
import pytest

from gravlensdiffusion.simulation.psf import deconvolved, full_width

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
    sharp = deconvolved(seen, gaussian(41, 4.0), target)
    assert width(sharp) == pytest.approx(math.hypot(5, target), rel=0.01)
    assert sharp.sum() == pytest.approx(3.0, rel=1e-4)
    assert sharp.min() > -0.01 * sharp.max()
    np.testing.assert_allclose(
        sharp, gaussian(size, math.hypot(5, target), 3.0, 1.0), atol=0.01 * sharp.max()
    )


def test_a_point_becomes_the_target():
    psf = gaussian(41, 4.0)
    sharp = deconvolved(np.pad(psf, 10), psf, 2.0)
    # The finest of it is lost in the regularisation.
    assert 2.0 < full_width(sharp) < 2.4
    assert full_width(deconvolved(np.pad(psf, 10), psf, 3.2)) == pytest.approx(3.2, rel=0.03)
    assert sharp.min() > -0.02 * sharp.max()
    assert np.unravel_index(sharp.argmax(), sharp.shape) == (30, 30)


def test_the_middle_of_the_psf_moves_nothing():
    image, psf = gaussian(48, 6.0), gaussian(31, 4.0)
    moved = np.roll(psf, (3, -4), (0, 1))
    np.testing.assert_allclose(
        deconvolved(image, moved, 3.0), deconvolved(image, psf, 3.0), atol=1e-6 * image.max()
    )


@pytest.mark.parametrize(("target", "most"), [(4.0, 1.05), (3.2, 6.0), (2.0, 420.0)])
def test_noise_is_amplified_within_a_bound(target, most):
    noise = np.random.default_rng(0).standard_normal((128, 128))
    found = deconvolved(noise, gaussian(41, 4.0), target)[16:-16, 16:-16].std()
    # A filter P* / (|P|^2 + K) is nowhere above 1 / (2 sqrt K).
    assert found < most < 0.5 / math.sqrt(1e-7)


def test_widths_of_gaussians_and_of_longish_ones():
    assert [full_width(gaussian(41, fwhm)) for fwhm in (3.0, 4.0, 6.5)] == pytest.approx(
        [3.0, 4.0, 6.5], rel=0.03
    )
    y, x = np.indices((61, 61)) - 30
    long = np.exp(-4 * math.log(2) * ((x / 8.0) ** 2 + (y / 4.5) ** 2))
    assert full_width(long) == pytest.approx(6.0, rel=0.03)


def test_a_tail_of_the_psf_to_one_side_goes_back_to_its_galaxy():
    galaxy = gaussian(64, 5.0)
    psf = np.zeros((5, 9))
    psf[2, 2], psf[2, 5], psf[3, 6] = 0.6, 0.3, 0.1
    seen = 0.6 * galaxy + 0.3 * np.roll(galaxy, 3, 1) + 0.1 * np.roll(galaxy, (1, 4), (0, 1))
    sharp = deconvolved(seen, psf, 3.0)
    np.testing.assert_allclose(sharp, gaussian(64, math.hypot(5, 3)), atol=0.001 * sharp.max())
