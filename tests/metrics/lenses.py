"""Images with known answers."""

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from tests.sources import smooth

SKY, RMS = 0.011, 0.003
"""Sky of a peak-scaled image, and its noise."""


def grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of the pixel centres from the middle of the image [pixel]."""
    axis = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def ring(size: int, radius: float, width: float, x: float = 0, y: float = 0) -> NDArray[np.float64]:
    """Return a ring of Gaussian cross-section, peak 1, about (x, y) [pixel]."""
    across, along = grid(size)
    distance = np.hypot(across - x, along - y)
    return np.exp(-0.5 * ((distance - radius) / width) ** 2)


def gaussian(
    size: int, sigma: float, q: float = 1, phi: float = 0, x: float = 0, y: float = 0
) -> NDArray[np.float64]:
    """Return an elliptical Gaussian of peak 1, its major axis of `sigma` at angle `phi`."""
    across, along = grid(size)
    across, along = across - x, along - y
    major = across * np.cos(phi) + along * np.sin(phi)
    minor = along * np.cos(phi) - across * np.sin(phi)
    return np.exp(-0.5 * (major**2 + (minor / q) ** 2) / sigma**2)


def observe(
    image: NDArray[np.float64], num: int, seed: int = 0, rms: float = RMS
) -> NDArray[np.float32]:
    """Return `num` images of one object, each with sky and its own white noise."""
    noise = np.random.default_rng(seed).normal(SKY, rms, (num, *image.shape))
    return (image + noise).astype(np.float32)


def simulated(
    preset: str, size: int | None, num: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    """Return lenses of a preset, with smooth galaxies and nothing beside them, their true Einstein radii [arcsec] and the pixel scale [arcsec]."""
    config = select(
        smooth(simulation_preset(preset)), classes=("no_sub", "cdm", "axion"), size=size
    )
    records = list(simulate(config, num, seed).records())
    images = np.stack([record.image[0] for record in records])
    radii = np.array([record.parameters["theta_E"] for record in records])
    return images, radii, set_header(config, seed).pixel_scale_arcsec
