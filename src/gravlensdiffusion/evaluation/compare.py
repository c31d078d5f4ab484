"""The rows of a report: value, floor, and what the difference means."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import DEFECTS, MAX_PLANTED, ComparisonPlan, ladders
from gravlensdiffusion.evaluation.statistics import MMD, Statistic, relative_shift, values
from gravlensdiffusion.metrics.defects import Defect
from gravlensdiffusion.metrics.features import finite
from gravlensdiffusion.metrics.kernel import mmd_test

PARTS = (1, 2, 4)
"""Numbers of parts that sets are cut into for the extrapolation in 1/N."""
MIN_PART = 20
"""Images of a part below which nothing is extrapolated."""
MIN_Z = 2.0
"""Spreads of the floor that a value lies above it before it is likened to a defect."""
FAR = 4.0
"""Spreads of the floor by which a value differs from it to be marked."""
FAR_RATIO = 1.5
"""Multiple of the floor by which a distance without a spread is marked."""
WITHIN = "within its floor"
NUM_PERMUTATIONS = 500
"""Permutations behind the p-value of the kernel distance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table. A number that does not apply is None."""

    statistic: Statistic  # what it is of
    value: float | None = None  # generated against real, mean over the seeds
    value_spread: float | None = None  # its standard deviation, where seeds choose the images
    floor: float | None = None  # real against real at the same sizes, mean over the seeds
    floor_spread: float | None = None  # its standard deviation over the seeds
    ratio: float | None = None  # value over floor, for distances
    z: float | None = None  # value less floor, in units of the spread of the floor
    corrected: float | None = None  # value extrapolated to infinitely many images
    # From all images of both sets: the probability that real images differ as much, the relative
    # difference of the means, the same in units of the real scatter, and that of the scatters.
    p_value: float | None = None
    shift: float | None = None
    offset: float | None = None
    widening: float | None = None
    equivalent: str = ""  # planted defect that gives the same value; `WITHIN` where none is needed
    is_valid: bool = True  # whether the value counts
    is_memorised: bool = False  # whether generated images are copies of training images
    note: str = ""  # what else should be known: why the row is invalid, or empty

    @property
    def name(self) -> str:
        """Name of the statistic."""
        return self.statistic.name

    @property
    def is_measured(self) -> bool:
        """Whether there is a value, and it counts."""
        return self.is_valid and self.value is not None

    @property
    def excess(self) -> float:
        """By how much the value lies above its floor."""
        return (self.value or 0.0) - (self.floor or 0.0)

    @property
    def stands_out(self) -> bool:
        """Whether the row is worse than images of the reference are among themselves.

        Distances and the areas of the two-sample test are so above their floor only; of a fraction
        such as precision, either direction tells the sets apart.
        """
        if not self.is_measured:
            return False
        if self.is_memorised:
            return True
        if self.z is None and self.ratio is None:
            # What no image of the reference has, not one should have.
            return self.statistic.has_upper_floor and self.floor == 0 and self.excess > 0
        if self.z is None:
            return self.ratio is not None and self.ratio > FAR_RATIO
        one_sided = self.ratio is not None or self.statistic.has_upper_floor
        return self.z > FAR if one_sided else abs(self.z) > FAR

    @property
    def is_within_floor(self) -> bool:
        """Whether the row is as good as that of other images of the reference.

        Between this and `stands_out` lie rows of which nothing can be said.
        """
        if self.stands_out or (self.ratio is not None and self.ratio > FAR_RATIO):
            return False
        return not self.statistic.has_upper_floor or self.z is None or self.z <= MIN_Z


def compare(
    statistics: Sequence[Statistic],
    generated: Measurements,
    real: Measurements,
    plan: ComparisonPlan,
    *,
    seed: int,
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None,
    measure: Callable[[NDArray[np.float32]], Measurements] | None = None,
    max_planted: int = MAX_PLANTED,
) -> list[Row]:
    """Fill the rows of some statistics.

    Args:
        statistics: The statistics.
        generated: Measurements of the generated images.
        real: Those of the reference, followed by those of the second reference.
        plan: Which images are compared.
        seed: Seed of what the statistics draw, and of planted defects.
        read: Returns images of the reference ``(K, H, W)`` by their positions, to plant defects in;
            None to liken the values to none.
        measure: Measures such images; None likewise.
        max_planted: Images that a defect is planted in, at most.
    """
    reference = real[: plan.reference_size]
    rungs = {}
    if read is not None and measure is not None:
        rungs = ladders(statistics, reference, read, measure, seed=seed, max_planted=max_planted)
    found, floors = [], []
    for k, split in enumerate(plan.splits):
        sides = (generated[split.generated], real[split.reference])
        found.append(values(statistics, *sides, [seed, k]))
        floor_sides = (real[split.floor], real[split.floor_reference])
        floors.append(values(statistics, *floor_sides, [seed, k]))
    corrected = _extrapolated(statistics, generated, real, plan, seed)
    rows = []
    for each in statistics:
        row = _filled_row(each, *([one[each.name] for one in some] for some in (found, floors)))
        if row.value is None or row.floor is None:
            rows.append(replace(row, note="cannot be measured on these images"))
            continue
        known = {defect: rungs[each.name, defect] for defect in each.defects if rungs}
        equivalent = WITHIN if known else ""
        if row.excess != 0 if row.z is None else row.z > MIN_Z:
            equivalent = _likened(known, row.excess)
        details = _details(each, generated, reference, seed)
        rows.append(
            replace(row, corrected=corrected.get(each.name), equivalent=equivalent, **details)
        )
    return rows


def _likened(rungs: Mapping[Defect, NDArray[np.float64]], excess: float) -> str:
    """Say what an excess of a value over its floor is like, by the first defect that reaches it."""
    if not rungs:
        return ""
    highest = max(rungs, key=lambda defect: float(rungs[defect][-1]))
    defect = next((each for each, values in rungs.items() if excess <= values[-1]), highest)
    wording, factor, strengths = DEFECTS[defect]
    way = "like"
    if excess <= rungs[defect][1]:
        found, way = strengths[0], "less than"
    elif excess > rungs[defect][-1]:
        found, way = strengths[-1], "more than"
    else:
        found = float(np.interp(excess, rungs[defect], [0.0, *strengths]))
    value = found * factor
    return f"{way} {wording.format(f'{value:.2g}' if value < 100 else f'{value:.0f}')}"


def _filled_row(statistic: Statistic, found: Sequence[float], floors: Sequence[float]) -> Row:
    """Return the row of one statistic from its values and floors, one of each per seed."""
    value, floor = float(np.mean(found)), float(np.mean(floors))
    spread = _spread(floors)
    is_distance = statistic.bias != "none"
    return Row(
        statistic=statistic,
        value=_finite_or_none(value),
        value_spread=_spread(found),
        floor=_finite_or_none(floor),
        floor_spread=spread,
        ratio=_finite_or_none(value / floor) if is_distance and floor > 0 else None,
        z=_finite_or_none((value - floor) / spread) if spread else None,
    )


def _spread(found: Sequence[float]) -> float | None:
    """Return the standard deviation; None where the seeds made no difference but rounding."""
    if len(found) < 2 or not np.ptp(found) > 1e-9 * np.max(np.abs(found)):
        return None
    return _finite_or_none(float(np.std(found, ddof=1)))


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _details(
    statistic: Statistic, generated: Measurements, reference: Measurements, seed: int
) -> dict[str, Any]:
    if statistic is MMD:
        rng = np.random.default_rng([NUM_PERMUTATIONS, seed])
        test = mmd_test(
            generated.features, reference.features, rng, num_permutations=NUM_PERMUTATIONS
        )
        note = (
            f"{test.value:.3g} ± {test.standard_error:.2g} from {test.num_x:,} generated "
            f"and {test.num_y:,} real images"
        )
        return {"p_value": test.p_value, "note": note}
    if statistic.name not in generated.physics:
        return {}
    sides = (generated, reference)
    one, two = (finite(each.physics[statistic.name]) for each in sides)
    found: dict[str, float] = {}
    if min(len(one), len(two)) >= 2:
        found["p_value"] = float(ks_2samp(one, two).pvalue)
    if len(one) and len(two) and two.std() > 0:
        found["offset"] = float((one.mean() - two.mean()) / two.std())
        found["widening"] = float(one.std() / two.std() - 1)
    if statistic.is_relative:
        found["shift"] = relative_shift(statistic.name, generated, reference)
    return {name: _finite_or_none(value) for name, value in found.items()}


def _extrapolated(
    statistics: Sequence[Statistic],
    generated: Measurements,
    real: Measurements,
    plan: ComparisonPlan,
    seed: int,
) -> dict[str, float]:
    """Return the values of biased statistics for infinitely many images, by name.

    Both sets are cut into 1, 2 and 4 parts; what falls as 1/N, the value or its square, is followed
    along a straight line to no parts at all.

    References:
        Chong and Forsyth 2020, arXiv:1911.07023, where only the generated set is cut.
    """
    powers = {each.name: 1 if each.bias == "1/N" else 2 for each in statistics}
    biased = [each for each in statistics if each.bias != "none"]
    if min(plan.num_generated, plan.num_reference) // max(PARTS) < MIN_PART:
        return {}
    split = plan.splits[0]
    rng = np.random.default_rng([seed, len(plan.splits)])
    one, two = rng.permutation(split.generated), rng.permutation(split.reference)
    means: dict[str, list[float]] = {each.name: [] for each in biased}
    for num in PARTS:
        pairs = zip(np.array_split(one, num), np.array_split(two, num), strict=True)
        found = [values(biased, generated[a], real[b], seed) for a, b in pairs]
        for name, series in means.items():
            series.append(float(np.mean([each[name] ** powers[name] for each in found])))
    at_zero = {name: float(np.polyfit(PARTS, series, 1)[1]) for name, series in means.items()}
    return {name: max(value, 0.0) ** (1 / powers[name]) for name, value in at_zero.items()}
