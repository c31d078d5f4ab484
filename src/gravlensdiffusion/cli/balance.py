"""``gravlens balance``: the rare classes of a set, filled up with generated images."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gravlensdiffusion.cli.options import (
    DataPath,
    FileOptions,
    MachineOptions,
    SamplingOptions,
    tell_absent,
)
from gravlensdiffusion.cli.running import say, tell
from gravlensdiffusion.config.bounds import Count, NoiseSeed
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    from gravlensdiffusion.balancing.balance import BalancePlan
    from gravlensdiffusion.sets.lens_set import LensSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Fill the rare classes of a labelled set with generated images.

    The originals are kept as they are and come first. Generated images follow, flagged in the file,
    which names their model and seed. The same command again goes on with what was broken off.

    Attributes:
        data: The labelled set: lenses.h5, shards, or .npy, .npz, FITS or picture files in class
            folders.
        out: File to write, balanced.h5 say. Unfinished work lies beside it, in OUT.partial.
        model: A bundled model, a run or a checkpoint, which knows the classes that are to be
            filled.
        per_class: Images that each class shall have at least, by default as many as the largest has;
            none is ever taken away.
        alike: Add as many images to every class as to the one that lacks most, so that being
            generated says nothing about the class; docs/study.md shows why.
        seed: Seed of the generated images.
        resample: Bring generated images of another size or pixel scale to those of the set.
        flux_unit: Unit of the images, e-/s say, where the files do not tell it; peak: each image
            was scaled to [0, 1], there or at a larger size.
        overwrite: Replace an existing file, and start anew where OUT.partial holds another request.
        dry_run: Say how many images of each class would be made, and by what, and stop.
    """

    data: DataPath
    out: Path
    model: str
    per_class: Count | None = None
    alike: bool = False
    seed: NoiseSeed = 0
    resample: bool = False
    flux_unit: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    sampling: SamplingOptions = SamplingOptions()
    files: FileOptions = FileOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Fill the classes and write one file."""
        from gravlensdiffusion.balancing.settings import BalanceSettings, class_targets
        from gravlensdiffusion.files import check_apart
        from gravlensdiffusion.store.writer import check_store_file

        self.sampling.check()
        settings = BalanceSettings(
            seed=self.seed,
            sampler=self.sampling.sampler,
            num_steps=self.sampling.steps,
            guidance=self.sampling.guidance,
            batch_size=self.sampling.batch_size,
            resample=self.resample,
            flux_unit=self.flux_unit,
        )
        check_store_file(self.out, overwrite=self.overwrite)
        check_apart(self.out, [self.data])
        from gravlensdiffusion.balancing.balance import balance
        from gravlensdiffusion.generation.generator import LensGenerator

        # A model loads within seconds, a large set is looked at for minutes.
        generator = LensGenerator.from_pretrained(self.model, device=self.machine.device)
        source = self.files.open(self.data, known=generator.config.class_names)
        tell_absent(source)
        if self.sampling.quality is not None:
            settings = replace(settings, num_steps=generator.steps_of(self.sampling.quality))
        targets = class_targets(source, self.per_class, alike=self.alike)
        counts = source.class_counts
        num = sum(max(0, wanted - counts[name]) for name, wanted in targets.items())
        with _going_on_later(self.out), shown_progress(0 if self.dry_run else num) as shown:
            plan = balance(
                source,
                generator,
                self.out,
                targets=targets,
                settings=settings,
                overwrite=self.overwrite,
                dry_run=self.dry_run,
                tell=tell,
                advance=shown.advance,
            )
        if self.dry_run:
            say(*_describe(source, plan), *(f"note: {note}" for note in plan.notes))
        else:
            say(_summary(self.out, plan))


def _describe(source: "LensSet", plan: "BalancePlan") -> Iterator[str]:
    filling, counts = plan.filling, source.class_counts
    yield (
        f"would keep {plan.num_kept:,} images and make {filling.num:,} by {filling.model} "
        f"({filling.sampler}, {filling.num_steps} steps, seed {filling.seed})"
    )
    width = max(map(len, counts))
    for each in filling.classes:
        yield f"  {each.name:{width}}  {counts[each.name]:,} + {each.num:,}"
    num = plan.num_kept - sum(counts.values())
    if num:
        yield f"  unlabelled, kept and counted nowhere: {num:,}"


def _summary(out: Path, plan: "BalancePlan") -> str:
    kept, num = f"{plan.num_kept:,} originals", plan.filling.num
    if plan.num_made_before:
        kept = f"{plan.num_kept:,} kept, {plan.num_made_before:,} of them generated before"
    made = ", ".join(f"{name} {num:,}" for name, num in plan.made.items())
    added = f"{num:,} by {plan.filling.model} ({made})" if num else "nothing was missing"
    return f"wrote {plan.num_kept + num:,} images to {out}: {kept}; {added}"


@contextmanager
def _going_on_later(out: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C or SIGTERM."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        folder = Path(f"{out}.partial")
        if folder.exists():
            tell(f"kept in {folder}; run the same command to go on")
        raise
