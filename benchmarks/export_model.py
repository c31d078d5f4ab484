r"""A finished run as a bundled model: weights, configuration, and the figures of its card.

    python benchmarks/export_model.py --run runs/lens28 --data data/lenses28.h5 \
        --out src/gravlensdiffusion/models/lens28

It refuses a folder that holds weights already. The card itself, README.md, is written by hand.
"""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from curves import save_curve
from running import launch
from scipy.ndimage import gaussian_filter

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.checkpoint import load_model, save_model
from gravlensdiffusion.reports.mosaics import percentile_limits, save_grid
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.training.run import read_metrics

NUM_SHOWN = 64
NUM_LARGE_SHOWN = 24
"""Images shown of each kind, where they are small and where they are not."""
NUM_OF_CLASS = 6
"""Images of each class that are shown on three scales."""
LARGE = 100
"""Size from which images count as large [pixel]."""


@dataclass(frozen=True)
class Options:
    """What to export."""

    run: Path
    """The run directory."""
    data: Path
    """Its training set, for the figures."""
    out: Path
    """Folder of the bundled model."""
    prior_of: str | None = None
    """Model whose table of classes and parameters is kept, where the run saw its classes in other shares."""
    epsilon_scaling: float | None = None
    """What the noise that steps take off is divided by; None for what the run says."""
    epsilon_scaling_from: float = 0.0
    """Noise-to-signal ratio from which on it is."""
    seed: int = 0
    """Seed of the samples shown."""


def main(options: Options) -> None:
    """Write weights in half precision, then draw the figures with them."""
    if (options.out / "model.safetensors").exists():
        raise GravLensError(f"{options.out} holds a model already; move it away first")
    model = load_model(options.run)
    if options.prior_of is not None:
        other = load_model(options.prior_of)
        if table_of(other.config) != table_of(model.config):
            raise GravLensError(f"{options.prior_of} has another table than {options.run}")
        model.prior.copy_(other.prior)
    if options.epsilon_scaling is not None:
        sampling = replace(
            model.config.sampling,
            epsilon_scaling=options.epsilon_scaling,
            epsilon_scaling_from=options.epsilon_scaling_from,
        )
        model.config = replace(model.config, sampling=sampling)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        save_model(Path(scratch) / "model", model, half=True)
        for path in (Path(scratch) / "model").iterdir():
            shutil.copyfile(path, options.out / path.name)
    generator = LensGenerator.from_pretrained(options.out, device="cpu")
    num = NUM_SHOWN if generator.config.image_size < LARGE else NUM_LARGE_SHOWN
    generated = generator.sample(num, seed=options.seed)
    source = open_set(options.data)
    real = source.read(matching(source.labels, generated.labels))
    if real.shape[-1] != generated.images.shape[-1]:
        raise GravLensError(f"{options.data} has {real.shape[-1]} pixels a side, not the model's")
    limits = percentile_limits(real)
    rows = [row for k in range(0, num, 8) for row in (generated.images[k : k + 8], real[k : k + 8])]
    side_by_side = options.out / "side_by_side.png"
    save_grid(np.concatenate(rows), side_by_side, limits=limits, num_columns=16)
    if source.has_noise_free and generator.config.observation is not None:
        save_scales(generator, source, options.out / "scales.png", options.seed)
    lines = [line for line in read_metrics(options.run) if "loss" in line]
    curve = ([line["images"] for line in lines], [line["loss"] for line in lines])
    path = options.out / "loss.png"
    save_curve({"loss": curve}, path, x_label="images seen", y_label="loss", log_y=True)
    print(f"wrote {options.out}")


def table_of(config: ModelConfig) -> tuple[object, ...]:
    """Return what the table of a model's training images is of: rows, classes and parameters."""
    return config.prior_size, config.class_names, [each.name for each in config.parameters]


def save_scales(generator: LensGenerator, source: LensSet, path: Path, seed: int) -> None:
    """Save simulated lenses above generated ones of the same order, without noise, on three scales.

    Two rows each: linear; asinh, which shows what is 50 times fainter than the peak; and through an
    unsharp mask, the image less its blur by 1.5 pixels of 64, from -8% to 8% of the peak.
    """
    wanted = np.repeat(np.arange(len(generator.config.class_names)), NUM_OF_CLASS)
    where = matching(source.labels, wanted)
    names = source.header.titles(source.labels[where])
    known = {each.name: source.parameters[each.name][where] for each in generator.config.parameters}
    drawn = generator.sample(len(where), label=names, parameters=known, seed=seed)
    assert drawn.noise_free is not None
    pairs = source.read_noise_free(where)[:, 0], drawn.noise_free[:, 0]
    peak, size = float(np.median(pairs[0].max((1, 2)))), drawn.image_shape[-1]
    scales = (
        lambda image: image / peak,
        lambda image: np.arcsinh(50 * image / peak) / np.arcsinh(50),
        lambda image: (image - gaussian_filter(image, 1.5 * size / 64)) / peak / 0.16 + 0.5,
    )
    tiles = [scale(image) for scale in scales for images in pairs for image in images]
    titles = [*(names or []), *([""] * (len(tiles) - len(where)))]
    save_grid(
        np.stack(tiles),
        path,
        num_columns=len(where),
        stretch="linear",
        titles=titles,
        limits=(0, 1),
    )


def matching(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return positions of different images whose classes are those wanted, in order."""
    queues = {label: iter(np.flatnonzero(labels == label)) for label in set(wanted.tolist())}
    return np.array([next(queues[label]) for label in wanted.tolist()])


if __name__ == "__main__":
    launch(main, Options, __doc__)
