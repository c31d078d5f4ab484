"""What the eye sees in noise-free images: seams, points, fine structure, and light below zero.

    gravlens simulate --preset deeplense --num 300 --noise-free --flux-unit e-/s --seed 42 --out data/sim150.h5
    gravlens sample --model lens150 --num 300 --noise-free --seed 3 --out data/gen150
    python benchmarks/detail.py data/sim150.h5 data/gen150/lenses.h5

Prints a row for each class of each set; the functions are those of `metrics/detail.py`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.metrics.detail import fine_power, negative_share, pits, seams


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="sets with noise-free images")
    parser.add_argument("--depth", type=float, default=0.06, help="of a point, over the peak")
    options = parser.parse_args()
    print(
        "| set | class | images | seams | pits | bright points | fine, arc | fine, sky | at zero |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for path in options.sets:
        for row in rows(path, options.depth):
            print(row, flush=True)


def rows(path: Path, depth: float) -> Iterator[str]:
    """Yield a row for each class of a set, and one for all.

    Raises:
        GravLensError: If the set has no noise-free images.
    """
    source = open_set(path)
    if not source.has_noise_free:
        raise GravLensError(f"{path}: has no noise-free images")
    images = source.read_noise_free(slice(0, len(source)))[:, 0]
    labels = source.labels
    for label, name in [(-1, "all"), *enumerate(source.header.class_names)]:
        chosen = images if label < 0 else images[labels == label]
        if not len(chosen):
            continue
        on_arc, off_arc = fine_power(chosen)
        numbers = (
            f"{seams(chosen):.2f}",
            f"{pits(chosen, depth).mean():.2f}",
            f"{pits(chosen, depth, dark=False).mean():.2f}",
            f"{np.nanmean(on_arc):.2e}",
            f"{np.nanmean(off_arc):.2e}",
            f"{negative_share(chosen).mean():.1%}",
        )
        yield f"| {path} | {name} | {len(chosen)} | {' | '.join(numbers)} |"


if __name__ == "__main__":
    main()
