"""Two sets of images in, one evaluation out."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion import __version__
from gravlensdiffusion.evaluation.by_class import distance_rows
from gravlensdiffusion.evaluation.compare import Row, compare
from gravlensdiffusion.evaluation.conditioning import class_pairs, requested
from gravlensdiffusion.evaluation.detail import detail_rows
from gravlensdiffusion.evaluation.held_out import Neighbours, memorisation_rows, two_sample_rows
from gravlensdiffusion.evaluation.inception import check_inception_weights, inception_rows
from gravlensdiffusion.evaluation.measure import Encoder, Measurements, Team, measure_images
from gravlensdiffusion.evaluation.plan import HANDFUL, ComparisonPlan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import DEFAULTS, Evaluation, EvaluationSettings, place
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.statistics import ENCODER, PHYSICS
from gravlensdiffusion.formats.open import Images
from gravlensdiffusion.parallel import ALONE, Processes

NUM_SHOWN = 40
"""Images of each set that a report shows."""
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


def evaluate(
    generated: Images,
    reference: Images,
    *,
    reference2: Images | None = None,
    train: Images | None = None,
    channel: int = 0,
    num: int | None = None,
    settings: EvaluationSettings = DEFAULTS,
    inception_weights: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Evaluation:
    """Say how good generated lens images are: any two sets in, one report out.

    Args:
        generated: The images to be judged: a set, the path of one, or the folder of a model, whose
            images are drawn once one of them goes with the other sets.
        reference: Real images, or simulations that stand for them.
        reference2: More real images, none of them in ``reference``, for the floor. Without it the
            reference is shared out.
        train: What the generator was trained on: then memorisation is looked for.
        channel: Which channel is compared where images have several, from 0.
        num: Number of images that a model draws; by default as many as there are real ones.
        settings: How to compare them.
        inception_weights: File of the Inception weights; None for those that are installed.
        tell: Told what is being done, one line at a time.
        progress: Whether to show on stderr how far the measuring is.

    Raises:
        GravLensError: If the sets do not go together or are too small, or the weights that were
            named cannot be used.

    Example:
        >>> print(evaluate("generated/lenses.h5", "simulated.h5"))  # doctest: +SKIP
    """
    weights = None if inception_weights is None else Path(inception_weights)
    check_inception_weights(weights, settings)
    sets = Sets.of(
        generated, reference, reference2, train, num=num, settings=settings, progress=progress
    ).of_channel(channel)
    return evaluate_sets(sets, settings, inception_weights=weights, tell=tell, progress=progress)


def evaluate_sets(
    sets: Sets,
    settings: EvaluationSettings,
    *,
    inception_weights: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Evaluation:
    """Compare generated images with real ones.

    Where several processes share the measuring, this is for the main one, `assist` for the others.
    Every number depends on the images and on the settings alone. Arguments and errors are those of
    `evaluate`.
    """

    def begin() -> tuple[ComparisonPlan, Sets, Encoder, list[str]]:
        plan = sets.plan(settings)
        ready, encoder = _ready(sets, settings)
        return plan, ready, encoder, ready.copies()

    plan, ready, encoder, copies = processes.together(begin)
    for note in copies:
        tell(note)
    team = Team(ready.measured, encoder, processes, progress=progress)
    try:
        notes = (*plan.notes, *ready.notes, *copies)
        return _evaluation(ready, settings, plan, team, inception_weights, tell, notes)
    finally:
        team.dismiss()


def assist(sets: Sets, settings: EvaluationSettings, processes: Processes) -> None:
    """Measure what the main process asks for, until it needs no more; see `evaluate_sets`.

    Raises:
        OtherFailed: If the sets do not go together.
    """
    ready, encoder = processes.together(lambda: _ready(sets, settings))
    Team(ready.measured, encoder, processes).serve()


def _ready(sets: Sets, settings: EvaluationSettings) -> tuple[Sets, Encoder]:
    sets = sets.prepared(settings)
    return sets, Encoder(sets.reference.preparation.size)


def _evaluation(
    sets: Sets,
    settings: EvaluationSettings,
    plan: ComparisonPlan,
    team: Team,
    inception_weights: Path | None,
    tell: Callable[[str], None],
    notes: Sequence[str],
) -> Evaluation:
    """Measure and compare everything."""

    def measured(source: PreparedSource) -> Measurements:
        tell(f"measuring {len(source):,} images of {source.title}")
        return team.measure(source)

    encoder, seed = team.encoder, settings.seed
    generated, first, *more = map(measured, sets.compared)
    real = first.joined(*more)
    # A view: no image's measurements are held twice.
    reference = real[: len(sets.reference)]
    rows: list[Row] = []
    neighbours: tuple[Neighbours, ...] = ()
    inception: dict[str, Any] = {"protocol": "none"}
    if plan.splits:
        tell("comparing, and planting defects")
        first_row, *others = compare(
            (*ENCODER, *PHYSICS),
            generated,
            real,
            plan,
            seed=seed,
            read=sets.reference.pixels,
            measure=lambda images: measure_images(images, sets.reference, encoder),
        )
        of_classes = distance_rows(
            sets.compared, generated, real, num_seeds=settings.num_seeds, seed=seed
        )
        rows += [first_row, *of_classes, *others]
        rows += detail_rows(sets, generated, real, plan, team, seed, tell)
        tell("training classifiers to tell the sets apart")
        has_pixels = settings.pixel_test
        rows += two_sample_rows(sets.compared, generated, real, plan, seed, has_pixels=has_pixels)
        if sets.train is not None:
            tell(f"looking for copies of {len(sets.train):,} training images")
            parts = (sets.generated, sets.reference, sets.train)
            near, neighbours = memorisation_rows(*parts, (generated, reference), team, seed)
            rows += near
        far, inception = inception_rows(sets.compared, settings, inception_weights, tell)
        rows += far
    names = encoder.network.config.class_names
    labels = [each.with_classes(names).labels for each in (sets.generated, sets.reference)]
    pairs = class_pairs(generated, labels[0], reference, labels[1], names)
    asked, truth = sets.generated.parameters, sets.reference.parameters
    shown, shown_real = _shown(sets, labels)
    return Evaluation(
        rows=tuple(rows),
        class_pairs=tuple(pairs),
        requested=tuple(requested(generated, asked, reference, truth)),
        notes=tuple(notes),
        facts=_facts(sets, settings, plan, encoder) | {"inception": inception},
        generated=generated,
        real=real,
        generated_images=shown,
        real_images=shown_real,
        neighbours=neighbours,
        placements=place(generated, reference) if len(reference) < HANDFUL else (),
    )


def _shown(
    sets: Sets, labels: Sequence[NDArray[np.integer]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return images of both sets, of the same classes where these are known."""
    wanted = labels[0][:NUM_SHOWN]
    if (wanted < 0).any() or (labels[1] < 0).any():
        first = np.arange(min(NUM_SHOWN, len(sets.reference)))
    else:
        queues = {label: iter(np.flatnonzero(labels[1] == label)) for label in np.unique(wanted)}
        found = [next(queues[label], None) for label in wanted]
        first = np.array([k for k in found if k is not None], dtype=np.int64)
    num = min(NUM_SHOWN, len(sets.generated))
    return sets.generated.pixels(np.arange(num)), sets.reference.pixels(first)


def _facts(
    sets: Sets, settings: EvaluationSettings, plan: ComparisonPlan, encoder: Encoder
) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "preparation": asdict(sets.reference.preparation),
        "sets": {
            role: {
                "name": each.title,
                "num_images": len(each),
                "origin": each.origin,
                "classes": each.class_counts if (each.labels >= 0).all() else {},
                "stored_size": each.stored_size,
                "flux_unit": each.flux_unit,
                "resize": each.resize_method,
                "sha256": each.digest,
            }
            for role, each in sets.named.items()
        },
        "pixel_scale_arcsec": sets.reference.pixel_scale_arcsec,
        "num_generated": plan.num_generated,
        "num_reference": plan.num_reference,
        "encoder": {"name": encoder.name, "sha256": encoder.digest},
        "versions": {"gravlensdiffusion": __version__}
        | {package: version(package) for package in PACKAGES},
    }
