"""What the pixel two-sample test finds of two defects planted in simulated images, and how fast.

    gravlens simulate --preset deeplense --num 8000 --size 28 --out real.h5
    python benchmarks/planted_defects.py real.h5

Prints the area under the ROC curve for single images and for bags of 2, 4 and 8, for sky noise
multiplied by 1.1, for a blur of half a pixel, and for one half of the images against the other.
Beside them stands the scatter that bounds what can be found of the noise, where the file has the
true flux range of each image: of the sky noise itself, and of the sky noise in units of flux.
"""

import argparse
import time
from pathlib import Path

import h5py
import numpy as np

from gravlensdiffusion.metrics.pixel_test import Bags, compare_pixels, planted_scores, valid_bag
from gravlensdiffusion.metrics.sky import measure_sky


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="lenses.h5 of real or simulated images")
    parser.add_argument("--num", type=int, default=8000, help="number of images, both halves")
    parser.add_argument("--seed", type=int, default=0, help="seed of splits, noise and training")
    options = parser.parse_args()
    with h5py.File(options.data) as file:
        images = file["images"][: options.num]
        ranges = [
            file[f"parameters/{name}"][: options.num]
            for name in ("flux_max", "flux_min")
            if f"parameters/{name}" in file
        ]
    print(f"{len(images)} images of {images.shape[-1]} pixels")
    sky = np.log(measure_sky(images[:, 0]).rms)
    print(f"scatter of ln sky rms: {sky.std():.3f}")
    if len(ranges) == 2:
        print(f"in units of flux:      {(sky + np.log(ranges[0] - ranges[1])).std():.3f}")
    rng = np.random.default_rng(options.seed)
    start = time.perf_counter()
    half = len(images) // 2
    show("half against half", compare_pixels(images[:half], images[half:], rng))
    noise, blur = planted_scores(images, rng)
    show("noise x 1.1", noise)
    show("half-pixel blur", blur)
    print(f"valid for bags of {valid_bag(noise, blur)}; {time.perf_counter() - start:.0f} s in all")


def show(name: str, bags: Bags) -> None:
    """Print the areas of one test."""
    areas = "  ".join(
        f"{size}: {auc.value:.3f} +- {auc.standard_error:.3f}" for size, auc in bags.items()
    )
    print(f"{name:20s}{areas}", flush=True)


if __name__ == "__main__":
    main()
