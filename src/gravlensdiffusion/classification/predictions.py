"""What a classifier says of the images of a set, and the table of it."""

import csv
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.parallel import find_device
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import digest_of
from gravlensdiffusion.training.classifier import predict_logits


class Predictions(NamedTuple):
    """Logits before calibration ``(N, K)``, and the digest of images and labels as they were seen."""

    logits: NDArray[np.float32]
    digest: str


def predict(
    network: ClassifierNetwork,
    source: LensSet,
    *,
    device: str = "auto",
    progress: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Classify all images of a set, some at a time, as the classifier takes them.

    Args:
        network: The classifier; it is left on the device.
        source: The images.
        device: ``cpu``, ``cuda`` or ``auto``.
        progress: Called with the number of images done, after each block.
    """
    if not len(source):
        raise GravLensError("the set is empty")
    network.to(find_device(device))
    parts: list[NDArray[np.float32]] = []

    def take(images: NDArray[np.float32]) -> None:
        parts.append(predict_logits(network, images))
        progress(sum(map(len, parts)))

    digest = digest_of(source, take)
    logits = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise GravLensError("the classifier gives no finite number; its weights are damaged")
    return Predictions(logits=logits, digest=digest)


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


def write_table(
    path: Path,
    names: Iterable[str],
    labels: Sequence[str],
    probabilities: NDArray[np.float64],
    class_names: Sequence[str],
) -> None:
    """Write probabilities ``(N, K)`` as CSV: index, name, label, p of each class, the class called.

    A label is empty where it is not known.
    """
    text = StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["index", "name", "label", *(f"p_{name}" for name in class_names), "called"])
    called = probabilities.argmax(axis=1)
    for k, (name, label) in enumerate(zip(names, labels, strict=True)):
        numbers = (f"{p:.6g}" for p in probabilities[k])
        table.writerow([k, name, label, *numbers, class_names[called[k]]])
    # A name of a file need not be text; its odd bytes are written as escapes.
    path.write_text(text.getvalue(), encoding="utf-8", errors="backslashreplace", newline="")
