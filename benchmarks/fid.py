r"""The Fréchet inception distance: of whom, of how many images, and by which way to 299 pixels.

    gravlens simulate --preset deeplense --num 10000 --size 28 --seed 3000 --out data/reference.h5
    gravlens simulate --preset deeplense --num 10000 --size 28 --seed 3001 --out data/reference2.h5
    gravlens simulate --preset deeplense --num 1000 --seed 3000 --out data/native.h5
    gravlens sample --model lens28 --num 10000 --seed 0 --out data/lens28
    python benchmarks/fid.py --reference data/reference.h5 --second data/reference2.h5 \
        --generated data/lens28/lenses.h5 --native data/native.h5

Features are kept in `--cache`, 500 images a file, so that a run that was stopped goes on.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from running import launch
from torch.nn.functional import interpolate

from gravlensdiffusion.evaluation.inception import find_inception_weights, quantise_truncating
from gravlensdiffusion.evaluation.preparation import Preparation, PreparedSource
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.metrics.features import frechet_distance
from gravlensdiffusion.metrics.inception import (
    INPUT_SIZE,
    FIDInception,
    inception_features,
)

Images = NDArray[np.float32]
Features = NDArray[np.float32]

SIZE = 28
BLOCK = 500
"""Images whose features stand in one file."""
WAYS_NUM = 500
"""Images of each side where ways to 299 pixels are compared."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to compare."""

    reference: Path
    """Simulations."""
    second: Path
    """Simulations of another seed, for the floor."""
    generated: tuple[Path, ...] = ()
    """Generated images, a file for each model."""
    native: Path | None = None
    """The first simulations of `reference` at the size at which they were made."""
    hundreds: tuple[Path, ...] = ()
    """More sets for the table of 100 against 100 images, such as those of the earlier project."""
    real: Path | None = None
    """Real images for that table."""
    label: str = "no_sub"
    """Class of the simulated and generated images in that table."""
    numbers: tuple[int, ...] = (100, 300, 1000, 3000, 10000)
    """Images of each side."""
    draws: int = 5
    """How many times so many images are drawn; all of them at the largest number."""
    tables: tuple[str, ...] = ("hundreds", "numbers", "ways")
    """Which tables to make."""
    threads: int = 2
    """Threads of the processor."""
    cache: Path = Path("data/fid")
    """Folder of features."""
    json: Path | None = None
    """Where to write the figures, too."""


class FeatureStore:
    """Inception features of images, kept in files that are named by their content.

    Args:
        folder: Folder of the files; it is made where it does not exist.
        weights: Hash of the weights.
        network: The network.
    """

    def __init__(self, folder: Path, weights: str, network: FIDInception) -> None:
        self.folder, self.weights, self.network = folder, weights, network
        self.seconds, self.images = 0.0, 0
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, images: Images, way: str = "float") -> Features:
        """Return features of images in [0, 1], shape ``(N, H, W)``, that went a way."""
        parts = [self._block(images[k : k + BLOCK], way) for k in range(0, len(images), BLOCK)]
        return np.concatenate(parts)

    def _block(self, images: Images, way: str) -> Features:
        content = np.ascontiguousarray(images).tobytes()
        key = hashlib.sha256(f"{self.weights} {way} ".encode() + content).hexdigest()
        path = self.folder / f"{key[:24]}.npy"
        if path.exists():
            return np.load(path)
        start = time.process_time()
        batches = (WAYS[way](images[k : k + 25]) for k in range(0, len(images), 25))
        features = np.concatenate([inception_features(self.network, batch) for batch in batches])
        self.seconds += time.process_time() - start
        self.images += len(images)
        temporary = path.with_suffix(".tmp.npy")
        np.save(temporary, features)
        temporary.replace(path)
        return features


def as_they_are(images: Images) -> Images:
    """Return images with a channel; the resize is that of pytorch-fid."""
    return np.clip(images, 0, 1)[:, None]


def resized(images: Images, resize: Callable[[Image.Image], Image.Image]) -> Images:
    """Return images of 299 pixels by a resize of Pillow, in floating point."""
    clipped = np.clip(images, 0, 1)
    done = [np.asarray(resize(Image.fromarray(one, mode="F"))) for one in clipped]
    return np.clip(np.stack(done), 0, 1)[:, None]


def as_tensorflow(images: Images) -> Images:
    """Resize as TensorFlow 1 and torch-fidelity do: the corner of the first pixel stays its centre."""
    old = images.shape[-1]
    at = np.arange(INPUT_SIZE) * (old / INPUT_SIZE)
    low = at.astype(int)
    high, share = np.minimum(low + 1, old - 1), (at - low).astype(np.float32)
    clipped = np.clip(images, 0, 1)
    rows = clipped[:, low] * (1 - share[:, None]) + clipped[:, high] * share[:, None]
    return (rows[..., low] * (1 - share) + rows[..., high] * share)[:, None]


def quantise_rounding(images: Images) -> Images:
    """Return images in [0, 1] as they come back from 8-bit PNG files with the nearest grey."""
    return np.rint(np.clip(images, 0, 1).astype(np.float32) * np.float32(255)) / np.float32(255)


def in_colour(images: Images) -> Images:
    """Return images in the colours in which Matplotlib saves them, in 8 bits."""
    colours = mpl.colormaps["viridis"](np.clip(images, 0, 1))[..., :3]
    return quantise_rounding(np.moveaxis(colours, -1, 1))


WAYS: dict[str, Callable[[Images], Images]] = {
    "float": as_they_are,
    "8 bits, cut": lambda images: quantise_truncating(images)[:, None],
    "8 bits, rounded": lambda images: quantise_rounding(images)[:, None],
    "bicubic": lambda images: resized(
        images, lambda one: one.resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
    ),
    "TensorFlow 1": as_tensorflow,
    "viridis": in_colour,
}


def main(options: Options) -> None:
    """Make the tables."""
    torch.set_num_threads(options.threads)
    weights, sha256 = find_inception_weights()
    store = FeatureStore(options.cache, sha256, FIDInception.load(weights))
    makers = {"hundreds": hundreds, "numbers": numbers, "ways": ways}
    report = {name: list(makers[name](options, store)) for name in options.tables}
    if store.images:
        print(f"{1000 * store.seconds / store.images:.0f} ms of processor time per image")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def opened(path: Path) -> PreparedSource:
    """Open a set and bring it to 28 pixels, each image to [0, 1] by its own extremes."""
    preparation = Preparation(size=SIZE, flux_unit="peak", rescale="peak")
    return PreparedSource(open_set(path), name_of(path), preparation)


def name_of(path: Path) -> str:
    """Return the name of a set: that of its folder where the file is called like all others."""
    return path.parent.name if path.stem == "lenses" else path.stem


def first_images(path: Path, num: int, label: str | None = None) -> Images:
    """Return the first images of a set, or of a class where the set knows classes."""
    source = opened(path)
    indices = np.arange(len(source))
    if label in source.header.class_names:
        indices = np.flatnonzero(source.labels == source.header.class_names.index(label))
    return source.pixels(indices[:num])


def hundreds(options: Options, store: FeatureStore) -> Iterator[dict[str, object]]:
    """Compare sets at 100 against 100 images, cut to 8 bits, as the earlier project did."""
    num = 100
    paths = [options.second, *options.generated, *options.hundreds]
    against = [path for path in (options.reference, options.real) if path is not None]
    print("| images | " + " | ".join(f"against {name_of(path)}" for path in against) + " |")
    print("|---" * (1 + len(against)) + "|")
    features = {
        path: store.of(first_images(path, num * options.draws, options.label), "8 bits, cut")
        for path in (*paths, *against)
    }
    for path in paths:
        row: dict[str, object] = {"set": name_of(path)}
        for other in against:
            pair = features[path], features[other]
            row[name_of(other)] = drawn(*pair, min(num, *map(len, pair)), options.draws)
        print("| " + " | ".join(shown(cell) for cell in row.values()) + " |", flush=True)
        yield row


def numbers(options: Options, store: FeatureStore) -> Iterator[dict[str, object]]:
    """Follow the distance with the number of images."""
    paths = [options.second, *options.generated]
    print("| images of each | " + " | ".join(name_of(path) for path in paths) + " |")
    print("|---" * (1 + len(paths)) + "|")
    for num in options.numbers:
        row: dict[str, object] = {"images": num}
        # Whole blocks, so that each number takes its images from the same files.
        needed = min(BLOCK * -(-num * options.draws // BLOCK), max(options.numbers))
        for path in paths:
            pair = [store.of(first_images(one, needed)) for one in (path, options.reference)]
            enough = min(map(len, pair)) >= num
            row[name_of(path)] = drawn(pair[0], pair[1], num, options.draws) if enough else ""
        print("| " + " | ".join(shown(cell) for cell in row.values()) + " |", flush=True)
        yield row


def ways(options: Options, store: FeatureStore) -> Iterator[dict[str, object]]:
    """Compare ways to 299 pixels and 8 bits, gone by one side alone and by both."""
    reference, second, *models = (
        first_images(path, WAYS_NUM)
        for path in (options.reference, options.second, *options.generated[:1])
    )
    plain = store.of(second)
    model = name_of(options.generated[0]) if models else "no model"
    print(f"| way | simulations that way, others as they are | {model} and simulations that way |")
    print("|---|---|---|")
    for way in WAYS:
        theirs = store.of(reference, way)
        both = frechet_distance(store.of(models[0], way), theirs) if models else None
        yield one_way(way, frechet_distance(theirs, plain), both)
    if options.native is not None:
        for way, smaller in reductions(open_set(options.native).read(slice(0, WAYS_NUM))).items():
            yield one_way(way, frechet_distance(store.of(smaller), plain), None)


def one_way(way: str, one_side: float, both: float | None) -> dict[str, object]:
    """Print a line of the table of ways and return it."""
    print(f"| {way} | {one_side:.2f} | {'' if both is None else f'{both:.2f}'} |", flush=True)
    return {"way": way, "one side": one_side, "both": both}


def reductions(images: Images) -> dict[str, Images]:
    """Return images reduced to 28 pixels in other ways than by bilinear interpolation alone."""
    native = torch.from_numpy(np.ascontiguousarray(images))
    size = (SIZE, SIZE)
    smooth = interpolate(native, size=size, mode="bilinear", antialias=True)
    area = interpolate(native, size=size, mode="area")
    return {
        "reduced with antialiasing": smooth[:, 0].numpy(),
        "reduced by area": area[:, 0].numpy(),
    }


def drawn(x: Features, y: Features, num: int, draws: int) -> tuple[float, float]:
    """Return mean and standard deviation of the distance between parts of two sets."""
    rng = np.random.default_rng(0)
    orders = rng.permutation(len(x)), rng.permutation(len(y))
    values = []
    for draw in range(draws):
        # Parts do not overlap while there are images for that.
        parts = [
            np.take(order, range(draw * num, (draw + 1) * num), mode="wrap") for order in orders
        ]
        values.append(frechet_distance(x[parts[0]], y[parts[1]]))
        if num == len(x) == len(y):
            return values[0], float("nan")
    return float(np.mean(values)), float(np.std(values, ddof=1))


def shown(cell: object) -> str:
    """Return a cell of a table."""
    if not isinstance(cell, tuple):
        return str(cell)
    mean, spread = cell
    return f"{mean:.2f}" if np.isnan(spread) else f"{mean:.2f} ± {spread:.2f}"


if __name__ == "__main__":
    launch(main, Options, __doc__)
