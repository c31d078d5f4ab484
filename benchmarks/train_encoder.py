r"""Train a lens encoder on simulations and measure how well it knows the truth.

    gravlens simulate --preset deeplense --num 24000 --seed 2000 --out data/narrow.h5
    gravlens simulate --preset deeplense-wide --num 30000 --seed 2001 --out data/wide.h5
    python benchmarks/train_encoder.py --narrow data/narrow.h5 --wide data/wide.h5 --size 28 \
        --out src/gravlensdiffusion/models/encoders/encoder28 --report encoder28.json

The last 2,000 images of each set are held out. The features are whitened over the training images
of the first set. With `--real`, the folder of the 36 real images and their fits, the estimates are
compared with those too.
"""

import json
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from encoder_training import TARGETS, EncoderSet, encode, train_encoder, truth, whiten
from numpy.typing import NDArray
from running import launch
from sklearn.metrics import roc_auc_score

from gravlensdiffusion.config.classifier import EncoderConfig
from gravlensdiffusion.model.checkpoint import load_encoder, save_model
from gravlensdiffusion.nn.classifier import LensEncoder
from gravlensdiffusion.sets.flux import default_method, resize
from gravlensdiffusion.store.reader import LensStore

PLANS = {
    28: ((16, 24, 48, 64), (2, 1, 2, 2)),
    64: ((16, 24, 48, 64), (2, 2, 2, 2)),
    150: ((16, 24, 48, 64), (2, 2, 2, 3)),
}
"""Channels and strides of the stages, by image size."""
NUM_HELD_OUT = 2000
GOOD_FIT = 0.015
"""Residual rms of a fit that describes its image [peak]; noise and recovery leave about 0.01."""


@dataclass(frozen=True)
class Options:
    """What to train on, and where to write."""

    narrow: Path
    """Simulations of the preset deeplense at 150 pixels."""
    wide: Path
    """Simulations of the preset deeplense-wide at 150 pixels."""
    out: Path
    """Folder of the encoder; one that is there already is measured, not trained anew."""
    report: Path
    """JSON file for the figures of its card."""
    size: int = 28
    """Image size [pixel]."""
    real: Path | None = None
    """Folder of deeplense_samples_36.npz and its fits."""
    init: Path | None = None
    """Folder of an encoder to begin with: the whole of one of this size, the convolutions of another."""
    peak_rate: float = 3e-3
    """Largest learning rate."""
    num_features: int = 32
    """Features."""
    epochs: int = 15
    """Passes over both sets together."""
    seed: int = 0
    """Seed of the training."""
    threads: int = 2
    """Threads of the processor."""


def main(options: Options) -> None:
    """Train unless the encoder is there already, then measure."""
    torch.set_num_threads(options.threads)
    paths = (options.narrow, options.wide)
    if not options.out.exists():
        train(options, [load(path, options.size, held_out=False) for path in paths])
    held_out = [load(path, options.size, held_out=True) for path in paths]
    network = load_encoder(options.out)
    figures = {
        "size": options.size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "deeplense": quality(network, held_out[0]),
        "deeplense-wide": quality(network, held_out[1]),
    }
    if options.real is not None:
        figures |= against_fits(network, options.real)
    options.report.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


def train(options: Options, training: list[EncoderSet]) -> None:
    """Train on both sets, whiten over the first, write."""
    both = EncoderSet(
        images=np.concatenate([each.images for each in training]),
        targets=np.concatenate([each.targets for each in training]),
        labels=np.concatenate([each.labels for each in training]),
    )
    channels, strides = PLANS[options.size]
    config = EncoderConfig(
        name=f"encoder{options.size}",
        image_size=options.size,
        channels=channels,
        strides=strides,
        num_features=options.num_features,
        targets=TARGETS,
        target_means=(0.0,) * len(TARGETS),
        target_stds=(1.0,) * len(TARGETS),
        class_names=LensStore(options.narrow).header.class_names,
        training_data=f"{len(both):,} images of presets deeplense and deeplense-wide",
    )
    start = time.perf_counter()
    network = train_encoder(
        config,
        both,
        epochs=options.epochs,
        seed=options.seed,
        peak_rate=options.peak_rate,
        init=None if options.init is None else load_encoder(options.init),
        progress=True,
    )
    print(f"trained in {(time.perf_counter() - start) / 60:.1f} min")
    whiten(network, encode(network, training[0].images))
    save_model(options.out, network, half=True)


def load(path: Path, size: int, *, held_out: bool) -> EncoderSet:
    """Read the training or the held-out images of a set at a size, in half precision."""
    source = LensStore(path)
    cut = len(source) - NUM_HELD_OUT
    chosen = np.arange(cut, len(source)) if held_out else np.arange(cut)
    images = np.empty((len(chosen), size, size), np.float16)
    means = np.empty(len(chosen))
    for start in range(0, len(chosen), 500):
        block = source.read(chosen[start : start + 500])[:, 0]
        if size != block.shape[-1]:
            block = resize(block, size, default_method(size)).astype(np.float32)
        images[start : start + len(block)] = block
        means[start : start + len(block)] = block.mean((1, 2))
    parameters = {name: values[chosen] for name, values in source.parameters.items()}
    labels = source.labels[chosen].astype(np.int64)
    return EncoderSet(images=images, targets=truth(parameters, means), labels=labels)


@torch.no_grad()
def quality(network: LensEncoder, data: EncoderSet) -> dict[str, dict[str, float]]:
    """Return R2, bias and scatter of each target and the AUC of each pair of classes."""
    targets, logits = (each.numpy() for each in network.estimate(encode(network, data.images)))
    figures = agreement(targets, data.targets)
    names = network.config.class_names
    for a, b in combinations(range(len(names)), 2):
        pair = np.isin(data.labels, (a, b))
        score = logits[pair, b] - logits[pair, a]
        area = roc_auc_score(data.labels[pair] == b, score)
        figures[f"{names[a]}/{names[b]}"] = {"auc": round(float(area), 4)}
    return figures


def agreement(found: NDArray[np.float32], true: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """Return R2, bias and scatter of each target that has a truth."""
    figures = {}
    for k, name in enumerate(TARGETS):
        error = found[:, k] - true[:, k]
        if np.isfinite(error).all():
            figures[name] = {
                "r2": round(float(1 - np.mean(error**2) / true[:, k].var()), 4),
                "bias": round(float(error.mean()), 5),
                "scatter": round(float(error.std()), 5),
                "spread": round(float(true[:, k].std()), 5),
            }
    return figures


@torch.no_grad()
def against_fits(network: LensEncoder, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Compare the estimates on the 36 real images with fits of lens models to them.

    A fit that leaves a residual far above the noise has not found the lens; all images are compared,
    and those with a good fit alone.
    """
    images = np.load(folder / "deeplense_samples_36.npz")["images"].astype(np.float32)
    fits = np.load(folder / "deeplense_samples_36_fits.npz")
    size = network.config.image_size
    if size != images.shape[-1]:
        images = resize(images, size, default_method(size)).astype(np.float32)
    nothing = np.full(len(images), np.nan)
    true = np.stack([fits.get(name, nothing) for name in TARGETS], axis=1)
    found = network.estimate(encode(network, images))[0].numpy()
    good = fits["residual_rms"] < GOOD_FIT
    return {
        f"all {len(good)} real": agreement(found, true.astype(np.float32)),
        f"the {good.sum()} real with good fits": agreement(found[good], true[good]),
    }


if __name__ == "__main__":
    launch(main, Options, __doc__)
