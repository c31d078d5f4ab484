"""``gravlens classify train``: a classifier from labelled images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gravlensdiffusion.cli.options import FILES, MACHINE, FileOptions, MachineOptions
from gravlensdiffusion.cli.wording import tell
from gravlensdiffusion.config.bounds import Count
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes

if TYPE_CHECKING:
    from gravlensdiffusion.classification.classifier import LensClassifier
    from gravlensdiffusion.classification.fitting import Plan
    from gravlensdiffusion.config.classifier import ClassifierTraining


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Train a small network that tells the classes of your images apart.

    Part of the images of each class is held out: on these the weights are chosen, the probabilities
    calibrated, and the report written. Images that `gravlens balance` made train and never judge.

    Attributes:
        data: Labelled images: an HDF5 file, a folder of shards, or a folder with one folder per
            class.
        out: Folder for the classifier and its report; must not exist.
        size: Train at this many pixels a side; by default the size of the images.
        merge: Count classes as one, like lens=no_sub,cdm,axion; may be given several times.
        augment: Turn training images at random: half_turn (by 180 degrees), flips (mirror images
            too), d4 (quarter turns too). Only where all directions are alike in your images.
        balance: What is done about classes of unequal size: weights (images of a rare class count
            more), oversample (they come more often). With either, probabilities are for an even
            mix.
        held_out: Share of the original images of each class that is held out.
        images: Images to learn from, each counted as often as it comes; training may end before.
        batch_size: Images per step.
        learning_rate: Peak learning rate.
        precision: Arithmetic; bf16 is faster on recent GPUs and slower on CPUs.
        seed: Seed of the images held out, of the weights and of the order.
        dry_run: Say what would be trained, and stop.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    out: Path
    size: Count | None = None
    merge: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    augment: Literal["none", "half_turn", "flips", "d4"] = "none"
    balance: Literal["none", "weights", "oversample"] = "none"
    held_out: float = 0.2
    images: int = 60_000
    batch_size: int = 64
    learning_rate: float = 2e-3
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0
    dry_run: bool = False
    files: FileOptions = FILES
    machine: MachineOptions = MACHINE


def run(options: Options) -> None:
    """Train, judge, write."""
    from gravlensdiffusion.classification.classes import read_merged

    recipe, merged = _configure(options), read_merged(options.merge)
    _refuse_folder(options.out)
    source = options.files.open(options.data)
    from gravlensdiffusion.classification.classifier import LensClassifier

    classifier = LensClassifier(
        recipe, size=options.size, merged=merged, device=options.machine.device
    )
    planned = classifier.plan(source, name=options.data.name)
    tell(*planned.notes)
    if options.dry_run:
        print(f"would train on {_describe(planned)}")
        return
    _train(classifier, planned, options.out)


def _configure(options: Options) -> "ClassifierTraining":
    """Return the recipe that the options ask for."""
    from gravlensdiffusion.config.classifier import ClassifierTraining

    return ClassifierTraining(
        total_images=options.images,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        augment=options.augment,
        balance=options.balance,
        held_out=options.held_out,
        seed=options.seed,
        precision=options.precision,
    )


def _refuse_folder(path: Path) -> None:
    """Refuse a folder that exists, before anything is computed."""
    if path.exists() or path.is_symlink():
        raise GravLensError(f"{path}: exists already; choose another `out`")


def _describe(planned: "Plan") -> str:
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


def _train(classifier: "LensClassifier", planned: "Plan", out: Path) -> None:
    """Train a classifier, write it, and say so."""
    from gravlensdiffusion.classification.report import auc_text, recalls

    out.parent.mkdir(parents=True, exist_ok=True)
    classifier.fit(planned, folder=out.parent, progress=True)
    if not Processes.launched().is_main:
        return
    _refuse_folder(out)
    classifier.save(out, tell)
    judgement = classifier.fitted.judgement
    assert judgement is not None
    print(
        f"wrote {out}: AUC {auc_text(judgement)} on {judgement.scores.num_images.sum():,} held-out "
        f"images, recall {recalls(judgement)}"
    )
