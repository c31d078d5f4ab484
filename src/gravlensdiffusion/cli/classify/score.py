"""``gravlens classify score``: how good a classifier is on labelled images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gravlensdiffusion.cli.options import FILES, MACHINE, FileOptions, MachineOptions
from gravlensdiffusion.cli.wording import tell
from gravlensdiffusion.config.bounds import Seed
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gravlensdiffusion.classification.candidates import Candidates
    from gravlensdiffusion.classification.judgement import Judgement

TABLE, JSON, HTML = "predictions.csv", "report.json", "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
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
        merge: Count classes of these images as one of the classifier's, like lens=galaxy_lens,ring;
            what was merged in training is merged by itself.
        seed: Seed of the resamplings that the interval of the AUC comes from.
        overwrite: Replace a report that exists.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    model: Path
    out: Path
    prior: str = "training"
    merge: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    seed: Seed = 0
    overwrite: bool = False
    files: FileOptions = FILES
    machine: MachineOptions = MACHINE


def run(options: Options) -> None:
    """Classify, judge, write."""
    from gravlensdiffusion.classification.classes import read_merged
    from gravlensdiffusion.files import refuse_existing, told_apart

    for name in (TABLE, JSON, HTML):
        refuse_existing(options.out / name, overwrite=options.overwrite)
    merged = read_merged(options.merge)
    from gravlensdiffusion.classification.classifier import LensClassifier
    from gravlensdiffusion.classification.report import auc_text, recalls

    # What is no classifier is told before a long set is looked at.
    classifier = LensClassifier.from_pretrained(options.model, device=options.machine.device)
    classifier.name, name = told_apart((options.model, options.data))
    known = (*classifier.known_names, *merged)
    candidates = classifier.prepare(options.files.open(options.data, known=known), merged)
    with shown_progress(len(candidates.images)) as shown:
        judgement = classifier.score(
            candidates, prior=options.prior, name=name, seed=options.seed, progress=shown.update
        )
    chances = classifier.predict_proba(candidates, prior=options.prior)
    written = _write(options, candidates, chances, judgement)
    tell(*judgement.notes)
    print(
        f"wrote {written} to {options.out}: AUC {auc_text(judgement)} on "
        f"{judgement.scores.num_images.sum():,} images, recall {recalls(judgement)}"
    )


def _write(
    options: Options,
    candidates: "Candidates",
    chances: "NDArray[np.float64]",
    judgement: "Judgement",
) -> str:
    """Write the three files, each whole or not at all, and name them."""
    from gravlensdiffusion.classification.predictions import write_table
    from gravlensdiffusion.classification.report import to_html, to_json
    from gravlensdiffusion.files import whole_file
    from gravlensdiffusion.reports.document import write_page

    class_names, images = candidates.config.class_names, candidates.images
    names = map(images.name, range(len(images)))
    with (
        whole_file(options.out / TABLE, overwrite=options.overwrite) as table,
        whole_file(options.out / JSON, overwrite=options.overwrite) as numbers,
    ):
        write_table(table, names, candidates.label_names, chances, class_names)
        numbers.write_bytes(to_json(judgement))
    html = options.out / HTML
    if write_page(html, lambda: to_html(judgement), tell, overwrite=options.overwrite):
        return f"{TABLE}, {JSON} and {HTML}"
    return f"{TABLE} and {JSON}"
