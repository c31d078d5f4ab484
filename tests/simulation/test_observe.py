import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.config.instrument import Imaging, NoiseLevel, ObservationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.flux import default_method
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.instrument import build_instrument
from gravlensdiffusion.simulation.observe import observe
from gravlensdiffusion.simulation.simulated_set import simulate

SKY = ObservationConfig(num_pixels=150, background_rms=0.01)
PHOTONS = replace(SKY, background_rms=0.0, exposure_time=1000.0)


def noise_of(clean, observation, num=40, seed=5):
    rng = np.random.default_rng(seed)
    return np.stack([observe(clean, observation, rng) - clean for _ in range(num)])


def pairs(preset, size, num=60):
    """Return simulated images in e-/s and their noise-free twins, shape ``(N, 1, H, W)`` each."""
    config = select(
        simulation_preset(preset),
        classes=("no_sub",),
        size=size,
        noise_free=True,
        flux_unit="e-/s",
    )
    records = list(simulate(config, num, seed=7).records())
    images, twins = (
        np.stack([getattr(r, name) for r in records]).astype(np.float64)
        for name in ("image", "noise_free")
    )
    return images, twins, records


def correlations(noise):
    """Return the correlation of neighbours along x, along y and along the diagonal."""
    neighbours = (
        (noise[..., 1:], noise[..., :-1]),
        (noise[..., 1:, :], noise[..., :-1, :]),
        (noise[..., 1:, 1:], noise[..., :-1, :-1]),
    )
    return [(one * other).mean() / noise.var() for one, other in neighbours]


@pytest.mark.parametrize("time", [None, 1000.0])
def test_at_native_size_the_noise_is_the_instruments_bit_for_bit(time):
    camera = simulation_preset("deeplense").imaging.instrument
    instrument = build_instrument(Imaging(instrument=camera, num_pixels=32))
    clean = np.random.default_rng(0).normal(0.2, 0.3, (32, 32))
    level = NoiseLevel(exposure_time=time, background_rms=0.01)
    expected = instrument.observe(clean, level, np.random.default_rng(4))
    observation = ObservationConfig(
        num_pixels=32, background_rms=0.01, exposure_time=time, resize="area"
    )
    ours = observe(clean[None], observation, np.random.default_rng(4))
    np.testing.assert_array_equal(ours[0], expected)


@pytest.mark.parametrize("size", [28, 64, 150])
def test_sky_is_that_of_simulated_images(size):
    images, twins, records = pairs("deeplense", size)
    simulated = images - twins
    rms = records[0].parameters["background_rms"]
    observation = ObservationConfig(num_pixels=150, background_rms=rms, resize=default_method(size))
    rng = np.random.default_rng(1)
    ours = np.stack([observe(twin, observation, rng) for twin in twins]) - twins
    assert ours.std() == pytest.approx(simulated.std(), rel=0.02)
    np.testing.assert_allclose(correlations(ours), correlations(simulated), atol=0.02)
    # Neighbours of 64 pixels share native pixels; those of 28, picked by bilinear, do not.
    assert (correlations(ours)[0] > 0.05) == (size == 64)


@pytest.mark.parametrize("size", [28, 64])
def test_noise_on_the_ring_is_that_of_simulated_images(size):
    images, twins, records = pairs("deeplense-sim", size, num=100)
    rng = np.random.default_rng(1)
    ours = np.empty_like(twins)
    for k, (twin, record) in enumerate(zip(twins, records, strict=True)):
        observation = ObservationConfig(
            num_pixels=150,
            background_rms=record.parameters["background_rms"],
            exposure_time=record.parameters["exposure_time"],
            resize=default_method(size),
        )
        ours[k] = observe(twin, observation, rng)
    bright = twins > np.quantile(twins, 0.95)
    simulated, drawn = ((x - twins)[bright].std() for x in (images, ours))
    assert drawn == pytest.approx(simulated, rel=0.05)
    assert drawn > 1.15 * (ours - twins)[twins < np.median(twins)].std()


def test_four_native_pixels_add_up_in_quadrature():
    noise = noise_of(np.zeros((1, 75, 75)), replace(SKY, resize="area"))
    assert noise.std() == pytest.approx(2 * 0.01, rel=0.01)
    assert max(map(abs, correlations(noise))) < 0.02


def test_poisson_variance_is_flux_over_exposure_time_whatever_the_size():
    for size in (150, 75, 50):
        noise = noise_of(np.full((1, size, size), 0.3), replace(PHOTONS, resize="area"))
        assert noise.var() == pytest.approx(0.3 / 1000, rel=0.03)


def test_the_noise_of_the_whole_image_is_that_of_all_its_photons_and_sky():
    clean = np.random.default_rng(0).uniform(0, 0.4, (1, 64, 64))
    observation = replace(SKY, exposure_time=1000.0, resize="area")
    totals = noise_of(clean, observation, num=1000).sum((1, 2, 3))
    expected = clean.sum() / 1000 + 150**2 * 0.01**2
    assert totals.var() == pytest.approx(expected, rel=4 * math.sqrt(2 / 1000))


def test_photons_are_noisy_where_they_fall():
    clean = np.zeros((1, 64, 64))
    clean[0, 10:20, 40:60] = 0.5
    clean[0, 30:, :] = -1.0
    noise = noise_of(clean, replace(PHOTONS, resize="area"))
    assert (noise[:, clean > 0].std(axis=0) > 0).all()
    assert np.abs(noise[:, 0, :9]).max() == 0
    assert np.abs(noise[:, 0, 22:]).max() == 0


def test_without_exposure_time_bright_pixels_are_no_noisier():
    rng_pair = [np.random.default_rng(3) for _ in range(2)]
    dark, bright = (np.full((1, 64, 64), level) for level in (0.0, 100.0))
    observation = replace(SKY, resize="area")
    noise = [
        observe(clean, observation, rng) - clean
        for clean, rng in zip((dark, bright), rng_pair, strict=True)
    ]
    np.testing.assert_allclose(*noise, atol=1e-12)


def test_float32_stays_and_the_generator_alone_decides():
    clean = np.ones((2, 28, 28), np.float32)
    observation = replace(SKY, resize="bilinear")
    one, same, other = (observe(clean, observation, np.random.default_rng(k)) for k in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.shape == clean.shape
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    assert (clean == 1).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((28, 28), r"must be \(C, H, H\)"),
        ((1, 28, 27), r"must be \(C, H, H\)"),
        ((1, 151, 151), "larger than the observation's 150"),
        ((1, 28, 28), "needs a resize"),
    ],
)
def test_images_that_cannot_be_observed_are_refused(shape, message):
    with pytest.raises(GravLensError, match=message):
        observe(np.zeros(shape), SKY, np.random.default_rng(0))


def test_lenstronomy_is_not_loaded():
    code = "import sys, gravlensdiffusion.simulation.observe; print('lenstronomy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
