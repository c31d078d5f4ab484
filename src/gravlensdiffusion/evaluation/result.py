"""What an evaluation is asked, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import Count, Rescale, Seed, check_ranges
from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.conditioning import ClassPair, Requested
from gravlensdiffusion.evaluation.held_out import Neighbours
from gravlensdiffusion.evaluation.measure import Measurements
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

    size: Count | None = None
    rescale: Rescale = "none"
    eight_bit: bool = False
    protocol: Literal["full", "reference", "none"] = "full"
    pixel_test: bool = True
    num_seeds: Count = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self, "`{}`")


DEFAULTS = EvaluationSettings()


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One statistic of each real image beside its range over the generated images."""

    name: str  # name of the statistic
    quantiles: tuple[float, float, float]  # 5%, 50% and 95% of the generated images
    values: NDArray[np.float64]  # the real images'; NaN where it cannot be measured
    below: NDArray[np.float64]  # share of the generated images with a smaller value, for each

    @property
    def title(self) -> str:
        """What people call the statistic."""
        return MEASURED[self.name].title

    @property
    def num_measured(self) -> int:
        """Number of real images that have a value."""
        return int(np.isfinite(self.values).sum())

    @property
    def num_outside(self) -> int:
        """Number of real images outside of the middle 90% of the generated ones."""
        low, _, high = self.quantiles
        return int(((self.values < low) | (self.values > high)).sum())


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
        """Return what is known of one of the sets.

        Args:
            role: ``generated`` or ``reference``, or ``reference2`` or ``train`` where it was given.
            key: Such as ``name``, ``num_images`` or ``flux_unit``.
        """
        return self.facts["sets"][role][key]

    @property
    def noun(self) -> str:
        """What the images of the reference are called: simulations are no real images."""
        return NOUNS.get(self.set_fact("reference", "origin"), "reference images")

    @property
    def headline(self) -> str:
        """What was compared with what, and how."""
        sides = " against ".join(map(self._described, ("generated", "reference")))
        told = f"{sides}, at {self.generated_images.shape[-1]} pixels."
        if not self.rows:
            return told
        (n, m), those = self.sizes, self.noun
        seeds = self.facts["settings"]["num_seeds"]
        over = f", mean of {seeds} draws" if seeds > 1 else ""
        return (
            f"{told} Values: {n:,} generated images against {m:,} {those}. Floors: {n:,} {those} "
            f"against {m:,} others{over}."
        )

    def _described(self, role: str) -> str:
        name, num, origin = (self.set_fact(role, key) for key in ("name", "num_images", "origin"))
        return f"{name} ({num:,} {SIMULATIONS if origin == 'simulated' else 'images'})"

    @property
    def sizes(self) -> tuple[int, int]:
        """How many generated images are compared with how many of the reference."""
        return self.facts["num_generated"], self.facts["num_reference"]

    @property
    def units(self) -> tuple[float | None, str]:
        """Side of a pixel [arcsec] and flux unit of what was measured."""
        is_rescaled = self.facts["preparation"]["rescale"] == "peak"
        unit = "peak" if is_rescaled else self.set_fact("reference", "flux_unit")
        return self.facts["pixel_scale_arcsec"], unit


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
        known = np.where(np.isfinite(values), 1.0, np.nan)
        below = known * np.mean(smaller, axis=0) / len(ours)
        where = (low, middle, high)
        found.append(Placement(name=name, quantiles=where, values=known * values, below=below))
    return tuple(found)
