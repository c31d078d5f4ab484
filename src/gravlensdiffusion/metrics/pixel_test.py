"""The classifier two-sample test on pixels, and what it is worth: its score on planted defects.

Sky noise 10% too strong cannot be seen for sure in one image of 28 pixels that was scaled to its
peak: the noise of real ones scatters by 12%, and can be foretold from the shape of the image to a
few per cent only. It can be in the mean score of a few images of one side. So areas are given for
single images and for small bags, and the test is valid at the bag size at which both planted
defects are found.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.defects import plant
from gravlensdiffusion.metrics.pixel_network import PixelNetwork
from gravlensdiffusion.metrics.two_sample import Auc
from gravlensdiffusion.sets.flux import peak_scaled
from gravlensdiffusion.sets.images import drawn_rows

BAG_SIZES = (1, 2, 4, 8)
MIN_BAGS = 10
NUM_DRAWINGS = 20
MIN_PIXELS = 16
VALID_AUC = 0.95
PLANTED_NOISE = 0.1
BATCH, SCORE_BATCH = 64, 256
SCALE_IMAGES = 250
RESIDUAL_WEIGHT = 0.2
NUM_STEPS = 65535
BYTE_VALUES = 256
PROBED_IMAGES = 64

Images = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelTraining:
    """How the classifier is trained."""

    max_images: int = 4000  # most images of one side that take part; more are left out at random
    held_out: float = 0.2  # fraction of them that is scored and not trained on
    epochs: int = 8  # number of passes over the rest
    min_batches: int = 300  # fewest batches trained on; small sets are passed over more often
    learning_rate: float = 5e-3  # peak of the one-cycle schedule
    weight_decay: float = 1e-2  # of AdamW


Bags = Mapping[int, Auc]
"""Area among held-out images by bag size: the mean log odds of so many images of one side are ranked;
1 is the area of single images. Sizes that leave fewer than ten bags of a side are absent."""


def compare_pixels(
    generated: NDArray[np.generic],
    real: NDArray[np.generic],
    rng: np.random.Generator,
    training: PixelTraining | None = None,
    *,
    num_folds: int = 1,
) -> Bags:
    """Train a small network to tell generated from real images; score it on a held-out part.

    Args:
        generated: Shape ``(M, C, H, W)``, any format of numbers; see `_equalise`.
        real: Shape ``(N, C, H, W)``.
        rng: Chooses images, initial weights and order.
        training: How to train; None for the defaults.
        num_folds: Parts that are held out in turn, so that every image is scored once, by networks
            trained anew; 1 to hold out the one part that `training` says.

    Raises:
        GravLensError: If images have fewer than 16 pixels a side.
    """
    training = training or PixelTraining()
    one, two = (side[drawn_rows(len(side), training.max_images, rng)] for side in (generated, real))
    chosen = _equalise(one, two)
    if min(chosen[0].shape[-2:]) < MIN_PIXELS:
        raise GravLensError(
            f"the two-sample test on pixels needs images of at least {MIN_PIXELS} pixels a side, "
            f"got {chosen[0].shape[-2]} x {chosen[0].shape[-1]}"
        )
    scores: list[list[NDArray[np.float64]]] = [[], []]
    for trained, tested in _splits(chosen, training.held_out, num_folds, rng):
        seed = int(rng.integers(2**62))
        network = _train(trained[0], trained[1], training, seed)
        found = [_score(network, side) for side in tested]
        # Networks of several folds agree on the order, not on the middle.
        middle = np.median(np.concatenate(found)) if num_folds > 1 else 0.0
        for of_side, values in zip(scores, found, strict=True):
            of_side.append(values - middle)
    ours, theirs = (np.concatenate(each) for each in scores)
    return _measure_bags(ours, theirs, rng)


def _splits(
    sides: tuple[Images, Images], held_out: float, num_folds: int, rng: np.random.Generator
) -> Iterator[tuple[list[Images], list[Images]]]:
    """Yield what is trained on and what is held out of both sides."""
    orders = [rng.permutation(len(side)) for side in sides]
    for fold in range(num_folds):
        trained, tested = [], []
        for side, order in zip(sides, orders, strict=True):
            is_tested = np.arange(len(order)) % num_folds == fold
            if num_folds == 1:
                is_tested = np.arange(len(order)) < max(1, round(held_out * len(side)))
            tested.append(side[order[is_tested]])
            trained.append(side[order[~is_tested]])
        yield trained, tested


def planted_scores(
    real: NDArray[np.generic], rng: np.random.Generator, training: PixelTraining | None = None
) -> tuple[Bags, Bags]:
    """Score the classifier on noise and on a blur planted in one half of the real images.

    Both halves pass through the same preparation and training as generated and real images do.

    Args:
        real: Shape ``(N, C, H, W)``; as many a side take part as N / 2 and `training` allow.
        rng: Splits the images, draws noise, and what `compare_pixels` draws.
        training: How to train; None for the defaults.

    Returns:
        The areas for sky noise multiplied by 1.1, and for images that are each averaged with their
        copy one pixel further along the columns.
    """
    order = rng.permutation(len(real))
    half = min(len(real) // 2, (training or PixelTraining()).max_images)
    clean = real[np.sort(order[:half])]
    spoilt = real[np.sort(order[half : 2 * half])].astype(np.float32)
    planes = spoilt.reshape(-1, *spoilt.shape[-2:])
    noisy = plant(planes, "noise", PLANTED_NOISE, rng).reshape(spoilt.shape)
    blurred = plant(planes, "shift", 0.5, rng).reshape(spoilt.shape)
    one = compare_pixels(noisy, clean, rng, training)
    return one, compare_pixels(blurred, clean, rng, training)


def valid_bag(noise: Bags, blur: Bags) -> int | None:
    """Return the smallest bag size at which both planted defects are found, or None."""
    sizes = sorted(noise.keys() & blur.keys())
    found = (k for k in sizes if min(noise[k].value, blur[k].value) >= VALID_AUC)
    return next(found, None)


def _measure_bags(
    generated_scores: NDArray[np.float64],
    real_scores: NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[int, Auc]:
    """Return the area for the mean score of bags of 1, 2, 4 and 8 images.

    Images are put into disjoint bags at random; the area is the mean of several drawings, its
    standard error that of one.
    """
    bags = {}
    for size in BAG_SIZES:
        counts = [len(scores) // size for scores in (generated_scores, real_scores)]
        if size > 1 and min(counts) < MIN_BAGS:
            break
        drawn = []
        for _ in range(NUM_DRAWINGS if size > 1 else 1):
            pairs = zip((generated_scores, real_scores), counts, strict=True)
            ours, theirs = (rng.permutation(each)[: n * size].reshape(n, size) for each, n in pairs)
            drawn.append(Auc.of(ours.mean(1), theirs.mean(1)))
        bags[size] = Auc(
            value=float(np.mean([auc.value for auc in drawn])),
            standard_error=float(np.mean([auc.standard_error for auc in drawn])),
        )
    return bags


def _train(generated: Images, real: Images, training: PixelTraining, seed: int) -> PixelNetwork:
    images = torch.from_numpy(np.concatenate([generated, real]))
    labels = torch.cat([torch.ones(len(generated)), torch.zeros(len(real))])
    # A set that is larger than the other one would draw all scores to its side.
    weights = torch.where(labels > 0, len(labels) / len(generated), len(labels) / len(real)) / 2
    some = np.concatenate([generated[:SCALE_IMAGES], real[:SCALE_IMAGES]])
    # Dropout and initial weights come from torch's global state, which is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PixelNetwork(some)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batch = min(BATCH, len(images) // 2)
        num_batches = len(images) // batch
        epochs = max(training.epochs, math.ceil(training.min_batches / num_batches))
        optimiser = torch.optim.AdamW(
            network.parameters(), training.learning_rate, weight_decay=training.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, training.learning_rate, total_steps=epochs * num_batches, pct_start=0.2
        )
        network.train()
        for _ in range(epochs):
            for chosen in torch.randperm(len(images))[: num_batches * batch].reshape(-1, batch):
                shown = images[chosen].flip((2, 3)) if torch.rand(()) < 0.5 else images[chosen]
                row, column = torch.randint(network.stride, (2,)).tolist()
                log_odds, residuals = network(shown, row, column)
                loss = binary_cross_entropy_with_logits(log_odds, labels[chosen], weights[chosen])
                loss = loss + RESIDUAL_WEIGHT * huber_loss(residuals, torch.zeros_like(residuals))
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
    return network


@torch.no_grad()
def _score(network: PixelNetwork, images: Images) -> NDArray[np.float64]:
    """Return the mean log odds over both orientations and two origins of the grid."""
    network.eval()
    origins = sorted({0, network.stride // 2})
    scores = []
    for batch in torch.split(torch.from_numpy(images), SCORE_BATCH):
        both = (batch, batch.flip((2, 3)))
        views: list[Tensor] = [network(view, at, at)[0] for view in both for at in origins]
        scores.append(torch.stack(views).mean(0))
    return torch.cat(scores).double().numpy()


def _equalise(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[Images, Images]:
    """Bring two sets of images to the same range and the same grid of values.

    Where all images of a set have one and the same minimum and maximum, each was scaled to its
    peak, and an exact 0 and 1 would tell that set from the other: then every image of both sets is
    rescaled to [0, 1] by its own extremes. Where a set is of half precision or has the 256 values
    of 8-bit pictures, both are brought to that.

    What remains: images of 8 bits that had to be rescaled, beside images that were not, still
    differ in which steps of the grid they use.

    Args:
        first: Shape ``(M, C, H, W)``, any format of numbers.
        second: Shape ``(N, C, H, W)``.
    """
    sets = [first, second]
    if any(images.dtype == np.float16 for images in sets):
        sets = [images.astype(np.float16) for images in sets]
    steps = [step for step in map(_byte_step, sets) if step is not None]
    floats = [images.astype(np.float32) for images in sets]
    if any(_is_peak_scaled(images) for images in floats):
        rescaled = [peak_scaled(images)[0] for images in floats]
        step = 1 / (BYTE_VALUES - 1 if steps else NUM_STEPS)
    else:
        rescaled = floats
        ranges = np.concatenate([np.ptp(images, axis=(1, 2, 3)) for images in floats])
        step = max(steps, default=float(np.median(ranges)) / NUM_STEPS)
    if step == 0:
        return rescaled[0], rescaled[1]
    one, two = (np.round(images / np.float32(step)) * np.float32(step) for images in rescaled)
    return one.astype(np.float32), two.astype(np.float32)


def _is_peak_scaled(images: Images) -> bool:
    lowest, highest = images.min((1, 2, 3)), images.max((1, 2, 3))
    return bool(np.ptp(lowest) == 0 and np.ptp(highest) == 0)


def _byte_step(images: NDArray[np.generic]) -> float | None:
    """Return the step of a set of 8-bit pictures, however scaled; None of any other set."""
    values = np.unique(images[:PROBED_IMAGES].astype(np.float32))
    return float(np.diff(values).min()) if 2 <= len(values) <= BYTE_VALUES else None
