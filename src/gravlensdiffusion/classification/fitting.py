"""From a set of images to a classifier, judged on the part of the set that it did not learn."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.classes import read_classes
from gravlensdiffusion.classification.judgement import Judgement, facts_of, judge
from gravlensdiffusion.classification.predictions import probabilities
from gravlensdiffusion.classification.report import to_html, to_json
from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.model.checkpoint import load_classifier, save_model
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.parallel import find_device
from gravlensdiffusion.reports.document import encoded
from gravlensdiffusion.reports.drawing import spared
from gravlensdiffusion.sets.copies import (
    Copies,
    Signatures,
    encode_thumbnails,
    group,
    read_thumbnails,
    sign,
)
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import prepare
from gravlensdiffusion.training.classifier import (
    TrainedClassifier,
    predict_logits,
    train_classifier,
)
from gravlensdiffusion.training.labelled import configure, split
from gravlensdiffusion.training.run import environment

THUMBNAILS = "training_images.npy"
TRAINING, REPORT, PAGE = "training.json", "report.json", "report.html"
HELD_OUT = (
    "the held-out images are part of the same set, and they chose the weights and the temperature: "
    "this is no independent test, which `gravlens classify score` is"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a classifier is about to be trained on.

    Attributes:
        source: The images at their training size.
        original_size: Height and width before they were resized [pixel], or None.
        data: The same by the classes that are told apart.
        merged: Class of the set, and the class that it counts as, where some were merged.
        class_notes: What the user should know of the classes, one sentence each.
        copies: Which images are copies of others.
        signatures: What copies of the images are known by.
        recipe: How to train.
        name: What to call the set.
        trained_on: Number of images of each class to learn from, generated ones included.
        generated: Number of generated images of each class.
        held_out: Number of images of each class that are held out.
    """

    source: LensSet
    original_size: int | None
    data: LensSet
    merged: tuple[tuple[str, str], ...]
    class_notes: tuple[str, ...]
    copies: Copies
    signatures: Signatures
    recipe: ClassifierTraining
    name: str
    trained_on: dict[str, int]
    generated: dict[str, int]
    held_out: dict[str, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, one sentence each."""
        notes = list(self.class_notes)
        num = sum(self.generated.values())
        if num:
            images = "image trains" if num == 1 else "images train"
            notes.append(f"{num:,} generated {images} and never judge")
        if self.copies.note:
            notes.append(self.copies.note)
        return tuple(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A classifier, how it was trained, and how good it is.

    Attributes:
        network: The classifier.
        record: How it was trained; ready for JSON. Empty where that is not known.
        judgement: How good it is on the images that were held out; None once it is read from files.
        thumbnails: Those of the images of known class, by which copies of them are known; None where
            there are none.
    """

    network: ClassifierNetwork
    record: Mapping[str, Any]
    judgement: Judgement | None
    thumbnails: NDArray[np.float32] | None


def plan(
    source: LensSet,
    recipe: ClassifierTraining,
    *,
    name: str,
    size: int | None = None,
    merged: Mapping[str, str] | None = None,
    device: str = "auto",
) -> Plan:
    """Say what would be trained on, as `LensClassifier.plan`; ``name`` is what the set is called."""
    find_device(device)
    data, notes = read_classes(source, merged or {})
    own = source.image_shape[1]
    sized, data = source.resized(size), data.resized(size)
    signatures = sign(sized.blocks())
    copies = group([signatures], [sized.name(k) for k in range(len(sized))])
    trained_on, held_out = split(data, recipe.held_out, recipe.seed, copies.groups)
    configure(data, recipe, trained_on)
    return Plan(
        source=sized,
        original_size=None if sized is source else own,
        data=data,
        merged=tuple((old, new) for old, new in (merged or {}).items() if old != new),
        class_notes=notes,
        copies=copies,
        signatures=signatures,
        recipe=recipe,
        name=name,
        trained_on=data.select(trained_on).class_counts,
        generated=data.select(np.flatnonzero(data.is_generated)).class_counts,
        held_out=data.select(held_out).class_counts,
    )


def fit(planned: Plan, folder: Path, *, device: str = "auto", progress: bool = False) -> Fitted:
    """Train a classifier and judge it; ``folder`` keeps the images in the meantime."""
    source, names = planned.source, planned.data.header.class_names
    # The source has its size already, so that no resize is left to do.
    ready = prepare(source, folder, source.image_shape[1], "area")
    data = ready.images.labelled(planned.data.labels, names)
    training = train_classifier(
        data, planned.recipe, groups=planned.copies.groups, device=device, progress=progress
    )
    network, header = training.network, source.header
    network.config = replace(
        network.config,
        merged=planned.merged,
        pixel_scale_arcsec=header.pixel_scale_arcsec,
        flux_unit=header.flux_unit,
        resize=cast("Literal['bilinear', 'area'] | None", header.resize),
        original_size=planned.original_size,
        training_data=f"{sum(planned.trained_on.values()):,} images of {planned.name}",
    )
    record = _record(planned, training, environment(ready.fingerprint, device))
    where = training.held_out
    seed, digest = planned.recipe.seed, ready.fingerprint
    facts = facts_of(network.config, source, name=planned.name, digest=digest, seed=seed)
    judgement = judge(
        data,
        where,
        probabilities(network.config, predict_logits(network, data, where)),
        title=f"{' / '.join(names)}, on held-out images of {planned.name}",
        seed=seed,
        notes=(*planned.notes, HELD_OUT),
        facts={**facts, "training": {name: v for name, v in record.items() if name != "looks"}},
    )
    thumbnails = planned.signatures.thumbnails[data.labels >= 0]
    return Fitted(network=network, record=record, judgement=judgement, thumbnails=thumbnails)


def _record(planned: Plan, training: TrainedClassifier, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipe": asdict(planned.recipe),
        "trained_on": planned.trained_on,
        "generated_among_them": planned.generated,
        "held_out": planned.held_out,
        "images_seen": training.looks[-1].images_seen,
        "weights_after": max(each.images_seen for each in training.looks if each.is_best),
        **facts,
        "looks": [asdict(look) for look in training.looks],
    }


def save(fitted: Fitted, out: Path, tell: Callable[[str], object] = lambda line: line) -> None:
    """Write a classifier as `LensClassifier.save`; a page that cannot be drawn costs itself alone."""
    record = json.dumps(fitted.record, indent=2, allow_nan=False)
    files = {TRAINING: encoded(record + "\n")}
    if fitted.thumbnails is not None:
        files[THUMBNAILS] = encode_thumbnails(fitted.thumbnails)
    if fitted.judgement is not None:
        files[REPORT] = to_json(fitted.judgement)
        with spared(PAGE, tell):
            files[PAGE] = to_html(fitted.judgement)
    save_model(out, fitted.network, files=files)


def load(folder: Path) -> Fitted:
    """Read a classifier that was saved, or refuse a folder that holds none."""
    network = load_classifier(folder)
    try:
        record = json.loads((folder / TRAINING).read_bytes())
    except (OSError, ValueError):
        record = {}
    return Fitted(
        network=network,
        record=record if isinstance(record, dict) else {},
        judgement=None,
        thumbnails=read_thumbnails(folder / THUMBNAILS),
    )
