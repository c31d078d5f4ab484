"""How real simulated images are: their statistics, and classifiers that tell them from real ones.

Made for few real images, some dozen: other than the rest of a report it asks of both sets what a
stranger would ask, can I tell them apart, by numbers, by what an ImageNet network sees, and by pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from gravlensdiffusion.evaluation.statistics import MEASURED
from gravlensdiffusion.metrics.features import finite
from gravlensdiffusion.metrics.physics import measure, power_spectrum, radial_profile
from gravlensdiffusion.metrics.pixel_test import PixelTraining, compare_pixels
from gravlensdiffusion.metrics.sky import measure_sky
from gravlensdiffusion.metrics.two_sample import MIN_IMAGES, Auc
from realism.efficientnet import EfficientNetLite, efficientnet_features
from realism.probe import MIN_IMAGES as MIN_PROBED
from realism.probe import probe

LEVELS = (0.05, 0.5, 0.95)
"""Quantiles of both sets that are told."""
RADII = (0.0, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8)
"""Where the profile is compared [half of the field]."""
FREQUENCIES = (0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Where the power is compared [Nyquist frequency]."""
SOFTENING = 2.0
"""Where the stretch of the images turns from linear to logarithmic [median sky rms of the real ones]."""
WHITE = 99.9
"""Percentile of the real pixels that is shown white [per cent]."""
NUM_FOLDS, NUM_REPEATS = 7, 3
"""Parts that are held out in turn, and how often the images are dealt into parts anew."""
NUM_DRAWS = 6
"""How often halves of the real set, and simulations in place of real images, are drawn."""
PIXEL_TRAINING = PixelTraining(max_images=220, min_batches=80)
PIXEL_FOLDS = 3

Images = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One statistic of both sets.

    Attributes:
        name: What it is called, with its unit.
        real: 5%, 50% and 95% of the real images.
        simulated: The same of the simulated ones.
        distance: Of Kolmogorov and Smirnov: the largest difference of the two cumulative
            distributions.
        p_value: Probability of one at least as large between sets of one kind.
    """

    name: str
    real: tuple[float, ...]
    simulated: tuple[float, ...]
    distance: float
    p_value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Area:
    """How well a classifier tells the sets apart.

    Attributes:
        space: What it sees.
        value: Area under the ROC curve of simulated against real images, by cross-validation.
        standard_error: Its error from the number of images.
        real: Area of one half of the real images against the other, mean over some halvings; None
            where they are too few.
        perfect: Area of simulations against as many simulations as there are real images, mean
            over some draws: what a perfect simulation would get.
        spread: Standard deviation of that over the draws; None for one draw.
    """

    space: str
    value: float
    standard_error: float
    real: float | None = None
    perfect: float | None = None
    spread: float | None = None


@dataclass(frozen=True, kw_only=True)
class Realism:
    """How real simulated images are.

    Attributes:
        num_real: Number of real images.
        num_simulated: Number of simulated ones.
        statistics: All statistics, those that differ most first.
        areas: What classifiers say.
    """

    num_real: int
    num_simulated: int
    statistics: tuple[Compared, ...]
    areas: tuple[Area, ...]

    @cached_property
    def worst(self) -> Compared:
        """The statistic with the smallest p-value."""
        return self.statistics[0]

    @property
    def num_different(self) -> int:
        """Number of statistics whose p-value is below 0.01."""
        return sum(each.p_value < 0.01 for each in self.statistics)


def measure_realism(
    real: Images,
    simulated: Images,
    pixel_scale_arcsec: float,
    *,
    flux_unit: str = "e-/s",
    network: EfficientNetLite | None = None,
    pixels: bool = False,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Realism:
    """Compare simulated images with a few real ones.

    Args:
        real: Shape ``(N, H, H)`` [flux].
        simulated: Shape ``(M, H, H)`` [flux], in the same unit and at the same pixel scale.
        pixel_scale_arcsec: Side of a pixel [arcsec].
        flux_unit: Unit of the pixel values, for names.
        network: An ImageNet network; None to leave it out.
        pixels: Whether a network is trained on pixels too, which takes minutes.
        seed: Seed of all that is drawn.
        tell: Told what is being done.
    """
    sides = (simulated, real)
    tell("statistics")
    numbers = [numbers_of(each, pixel_scale_arcsec, flux_unit) for each in sides]
    ours, theirs = map(_as_features, numbers)
    areas = [_areas("statistics", ours, theirs, seed, with_trees=True)]
    if network is not None:
        tell(f"features of {len(simulated) + 8 * len(real)} images")
        stretch = Stretch.of(real)
        views = (simulated[:, None], turned(real))
        ours, theirs = (_encode(network, stretch(each)) for each in views)
        areas.append(_areas("ImageNet features", ours, theirs, seed))
    if pixels and min(map(len, sides)) >= MIN_IMAGES:
        tell("a network on pixels")
        areas.append(_pixel_area(simulated, real, seed))
    return Realism(
        num_real=len(real),
        num_simulated=len(simulated),
        statistics=compared(numbers[0], numbers[1]),
        areas=tuple(each for each in areas if each is not None),
    )


def numbers_of(images: Images, pixel_scale_arcsec: float, flux_unit: str) -> dict[str, Floats]:
    """Return every number by which sets are compared, ``(N,)`` each, by its name and unit.

    These are the statistics of a report; of the profile and the power spectrum some bins.
    """
    found = measure(images, pixel_scale_arcsec)
    named = {MEASURED[key].with_unit(pixel_scale_arcsec, flux_unit): v for key, v in found.items()}
    for profile, label, places, length in (
        (radial_profile(images, pixel_scale_arcsec), "flux at {:.2g} arcsec", RADII, flux_unit),
        (
            power_spectrum(images, pixel_scale_arcsec),
            "power at {:.2g} cycles/arcsec",
            FREQUENCIES,
            f"({flux_unit})²",
        ),
    ):
        for k in _bins(profile.centres, places):
            named[f"{label.format(profile.centres[k])} [{length}]"] = profile.values[:, k]
    return named


def _bins(centres: Floats, places: Sequence[float]) -> list[int]:
    """Return the bins nearest to places between 0 and the last one's."""
    return sorted({int(np.argmin(np.abs(centres - place * centres[-1]))) for place in places})


def compared(simulated: Mapping[str, Floats], real: Mapping[str, Floats]) -> tuple[Compared, ...]:
    """Compare the numbers of two sets, those that differ most first."""
    found = []
    for name in real:
        ours, theirs = finite(simulated[name]), finite(real[name])
        if min(len(ours), len(theirs)) < 2:
            continue
        test = ks_2samp(ours, theirs)
        low, high = (tuple(map(float, np.quantile(each, LEVELS))) for each in (theirs, ours))
        found.append(
            Compared(
                name=name,
                real=low,
                simulated=high,
                distance=float(test.statistic),
                p_value=float(test.pvalue),
            )
        )
    return tuple(sorted(found, key=lambda each: each.p_value))


@dataclass(frozen=True, slots=True)
class Stretch:
    """From flux to grey between 0 and 1, the same for all images: faint arcs are seen on it.

    Attributes:
        low: Flux that is black.
        softening: Above it, where the stretch turns from linear to logarithmic [flux].
        high: Flux that is white.
    """

    low: float
    softening: float
    high: float

    @classmethod
    def of(cls, images: Images) -> "Stretch":
        """Return the stretch that suits some images, shape ``(N, H, H)``."""
        sky = measure_sky(images)
        rms = float(np.median(sky.rms))
        low = float(np.percentile(sky.level, 10)) - rms
        return cls(low, SOFTENING * max(rms, 1e-12), float(np.percentile(images, WHITE)))

    def __call__(self, images: Images) -> Images:
        """Return the grey of images of any shape."""
        top = np.arcsinh((self.high - self.low) / self.softening)
        grey = np.arcsinh((images - self.low) / self.softening) / max(top, 1e-12)
        return np.asarray(np.clip(grey, 0, 1), dtype=np.float32)


def turned(images: Images) -> Images:
    """Return the eight turns and mirror images of each, shape ``(N, 8, H, H)``."""
    both = (images, images[..., ::-1])
    return np.stack([np.rot90(each, k, (1, 2)) for each in both for k in range(4)], axis=1)


def _as_features(numbers: Mapping[str, Floats]) -> Floats:
    """Return numbers as features of one view, ``(N, 1, F)``; large ranges to logarithms."""
    columns = [
        np.log(np.maximum(values, 1e-12)) if "flux" in name or "power" in name else values
        for name, values in numbers.items()
    ]
    return np.stack(columns, axis=1)[:, None]


def _encode(network: EfficientNetLite, views: Images) -> Floats:
    """Return the features of all views ``(N, V, H, H)``, shape ``(N, V, F)``."""
    flat = views.reshape(-1, 1, *views.shape[-2:])
    features = efficientnet_features(network, flat)
    return features.reshape(*views.shape[:2], -1).astype(np.float64)


def _areas(
    space: str, simulated: Floats, real: Floats, seed: int, *, with_trees: bool = False
) -> Area | None:
    """Return how well features tell the sets apart, and what sets of one kind would get."""
    if min(len(simulated), len(real)) < MIN_PROBED:
        return None
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"with_trees": with_trees, "num_folds": NUM_FOLDS, "num_repeats": 1}
    halves, perfect = [], []
    for draw in range(NUM_DRAWS):
        order = rng.permutation(len(real))
        half = len(real) // 2
        if half >= MIN_PROBED:
            halves.append(probe(real[order[:half]], real[order[half:]], draw, **options).value)
        order = rng.permutation(len(simulated))
        few, many = simulated[order[: len(real)]], simulated[order[len(real) :]]
        if len(many) >= MIN_PROBED:
            perfect.append(probe(many, few, draw, **options).value)
    value = probe(simulated, real, seed, **options | {"num_repeats": NUM_REPEATS})
    return Area(
        space=space,
        value=value.value,
        standard_error=value.standard_error,
        real=float(np.mean(halves)) if halves else None,
        perfect=float(np.mean(perfect)) if perfect else None,
        spread=float(np.std(perfect, ddof=1)) if len(perfect) > 1 else None,
    )


def _pixel_area(simulated: Images, real: Images, seed: int) -> Area:
    """Return how well a network tells pixels apart, each image held out once."""

    def area(one: Images, two: Images) -> Auc:
        rng = np.random.default_rng(seed)
        return compare_pixels(
            one[:, None], two[:, None], rng, PIXEL_TRAINING, num_folds=PIXEL_FOLDS
        )[1]

    value, num = area(simulated, real), len(real)
    found = Area(space="pixels", value=value.value, standard_error=value.standard_error)
    half = num // 2
    if half >= MIN_IMAGES:
        found = replace(found, real=area(real[::2], real[1::2]).value)
    if len(simulated) - num >= MIN_IMAGES:
        found = replace(found, perfect=area(simulated[num:], simulated[:num]).value)
    return found
