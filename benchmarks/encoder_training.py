"""Training of a lens encoder on simulated images."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.config.classifier import EncoderConfig
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig, TrainingConfig
from gravlensdiffusion.nn.classifier import LensEncoder
from gravlensdiffusion.parallel import build_accelerator
from gravlensdiffusion.training.augment import DIRECTED, turn_lenses
from gravlensdiffusion.training.fit import Training, shown

TARGETS = (
    "theta_E",
    "source_x",
    "source_y",
    "gamma1",
    "gamma2",
    "log_signal_to_noise",
    "log_mean_flux",
)
"""What an encoder learns beside the class; `truth` defines the logarithms, to base 10."""

CLASS_WEIGHT = 0.5
"""Weight of the cross-entropy of the classes beside the mean square error of the targets."""
FLUX_JITTER = 0.1
"""Standard deviation of the random factor on the flux of a training image, in the logarithm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSet:
    """Images with their truth.

    Attributes:
        images: Peak-scaled images, shape ``(N, S, S)``, of any floating type.
        targets: Shape ``(N, T)``, in the order of `TARGETS`.
        labels: Class of each image, shape ``(N,)``.
    """

    images: NDArray[np.floating]
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


def truth(
    parameters: Mapping[str, NDArray[np.float64]], mean_flux: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the targets of simulated images.

    Args:
        parameters: The simulator's parameters, each of shape ``(N,)``.
        mean_flux: Mean of the pixels of each image [peak], shape ``(N,)``.

    Returns:
        Shape ``(N, T)``: arcsec for lengths, pure numbers and decimal logarithms elsewhere.
    """
    columns = {
        **parameters,
        "log_signal_to_noise": np.log10(parameters["signal_to_noise"]),
        "log_mean_flux": np.log10(mean_flux),
    }
    return np.stack([columns[name] for name in TARGETS], axis=1).astype(np.float32)


def turn(images: Tensor, targets: Tensor, symmetry: int) -> tuple[Tensor, Tensor]:
    """Turn or mirror images, and the truth with them.

    Args:
        images: Shape ``(B, S, S)``; x runs along the columns, y along the rows.
        targets: Shape ``(B, T)``.
        symmetry: From 0 to 7; see `augment.turn_lenses`.
    """
    columns = dict(zip(TARGETS, targets.unbind(1), strict=True))
    images, columns = turn_lenses(images, columns, symmetry)
    return images, torch.stack([columns[name] for name in TARGETS], dim=1)


def train_encoder(
    config: EncoderConfig,
    data: EncoderSet,
    *,
    epochs: int,
    seed: int = 0,
    batch_size: int = 128,
    peak_rate: float = 3e-3,
    init: LensEncoder | None = None,
    progress: bool = False,
) -> LensEncoder:
    """Train an encoder; images are mirrored, turned and scaled at random.

    Args:
        config: The network; means and spreads of the targets are measured here.
        data: The training set.
        epochs: Passes over the set.
        seed: Seed of weights, order and augmentation.
        batch_size: Images per step.
        peak_rate: Largest learning rate.
        init: An encoder to begin with: the whole of one of the same size, the convolutions of another, or None.
        progress: Whether to show on stderr how far it is.
    """
    # Mirrored and turned, what has a direction has mean zero.
    directed = np.array([name in DIRECTED for name in TARGETS])
    means = np.where(directed, 0.0, data.targets.mean(axis=0))
    config = replace(
        config,
        target_means=tuple(float(v) for v in means),
        target_stds=tuple(float(v) for v in data.targets.std(axis=0)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LensEncoder(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if init is not None and init.config.image_size == config.image_size:
        network.load_state_dict(init.state_dict())
    elif init is not None:
        network.stages.load_state_dict(init.stages.state_dict())
    training = _EncoderTraining(network.train(), data, epochs, seed, batch_size, peak_rate)
    for _ in shown(training, is_shown=progress):
        pass
    return network.eval()


class _EncoderTraining(Training):
    def __init__(
        self,
        network: LensEncoder,
        data: EncoderSet,
        epochs: int,
        seed: int,
        batch_size: int,
        peak_rate: float,
    ) -> None:
        config = TrainingConfig(
            batch_size=batch_size,
            log_images=200 * batch_size,
            optimiser=OptimiserConfig(learning_rate=peak_rate, max_grad_norm=5.0),
            ema=EMAConfig(halflife_images=0),
        )
        super().__init__(
            network,
            config,
            build_accelerator("cpu", "fp32"),
            epochs * (len(data) // batch_size) * batch_size,
            optimiser=torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.02),
        )
        self._peak_rate = peak_rate
        self._batches = _batches(data, epochs, batch_size, seed)

    def rate(self, seen: int) -> float:
        """Return the learning rate of a step: a rise over 200, then half a cosine."""
        step, num_steps = seen // self.batch_size, self.total_images // self.batch_size
        falling = 0.5 * (1 + math.cos(math.pi * step / num_steps))
        return self._peak_rate * min((step + 1) / 200, falling)

    def loss(self, first: int) -> Tensor:
        """Return the loss of the next batch."""
        images, targets, labels = next(self._batches)
        predicted, logits = self.model.estimate(self.model(images))
        error = (predicted - targets) / self.model.target_stds
        return error.square().mean() + CLASS_WEIGHT * F.cross_entropy(logits, labels)


def _batches(
    data: EncoderSet, epochs: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    rng = np.random.default_rng(seed)
    flux = TARGETS.index("log_mean_flux")
    for _ in range(epochs):
        order = rng.permutation(len(data))
        for start in range(0, len(data) - batch_size + 1, batch_size):
            chosen = np.sort(order[start : start + batch_size])
            images = torch.from_numpy(np.asarray(data.images[chosen], dtype=np.float32))
            targets = torch.from_numpy(data.targets[chosen])
            images, targets = turn(images, targets, int(rng.integers(8)))
            factor = torch.from_numpy(rng.normal(0, FLUX_JITTER, len(chosen)).astype(np.float32))
            targets[:, flux] += factor / math.log(10)
            images = images * factor.exp()[:, None, None]
            yield images[:, None], targets, torch.from_numpy(data.labels[chosen])


@torch.no_grad()
def encode(network: LensEncoder, images: NDArray[np.floating], batch_size: int = 256) -> Tensor:
    """Return the features of images ``(N, S, S)``, shape ``(N, F)``, on the CPU."""
    parts: Sequence[Tensor] = [
        network(torch.from_numpy(np.asarray(images[k : k + batch_size], dtype=np.float32))[:, None])
        for k in range(0, len(images), batch_size)
    ]
    return torch.cat(list(parts))


@torch.no_grad()
def whiten(network: LensEncoder, features: Tensor) -> None:
    """Change basis so that these features, ``(N, F)``, have zero mean and unit covariance.

    The estimates stay what they are: the head undoes the change.
    """
    mean = features.double().mean(0)
    variances, axes = torch.linalg.eigh(torch.cov(features.double().T))
    roots = variances.clamp_min(1e-12 * variances.max()).sqrt()
    forward, backward = (axes / roots) @ axes.T, (axes * roots) @ axes.T
    weight, bias = network.features.weight.double(), network.features.bias.double()
    head = network.head.weight.double()
    network.features.weight.copy_(forward @ weight)
    network.features.bias.copy_(forward @ (bias - mean))
    network.head.bias.copy_(network.head.bias.double() + head @ mean)
    network.head.weight.copy_(head @ backward)
