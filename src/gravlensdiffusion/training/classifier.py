"""Training of a classifier: the weights that do best on held-out originals, calibrated on them."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from gravlensdiffusion.config.classifier import ClassifierConfig, ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import LensClassifier
from gravlensdiffusion.training.accelerator import build_accelerator, refuse_unequal
from gravlensdiffusion.training.augment import augment
from gravlensdiffusion.training.labelled import Images, LabelledSet, split

SCALE_IMAGES = 1000
"""Images that the scales of the pixels are measured on."""
MIN_SIZE = 8
"""Pixels that an image has at least on each side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How training stands.

    Attributes:
        images_seen: Images seen.
        total_images: Images after which training ends at the latest.
        loss: Mean loss since the last look.
        held_out_loss: Mean negative log-likelihood of the held-out images [nat].
        is_best: Whether no look before was better.
    """

    images_seen: int
    total_images: int
    loss: float
    held_out_loss: float
    is_best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """A trained classifier, and how it came about.

    Attributes:
        network: The classifier.
        held_out: Positions of the images that were held out, shape ``(H,)``.
        looks: How training went.
    """

    network: LensClassifier
    held_out: NDArray[np.int64]
    looks: tuple[Look, ...]


def train_classifier(
    data: LabelledSet,
    recipe: ClassifierTraining,
    *,
    device: str = "auto",
    progress: Callable[[Look], None] = lambda _: None,
) -> Training:
    """Train a classifier on a labelled set.

    Held-out images are weighted so that the classes count as they do in training; generated images
    are never among them.

    Args:
        data: The set.
        recipe: How to train.
        device: ``cpu``, ``cuda`` or ``auto``.
        progress: Called after each look at the held-out images.

    Raises:
        GravLensError: If there is no such device, if there are too few images of a class, if they
            are too small, or if the loss is not finite.
    """
    refuse_missing(device)
    trained_on, held_out = split(data, recipe.held_out, recipe.seed)
    accelerator = build_accelerator(device, recipe.precision)
    refuse_unequal(recipe.batch_size, accelerator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = LensClassifier(configure(data, recipe, trained_on))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = _Run(network, data, recipe, accelerator, trained_on, held_out)
        looks = run.fit(progress)
    logits = torch.from_numpy(predict_logits(network, data.images, held_out))
    labels = torch.from_numpy(data.labels[held_out])
    temperature = fit_temperature(logits, labels, run.held_out_weights)
    network.config = replace(network.config, temperature=temperature)
    return Training(network=network, held_out=held_out, looks=tuple(looks))


def refuse_missing(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        GravLensError: If it is not.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise GravLensError("no CUDA device here; use `device` cpu or auto")


def configure(
    data: LabelledSet, recipe: ClassifierTraining, trained_on: NDArray[np.int64]
) -> ClassifierConfig:
    """Return the configuration of a network for a set.

    Args:
        data: The set.
        recipe: How to train.
        trained_on: Positions of the training images.

    Raises:
        GravLensError: If the images are too small or have no light above their noise.
    """
    _, num_channels, height, width = data.images.shape
    if height != width or height < MIN_SIZE:
        raise GravLensError(
            f"a classifier needs square images of {MIN_SIZE} pixels or more, these have "
            f"{height} x {width}"
        )
    places = np.linspace(0, len(trained_on) - 1, min(SCALE_IMAGES, len(trained_on)))
    sky, noise, bright = measure_scales(data.images[trained_on[places.astype(np.int64)]])
    mix = np.bincount(data.labels[trained_on], minlength=len(data.class_names)).astype(float)
    if recipe.balance != "none":
        mix[:] = 1.0
    strides = _strides(height)
    return ClassifierConfig(
        image_size=height,
        num_channels=num_channels,
        class_names=data.class_names,
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


def measure_scales(
    images: NDArray[np.float32],
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return sky level, noise rms and brightness above the sky of each channel.

    Args:
        images: Shape ``(N, C, S, S)``.

    Raises:
        GravLensError: If there is nothing to see in the images.
    """
    pixels = images.transpose(1, 0, 2, 3).reshape(images.shape[1], len(images), -1)
    sky = np.median(np.quantile(pixels, 0.3, axis=2), axis=1)
    bright = np.median(np.quantile(pixels, 0.99, axis=2), axis=1) - sky
    steps = np.abs(np.diff(images, axis=-1)).transpose(1, 0, 2, 3).reshape(len(sky), -1)
    # A quarter of the absolute values of a normal variable lie below 0.319 of its deviation.
    noise = np.quantile(steps, 0.25, axis=1) / (0.319 * math.sqrt(2))
    if not (bright > 0).all():
        raise GravLensError("the images have no bright pixels; look with `gravlens inspect`")
    noise = np.maximum(noise, 1e-4 * bright)
    scales = (tuple(float(value) for value in each) for each in (sky, noise, bright))
    sky_, noise_, bright_ = scales
    return sky_, noise_, bright_


class _Run:
    """A training in memory."""

    def __init__(
        self,
        network: LensClassifier,
        data: LabelledSet,
        recipe: ClassifierTraining,
        accelerator: Accelerator,
        trained_on: NDArray[np.int64],
        held_out: NDArray[np.int64],
    ) -> None:
        self.network, self.data, self.recipe = network, data, recipe
        self.accelerator = accelerator
        self.trained_on, self.held_out = trained_on, held_out
        self.steps = math.ceil(recipe.total_images / recipe.batch_size)
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
        self.wrapped, self.optimiser = accelerator.prepare(network, optimiser)
        self.rng = np.random.default_rng([recipe.seed, 0xC1A55])
        labels = data.labels[trained_on]
        counts = np.bincount(labels, minlength=len(data.class_names))
        rarity = len(labels) / (len(counts) * counts)
        self.rates = rarity[labels] / len(labels) if recipe.balance == "oversample" else None
        weights = rarity if recipe.balance == "weights" else np.ones(len(counts))
        self.class_weights = torch.from_numpy(weights).float().to(accelerator.device)
        judged = np.bincount(data.labels[held_out], minlength=len(counts))
        mix = np.array(network.config.class_mix) / judged * judged.sum()
        self.held_out_weights = torch.from_numpy(mix[data.labels[held_out]])

    def fit(self, progress: Callable[[Look], None]) -> list[Look]:
        """Train, and leave the network with the weights that did best."""
        recipe, looks = self.recipe, list[Look]()
        best, weights = math.inf, copy.deepcopy(self.network.state_dict())
        losses: list[float] = []
        without_better = 0
        for step in range(self.steps):
            losses.append(self._step(step))
            if not math.isfinite(losses[-1]):
                raise GravLensError("the loss of the classifier is not finite; lower its rate")
            seen = (step + 1) * recipe.batch_size
            passed = seen // recipe.check_images > step * recipe.batch_size // recipe.check_images
            if not passed and step + 1 < self.steps:
                continue
            held_out_loss = self._held_out_loss()
            is_best = held_out_loss < best
            looks.append(
                Look(
                    images_seen=seen,
                    total_images=self.steps * recipe.batch_size,
                    loss=float(np.mean(losses)),
                    held_out_loss=held_out_loss,
                    is_best=is_best,
                )
            )
            losses.clear()
            progress(looks[-1])
            if is_best:
                best, weights, without_better = held_out_loss, _copied(self.network), 0
            else:
                without_better += 1
                if without_better >= recipe.patience:
                    break
        self.network.load_state_dict(weights)
        self.network.to("cpu").eval()
        return looks

    def _step(self, step: int) -> float:
        share = self.recipe.batch_size // self.accelerator.num_processes
        low = self.accelerator.process_index * share
        images, labels = self._draw()
        rate = self.recipe.learning_rate * _rate(step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.wrapped.train()
        device = self.accelerator.device
        with self.accelerator.autocast():
            logits = self.wrapped(images[low : low + share].to(device))
        own = labels[low : low + share].to(device)
        losses = F.cross_entropy(logits.float(), own, reduction="none")
        # Divided by the number of images, not by the sum of weights: each image counts alike.
        loss = (losses * self.class_weights[own]).mean()
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        return float(self.accelerator.reduce(loss.detach(), reduction="mean"))

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Return a batch of the whole run; every process draws the same."""
        places = self.rng.choice(len(self.trained_on), self.recipe.batch_size, p=self.rates)
        chosen = self.trained_on[places]
        images = torch.from_numpy(np.asarray(self.data.images[chosen], dtype=np.float32))
        u = torch.from_numpy(self.rng.random(len(chosen)))
        images, _ = augment(self.recipe.augment, images, {}, u)
        return images, torch.from_numpy(self.data.labels[chosen])

    def _held_out_loss(self) -> float:
        logits = torch.from_numpy(predict_logits(self.network, self.data.images, self.held_out))
        losses = F.cross_entropy(
            logits, torch.from_numpy(self.data.labels[self.held_out]), reduction="none"
        )
        return float((losses * self.held_out_weights).mean())


def _rate(step: int, steps: int) -> float:
    """Return the share of the peak rate: a rise over 5% of the steps, then half a cosine."""
    rise = max(1.0, 0.05 * steps)
    return min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * step / steps)))


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def predict_logits(
    network: LensClassifier,
    images: Images,
    where: NDArray[np.int64] | None = None,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """Return the logits of images, before calibration, shape ``(N, K)``.

    Args:
        network: The classifier.
        images: Flux, shape ``(N, C, S, S)``.
        where: Positions of the images; all of them by default.
        batch_size: Images at a time.
    """
    where = np.arange(images.shape[0]) if where is None else where
    was_training, device = network.training, network.sky.device
    network.eval()
    parts = []
    for start in range(0, len(where), batch_size):
        batch = np.asarray(images[where[start : start + batch_size]], dtype=np.float32)
        parts.append(network(torch.from_numpy(batch).to(device)).float().cpu())
    network.train(was_training)
    return torch.cat(parts).numpy()


def probabilities(
    config: ClassifierConfig, logits: NDArray[np.float32], mix: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return calibrated probabilities, shape ``(N, K)``.

    Args:
        config: The classifier's configuration.
        logits: Shape ``(N, K)``.
        mix: Share of each class among the images, shape ``(K,)``, where it is not that of the
            training set; probabilities are carried over by Bayes' theorem.

    References:
        Guo et al. 2017, On calibration of modern neural networks, arXiv:1706.04599, section 4.2.
    """
    scaled = logits.astype(np.float64) / config.temperature
    if mix is not None:
        scaled = scaled + np.log(mix) - np.log(config.class_mix)
    scaled -= scaled.max(axis=1, keepdims=True)
    odds = np.exp(scaled)
    return odds / odds.sum(axis=1, keepdims=True)


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Return the temperature at which labels are most likely, between 0.05 and 20.

    Args:
        logits: Shape ``(N, K)``.
        labels: Shape ``(N,)``.
        weights: How much each image counts, shape ``(N,)``.
    """

    def loss(log_temperature: float) -> float:
        losses = F.cross_entropy(
            logits.double() / math.exp(log_temperature), labels, reduction="none"
        )
        return float((losses * weights).mean())

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(float(found.x))
