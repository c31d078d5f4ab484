"""What an evaluation is asked, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import Count, Rescale, Seed, check_ranges
from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.conditioning import ClassPair, Requested
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.memorisation import Neighbours
from gravlensdiffusion.evaluation.statistics import MEASURED
from gravlensdiffusion.metrics.features import finite

SIMULATIONS = "simulations"
NOUNS = {"simulated": SIMULATIONS, "generated": "generated reference images"}
"""What the images of a reference are called, by where they come from."""
LEVELS = (0.05, 0.5, 0.95)
"""Quantiles of the generated images that a real one is held against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """How an evaluation is done.

    Attributes:
        size: Size to compare at [pixel]; None for that of the images.
        rescale: ``peak`` to bring each image to [0, 1] first.
        eight_bit: Whether all images are rounded to 8 bits, as they are where a set has 8 bits.
        protocol: Images of the Inception metrics: ``full`` takes all at their size, ``reference``
            100 against 100 at 28 pixels and 8 bit, ``none`` leaves those metrics out.
        pixel_test: Whether a network is trained to tell the pixels apart.
        num_seeds: Splits of the images over which value and floor are averaged.
        seed: Seed of everything that is drawn.
    """

    size: int | None = None
    rescale: Rescale = "none"
    eight_bit: bool = False
    protocol: Literal["full", "reference", "none"] = "full"
    pixel_test: bool = True
    num_seeds: Count = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self, "`{}`")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One statistic of each real image beside its range over the generated images."""

    name: str  # name of the statistic
    quantiles: tuple[float, float, float]  # 5%, 50% and 95% of the generated images
    values: tuple[float | None, ...]  # the real images'; None where it cannot be measured
    # Share of the generated images with a smaller value, for each real image.
    below: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """What people call the statistic."""
        return MEASURED[self.name].title

    @property
    def num_measured(self) -> int:
        """Number of real images that have a value."""
        return sum(value is not None for value in self.values)

    @property
    def num_outside(self) -> int:
        """Number of real images outside of the middle 90% of the generated ones."""
        low, _, high = self.quantiles
        return sum(value is not None and not low <= value <= high for value in self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """An evaluation: the numbers of the report, and what its figures are drawn from.

    Attributes:
        rows: The table; empty where the real images are too few.
        class_pairs: Separation of the classes, where the images carry labels.
        requested: Requested against measured parameters, where there are any.
        notes: What a reader should know, one sentence each.
        facts: Sizes, preparation, names and digests of the sets and of the encoder, versions,
            seeds; ready for JSON.
        generated: Measurements of the generated images.
        real: Measurements of the reference, followed by those of a second reference.
        generated_images: Some generated images, shape ``(K, H, W)``.
        real_images: Some real ones, of the same classes where they are known.
        neighbours: The closest pairs, for each space.
        placements: Each real image among the generated ones, where there are a handful.
    """

    rows: tuple[Row, ...]
    class_pairs: tuple[ClassPair, ...]
    requested: tuple[Requested, ...]
    notes: tuple[str, ...]
    facts: Mapping[str, Any]
    generated: Measurements
    real: Measurements
    generated_images: NDArray[np.float32]
    real_images: NDArray[np.float32]
    neighbours: tuple[Neighbours, ...] = ()
    placements: tuple[Placement, ...] = ()

    def __str__(self) -> str:
        """The table of the report."""
        from gravlensdiffusion.evaluation.report import to_text

        return to_text(self)

    def __repr__(self) -> str:
        n, m = self.sizes
        return f"Evaluation({n:,} generated images against {m:,}, {len(self.rows)} rows)"

    def set_fact(self, role: str, key: str) -> Any:
        """Return what is known of one of the sets, or None.

        Args:
            role: ``generated``, ``reference``, ``reference2`` or ``train``.
            key: Such as ``name``, ``num_images`` or ``flux_unit``.
        """
        return self.facts.get("sets", {}).get(role, {}).get(key)

    @property
    def noun(self) -> str:
        """What the images of the reference are called: simulations are no real images."""
        return NOUNS.get(str(self.set_fact("reference", "origin")), "reference images")

    @property
    def headline(self) -> str:
        """What was compared with what, and how."""
        sides = " against ".join(map(self._described, ("generated", "reference")))
        told = f"{sides}, at {self.generated_images.shape[-1]} pixels."
        if not self.rows:
            return told
        (n, m), those = self.sizes, self.noun
        seeds = self.facts.get("settings", {}).get("num_seeds")
        over = f", mean of {seeds} draws" if isinstance(seeds, int) and seeds > 1 else ""
        return (
            f"{told} Values: {n:,} generated images against {m:,} {those}. Floors: {n:,} {those} "
            f"against {m:,} others{over}."
        )

    def _described(self, role: str) -> str:
        name = self.set_fact(role, "name") or f"the {role} images"
        num = self.set_fact(role, "num_images")
        what = SIMULATIONS if self.set_fact(role, "origin") == "simulated" else "images"
        return f"{name} ({num:,} {what})" if isinstance(num, int) else str(name)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many generated images are compared with how many of the reference."""
        n, m = (self.facts.get(key, 0) for key in ("num_generated", "num_reference"))
        return int(n), int(m)

    @property
    def units(self) -> tuple[float | None, str]:
        """Side of a pixel [arcsec] and flux unit of what was measured."""
        rescale = self.facts.get("preparation", {}).get("rescale")
        unit = "peak" if rescale == "peak" else self.set_fact("reference", "flux_unit")
        return self.facts.get("pixel_scale_arcsec"), str(unit or "flux")


def place(generated: Measurements, real: Measurements) -> tuple[Placement, ...]:
    """Place each real image among the generated ones, in every statistic that both have.

    Statistics that are the same for all generated images are left out.
    """
    found = []
    for name, values in real.physics.items():
        ours = np.sort(finite(generated.physics[name]))
        if not len(ours) or ours[0] == ours[-1] or not np.isfinite(values).any():
            # Of images scaled to [0, 1] the brightest pixel says nothing.
            continue
        # Of equal values half count as smaller.
        smaller = [np.searchsorted(ours, values, side=side) for side in ("left", "right")]
        low, middle, high = (float(value) for value in np.quantile(ours, LEVELS))
        found.append(
            Placement(
                name=name,
                quantiles=(low, middle, high),
                values=_where_known(values, values),
                below=_where_known(np.mean(smaller, axis=0) / len(ours), values),
            )
        )
    return tuple(found)


def _where_known(
    numbers: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[float | None, ...]:
    """Return numbers, None where the value they belong to is not finite."""
    pairs = zip(numbers, values, strict=True)
    return tuple(float(number) if np.isfinite(value) else None for number, value in pairs)
