"""Two sets of images in, one evaluation out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion import __version__
from gravlensdiffusion.evaluation.comparison import Row, compare
from gravlensdiffusion.evaluation.equivalents import Planting, ladders
from gravlensdiffusion.evaluation.fulfilment import class_pairs, matched_labels, requested
from gravlensdiffusion.evaluation.inception_rows import inception_rows
from gravlensdiffusion.evaluation.measure import (
    Encoder,
    Measurements,
    measure_images,
    measure_set,
)
from gravlensdiffusion.evaluation.memorisation_rows import memorisation_rows
from gravlensdiffusion.evaluation.metrics_table import lens_metrics, physics_metrics
from gravlensdiffusion.evaluation.overlap import note_copies
from gravlensdiffusion.evaluation.placement import place
from gravlensdiffusion.evaluation.plan import HANDFUL, Plan, make_plan
from gravlensdiffusion.evaluation.result import Evaluation, Neighbours, Settings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.team import Team
from gravlensdiffusion.evaluation.two_sample_rows import feature_rows, pixel_rows
from gravlensdiffusion.metrics.inception import load_inception
from gravlensdiffusion.parallel import Processes

NUM_SHOWN = 40
"""Images of each set that a report shows."""
ALONE = Processes()
"""This process and no other."""
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


def evaluate(
    sets: Sets,
    settings: Settings,
    *,
    inception_weights: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Evaluation:
    """Compare generated images with real ones.

    Where several processes share the measuring, this is for the main one, `assist` for the others.
    Every number depends on the images and on the settings alone.

    Args:
        sets: The images.
        settings: How to compare them.
        inception_weights: File of the Inception weights; None for those that are installed.
        tell: Told what is being done, one line at a time.
        processes: The processes.
        progress: Whether to show on stderr how far the measuring is.

    Raises:
        GravLensError: If the sets do not go together or are too small, or the weights that were
            named cannot be used.
    """

    def begin() -> tuple[Plan, Sets, Encoder, list[str]]:
        if inception_weights is not None and settings.protocol != "none":
            # A file that cannot be used is told before minutes of measuring, not after.
            load_inception(inception_weights)
        sizes = [len(each) for each in (sets.generated, *sets.real)] + [0]
        plan = make_plan(*sizes[:3], num_seeds=settings.num_seeds, seed=settings.seed)
        ready, encoder = _ready(sets, settings)
        return plan, ready, encoder, note_copies(ready)

    plan, ready, encoder, copies = processes.together(begin)
    for note in copies:
        tell(note)
    with Team(ready.all, encoder, processes, progress=progress) as team:
        found = _evaluated(ready, settings, plan, team, inception_weights, tell)
    return replace(found, notes=(*found.notes, *copies))


def assist(sets: Sets, settings: Settings, processes: Processes) -> None:
    """Measure what the main process asks for, until it needs no more.

    Args:
        sets: The images.
        settings: How to compare them.
        processes: The processes.

    Raises:
        OtherFailed: If the sets do not go together.
    """
    ready, encoder = processes.together(lambda: _ready(sets, settings))
    Team(ready.all, encoder, processes).serve()


def _ready(sets: Sets, settings: Settings) -> tuple[Sets, Encoder]:
    sets = sets.prepared(settings)
    return sets, Encoder(sets.reference.preparation.size)


def _evaluated(
    sets: Sets,
    settings: Settings,
    plan: Plan,
    team: Team,
    inception_weights: Path | None,
    tell: Callable[[str], None],
) -> Evaluation:
    encoder = team.encoder
    generated, real = _measured(sets, team, tell)
    # A view: no image's measurements are held twice.
    reference = real[: len(sets.reference)]
    rows: tuple[Row, ...] = ()
    neighbours: tuple[Neighbours, ...] = ()
    inception_facts: dict[str, Any] = {"protocol": "none"}
    if plan.splits:
        rows, neighbours, inception_facts = _distances(
            sets, (generated, real), plan, team, settings, inception_weights, tell
        )
    names = encoder.network.config.class_names
    labels = [
        matched_labels(each.labels, each.class_names, names)
        for each in (sets.generated, sets.reference)
    ]
    shown, shown_real = _shown(sets, labels)
    return Evaluation(
        rows=rows,
        class_pairs=tuple(class_pairs(generated, labels[0], reference, labels[1], names)),
        requested=tuple(
            requested(generated, sets.generated.parameters, reference, sets.reference.parameters)
        ),
        notes=(*plan.notes, *note_mixed(sets)),
        facts=_facts(sets, settings, plan, encoder) | {"inception": inception_facts},
        generated=generated,
        real=real,
        generated_images=shown,
        real_images=shown_real,
        neighbours=neighbours,
        placements=place(generated, reference) if len(reference) < HANDFUL else (),
    )


def note_mixed(sets: Sets) -> list[str]:
    """Say which sets of a `gravlens balance` mix originals and generated images.

    Args:
        sets: The images.
    """
    found = []
    for each in sets.real:
        num = int(each.is_generated.sum())
        if num:
            found.append(
                f"{num:,} of the {len(each):,} images of {each.name} are flagged as generated, and "
                "count as real here"
            )
    judged = sets.generated
    num = len(judged) - int(judged.is_generated.sum())
    if 0 < num < len(judged):
        found.append(
            f"{num:,} of the {len(judged):,} images of {judged.name} are originals, and are judged "
            "with those that are generated"
        )
    return found


def _measured(
    sets: Sets, team: Team, tell: Callable[[str], None]
) -> tuple[Measurements, Measurements]:
    """Measure the generated set, and the reference followed by the second reference."""
    found = []
    for each in (sets.generated, *sets.real):
        tell(f"measuring {len(each):,} images of {each.name}")
        found.append(measure_set(each, team.encoder, team))
    generated, reference = found[:2]
    return generated, reference if len(found) == 2 else reference.joined(found[2])


def _distances(
    sets: Sets,
    measured: tuple[Measurements, Measurements],
    plan: Plan,
    team: Team,
    settings: Settings,
    inception_weights: Path | None,
    tell: Callable[[str], None],
) -> tuple[tuple[Row, ...], tuple[Neighbours, ...], dict[str, Any]]:
    """Return all rows, the closest pairs, and the facts of the Inception metrics."""
    generated, real = measured
    reference, encoder = real[: len(sets.reference)], team.encoder
    rows = _physics_and_features(sets, generated, reference, real, plan, encoder, settings, tell)
    tell("training classifiers to tell the sets apart")
    rows += feature_rows(generated, real, plan, settings)
    if settings.pixel_test:
        rows += pixel_rows(sets.generated, sets.real, plan, settings)
    near: list[Row] = []
    neighbours: tuple[Neighbours, ...] = ()
    if sets.training is not None:
        tell(f"looking for copies of {len(sets.training):,} training images")
        near, neighbours = memorisation_rows(
            sets.generated,
            sets.reference,
            sets.training,
            (generated, reference),
            encoder,
            settings,
            team,
        )
    more, facts = inception_rows(sets.generated, sets.real, settings, inception_weights, tell)
    return (*rows, *near, *more), neighbours, facts


def _physics_and_features(
    sets: Sets,
    generated: Measurements,
    reference: Measurements,
    real: Measurements,
    plan: Plan,
    encoder: Encoder,
    settings: Settings,
    tell: Callable[[str], None],
) -> list[Row]:
    metrics = (*lens_metrics(), *physics_metrics(tuple(generated.profiles)))
    tell("planting defects")
    planting = Planting(
        read=sets.reference.read,
        measure=lambda images: measure_images(images, sets.reference, encoder),
        measured=reference,
    )
    rungs = ladders(planting, metrics, seed=settings.seed)
    tell("comparing")
    return compare(metrics, generated, real, plan, rungs, seed=settings.seed)


def _shown(
    sets: Sets, labels: Sequence[NDArray[np.int64]]
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
    return sets.generated.read(np.arange(num)), sets.reference.read(first)


def _facts(sets: Sets, settings: Settings, plan: Plan, encoder: Encoder) -> dict[str, Any]:
    preparation = sets.reference.preparation
    given = {
        "generated": sets.generated,
        "reference": sets.reference,
        "reference2": sets.second,
        "train": sets.training,
    }
    return {
        "settings": asdict(settings),
        "preparation": asdict(preparation),
        "sets": {
            role: {
                "name": each.name,
                "num_images": len(each),
                "origin": each.origin,
                "classes": each.class_counts,
                "stored_size": each.size,
                "flux_unit": each.flux_unit,
                "resize": each.resize_method,
                "sha256": each.digest,
            }
            for role, each in given.items()
            if each is not None
        },
        "pixel_scale_arcsec": sets.reference.pixel_scale_arcsec,
        "num_generated": plan.num_generated,
        "num_reference": plan.num_reference,
        "encoder": {"name": encoder.name, "sha256": encoder.digest},
        "versions": {"gravlensdiffusion": __version__} | {name: version(name) for name in PACKAGES},
    }
