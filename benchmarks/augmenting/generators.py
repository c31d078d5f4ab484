"""The generators: one trained on the scarce real images alone, one that comes with the package."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augmenting.images import Pictures, Pool, real_images, run_gravlens
from augmenting.settings import CLASSES, REGIMES, Options, Regime
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.training import EarlyStopping
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """How a generator draws.

    Attributes:
        sampler: Name of the sampler; that of the model by default.
        num_steps: Number of steps; that of the model by default.
        guidance: Guidance scale: above 1, classes are told apart more than they are in nature.
    """

    sampler: str | None = None
    num_steps: int | None = None
    guidance: float = 1.0


DRAWING = {
    "honest": Drawing(sampler="dpmpp", num_steps=12),
    "transfer": Drawing(),
    "guided": Drawing(sampler="dpmpp", num_steps=12, guidance=2.0),
}


def draws(options: Options, pool: Pool, kind: str, regime: Regime, seed: int) -> Pictures:
    """Return generated images, as many of each class as the target; they are drawn once.

    Args:
        options: Where things lie.
        pool: Where the real images are.
        kind: ``honest``, ``transfer`` or ``guided``.
        regime: The scarce set.
        seed: Seed.
    """
    # The guided generator is slow, and has seen no scarce set: one drawing serves all of them.
    num = max(each.target for each in REGIMES.values()) if kind == "guided" else regime.target
    name = f"guided-{seed}" if kind == "guided" else f"{kind}-{regime.name}-{seed}"
    path = options.out / "draws" / f"{name}.npy"
    if not path.is_file():
        if kind == "honest":
            model = str(train_honest(options, pool, regime, seed))
        else:
            model = options.guided_model if kind == "guided" else options.model
        path.parent.mkdir(parents=True, exist_ok=True)
        # No two sets of the study share noise.
        first = 1_000_000 + 100 * seed + 10 * list(REGIMES).index(regime.name)
        images = draw(model, num, first + (5 if kind == "guided" else 0), DRAWING[kind])
        partial = path.with_suffix(".partial.npy")
        np.save(partial, images)
        partial.replace(path)
    labels = np.repeat(np.arange(len(CLASSES)), regime.target)
    images = np.load(path).reshape(len(CLASSES), num, *(1, options.size, options.size))
    return images[:, : regime.target].reshape(-1, 1, options.size, options.size), labels


def train_honest(options: Options, pool: Pool, regime: Regime, seed: int) -> Path:
    """Train a generator on the scarce real images and on nothing else; return its run."""
    name = f"{regime.name}-{seed}"
    data, recipe, run = (options.out / "honest" / f"{name}{end}" for end in (".h5", ".json", ""))
    if not data.is_file():
        images, labels = real_images(pool, regime, seed)
        records = (
            LensRecord(image=image, label=int(label))
            for image, label in zip(images, labels, strict=True)
        )
        header = replace(pool.store.header, parameter_units={}, seed=None)
        write_store(data, records, header, num=len(labels))
    total = regime.generator_images if not options.quick else 1280
    write_atomically(
        recipe,
        to_json(
            replace(
                training_preset("cutouts28"),
                preset="augmentation",
                total_images=total,
                seed=seed,
                augment="half_turn",
                sample_images=0,
                early_stopping=EarlyStopping(held_out=0.1, every_images=4_000, patience=4),
            )
        ),
    )
    words = ["train", "--preset", str(recipe), "--data", str(data), "--out", str(run)]
    run_gravlens([*words, "--device", "cpu"], options.threads)
    return run


def draw(model: str, num: int, seed: int, how: Drawing) -> NDArray[np.float32]:
    """Draw images of all classes, each scaled to [0, 1] as those of the set are.

    Args:
        model: Name or folder.
        num: Images of each class.
        seed: Seed of the first class; those of the others follow.
        how: Sampler, steps and guidance.
    """
    generator = LensGenerator.from_pretrained(model, "cpu")
    is_split = generator.config.observation is not None
    parts = []
    for k, name in enumerate(CLASSES):
        samples = generator.sample(
            num,
            label=name,
            seed=seed + k,
            sampler=how.sampler,
            num_steps=how.num_steps,
            guidance=how.guidance,
            flux_unit="peak" if is_split else None,
        )
        parts.append(samples.images)
    images = np.concatenate(parts)
    low, high = (edge(images, axis=(1, 2, 3), keepdims=True) for edge in (np.min, np.max))
    scaled: NDArray[np.float32] = (images - low) / (high - low)
    return scaled
