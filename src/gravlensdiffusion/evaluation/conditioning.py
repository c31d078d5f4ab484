"""Whether generated images are what was asked for: classes and physical parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.presets.parameters import LABELS
from gravlensdiffusion.reports.numbers import number

MIN_OF_CLASS = 20
"""Images of each class that a pair of classes needs to be compared."""
KEPT = 0.8
"""Share of the difference between two classes below which they are too alike."""
CERTAIN = 3.0
"""Spreads of guessing above 0.5 from which on an area is certainly better than that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPair:
    """How well the encoder tells two classes apart."""

    names: tuple[str, str]  # the two classes
    generated: float  # area under the ROC curve on the generated images, by the label asked for
    # The same on the real images, by their true label; None where they have none.
    real: float | None
    # `(generated - 0.5) / (real - 0.5)`: the share of the difference that is there, 0 for none;
    # None where the encoder does not tell the real classes apart for certain.
    kept: float | None
    spread: float = 0.0  # standard deviation of the difference of two such areas by chance

    @property
    def is_too_alike(self) -> bool:
        """Whether the classes certainly differ less than they should."""
        lost = (self.real or 0.0) - self.generated
        return self.kept is not None and self.kept < KEPT and lost > CERTAIN * self.spread

    def told(self, those: str) -> str:
        """Say how much too alike they are; ``those`` is what the real images are called."""
        return (
            f"{' and '.join(self.names)} are too alike: the encoder tells them apart with an area of "
            f"{number(self.generated)}, in {those} with {number(self.real)}, where 0.5 is guessing"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """A parameter that was asked for beside what the encoder measures."""

    name: str  # the parameter
    num: int  # images that it was asked for
    bias: float  # mean of measured less requested
    scatter: float  # standard deviation of measured less requested
    encoder_bias: float | None  # the encoder's own bias on real images with known truth, or None
    encoder_scatter: float | None  # the encoder's own scatter, or None

    @property
    def title(self) -> str:
        """What people call the parameter; a name that is not known stays as it is."""
        return LABELS.get(self.name, self.name)


def class_pairs(
    generated: Measurements,
    generated_labels: NDArray[np.integer],
    real: Measurements,
    real_labels: NDArray[np.integer],
    class_names: tuple[str, ...],
) -> list[ClassPair]:
    """Compare the separation of each pair of classes.

    Args:
        generated: Measurements of the generated images.
        generated_labels: Their labels as indices into `class_names`; negative for none.
        real: Measurements of the real images.
        real_labels: Their labels, likewise.
        class_names: The classes of the encoder, in the order of its logits.
    """
    found = []
    for a, b in combinations(range(len(class_names)), 2):
        ours = _area(generated.logits, generated_labels, a, b)
        theirs = _area(real.logits, real_labels, a, b)
        if ours is None:
            continue
        kept, spread = None, 0.0
        if theirs is not None:
            own = _guessing_spread(real_labels, a, b)
            spread = math.hypot(own, _guessing_spread(generated_labels, a, b))
            if theirs > 0.5 + CERTAIN * own:
                kept = max(0.0, (ours - 0.5) / (theirs - 0.5))
        names = (class_names[a], class_names[b])
        found.append(ClassPair(names=names, generated=ours, real=theirs, kept=kept, spread=spread))
    return found


def requested(
    generated: Measurements,
    asked: Mapping[str, NDArray[np.float64]],
    real: Measurements,
    truth: Mapping[str, NDArray[np.float64]],
) -> list[Requested]:
    """Compare requested parameters with what the encoder measures.

    Args:
        generated: Measurements of the generated images.
        asked: What was asked for, by name, shape ``(N,)``; NaN where a value was left open.
        real: Measurements of the real images.
        truth: Their true parameters, where they are known.
    """
    found = []
    for name, estimates in generated.estimates.items():
        stored = name.removeprefix("log_")
        error = _errors(name, estimates, asked.get(stored))
        own = _errors(name, real.estimates[name], truth.get(stored))
        if len(error):
            found.append(
                Requested(
                    name=name,
                    num=len(error),
                    bias=float(error.mean()),
                    scatter=float(error.std()),
                    encoder_bias=float(own.mean()) if len(own) else None,
                    encoder_scatter=float(own.std()) if len(own) else None,
                )
            )
    return found


def _area(logits: NDArray[np.float64], labels: NDArray[np.integer], a: int, b: int) -> float | None:
    of_pair = (labels == a) | (labels == b)
    truth = labels[of_pair] == b
    if min(truth.sum(), (~truth).sum()) < MIN_OF_CLASS:
        return None
    return float(roc_auc_score(truth, (logits[:, b] - logits[:, a])[of_pair]))


def _guessing_spread(labels: NDArray[np.integer], a: int, b: int) -> float:
    """Return the standard deviation of the area of a score that only guesses (Mann-Whitney)."""
    num_a, num_b = int((labels == a).sum()), int((labels == b).sum())
    return math.sqrt((num_a + num_b + 1) / (12 * num_a * num_b))


def _errors(
    name: str, estimates: NDArray[np.float64], truth: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return measured less true values, of those images whose truth is known."""
    if truth is None:
        return np.empty(0)
    known = np.isfinite(truth)
    return estimates[known] - (np.log10(truth[known]) if name.startswith("log_") else truth[known])
