"""How well the Einstein radius is measured, and how long all statistics take.

    python benchmarks/lens_physics.py

Simulates lenses of each preset and size, and compares the measured Einstein radius with the true
one: mean, standard deviation and median of the relative error, correlation, and how many lenses
have none. Then measures 10,000 images of 64 pixels and 1,000 of 150.
"""

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.metrics.physics import measure, power_spectrum, radial_profile
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate

CASES = (
    ("deeplense", 28),
    ("deeplense", 64),
    ("deeplense", 150),
    ("deeplense-sim", 150),
    ("euclid", 100),
    ("hst", 100),
    ("slacs", 96),
)
"""Presets and sizes [pixel] of the table."""

TIMED = ((64, 10_000), (150, 1_000))
"""Sizes [pixel] and numbers of images that are timed."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=1000, help="lenses of each preset and size")
    parser.add_argument("--seed", type=int, default=100, help="seed of the lenses")
    options = parser.parse_args()
    print("| preset | pixels | mean % | std % | median % | correlation | without % |")
    print("|---|---|---|---|---|---|---|")
    for preset, size in CASES:
        images, truth = simulate_lenses(preset, size, options.num, options.seed)
        print(f"| {preset} | {size} | {accuracy(images, truth)} |", flush=True)
    print("\n| pixels | images | statistics [s] | profile and spectrum [s] |")
    print("|---|---|---|---|")
    for size, num in TIMED:
        images, _ = simulate_lenses("deeplense", size, 500, options.seed)
        print(f"| {size} | {num} | {speed(np.resize(images, (num, size, size)))} |", flush=True)


def simulate_lenses(
    preset: str, size: int, num: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return images ``(N, H, H)`` and true Einstein radii ``(N,)`` [pixel]."""
    config = select(simulation_preset(preset), classes=("no_sub", "cdm", "axion"), size=size)
    records = list(simulate(config, num, seed).records())
    truth = np.array([record.parameters["theta_E"] for record in records])
    return np.stack([record.image[0] for record in records]), truth / set_header(
        config, seed
    ).pixel_scale_arcsec


def accuracy(images: NDArray[np.float32], truth: NDArray[np.float64]) -> str:
    """Return the cells of the first table for one set."""
    measured = measure(images, None)["einstein_radius"]
    found = np.isfinite(measured)
    error = 100 * (measured[found] / truth[found] - 1)
    varied = np.ptp(truth) > 1e-9 * truth.mean()
    correlation = f"{np.corrcoef(measured[found], truth[found])[0, 1]:.3f}" if varied else "-"
    return (
        f"{error.mean():+.2f} | {error.std():.2f} | {np.median(error):+.2f} | {correlation} | "
        f"{100 * (1 - found.mean()):.1f}"
    )


def speed(images: NDArray[np.float32]) -> str:
    """Return the cells of the second table: processor time, which other programs do not change."""
    measure(images[:2], None)
    start = time.process_time()
    measure(images, None)
    middle = time.process_time()
    radial_profile(images, None)
    power_spectrum(images, None)
    return f"{middle - start:.2f} | {time.process_time() - middle:.2f}"


if __name__ == "__main__":
    main()
