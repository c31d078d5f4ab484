"""How far a copy of an image moves, and how far apart different images are.

    python benchmarks/copies.py

For simulated sets: the largest distance of a thumbnail from that of the same image saved in 8 bits, in
float16, or with noise of 0.5% of its brightest pixel (median), beside the smallest between different
images; and how many pairs of the same lens without and with subhaloes are nearer than the limit. The limit
is `data.copies.NEAR`.
"""

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.copies import NEAR, sign
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.simulated_set import simulate

CASES = (("deeplense", 28), ("deeplense", 64), ("euclid", 50), ("hst", 50))
"""Presets and sizes [pixel]."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=2000, help="images of each preset")
    parser.add_argument("--seed", type=int, default=100, help="seed of the images")
    options = parser.parse_args()
    print(f"limit {NEAR}\n")
    print("| preset | pixels | 8 bits | float16 | noise | different images | subhaloes alone |")
    print("|---|---|---|---|---|---|---|")
    for preset, size in CASES:
        images = simulated(preset, size, options.num, options.seed)
        thumbnails = sign([images]).thumbnails
        peak = images.max(axis=(1, 2), keepdims=True)
        noise = np.random.default_rng(options.seed).standard_normal(images.shape)
        copies = (in_8_bits(images), images.astype(np.float16), images + 0.005 * peak * noise)
        moved = [
            np.linalg.norm(sign([copy.astype(np.float32)]).thumbnails - thumbnails, axis=1)
            for copy in copies
        ]
        apart = pdist(thumbnails).min()
        print(
            f"| {preset} | {size} | {moved[0].max():.4f} | {moved[1].max():.5f} | "
            f"{np.median(moved[2]):.4f} | {apart:.4f} | {paired(preset, size, options.seed)} |",
            flush=True,
        )


def simulated(
    preset: str, size: int, num: int, seed: int, **changes: object
) -> NDArray[np.float32]:
    """Return images of a preset, shape ``(N, H, H)``."""
    config = select(simulation_preset(preset), size=size, **changes)  # type: ignore[arg-type]
    return np.stack([record.image[0] for record in simulate(config, num, seed).records()])


def in_8_bits(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return images rounded to 255ths of their own range."""
    low = images.min(axis=(1, 2), keepdims=True).astype(np.float64)
    span = images.max(axis=(1, 2), keepdims=True) - low
    return np.round((images - low) / span * 255)


def paired(preset: str, size: int, seed: int, num: int = 100) -> str:
    """Say how many lenses of 100 count as one with the same lens that has subhaloes besides."""
    first, second = (
        sign([simulated(preset, size, num, seed, classes=(name,))]).thumbnails
        for name in ("no_sub", "cdm")
    )
    near = np.linalg.norm(first - second, axis=1) < NEAR
    return f"{near.sum()} of {num}"


if __name__ == "__main__":
    main()
