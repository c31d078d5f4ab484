"""What the eye sees in images without noise: the rows of their detail."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.by_class import common_classes
from gravlensdiffusion.evaluation.compare import Row, compare
from gravlensdiffusion.evaluation.measure import Encoder, Measurements, Team
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import UNIT_RANGE, Arrays, PreparedSource, cached
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.statistics import DETAIL, NEGATIVE, pits_of
from gravlensdiffusion.metrics import detail
from gravlensdiffusion.metrics.features import finite
from gravlensdiffusion.reports.numbers import exact_share, number

MAX_NOISE = detail.DEPTH / 6
"""Noise over the brightest pixel up to which images show detail: a point is six times as deep."""


def detail_rows(
    sets: Sets,
    generated: Measurements,
    real: Measurements,
    plan: ComparisonPlan,
    team: Team,
    seed: int,
    tell: Callable[[str], None],
) -> list[Row]:
    """Return the rows of detail: of noise-free twins, else of images that have hardly any noise.

    There are none where some set has no twins and there is too much noise. ``real`` is the reference
    followed by the second reference.
    """
    sources, note = sets.twins, "on the noise-free twins"
    if not sources:
        noise = max(map(_noise, (generated, real)))
        if not noise <= MAX_NOISE:
            return []
        sources = sets.compared
        note = f"on the images, their noise is {exact_share(noise)} of the brightest pixel"
    tell("looking for seams, pits and fine structure")
    names = common_classes(sources)
    ours, reference, *more = (_by_class(_measured(each, team), each, names) for each in sources)
    real = reference.joined(*more)
    # A peak-scaled image has its zero where its faintest pixel was.
    has_zero = sources[1].flux_unit not in UNIT_RANGE and sources[1].preparation.rescale == "none"
    statistics = [each for each in DETAIL if has_zero or each is not NEGATIVE]
    statistics += map(pits_of, names)
    rows = compare(
        statistics,
        ours,
        real,
        plan,
        seed=seed,
        read=sources[1].pixels,
        measure=lambda images: _unpacked(detail.measure_detail(images)),
    )
    return [_noted(row, ours, reference, note) for row in rows]


def _noted(row: Row, generated: Measurements, reference: Measurements, note: str) -> Row:
    """Return a row that says what was measured on what."""
    if row.value is None:
        return row
    if row.ratio is not None:
        one, two = (finite(each.physics[row.name]).mean() for each in (generated, reference))
        note = f"mean {number(float(one))}, of the reference {number(float(two))}, {note}"
    return replace(row, note=note)


def _by_class(measured: Measurements, source: PreparedSource, names: Sequence[str]) -> Measurements:
    """Return measurements with the pits of each class, NaN for images of the others."""
    physics = dict(measured.physics)
    for name in names:
        is_of = source.labels == source.header.class_names.index(name)
        physics[pits_of(name).name] = np.where(is_of, physics["pits"], np.float64(np.nan))
    return replace(measured, physics=physics)


def _noise(measured: Measurements) -> float:
    """Return the median noise over the brightest pixel; NaN where that is dark."""
    peak = measured.physics["maximum"]
    return float(np.median(measured.physics["sky_rms"] / np.where(peak > 0, peak, np.nan)))


def _measured(source: PreparedSource, team: Team) -> Measurements:
    parts, modules = ("detail", source.digest), (detail,)
    return _unpacked(cached(*parts, modules=modules, compute=lambda: team.run(_measure, source)))


def _measure(source: PreparedSource, encoder: Encoder, share: range) -> Iterator[Arrays]:
    del encoder
    for block in source.pixel_blocks(share):
        yield dict(detail.measure_detail(block))


def _unpacked(arrays: Mapping[str, NDArray[np.generic]]) -> Measurements:
    found = {name: each.astype(np.float64, copy=False) for name, each in arrays.items()}
    profiles = {name: found.pop(name) for name in detail.ROUGHNESS}
    return Measurements.of(np.empty((len(found["pits"]), 0)), physics=found, profiles=profiles)
