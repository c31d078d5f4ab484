"""``gravlens classify``: a classifier of labelled images, and what it says of others."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from gravlensdiffusion.cli.evaluate import HTML, JSON
from gravlensdiffusion.cli.options import DataPath, FileOptions, MachineOptions
from gravlensdiffusion.cli.running import say, tell
from gravlensdiffusion.config.bounds import Augmentation, Count, Positive, Precision, Range, Seed
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    from gravlensdiffusion.classification.fitting import TrainingPlan

TABLE = "predictions.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class Train:
    """Train a small network that tells the classes of your images apart.

    Part of the images of each class is held out: on these the weights are chosen, the probabilities
    calibrated, and the report written. Images that `gravlens balance` made train and never judge.
    Classes that --map counts as one, or calls otherwise, are so wherever the classifier is used.

    Attributes:
        data: Labelled images: an HDF5 file, a folder of shards, or a folder with one folder per
            class.
        out: Folder for the classifier and its report; must not exist.
        size: Train at this many pixels a side; by default the size of the images.
        augment: Turn training images at random: half_turn (by 180 degrees), flips (mirror images
            too), d4 (quarter turns too). Only where all directions are alike in your images.
        balance: What is done about classes of unequal size: weights (images of a rare class count
            more), oversample (they come more often). With either, probabilities are for an even
            mix.
        held_out: Share of the original images of each class that is held out.
        images: Images to learn from, each counted as often as it comes; training may end before.
        batch_size: Images per step.
        learning_rate: Peak learning rate.
        precision: Arithmetic; bf16 is faster on GPUs and CPUs that multiply in it.
        seed: Seed of the images held out, of the weights and of the order.
        dry_run: Say what would be trained, and stop.
    """

    data: DataPath
    out: Path
    size: Count | None = None
    augment: Augmentation = "none"
    balance: Literal["none", "weights", "oversample"] = "none"
    held_out: Annotated[float, Range(above=0, below=1)] = 0.2
    images: Count = 60_000
    batch_size: Count = 64
    learning_rate: Positive = 2e-3
    precision: Precision = "fp32"
    seed: Seed = 0
    dry_run: bool = False
    files: FileOptions = FileOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Train, judge, write."""
        from gravlensdiffusion.config.classifier import ClassifierTraining
        from gravlensdiffusion.sets.records import read_map

        recipe = ClassifierTraining(
            total_images=self.images,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            augment=self.augment,
            balance=self.balance,
            held_out=self.held_out,
            seed=self.seed,
            precision=self.precision,
        )
        merged = {} if self.files.map is None else read_map(self.files.map)
        _refuse_folder(self.out)
        source = replace(self.files, map=None).open(self.data)
        from gravlensdiffusion.classification.classifier import LensClassifier
        from gravlensdiffusion.classification.report import summary

        classifier = LensClassifier(
            recipe, size=self.size, merged=merged, device=self.machine.device
        )
        planned = classifier.plan(source, name=self.data.name)
        tell(*planned.notes)
        if self.dry_run:
            say(f"would train on {_describe(planned)}")
            return
        self.out.parent.mkdir(parents=True, exist_ok=True)
        classifier.fit(planned, folder=self.out.parent, progress=True)
        if not Processes.launched().is_main:
            return
        _refuse_folder(self.out)
        classifier.save(self.out, tell)
        judgement = classifier.fitted.judgement
        assert judgement is not None
        say(f"wrote {self.out}: {summary(judgement, 'held-out images')}")


def _refuse_folder(path: Path) -> None:
    """Refuse a folder that exists, before anything is computed."""
    if path.exists() or path.is_symlink():
        raise GravLensError(f"{path}: exists already; choose another `out`")


def _describe(planned: "TrainingPlan") -> str:
    """Say in one line what a classifier is trained on."""
    recipe = planned.recipe
    images = ", ".join(f"{name} {num:,}" for name, num in planned.trained_on.items())
    size = "x".join(map(str, planned.source.image_shape))
    changes = "".join(
        f", {name} {value}"
        for name, value in (("augment", recipe.augment), ("balance", recipe.balance))
        if value != "none"
    )
    return (
        f"{sum(planned.trained_on.values()):,} images of {size} ({images}), "
        f"{sum(planned.held_out.values()):,} held out, {recipe.total_images:,} images in all, "
        f"batch {recipe.batch_size}{changes}"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Predict:
    """Write the probability of each class for each image, as a CSV file.

    Columns: index, name (file, and place in it), label (where it is known), one p_CLASS for each
    class, and called, the most probable class.

    Attributes:
        data: The images, labelled or not: whatever `gravlens inspect` reads.
        model: Folder of the classifier.
        out: The .csv file to write.
        prior: Mix of classes that the probabilities are for: training (that of the training set),
            even, or the shares that you expect, like lens=0.01,no_lens=0.99.
        overwrite: Replace a file that exists.
    """

    data: DataPath
    model: Path
    out: Path
    prior: str = "training"
    overwrite: bool = False
    files: FileOptions = FileOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Classify and write."""
        from gravlensdiffusion.files import refuse_existing, whole_file

        if self.out.suffix.lower() != ".csv":
            raise GravLensError(f"{self.out}: the file's name must end in .csv")
        refuse_existing(self.out, overwrite=self.overwrite)
        from gravlensdiffusion.classification.classifier import LensClassifier

        # What is no classifier is told before a long set is looked at.
        classifier = LensClassifier.from_pretrained(self.model, device=self.machine.device)
        candidates = classifier.prepare(self.files.open(self.data, known=classifier.known_names))
        tell(*candidates.doubts)
        candidates.mix(self.prior)
        names, source = classifier.class_names, candidates.images
        with whole_file(self.out, overwrite=self.overwrite) as path:
            with shown_progress(len(source)) as shown:
                chances = classifier.predict_proba(
                    candidates, prior=self.prior, progress=shown.update
                )
            candidates.write_table(path, chances)
        called = chances.argmax(axis=1)
        counts = ", ".join(f"{name} {int((called == k).sum()):,}" for k, name in enumerate(names))
        say(f"wrote {len(source):,} predictions to {self.out}: called {counts}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Say how good a classifier is on labelled images that it was not trained on.

    Writes predictions.csv, report.json and report.html: ROC curves, confusion matrix, recall and
    precision of each class, calibration, mistakes. Generated images do not judge.

    Attributes:
        data: Labelled images: an HDF5 file, a folder of shards, or a folder with one folder per
            class.
        model: Folder of the classifier.
        out: Folder for the report; it is made where it does not exist.
        prior: Mix of classes that the probabilities are for: training (that of the training set,
            as `predict` has it by default), even, data (that of these images), or shares like
            lens=0.01,no_lens=0.99.
        seed: Seed of the resamplings that the interval of the AUC comes from.
        overwrite: Replace a report that exists.
    """

    data: DataPath
    model: Path
    out: Path
    prior: str = "training"
    seed: Seed = 0
    overwrite: bool = False
    files: FileOptions = FileOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Classify, judge, write."""
        from gravlensdiffusion.files import (
            check_writable,
            refuse_existing,
            told_apart,
            whole_file,
        )

        for name in (TABLE, JSON, HTML):
            refuse_existing(self.out / name, overwrite=self.overwrite)
            check_writable(self.out / name)
        from gravlensdiffusion.classification.classifier import LensClassifier
        from gravlensdiffusion.classification.report import summary, to_html, to_json
        from gravlensdiffusion.reports.document import write_page

        # What is no classifier is told before a long set is looked at.
        classifier = LensClassifier.from_pretrained(self.model, device=self.machine.device)
        classifier.name, name = told_apart((self.model, self.data))
        candidates = classifier.prepare(self.files.open(self.data, known=classifier.known_names))
        with shown_progress(len(candidates.images)) as shown:
            judgement = classifier.score(
                candidates, prior=self.prior, name=name, seed=self.seed, progress=shown.update
            )
        chances = classifier.predict_proba(candidates, prior=self.prior)
        with (
            whole_file(self.out / TABLE, overwrite=self.overwrite) as table,
            whole_file(self.out / JSON, overwrite=self.overwrite) as numbers,
        ):
            candidates.write_table(table, chances)
            numbers.write_bytes(to_json(judgement))
        html = self.out / HTML
        has_page = write_page(html, lambda: to_html(judgement), tell, overwrite=self.overwrite)
        written = f"{TABLE}, {JSON} and {HTML}" if has_page else f"{TABLE} and {JSON}"
        tell(*judgement.notes)
        say(f"wrote {written} to {self.out}: {summary(judgement, 'images')}")


COMMANDS = {
    "train": (Train, "Train a classifier on labelled images."),
    "predict": (Predict, "Write the probability of each class for each image."),
    "score": (Score, "Say how good a classifier is on labelled images."),
}
"""Options and summary of each command."""
