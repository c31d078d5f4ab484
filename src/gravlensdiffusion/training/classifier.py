"""Training of a classifier: the weights that do best on validation images, calibrated on them."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.parallel import find_device
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.training.accelerator import build_accelerator, refuse_unequal
from gravlensdiffusion.training.augment import augment
from gravlensdiffusion.training.fit import Training, shown
from gravlensdiffusion.training.labelled import configure, split
from gravlensdiffusion.training.optimiser import share_of_rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """How a training stood when its validation loss was measured, as its record keeps it.

    Attributes:
        images_seen: Images seen.
        total_images: Images after which training ends at the latest.
        loss: Mean loss since the last measurement.
        held_out_loss: Mean negative log-likelihood of the validation images [nat].
        is_best: Whether none before was better.
    """

    images_seen: int
    total_images: int
    loss: float
    held_out_loss: float
    is_best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedClassifier:
    """A trained classifier, and how it came about.

    Attributes:
        network: The classifier.
        held_out: Positions of the validation images, shape ``(H,)``.
        looks: How training went.
    """

    network: ClassifierNetwork
    held_out: NDArray[np.int64]
    looks: tuple[Measurement, ...]


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
    find_device(device)
    trained_on, held_out = split(data, recipe.held_out, recipe.seed, groups)
    accelerator = build_accelerator(device, recipe.precision)
    refuse_unequal(recipe.batch_size, accelerator)
    looks = list[Measurement]()
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
                looks.append(
                    Measurement(
                        images_seen=state.images_seen,
                        total_images=state.total_images,
                        loss=state.loss,
                        held_out_loss=state.held_out_loss,
                        is_best=is_best,
                    )
                )
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
        num_steps = math.ceil(recipe.total_images / recipe.batch_size)
        rise = max(1.0, 0.05 * num_steps)
        super().__init__(
            network,
            torch.optim.AdamW(groups, lr=recipe.learning_rate),
            accelerator=accelerator,
            batch_size=recipe.batch_size,
            total_images=recipe.total_images,
            rate=lambda seen: (
                recipe.learning_rate * share_of_rate(seen // recipe.batch_size, num_steps, rise)
            ),
            max_grad_norm=5.0,
            log_images=recipe.check_images,
        )
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
        if not (self.counters.images_seen and self.due(self._recipe.check_images)):
            return None
        logits = torch.from_numpy(predict_logits(self.model, self._data, self._held_out))
        labels = torch.from_numpy(self._labels[self._held_out])
        losses = F.cross_entropy(logits, labels, reduction="none")
        return float((losses * self.validation_weights).mean())


@torch.no_grad()
def predict_logits(
    network: ClassifierNetwork,
    images: LensSet | NDArray[np.float32],
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


def _fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Return the temperature at which labels are most likely, between 0.05 and 20."""

    def loss(log_temperature: float) -> float:
        losses = F.cross_entropy(
            logits.double() / math.exp(log_temperature), labels, reduction="none"
        )
        return float((losses * weights).mean())

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(float(found.x))
