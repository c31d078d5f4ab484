"""A classifier of lens images, from its training to what it is worth on images that it has not seen."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.candidates import Candidates
from gravlensdiffusion.classification.fitting import Fitted, TrainingPlan
from gravlensdiffusion.classification.judgement import Judgement, probabilities
from gravlensdiffusion.classification.report import to_html, to_json
from gravlensdiffusion.codec import read_record
from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import told_apart
from gravlensdiffusion.formats.open import Images, as_set
from gravlensdiffusion.model.checkpoint import load_classifier, save_model
from gravlensdiffusion.parallel import find_device
from gravlensdiffusion.reports import document
from gravlensdiffusion.reports.mosaics import spared
from gravlensdiffusion.sets.copies import encode_thumbnails, read_thumbnails
from gravlensdiffusion.sets.lens_set import LensSet

THUMBNAILS = "training_images.npy"
TRAINING, REPORT, PAGE = "training.json", "report.json", "report.html"
RECIPE = ClassifierTraining()


class LensClassifier:
    """A classifier of lens images: a small network, its calibration, and what it was trained on.

    Args:
        recipe: How to train.
        size: Height and width to train at [pixel]; None for that of the images.
        merged: The class that a class is counted as, by its name.
        device: ``cpu``, ``cuda`` or ``auto``.

    Example:
        >>> classifier = LensClassifier().fit("labelled.h5")  # doctest: +SKIP
        >>> classifier.predict("others.h5")  # doctest: +SKIP
        array(['lens', 'no_lens', ...], dtype=object)
    """

    def __init__(
        self,
        recipe: ClassifierTraining = RECIPE,
        *,
        size: int | None = None,
        merged: Mapping[str, str] | None = None,
        device: str = "auto",
    ) -> None:
        self.recipe, self.size, self.merged, self.device = recipe, size, merged, device
        self.name = "classifier"
        self._folder: Path | None = None
        self._fitted: Fitted | None = None

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *, device: str = "auto") -> Self:
        """Load a classifier that was saved.

        Raises:
            GravLensError: If the folder holds none.
        """
        folder = Path(folder)
        classifier = cls(device=device)
        network = load_classifier(folder)
        record: dict[str, Any] = {}
        with suppress(GravLensError):  # what it says of its training is not needed
            record = read_record(folder / TRAINING)
        classifier._fitted = Fitted(
            network=network,
            record=record,
            judgement=None,
            thumbnails=read_thumbnails(folder / THUMBNAILS),
        )
        classifier._folder = folder
        (classifier.name,) = told_apart([folder])
        return classifier

    def __repr__(self) -> str:
        if self._fitted is None:
            return "LensClassifier(not fitted)"
        config = self._fitted.network.config
        return f"LensClassifier({', '.join(config.class_names)}; {config.image_size} pixels)"

    @property
    def fitted(self) -> Fitted:
        """The trained network with its record; it is an error to ask for it before."""
        if self._fitted is None:
            raise GravLensError("the classifier was not trained yet; call its fit() first")
        return self._fitted

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.fitted.network.config.class_names

    @property
    def known_names(self) -> tuple[str, ...]:
        """Names of classes that it knows: its own, and those that were merged into them in training."""
        return (*self.class_names, *dict(self.fitted.network.config.merged))

    def plan(self, images: Images, *, name: str | None = None) -> TrainingPlan:
        """Say what `fit` would train on, after all checks that come before the first step.

        Args:
            images: Labelled images.
            name: What to call the set.

        Raises:
            GravLensError: If the images have no classes, too few of one, do not have the size or
                hold nothing to see, or there is no such device.
        """
        given = "these images" if isinstance(images, LensSet) else Path(images).name
        source = as_set(images)
        find_device(self.device)
        return TrainingPlan.of(
            source, self.recipe, name=name or given, size=self.size, merged=self.merged or {}
        )

    def fit(
        self,
        images: Images | TrainingPlan,
        *,
        folder: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> Self:
        """Train on labelled images; part of each class is held out, chooses and calibrates.

        Args:
            images: Labelled images, or the plan that was made of them.
            folder: Where to keep the images in the meantime, at their training size; by default a
                temporary folder of the system.
            progress: Whether to show on stderr how far the training is.

        Raises:
            GravLensError: If the images cannot be learned from, or there is no such device.
        """
        planned = images if isinstance(images, TrainingPlan) else self.plan(images)
        with TemporaryDirectory(prefix=".classifier.", suffix=".tmp", dir=folder) as kept:
            self._fitted = planned.fit(Path(kept), device=self.device, progress=progress)
        return self

    def save(
        self, folder: str | os.PathLike[str], tell: Callable[[str], object] = lambda line: line
    ) -> None:
        """Write the classifier with its record and its report, all of it or nothing.

        Args:
            folder: Must not exist.
            tell: Where to say that the page could not be drawn.

        Raises:
            GravLensError: If it exists or cannot be written.
        """
        fitted = self.fitted
        files = {TRAINING: document.to_json(fitted.record)}
        if fitted.thumbnails is not None:
            files[THUMBNAILS] = encode_thumbnails(fitted.thumbnails)
        if fitted.judgement is not None:
            files[REPORT] = to_json(fitted.judgement)
            with spared(PAGE, tell):
                files[PAGE] = to_html(fitted.judgement)
        save_model(Path(folder), fitted.network, files=files)

    def prepare(self, images: Images, merged: Mapping[str, str] | None = None) -> Candidates:
        """Return images as the classifier takes them; see `Candidates.of`."""
        return Candidates.of(self.fitted.network.config, as_set(images), merged)

    def predict_proba(
        self,
        images: Images | Candidates,
        *,
        prior: str = "training",
        progress: Callable[[int], None] = lambda _: None,
    ) -> NDArray[np.float64]:
        """Return the calibrated probability of each class, shape ``(N, K)``.

        Args:
            images: The images.
            prior: Mix of classes that the probabilities are for: ``training``, ``even``, or shares
                like ``lens=0.01,no_lens=0.99``; where there are originals with labels also ``data``.
            progress: Called with the number of images done.

        Raises:
            GravLensError: If the images do not go with the classifier, or the prior is none.
        """
        candidates = images if isinstance(images, Candidates) else self.prepare(images)
        mix = candidates.mix(prior, allow_data=bool(candidates.judges().any()))
        return probabilities(candidates.config, self._ask(candidates, progress), mix)

    def predict(
        self, images: Images | Candidates, *, prior: str = "training"
    ) -> NDArray[np.object_]:
        """Return the name of the most probable class of each image, shape ``(N,)``; see `predict_proba`."""
        chances = self.predict_proba(images, prior=prior)
        return np.array(self.class_names, dtype=object)[chances.argmax(axis=1)]

    def score(
        self,
        images: Images | Candidates,
        *,
        merged: Mapping[str, str] | None = None,
        prior: str = "training",
        name: str | None = None,
        seed: int = 0,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Judgement:
        """Judge the classifier on labelled images; copies of its training images are left out.

        Args:
            images: The images.
            merged: See `prepare`.
            prior: See `predict_proba`.
            name: What to call the set.
            seed: Seed of the resamplings that intervals come from.
            progress: Called with the number of images done.

        Raises:
            GravLensError: If the set cannot be judged on.
        """
        called, given = self.name, "these images"
        if isinstance(images, (str, os.PathLike)):
            *_, given = told_apart([images])
            if self._folder is not None:
                called, given = told_apart([self._folder, images])
        own = images if isinstance(images, Candidates) else self.prepare(images, merged)
        own.check_judgeable()
        if self.fitted.thumbnails is not None:
            own.look_for_copies(self.fitted.thumbnails)
            own.check_judgeable()
        mix = own.mix(prior, allow_data=True)
        logits, where, name = self._ask(own, progress), np.flatnonzero(own.judges()), name or given
        return Judgement.of(
            own.config,
            own.images.labelled(own.labels, own.config.class_names),
            where,
            logits[where],
            title=f"{called} on {name}",
            name=name,
            digest=own.digest,
            seed=seed,
            called=called,
            mix=mix,
            notes=own.notes(mix, self.fitted.record.get("data_fingerprint")),
        )

    def _ask(self, candidates: Candidates, progress: Callable[[int], None]) -> NDArray[np.float32]:
        return candidates.ask(self.fitted.network, device=self.device, progress=progress)
