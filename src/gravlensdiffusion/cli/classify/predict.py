"""``gravlens classify predict``: probabilities for images of any kind."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.progress import shown_progress, tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Write the probability of each class for each image, as a CSV file.

    Columns: index, name (file, and place in it), label (where it is known), one p_CLASS for each
    class, and called, the most probable class.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """The images, labelled or not: whatever `gravlens inspect` reads."""
    model: Path
    """Folder of the classifier."""
    out: Path
    """The .csv file to write."""
    prior: str = "training"
    """Mix of classes that the probabilities are for: training (that of the training set), even, or
    the shares that you expect, like lens=0.01,no_lens=0.99."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    threads: int | None = None
    """Threads to compute with; by default what OMP_NUM_THREADS says, else as many as there are free
    cores."""
    band: str | None = None
    """Keep this band where files, or images in FITS files, are of several: g, F814W."""
    hdu: str | None = None
    """Name or number of the HDU to read where FITS files hold several images: SCI, 2."""
    skip_bad: bool = False
    """Go on without files that cannot be used."""
    allow_object_arrays: bool = False
    """Read DeepLense's pickled [image, mass] arrays, without running any code in them."""
    overwrite: bool = False
    """Replace a file that exists."""


def run(options: Options) -> None:
    """Classify and write.

    Raises:
        GravLensError: If the classifier or the data cannot be read, do not go together, or a file
            is in the way.
    """
    from gravlensdiffusion.files import refuse_existing, whole_file

    if options.out.suffix.lower() != ".csv":
        raise GravLensError(f"{options.out}: the file's name must end in .csv")
    refuse_existing(options.out, overwrite=options.overwrite)
    from gravlensdiffusion.classification.predictions import write_table
    from gravlensdiffusion.classification.scoring import prepare_sorting
    from gravlensdiffusion.cli.opening import open_data
    from gravlensdiffusion.model.checkpoint import load_classifier

    load_classifier(options.model)  # what is none is told before a long set is looked at
    source = open_data(
        options.data,
        skip_bad=options.skip_bad,
        allow_object_arrays=options.allow_object_arrays,
        band=options.band,
        hdu=options.hdu,
    )
    sorting = prepare_sorting(options.model, source)
    tell(*sorting.doubts)
    sorting.mix(options.prior)
    names = sorting.network.config.class_names
    with whole_file(options.out, overwrite=options.overwrite) as path:
        with shown_progress(len(source)) as shown:
            found = sorting.predict(options.device, shown.update)
        chances = sorting.probabilities(found, options.prior)
        where = map(source.name, range(len(source)))
        write_table(path, where, sorting.label_names, chances, names)
    called = chances.argmax(axis=1)
    counts = ", ".join(f"{name} {int((called == k).sum()):,}" for k, name in enumerate(names))
    print(f"wrote {len(source):,} predictions to {options.out}: called {counts}")
