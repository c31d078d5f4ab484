"""From a set of images to a classifier, judged on the part of the set that it did not learn."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.judgement import Judgement
from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.sets.copies import Signatures, group, sign
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import prepare
from gravlensdiffusion.training.classifier import (
    configure,
    predict_logits,
    train_classifier,
)
from gravlensdiffusion.training.run import environment
from gravlensdiffusion.training.validation import split

HELD_OUT = (
    "the held-out images are part of the same set, and they chose the weights and the temperature: "
    "this is no independent test, which `gravlens classify score` is"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingPlan:
    """What a classifier is about to be trained on."""

    source: LensSet  # the images at their training size
    original_size: int | None  # height and width before they were resized [pixel], or None
    data: LensSet  # the same by the classes that are told apart
    # Class of the set, and the class that it counts as, where some were merged.
    merged: tuple[tuple[str, str], ...]
    groups: NDArray[np.int64]  # number of the group of copies of each image, shape `(N,)`
    signatures: Signatures  # what copies of the images are known by
    recipe: ClassifierTraining  # how to train
    name: str  # what to call the set
    # Number of images of each class to learn from, generated ones included.
    trained_on: dict[str, int]
    generated: dict[str, int]  # number of generated images of each class
    held_out: dict[str, int]  # number of images of each class that are held out
    notes: tuple[str, ...]  # what the user should know, one sentence each

    @classmethod
    def of(
        cls,
        source: LensSet,
        recipe: ClassifierTraining,
        *,
        name: str,
        size: int | None,
        merged: Mapping[str, str],
    ) -> Self:
        """Return what a classifier would be trained on; see `LensClassifier.plan`."""
        data, notes = _read_classes(source, merged)
        own = source.image_shape[1]
        sized, data = source.resized(size), data.resized(size)
        signatures = sign(sized.blocks())
        copies = group([signatures], [sized.name(k) for k in range(len(sized))])
        trained_on, held_out = split(data, recipe.held_out, recipe.seed, copies.groups)
        configure(data, recipe, trained_on)
        generated = data.select(np.flatnonzero(data.is_generated)).class_counts
        num = sum(generated.values())
        if num:
            notes.append(
                f"{num:,} generated image{' trains' if num == 1 else 's train'} and never judge"
            )
        if copies.note:
            notes.append(copies.note)
        return cls(
            source=sized,
            original_size=None if sized is source else own,
            data=data,
            merged=tuple((old, new) for old, new in merged.items() if old != new),
            groups=copies.groups,
            signatures=signatures,
            recipe=recipe,
            name=name,
            trained_on=data.select(trained_on).class_counts,
            generated=generated,
            held_out=data.select(held_out).class_counts,
            notes=tuple(notes),
        )

    def fit(self, folder: Path, *, device: str, progress: bool) -> "Fitted":
        """Train a classifier and judge it; ``folder`` keeps the images in the meantime."""
        source, names = self.source, self.data.header.class_names
        # The source has its size already, so that no resize is left to do.
        ready = prepare(source, folder, source.image_shape[1], "area")
        data = ready.images.labelled(self.data.labels, names)
        training = train_classifier(
            data, self.recipe, groups=self.groups, device=device, progress=progress
        )
        network, header = training.network, source.header
        network.config = replace(
            network.config,
            merged=self.merged,
            pixel_scale_arcsec=header.pixel_scale_arcsec,
            flux_unit=header.flux_unit,
            resize=cast("Literal['bilinear', 'area'] | None", header.resize),
            original_size=self.original_size,
            training_data=f"{sum(self.trained_on.values()):,} images of {self.name}",
        )
        looks = training.looks
        record = {
            "recipe": asdict(self.recipe),
            "trained_on": self.trained_on,
            "generated_among_them": self.generated,
            "held_out": self.held_out,
            "images_seen": looks[-1]["images_seen"],
            "weights_after": max(look["images_seen"] for look in looks if look["is_best"]),
            **environment(ready.fingerprint, device),
        }
        where = training.held_out
        judgement = Judgement.of(
            network.config,
            data,
            where,
            predict_logits(network, data, where),
            title=f"{' / '.join(names)}, on held-out images of {self.name}",
            seed=self.recipe.seed,
            name=self.name,
            digest=ready.fingerprint,
            notes=(*self.notes, HELD_OUT),
            training=record,
        )
        thumbnails = self.signatures.thumbnails[data.labels >= 0]
        return Fitted(
            network=network,
            record={**record, "looks": list(looks)},
            judgement=judgement,
            thumbnails=thumbnails,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A classifier, how it was trained, and how good it is."""

    network: ClassifierNetwork  # the classifier
    record: Mapping[str, Any]  # how it was trained; ready for JSON. Empty where that is not known
    # How good it is on the images that were held out; None once it is read from files.
    judgement: Judgement | None
    # Those of the images of known class, by which copies of them are known; None where there are
    # none.
    thumbnails: NDArray[np.float32] | None


def _read_classes(source: LensSet, merged: Mapping[str, str]) -> tuple[LensSet, list[str]]:
    """Return a set by the classes that are told apart, and what a reader should know of them.

    Classes without images are left out; ``merged`` names the class that a class is counted as.
    """
    own, labels = source.header.class_names, source.labels
    if not own or (labels < 0).all():
        raise GravLensError(
            "the images have no classes: put them into one folder per class, or into an HDF5 file "
            "with labels"
        )
    counted = source.relabelled(merged)
    notes = []
    num_unknown = int(np.count_nonzero(labels < 0))
    if num_unknown:
        images = (
            "image of no known class was" if num_unknown == 1 else "images of no known class were"
        )
        notes.append(f"{num_unknown:,} {images} left out")
    if counted.absent_classes:
        notes.append(f"no image belongs to {', '.join(counted.absent_classes)}, which is left out")
    data = counted.with_present_classes()
    names = data.header.class_names
    if len(names) < 2:
        raise GravLensError(f"all images belong to one class, {names[0]}; a classifier needs two")
    return data, notes
