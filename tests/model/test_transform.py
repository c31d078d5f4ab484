"""Flux to model space and back, and the noise that is found there."""

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.transform import Transform, fit_transform
from tests.sources import in_blocks, rings

IMAGES = rings(100).images
DOUBLED = Transform(TransformConfig(kind="linear", gain=2.0), torch.zeros(1, 1, 1))


def fitted(**settings: object) -> Transform:
    """Fit a transform to the rings."""
    config = TransformConfig(**settings)  # type: ignore[arg-type]
    return fit_transform(config, in_blocks(IMAGES, 7), IMAGES.shape[1:])


@pytest.mark.parametrize("kind", ["linear", "asinh"])
def test_the_inverse_gives_the_flux_back(kind: str) -> None:
    transform = fitted(kind=kind, fit=True)
    flux = torch.from_numpy(IMAGES)
    assert torch.allclose(transform.inverse(transform(flux)), flux, atol=2e-6)


@pytest.mark.parametrize("kind", ["linear", "asinh", "peak"])
def test_model_space_has_zero_mean_image_and_unit_variance(kind: str) -> None:
    x = fitted(kind=kind, fit=True)(torch.from_numpy(IMAGES))
    assert x.mean(0).abs().max() < 1e-5
    assert x.square().mean().item() == pytest.approx(1, abs=1e-4)


def test_the_fit_does_not_depend_on_the_batches() -> None:
    config = TransformConfig(kind="asinh", fit=True)
    whole = fit_transform(config, in_blocks(IMAGES, 100), IMAGES.shape[1:])
    parts = fit_transform(config, in_blocks(IMAGES, 3), IMAGES.shape[1:])
    assert whole.config.offset == parts.config.offset
    assert whole.config.gain == pytest.approx(parts.config.gain, rel=1e-9)
    assert torch.allclose(whole.mean, parts.mean)


def test_quantiles_of_a_set_too_large_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravlensdiffusion.model.transform.NUM_QUANTILE_PIXELS", 2000)
    # Flux rises with the image number, so that dropping early or late images would show.
    images = (
        np.random.default_rng(0).uniform(size=(400, 1, 8, 8)) + np.arange(400)[:, None, None, None]
    )
    batches = in_blocks(images.astype(np.float32), 7)
    config = fit_transform(TransformConfig(kind="asinh", fit=True), batches, (1, 8, 8)).config
    assert config.offset == pytest.approx(40, abs=2)
    assert config.scale == pytest.approx(5 * 160, abs=20)


def test_every_column_counts_in_the_quantiles_of_a_large_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gravlensdiffusion.model.transform.NUM_QUANTILE_PIXELS", 2000)
    images = np.random.default_rng(0).uniform(1, 2, size=(4000, 1, 8, 8))
    images[..., 0] = 0
    batches = in_blocks(images.astype(np.float32), 50)
    config = fit_transform(TransformConfig(kind="asinh", fit=True), batches, (1, 8, 8)).config
    assert config.scale > 1  # an eighth of the pixels are dark, and no more


def test_the_sky_stays_linear_and_visible_where_the_data_are_mostly_sky() -> None:
    random = np.random.default_rng(0)
    images = 5 + 0.1 * random.normal(size=(50, 1, 16, 16)).astype(np.float32)
    images[:, :, 4:6, 4:6] += 40
    config = TransformConfig(kind="asinh", fit=True)
    transform = fit_transform(config, in_blocks(images, 10), images.shape[1:])
    assert 4 < transform.config.scale / 0.1 < 9
    sky = torch.full((2, 1, 16, 16), 5.0)
    sky[1] += 0.1
    step = torch.diff(transform(sky)[:, 0, 0, 0]).item() / transform.config.gain
    assert step == pytest.approx(0.1 / transform.config.scale, rel=0.05)


def test_known_constants_are_left_alone() -> None:
    config = TransformConfig(kind="linear", offset=0.5, scale=0.5, centre="none", gain=1.0)
    transform = fit_transform(config, in_blocks(IMAGES, 10), IMAGES.shape[1:])
    assert transform.config == config
    flux = torch.from_numpy(IMAGES)
    assert torch.allclose(transform(flux), 2 * flux - 1)


def test_images_outside_of_the_bounds_are_refused() -> None:
    with pytest.raises(GravLensError, match=r"from 0 to 0\.5, these run from .* to 0\.79"):
        fitted(kind="linear", bounds=(0.0, 0.5))
    assert fitted(kind="linear", bounds=(-0.1, 1.1)).config.bounds == (-0.1, 1.1)


def test_peak_brings_each_image_to_unit_range() -> None:
    transform = fitted(kind="peak")
    scaled = transform.inverse(transform(torch.from_numpy(3 * IMAGES + 1)))
    assert torch.allclose(scaled.amin((1, 2, 3)), torch.zeros(100), atol=1e-6)
    assert torch.allclose(scaled.amax((1, 2, 3)), torch.ones(100), atol=1e-6)


def test_images_without_spread_are_refused() -> None:
    flat = in_blocks(np.ones((5, 1, 8, 8), dtype=np.float32), 2)
    with pytest.raises(GravLensError, match="no spread"):
        fit_transform(TransformConfig(kind="asinh", fit=True), flat, (1, 8, 8))
    with pytest.raises(GravLensError, match="all the same"):
        fit_transform(TransformConfig(kind="linear"), flat, (1, 8, 8))
    with pytest.raises(GravLensError, match="must be fitted"):
        Transform(TransformConfig(kind="linear"), torch.zeros(1, 8, 8))


@pytest.mark.parametrize("rms", [0.0, 0.003, 0.1])
def test_white_noise_is_found_beside_lenses_and_gradients(rms: float) -> None:
    lenses = rings(200, size=28).images
    lenses = lenses + np.linspace(0, 1, 28, dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, rms, lenses.shape)
    # The sky of the lenses themselves has an rms of 0.003.
    expected = 2 * np.hypot(rms, 0.003)
    images = (lenses + noise).astype(np.float32)
    found = DOUBLED.noise_level([images[:90], images[90:]])
    assert found == pytest.approx(expected, rel=0.35 if rms < 0.1 else 0.05)
    assert found == pytest.approx(DOUBLED.noise_level([images]))


def test_images_without_noise_have_none() -> None:
    y, x = np.mgrid[:16, :16]
    assert DOUBLED.noise_level([np.float32([[x + 2 * y], [3 * x - y]])]) == 0
