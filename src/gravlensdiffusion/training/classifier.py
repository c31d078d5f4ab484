"""Training of a classifier: the weights that do best on validation images, calibrated on them."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from gravlensdiffusion.config.classifier import ClassifierConfig, ClassifierTraining
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig, TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.parallel import build_accelerator
from gravlensdiffusion.sets.images import evenly_spread
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.training.augment import augment
from gravlensdiffusion.training.fit import Training, shown
from gravlensdiffusion.training.validation import split

SCALE_IMAGES = 1000
"""Images that the scales of the pixels are measured on."""
BATCH = 256
"""Images whose classes are told at a time."""
MIN_SIZE = 8
"""Pixels that an image has at least on each side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedClassifier:
    """A trained classifier, and how it came about.

    Attributes:
        network: The classifier.
        held_out: Positions of the validation images, shape ``(H,)``.
        looks: How training stood whenever the validation loss was measured, as its record keeps it:
            ``images_seen``, ``total_images``, ``loss`` since the last time, ``held_out_loss`` [nat],
            and ``is_best`` where none before was better.
    """

    network: ClassifierNetwork
    held_out: NDArray[np.int64]
    looks: tuple[dict[str, Any], ...]


def train_classifier(
    data: LensSet,
    recipe: ClassifierTraining,
    *,
    groups: NDArray[np.int64] | None = None,
    device: str = "auto",
    progress: bool = False,
) -> TrainedClassifier:
    """Train a classifier on the images of known class of a set.

    Validation images are weighted so that the classes count as they do in training; generated
    images are never among them.

    Args:
        data: The set.
        recipe: How to train.
        groups: Number of the group of copies of each image, shape ``(N,)``; None where all differ.
        device: ``cpu``, ``cuda`` or ``auto``.
        progress: Whether to show on stderr how far it is.

    Raises:
        GravLensError: If there is no such device, if there are too few images of a class, if they
            are too small, or if the loss is not finite.
    """
    accelerator = build_accelerator(device, recipe.precision, recipe.batch_size)
    trained_on, held_out = split(data, recipe.held_out, recipe.seed, groups)
    looks = list[dict[str, Any]]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = ClassifierNetwork(configure(data, recipe, trained_on))
        network.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        training = _ClassifierTraining(network, data, recipe, accelerator, trained_on, held_out)
        for state in shown(training, is_shown=progress):
            if state.num_skipped:
                raise GravLensError("the loss of the classifier is not finite; lower its rate")
            if training.due(recipe.check_images):
                is_best = state.best_images == state.images_seen
                if is_best or not looks:
                    best = {name: value.clone() for name, value in network.state_dict().items()}
                names = ("images_seen", "total_images", "loss", "held_out_loss")
                looks.append({name: getattr(state, name) for name in names} | {"is_best": is_best})
    network.load_state_dict(best)
    network.to("cpu").eval()
    logits = torch.from_numpy(predict_logits(network, data, held_out))
    labels = torch.from_numpy(data.labels[held_out].astype(np.int64))
    temperature = _fit_temperature(logits, labels, training.validation_weights)
    network.config = replace(network.config, temperature=temperature)
    return TrainedClassifier(network=network, held_out=held_out, looks=tuple(looks))


class _ClassifierTraining(Training):
    """The training of a classifier: weighted cross-entropy, on images drawn with replacement."""

    def __init__(
        self,
        network: ClassifierNetwork,
        data: LensSet,
        recipe: ClassifierTraining,
        accelerator: Accelerator,
        trained_on: NDArray[np.int64],
        held_out: NDArray[np.int64],
    ) -> None:
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimiser = OptimiserConfig(learning_rate=recipe.learning_rate, max_grad_norm=5.0)
        config = TrainingConfig(
            batch_size=recipe.batch_size,
            log_images=recipe.check_images,
            optimiser=optimiser,
            ema=EMAConfig(halflife_images=0),
        )
        adam = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        super().__init__(network, config, accelerator, recipe.total_images, optimiser=adam)
        self.patience = recipe.patience
        self._data, self._recipe = data, recipe
        self._labels = data.labels.astype(np.int64)
        self._trained_on, self._held_out = trained_on, held_out
        self._wrapped = accelerator.prepare(network)
        self._rng = np.random.default_rng([recipe.seed, 0xC1A55])
        labels = data.labels[trained_on]
        counts = np.bincount(labels, minlength=len(data.header.class_names))
        rarity = len(labels) / (len(counts) * counts)
        self._shares = rarity[labels] / len(labels) if recipe.balance == "oversample" else None
        weights = rarity if recipe.balance == "weights" else np.ones(len(counts))
        self._class_weights = torch.from_numpy(weights).float().to(accelerator.device)
        judged = np.bincount(data.labels[held_out], minlength=len(counts))
        mix = np.array(network.config.class_mix) / judged * judged.sum()
        self.validation_weights = torch.from_numpy(mix[data.labels[held_out]])

    def rate(self, seen: int) -> float:
        """Return the learning rate of a step: a rise over 5% of the steps, then half a cosine."""
        step, num_steps = seen // self.batch_size, self.total_images // self.batch_size
        falling = 0.5 * (1 + math.cos(math.pi * step / num_steps))
        return self._recipe.learning_rate * min((step + 1) / max(1.0, 0.05 * num_steps), falling)

    def loss(self, first: int) -> Tensor:
        """Return the loss of this process's part of the next batch."""
        share = self.batch_size // self.accelerator.num_processes
        low = self.accelerator.process_index * share
        images, labels = (part[low : low + share] for part in self._draw())
        device = self.accelerator.device
        self._wrapped.train()
        with self.accelerator.autocast():
            logits = self._wrapped(images.to(device))
        own = labels.to(device)
        losses = F.cross_entropy(logits.float(), own, reduction="none")
        # Divided by the number of images, not by the sum of weights: each image counts alike.
        return (losses * self._class_weights[own]).mean()

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Return a batch of the whole run; every process draws the same."""
        places = self._rng.choice(len(self._trained_on), self.batch_size, p=self._shares)
        chosen = self._trained_on[places]
        images = torch.from_numpy(self._data.read(chosen))
        u = torch.from_numpy(self._rng.random(len(chosen)))
        images, _ = augment(self._recipe.augment, images, {}, u)
        return images, torch.from_numpy(self._labels[chosen])

    def validation_loss(self) -> float | None:
        """Measure the negative log-likelihood of the validation images, where it is due."""
        if not (self.state.images_seen and self.due(self._recipe.check_images)):
            return None
        logits = torch.from_numpy(predict_logits(self.model, self._data, self._held_out))
        labels = torch.from_numpy(self._labels[self._held_out])
        losses = F.cross_entropy(logits, labels, reduction="none")
        # Each process normalises its batches by what it has seen; that of the main one counts, and is kept.
        loss = (losses * self.validation_weights).mean().to(self.accelerator.device)
        return float(broadcast(loss))


def configure(
    data: LensSet, recipe: ClassifierTraining, trained_on: NDArray[np.int64]
) -> ClassifierConfig:
    """Return the configuration of a network for a set.

    Raises:
        GravLensError: If the images are too small or have no light above their noise.
    """
    num_channels, height, width = data.image_shape
    if height != width or height < MIN_SIZE:
        raise GravLensError(
            f"a classifier needs square images of {MIN_SIZE} pixels or more, these have "
            f"{height} x {width}"
        )
    places = evenly_spread(len(trained_on), SCALE_IMAGES)
    sky, noise, bright = _measure_scales(data.read(trained_on[places]))
    names = data.header.class_names
    mix = np.bincount(data.labels[trained_on], minlength=len(names)).astype(float)
    if recipe.balance != "none":
        mix[:] = 1.0
    strides = _strides(height)
    return ClassifierConfig(
        image_size=height,
        num_channels=num_channels,
        class_names=names,
        class_mix=tuple(float(share) for share in mix / mix.sum()),
        channels=tuple(16 * min(2**k, 6) for k in range(len(strides))),
        strides=strides,
        dropout=recipe.dropout,
        sky=sky,
        noise=noise,
        bright=bright,
    )


def _strides(size: int) -> tuple[int, ...]:
    """Return strides that leave a map of four to seven pixels a side."""
    strides = [1] if size < 48 else [2]
    size = (size - 1) // strides[0] + 1
    while size > 7 or len(strides) < 2:
        strides.append(2)
        size = (size - 1) // 2 + 1
    return tuple(strides)


def _measure_scales(
    images: NDArray[np.float32],
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return sky level, noise rms and brightness above the sky of each channel of ``(N, C, S, S)``."""
    pixels = images.transpose(1, 0, 2, 3).reshape(images.shape[1], len(images), -1)
    sky = np.median(np.quantile(pixels, 0.3, axis=2), axis=1)
    bright = np.median(np.quantile(pixels, 0.99, axis=2), axis=1) - sky
    steps = np.abs(np.diff(images, axis=-1)).transpose(1, 0, 2, 3).reshape(len(sky), -1)
    # A quarter of the absolute values of a normal variable lie below 0.319 of its deviation.
    noise = np.quantile(steps, 0.25, axis=1) / (0.319 * math.sqrt(2))
    if not (bright > 0).all():
        raise GravLensError("the images have no bright pixels; look with `gravlens inspect`")
    noise = np.maximum(noise, 1e-4 * bright)
    return tuple(sky.tolist()), tuple(noise.tolist()), tuple(bright.tolist())


@torch.no_grad()
def predict_logits(
    network: ClassifierNetwork,
    images: LensSet | NDArray[np.float32],
    where: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Return the logits, before calibration, ``(N, K)``, of all images or of those at N positions."""
    where = np.arange(images.shape[0]) if where is None else where
    was_training, device = network.training, network.sky.device
    network.eval()
    parts = []
    for start in range(0, len(where), BATCH):
        batch = np.asarray(images[where[start : start + BATCH]], dtype=np.float32)
        parts.append(network(torch.from_numpy(batch).to(device)).float().cpu())
    network.train(was_training)
    return torch.cat(parts).numpy()


def _fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Return the temperature at which labels are most likely, between 0.05 and 20."""

    def loss(log_temperature: float) -> float:
        losses = F.cross_entropy(
            logits.double() / math.exp(log_temperature), labels, reduction="none"
        )
        return float((losses * weights).mean())

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(float(found.x))
