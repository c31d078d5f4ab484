"""The metrics of a report: how each compares two sets of measurements."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.metrics.coverage import measure_coverage
from gravlensdiffusion.metrics.frechet import frechet_distance
from gravlensdiffusion.metrics.kernel import KernelTest, kid, mmd_test
from gravlensdiffusion.metrics.physics import STATISTICS

Compare = Callable[[Measurements, Measurements, np.random.Generator], dict[str, float]]
Defect = Literal["flux", "noise", "blur", "shift", "turned"]

NEIGHBOURS = 5
"""Neighbours of the coverage metrics."""
MAX_COVERAGE_IMAGES = 5000
"""Images of each set that precision, recall, density and coverage use; a random choice of more."""

FRECHET = "lens Fréchet distance"
MMD = "lens MMD²"
FID = "FID"
KID = "KID"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One way to compare a generated set with a real one.

    Attributes:
        names: Names of the rows that it fills.
        group: Section of the table.
        compare: Returns the values by name, from the generated and the real measurements.
        defects: The planted defects that its values are translated into, the most telling first.
        bias: How the value falls with the number of images N: ``1/N``, ``1/sqrt(N)`` for the
            distances whose square falls as 1/N, ``none`` for what is unbiased or no distance.
    """

    names: tuple[str, ...]
    group: str
    compare: Compare
    defects: tuple[Defect, ...] = ()
    bias: Literal["1/N", "1/sqrt(N)", "none"] = "none"


def lens_metrics() -> tuple[Metric, ...]:
    """Return the metrics in encoder space."""
    return (
        Metric(
            names=(FRECHET,),
            group="encoder features",
            compare=partial(_frechet, FRECHET),
            defects=("flux", "noise", "blur"),
            bias="1/N",
        ),
        Metric(
            names=(MMD,),
            group="encoder features",
            compare=_mmd,
            defects=("flux", "noise", "blur"),
        ),
        Metric(
            names=("precision", "recall", "density", "coverage"),
            group="encoder features",
            compare=_coverage,
        ),
    )


def inception_metrics() -> tuple[Metric, ...]:
    """Return the metrics on Inception features, which stand in for the encoder's."""
    group = "Inception features"
    return (
        Metric(
            names=(FID,),
            group=group,
            compare=partial(_frechet, FID),
            defects=("flux",),
            bias="1/N",
        ),
        Metric(names=(KID,), group=group, compare=_kid, defects=("flux",)),
    )


def physics_metrics(profile_names: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return the metrics of lens physics: one for each statistic and each profile."""
    rows = [
        Metric(
            names=(statistic.name,),
            group="lens physics",
            compare=partial(_wasserstein, statistic.name),
            defects=_DEFECTS.get(statistic.name, ("flux", "blur", "noise")),
            bias="1/sqrt(N)",
        )
        for statistic in STATISTICS
    ]
    rows += [
        Metric(
            names=(name,),
            group="lens physics",
            compare=partial(_profile_distance, name),
            defects=("noise", "blur") if name == "power_spectrum" else ("flux", "blur"),
            bias="1/sqrt(N)",
        )
        for name in profile_names
    ]
    return tuple(rows)


_DEFECTS: dict[str, tuple[Defect, ...]] = {
    "sky_rms": ("noise", "blur"),
    "sky_level": (),
    "sky_whiteness": ("blur",),
    "gini": ("blur", "noise"),
    "m20": ("blur", "noise"),
    "asymmetry": ("shift", "blur"),
    "einstein_radius": ("blur", "shift"),
    "centroid_x": ("shift",),
    "centroid_y": ("turned",),
    "ellipticity": ("blur", "noise"),
    "ellipticity_1": ("turned",),
    "ellipticity_2": ("turned",),
    "quadrupole_plus": ("turned",),
    "quadrupole_cross": ("turned",),
}


def ks_p_value(name: str, generated: Measurements, reference: Measurements) -> float:
    """Return the Kolmogorov-Smirnov p-value of one statistic; NaN without two values a side."""
    one, two = (_finite(each.physics[name]) for each in (generated, reference))
    if min(len(one), len(two)) < 2:
        return float("nan")
    return float(ks_2samp(one, two).pvalue)


def relative_shift(name: str, generated: Measurements, reference: Measurements) -> float:
    """Return how far the mean of one statistic is off, in units of the real mean."""
    one, two = (_finite(each.physics[name]) for each in (generated, reference))
    if not len(one) or not len(two) or two.mean() == 0:
        return float("nan")
    return float(one.mean() / two.mean() - 1)


def scaled_moments(
    name: str, generated: Measurements, reference: Measurements
) -> tuple[float, float]:
    """Return how far mean and scatter of one statistic are off, in units of the real scatter."""
    one, two = (_finite(each.physics[name]) for each in (generated, reference))
    if not len(one) or not len(two) or not two.std() > 0:
        return float("nan"), float("nan")
    return float((one.mean() - two.mean()) / two.std()), float(one.std() / two.std() - 1)


def mmd(
    generated: Measurements,
    reference: Measurements,
    rng: np.random.Generator,
    *,
    num_permutations: int,
) -> KernelTest:
    """Return the unbiased squared discrepancy of the features, and how often chance gives more."""
    return mmd_test(generated.features, reference.features, rng, num_permutations=num_permutations)


def _frechet(
    name: str, generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    del rng
    return {name: frechet_distance(generated.features, reference.features)}


def _kid(
    generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    return {KID: kid(generated.features, reference.features, rng).value}


def _mmd(
    generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    return {MMD: mmd(generated, reference, rng, num_permutations=1).value}


def _coverage(
    generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    ours, theirs = (_some(each, MAX_COVERAGE_IMAGES, rng) for each in (generated, reference))
    neighbours = min(NEIGHBOURS, len(ours) - 1, len(theirs) - 1)
    scores = measure_coverage(ours, theirs, neighbours)
    return {
        "precision": scores.precision,
        "recall": scores.recall,
        "density": scores.density,
        "coverage": scores.coverage,
    }


def _some(measured: Measurements, most: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the features of some images, at most so many."""
    if len(measured) <= most:
        return measured.features
    return measured.features[np.sort(rng.permutation(len(measured))[:most])]


def _wasserstein(
    name: str, generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    del rng
    return {name: scaled_wasserstein(generated.physics[name], reference.physics[name])}


def _profile_distance(
    name: str, generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    del rng
    pairs = zip(generated.profiles[name].T, reference.profiles[name].T, strict=True)
    return {name: float(np.mean([scaled_wasserstein(one, two) for one, two in pairs]))}


def scaled_wasserstein(generated: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the Wasserstein distance in units of the real scatter.

    Args:
        generated: Values, shape ``(N,)``; those that are not finite are left out.
        reference: Real values, shape ``(M,)``.

    Returns:
        NaN where a side has no values or the real ones have no scatter.
    """
    one, two = _finite(generated), _finite(reference)
    if not len(one) or not len(two) or not two.std() > 0:
        return float("nan")
    return float(wasserstein_distance(one, two) / two.std())


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
