"""The classifiers: one for each arm, scarce set and seed, and the upper bound."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augmenting.generators import DRAWING, draw, draws
from augmenting.images import Pictures, Pool, added, fresh_images, real_images
from augmenting.settings import CLASSES, RECIPE, Arm, Options, Regime
from gravlensdiffusion.classification.judgement import probabilities
from gravlensdiffusion.classification.scores import Scores
from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.metrics.memorisation import (
    Memorisation,
    find_nearest,
    pixel_vectors,
)
from gravlensdiffusion.model.checkpoint import load_classifier, save_model
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.sets.images import Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import GENERATED, SetHeader
from gravlensdiffusion.training.classifier import (
    TrainedClassifier,
    predict_logits,
    train_classifier,
)

BOUND = replace(
    RECIPE, total_images=400_000, augment="half_turn", held_out=0.05, check_images=20_000
)
"""How the classifier of the upper bound is trained: on the whole pool, for longer."""
SCAN_SEED = 2_000_000
EVEN = np.full(len(CLASSES), 1 / len(CLASSES))


def run_arm(
    options: Options, pool: Pool, test: Pictures, regime: Regime, arm: Arm, seed: int
) -> dict[str, Any]:
    """Train the classifier of an arm, and score it on the test set."""
    started = time.process_time()
    parts: list[Pictures] = []
    flags: list[NDArray[np.bool_]] = []
    if arm.has_real:
        parts.append(real_images(pool, regime, seed))
        flags.append(np.zeros(len(parts[0][1]), dtype=bool))
    if arm.extra == "fresh":
        parts.append(fresh_images(pool, regime, seed))
    elif arm.extra:
        drawn = draws(options, pool, arm.extra, regime, seed)
        parts.append(added(drawn, regime, even=arm.even) if arm.has_real else drawn)
    if arm.extra:
        # Where there are no real images, generated ones must judge.
        flags.append(np.full(len(parts[-1][1]), arm.has_real))
    recipe = replace(RECIPE, seed=seed, augment=arm.augment, balance=arm.balance)
    data = Together(parts, flags)
    training = train_classifier(data, shortened(recipe, options), device="cpu")
    facts = {
        "regime": regime.name,
        "arm": arm.name,
        "seed": seed,
        "images": data.class_counts,
        **outcome(training, test),
    }
    return facts | {"processor_s": time.process_time() - started}


class Together(LensSet):
    """Several sets as one, in memory.

    Args:
        parts: Images and labels of each.
        flags: Which images of each count as generated.
        class_names: Names of the classes.
    """

    def __init__(
        self,
        parts: Sequence[Pictures],
        flags: Sequence[NDArray[np.bool_]],
        class_names: tuple[str, ...] = CLASSES,
    ) -> None:
        self._images = np.concatenate([images for images, _ in parts])
        self.image_shape = self._images.shape[1:]
        self.labels = np.concatenate([labels for _, labels in parts]).astype(np.int16)
        self.header = SetHeader(class_names=class_names)
        self.parameters = {GENERATED: np.concatenate(flags).astype(np.float64)}

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""
        return self._images[as_indices(indices, len(self))]


def shortened(recipe: ClassifierTraining, options: Options) -> ClassifierTraining:
    """Return a recipe, cut short in a rehearsal."""
    return replace(recipe, total_images=1280, check_images=640) if options.quick else recipe


def run_bound(options: Options, pool: Pool, test: Pictures) -> dict[str, Any]:
    """Train on all simulations, score on the test set, and keep the classifier."""
    started = time.process_time()
    images, labels = pool.everything()
    data = Together([(images, labels)], [np.zeros(len(labels), dtype=bool)])
    training = train_classifier(data, shortened(BOUND, options), device="cpu")
    folder = options.out / "bound"
    if not folder.exists():
        save_model(folder, training.network)
    facts = {"images": data.class_counts, **outcome(training, test)}
    return facts | {"processor_s": time.process_time() - started}


def outcome(training: TrainedClassifier, test: Pictures) -> dict[str, Any]:
    """Return what a classifier does on the test set, whose mix is even.

    Under ``even`` stands what its probabilities are worth once they are carried over to that mix.
    """
    network, (images, labels) = training.network, test
    logits = predict_logits(network, images)
    as_trained = Scores.of(probabilities(network.config, logits), labels, CLASSES)
    even = Scores.of(probabilities(network.config, logits, EVEN), labels, CLASSES)
    return {
        "images_seen": training.looks[-1]["images_seen"],
        "temperature": network.config.temperature,
        "as_trained": plain(as_trained),
        "even": plain(even),
    }


def plain(scores: Scores) -> dict[str, Any]:
    """Return scores as JSON can hold them."""
    found = asdict(scores) | {
        "pair_auc": {f"{CLASSES[a]}/{CLASSES[b]}": v for (a, b), v in scores.pair_auc.items()}
    }
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in found.items()
        if name != "class_names"
    }


def scan(options: Options, guidance: float, num: int = 300) -> dict[str, Any]:
    """Ask the classifier of the upper bound how distinct the classes are at a guidance scale.

    Args:
        options: Where things lie.
        guidance: The scale.
        num: Images of each class.
    """
    how = replace(DRAWING["guided"], guidance=guidance)
    images = draw(options.guided_model, 12 if options.quick else num, SCAN_SEED, how)
    labels = np.repeat(np.arange(len(CLASSES)), len(images) // len(CLASSES))
    network: ClassifierNetwork = load_classifier(options.out / "bound")
    seen = Scores.of(
        probabilities(network.config, predict_logits(network, images)), labels, CLASSES
    )
    return {"guidance": guidance, "model": options.guided_model, **plain(seen)}


def judge(
    options: Options, pool: Pool, test: Pictures, kind: str, regime: Regime, seed: int
) -> dict[str, Any]:
    """Ask the classifier of the upper bound what it sees in generated images.

    Beside it stands how near they are to the real images that an honest generator learned from.
    """
    images, labels = draws(options, pool, kind, regime, seed)
    network: ClassifierNetwork = load_classifier(options.out / "bound")
    seen = Scores.of(
        probabilities(network.config, predict_logits(network, images)), labels, CLASSES
    )
    facts: dict[str, Any] = {"kind": kind, "regime": regime.name, "seed": seed, **plain(seen)}
    if kind == "honest":
        real, _ = real_images(pool, regime, seed)
        near, held_out = find_nearest(
            pixel_vectors(images), pixel_vectors(test[0]), [pixel_vectors(real)]
        )
        found = Memorisation.of(near, held_out)
        facts["memorisation"] = {
            name: getattr(found, name)
            for name in ("median_ratio", "close_fraction", "auc", "tail_p_value")
        } | {"memorised": bool(found.memorised)}
    return facts
