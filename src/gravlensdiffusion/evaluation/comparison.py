"""The rows of a report: value, floor, and what the difference means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.equivalents import Ladder, describe
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.metrics_table import (
    MMD,
    Metric,
    ks_p_value,
    mmd,
    relative_shift,
    scaled_moments,
)
from gravlensdiffusion.evaluation.plan import Plan

PARTS = (1, 2, 4)
"""Numbers of parts that sets are cut into for the extrapolation in 1/N."""
MIN_Z = 2.0
"""Spreads of the floor that a value lies above it before it is likened to a defect."""
WITHIN = "within its floor"
NUM_PERMUTATIONS = 500
"""Permutations behind the p-value of the kernel distance."""
MIN_PART = 20
"""Images of a part below which nothing is extrapolated."""
RATIO_SCALED = (
    "einstein_radius",
    "total_flux",
    "maximum",
    "ellipticity",
    "gini",
    "sky_level",
    "sky_rms",
)
"""Statistics of which a relative error makes sense: positive, with a meaningful zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table. A number that does not apply is None.

    Attributes:
        name: Name of the metric.
        group: Section of the table.
        value: Generated against real, mean over the seeds.
        value_spread: Its standard deviation over the seeds, where they choose the images.
        floor: Real against real at the same sizes, mean over the seeds.
        floor_spread: Its standard deviation over the seeds.
        ratio: Value over floor, for distances.
        z: Value less floor, in units of the spread of the floor.
        corrected: Value extrapolated to infinitely many images.
        p_value: Probability that real images differ as much, from all images of both sets.
        shift: Relative difference of the means, from all images of both sets.
        offset: The same in units of the real scatter.
        widening: Relative difference of the scatters, likewise.
        equivalent: Planted defect that gives the same value; `WITHIN` where none is needed.
        space: What it was computed from, where rows differ in that.
        is_valid: Whether the value counts.
        is_memorised: Whether generated images are copies of training images.
        note: What else should be known: why the row is invalid, or empty.
    """

    name: str
    group: str
    value: float | None = None
    value_spread: float | None = None
    floor: float | None = None
    floor_spread: float | None = None
    ratio: float | None = None
    z: float | None = None
    corrected: float | None = None
    p_value: float | None = None
    shift: float | None = None
    offset: float | None = None
    widening: float | None = None
    equivalent: str = ""
    space: str = ""
    is_valid: bool = True
    is_memorised: bool = False
    note: str = ""


def compare(
    metrics: Sequence[Metric],
    generated: Measurements,
    real: Measurements,
    plan: Plan,
    rungs: Mapping[str, Sequence[Ladder]],
    *,
    seed: int,
) -> list[Row]:
    """Fill the rows of some metrics.

    Args:
        metrics: The metrics.
        generated: Measurements of the generated images.
        real: Those of the reference, followed by those of the second reference.
        plan: Which images are compared.
        rungs: Planted defects, by row.
        seed: Seed of what the metrics draw.
    """
    rows = []
    reference = real[: plan.reference_size]
    for metric in metrics:
        values, floors = [], []
        for k, split in enumerate(plan.splits):
            rng = np.random.default_rng([seed, k])
            values.append(metric.compare(generated[split.generated], real[split.reference], rng))
            rng = np.random.default_rng([seed, k])
            floors.append(metric.compare(real[split.floor], real[split.floor_reference], rng))
        corrected = _extrapolated(metric, generated, real, plan, seed)
        for name in metric.names:
            row = filled_row(
                name,
                metric.group,
                [each[name] for each in values],
                [each[name] for each in floors],
                is_distance=metric.bias != "none",
            )
            rows.append(
                _annotated(row, corrected.get(name), rungs.get(name, ()), generated, reference)
            )
    return rows


def filled_row(
    name: str,
    group: str,
    values: Sequence[float],
    floors: Sequence[float],
    *,
    is_distance: bool,
    note: str = "",
) -> Row:
    """Return the row of one metric from its values and floors, one of each per seed."""
    value, floor = float(np.mean(values)), float(np.mean(floors))
    spread = _spread(floors)
    return Row(
        name=name,
        group=group,
        value=finite_or_none(value),
        value_spread=_spread(values),
        floor=finite_or_none(floor),
        floor_spread=spread,
        ratio=finite_or_none(value / floor) if is_distance and floor > 0 else None,
        z=finite_or_none((value - floor) / spread) if spread else None,
        note=note,
    )


def _spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation; None where the seeds made no difference but rounding."""
    if len(values) < 2 or not np.ptp(values) > 1e-9 * np.max(np.abs(values)):
        return None
    return finite_or_none(float(np.std(values, ddof=1)))


def finite_or_none(value: float) -> float | None:
    """Return a number, or None where there is none."""
    return value if math.isfinite(value) else None


def _annotated(
    row: Row,
    corrected: float | None,
    ladders: Sequence[Ladder],
    generated: Measurements,
    reference: Measurements,
) -> Row:
    if row.value is None or row.floor is None:
        return replace(row, note="cannot be measured on these images")
    equivalent = WITHIN if ladders else ""
    if row.z is None or row.z > MIN_Z:
        equivalent = describe(ladders, row.value - row.floor)
    p_value = shift = offset = widening = None
    if row.name == MMD:
        rng = np.random.default_rng(NUM_PERMUTATIONS)
        test = mmd(generated, reference, rng, num_permutations=NUM_PERMUTATIONS)
        p_value = test.p_value
        row = replace(
            row,
            note=f"{test.value:.3g} ± {test.standard_error:.2g} from {test.num_x:,} generated "
            f"and {test.num_y:,} real images",
        )
    if row.name in generated.physics:
        p_value = finite_or_none(ks_p_value(row.name, generated, reference))
        offset, widening = map(finite_or_none, scaled_moments(row.name, generated, reference))
        if row.name in RATIO_SCALED:
            shift = finite_or_none(relative_shift(row.name, generated, reference))
    return replace(
        row,
        corrected=corrected,
        equivalent=equivalent,
        p_value=p_value,
        shift=shift,
        offset=offset,
        widening=widening,
    )


def _extrapolated(
    metric: Metric, generated: Measurements, real: Measurements, plan: Plan, seed: int
) -> dict[str, float]:
    """Return the values of a metric for infinitely many images, by name.

    Both sets are cut into 1, 2 and 4 parts; what falls as 1/N, the value or its square, is followed
    along a straight line to no parts at all.
    """
    smallest = min(plan.num_generated, plan.num_reference) // max(PARTS)
    if metric.bias == "none" or smallest < MIN_PART:
        return {}
    split = plan.splits[0]
    means: dict[str, list[float]] = {name: [] for name in metric.names}
    rng = np.random.default_rng([seed, len(plan.splits)])
    power = 1 if metric.bias == "1/N" else 2
    one, two = rng.permutation(split.generated), rng.permutation(split.reference)
    for num in PARTS:
        pairs = zip(np.array_split(one, num), np.array_split(two, num), strict=True)
        found = [metric.compare(generated[a], real[b], rng) for a, b in pairs]
        for name, series in means.items():
            series.append(float(np.mean([each[name] ** power for each in found])))
    return {name: _intercept(series, power) for name, series in means.items()}


def _intercept(means: Sequence[float], power: int) -> float:
    line: NDArray[np.float64] = np.polyfit(PARTS, means, 1)
    return float(max(line[1], 0.0) ** (1 / power))
