"""``gravlens classify predict``: probabilities for images of any kind."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gravlensdiffusion.cli.options import FILES, MACHINE, FileOptions, MachineOptions
from gravlensdiffusion.cli.wording import tell
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.progress import shown_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
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

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    model: Path
    out: Path
    prior: str = "training"
    overwrite: bool = False
    files: FileOptions = FILES
    machine: MachineOptions = MACHINE


def run(options: Options) -> None:
    """Classify and write."""
    from gravlensdiffusion.files import refuse_existing, whole_file

    if options.out.suffix.lower() != ".csv":
        raise GravLensError(f"{options.out}: the file's name must end in .csv")
    refuse_existing(options.out, overwrite=options.overwrite)
    from gravlensdiffusion.classification.classifier import LensClassifier
    from gravlensdiffusion.classification.predictions import write_table

    # What is no classifier is told before a long set is looked at.
    classifier = LensClassifier.from_pretrained(options.model, device=options.machine.device)
    candidates = classifier.prepare(options.files.open(options.data, known=classifier.known_names))
    tell(*candidates.doubts)
    candidates.mix(options.prior)
    names, source = classifier.class_names, candidates.images
    with whole_file(options.out, overwrite=options.overwrite) as path:
        with shown_progress(len(source)) as shown:
            chances = classifier.predict_proba(
                candidates, prior=options.prior, progress=shown.update
            )
        where = map(source.name, range(len(source)))
        write_table(path, where, candidates.label_names, chances, names)
    called = chances.argmax(axis=1)
    counts = ", ".join(f"{name} {int((called == k).sum()):,}" for k, name in enumerate(names))
    print(f"wrote {len(source):,} predictions to {options.out}: called {counts}")
