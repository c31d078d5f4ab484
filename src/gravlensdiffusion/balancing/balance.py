"""Filling the rare classes of a labelled set with generated images."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from gravlensdiffusion import __version__
from gravlensdiffusion.balancing.fit import Fit, Seen
from gravlensdiffusion.balancing.settings import BalanceSettings, class_targets, fill
from gravlensdiffusion.codec import parse_record, to_json
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import LOCK, check_apart, held, whole_file
from gravlensdiffusion.formats.open import Images, as_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.model.checkpoint import fingerprint
from gravlensdiffusion.sets.flux import PEAK
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import GENERATED, Filling, LensRecord
from gravlensdiffusion.store.shards import Shards
from gravlensdiffusion.store.writer import check_store_file, write_store

CLASS_STRIDE = 2**40
"""Image numbers from one class of a model to the next."""
REQUEST = "request.json"  # what was asked for; an unfinished balance has it
WHOLE = "whole.h5"  # the balanced set before it had its name, in folders of before


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancePlan:
    """What a balance does.

    Attributes:
        filling: What is made, of which class and by what; it goes into the file.
        num_kept: Images that the set has.
        num_made_before: Images of these that were generated before.
        fit, seen: What makes the model's images fit, and what was seen of the set.
        requests: What is asked of the model, batch by batch, none of two classes.
        identity: All that the balanced set depends on but the hardware, by the names of messages.
        notes: What the user should know, one line each.
    """

    filling: Filling
    num_kept: int
    num_made_before: int
    fit: Fit
    seen: Seen
    requests: Sequence[Request]
    identity: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def made(self) -> dict[str, int]:
        """Images to be generated, by class, in the order of the set's."""
        return {each.name: each.num for each in self.filling.classes}


def _plan(
    source: LensSet, generator: LensGenerator, targets: Mapping[str, int], settings: BalanceSettings
) -> BalancePlan:
    """Return what a balance does; image j of a class depends on (seed, place of the class in the model, j)."""
    classes = fill(source, targets, settings.seed)
    fit = Fit.of(source, generator, classes, settings)
    sampler, num_steps = generator.sampling(settings.sampler, settings.num_steps)
    requests: list[Request] = []
    for each in classes:
        if each.num:
            place = 1 + generator.config.class_names.index(each.name)
            request = generator.request(
                each.num,
                label=each.name,
                seed=settings.seed,
                first=place * CLASS_STRIDE + each.first,
                sampler=settings.sampler,
                num_steps=settings.num_steps,
                guidance=settings.guidance,
                noise_free=fit.has_twins,
            )
            requests += request.batches(settings.batch_size)
    seen = Seen.of(source)
    if settings.flux_unit == PEAK != source.header.flux_unit:
        seen.check_peak()
    filling = Filling(
        model=generator.name,
        weights=fingerprint(generator.drawn_by(sampler)),
        seed=settings.seed,
        sampler=sampler,
        num_steps=num_steps,
        guidance=settings.guidance,
        classes=classes,
        resample=fit.resampling,
        software=f"gravlensdiffusion {__version__}{requests[0].guided_by if requests else ''}",
    )
    config = hashlib.sha256(to_json(generator.config).encode()).hexdigest()
    images = json.dumps([request.identity() for request in requests])
    identity = {
        "data": seen.digest,
        "model": [filling.model, filling.weights, fingerprint(generator.model), config],
        "number of images": [[each.name, each.first, each.num] for each in classes],
        "seed": filling.seed,
        "sampler": sampler,
        "number of steps": num_steps,
        "guidance": filling.guidance,
        "batch size": settings.batch_size,
        "flux unit": fit.flux_unit,
        "resampling": filling.resample,
        "version": filling.software,
        "images": hashlib.sha256(images.encode()).hexdigest(),
    }
    return BalancePlan(
        filling=filling,
        num_kept=len(source),
        num_made_before=int(source.is_generated.sum()),
        fit=fit,
        seen=seen,
        requests=requests,
        identity=identity,
        notes=(*fit.notes, *([seen.note] if fit.is_scaled and seen.note else [])),
    )


def balance(
    source: Images,
    generator: LensGenerator | str | Path,
    out: str | os.PathLike[str],
    *,
    targets: Mapping[str, int] | int | None = None,
    settings: BalanceSettings = BalanceSettings(),
    overwrite: bool = False,
    dry_run: bool = False,
    tell: Callable[[str], object] = lambda line: line,
    advance: Callable[[int], object] = lambda num: num,
) -> BalancePlan:
    """Fill the rare classes of a set with generated images, and write it as one `lenses.h5`.

    The originals come first, as they are. Generated images follow, class by class, with 1 in the
    parameter `records.GENERATED`. A balance that was broken off goes on where it was when it is
    called again, elsewhere too, and on the same device ends with the same bits.

    Args:
        source: The labelled set, or the path of one; not changed.
        generator: The model, or the name or path of one.
        out: The file to write.
        targets: Images that a class shall have in the end: by name, or one number for all; None
            brings all classes to the size of the largest. Nothing is ever taken away.
        settings: How the images are drawn.
        overwrite: Whether an existing file may be replaced, and unfinished work of another request
            thrown away.
        dry_run: Whether to stop after all checks, before anything is drawn or written.
        tell: Called with each line that the user should know.
        advance: Called with the number of images that have been made.

    Returns:
        What was done; of a dry run, what would be.

    Raises:
        GravLensError: If the set has no classes, the model does not fit, a file is in the way or
            part of the set, or another process makes the same file.

    Example:
        >>> balance("rare.h5", "lens64", "balanced.h5")  # doctest: +SKIP
    """
    out = Path(out)
    check_store_file(out, overwrite=overwrite)
    check_apart(out, source.files if isinstance(source, LensSet) else [source])
    source = as_set(source)
    if not isinstance(generator, LensGenerator):
        generator = LensGenerator.from_pretrained(generator)
    if targets is None or isinstance(targets, int):
        targets = class_targets(source, targets)
    with _Unfinished.held(out, writes=not dry_run) as folder:
        plan = _plan(source, generator, targets, settings)
        parts = _Unfinished(folder, [request.numbers for request in plan.requests])
        if dry_run:
            parts.other_request(plan.identity, overwrite=overwrite)
            return plan
        begun = parts.begin(plan.identity, overwrite=overwrite)
        for note in filter(None, (*plan.notes, begun)):
            tell(note)
        own, units = source.header, plan.fit.stored if plan.filling.num else {}
        header = replace(
            own,
            flux_unit=plan.fit.flux_unit,
            parameter_units={**own.parameter_units, **units, GENERATED: ""},
            fillings=(*own.fillings, plan.filling) if plan.filling.num else own.fillings,
        )
        clipping = []
        for k, request in enumerate(plan.requests):
            if not parts.has(k):
                (samples,) = generator.generate(request, batch_size=settings.batch_size)
                clipping.append(samples.clipping)
                name = generator.config.class_names[request.labels[0]]
                records = _made(source, name, plan, request, samples)
                parts.write(k, records, header, {})
            advance(len(request))
        if note := sum(clipping, Clipping()).note(seen=plan.fit.has_twins):
            tell(note)
        records = chain(_originals(source, plan.fit.has_twins), parts.records())
        write_store(out, records, header, num=len(source) + plan.filling.num, overwrite=overwrite)
        parts.clear()
    return plan


def _made(
    source: LensSet, name: str, plan: BalancePlan, request: Request, samples: LensSamples
) -> Iterator[LensRecord]:
    label = source.header.class_names.index(name)
    for record in plan.fit(samples, request, plan.seen, label).records():
        kept = {name: value for name, value in record.parameters.items() if name in plan.fit.stored}
        yield replace(record, parameters=kept | {GENERATED: 1.0})


def _originals(source: LensSet, has_twins: bool) -> Iterator[LensRecord]:
    # NaN too, as it stands there: a name that no image has a value of is kept.
    records = source.records(with_unknown=True)
    for record, is_made in zip(records, source.is_generated, strict=True):
        twin = record.noise_free if has_twins else None
        parameters = {**record.parameters, GENERATED: float(is_made)}
        yield replace(record, parameters=parameters, noise_free=twin)


@dataclass(frozen=True, slots=True)
class _Unfinished(Shards):
    """The batches of a balance, in the folder ``OUT.partial``, in which it waits to go on."""

    stem: str = "part-0"

    @staticmethod
    @contextmanager
    def held(out: Path, *, writes: bool = True) -> Iterator[Path]:
        """Hold ``OUT.partial`` for this process, made where it `writes`, and removed where nothing stays in it."""
        folder = out.with_name(f"{out.name}.partial")
        if folder.exists() and not (folder / REQUEST).is_file():
            is_empty = folder.is_dir() and all(p.name.startswith(".") for p in folder.iterdir())
            if not is_empty:
                raise GravLensError(f"{folder}: is no unfinished balance; move it away")
        with held(folder) if writes or (folder / LOCK).is_file() else nullcontext():
            yield folder

    def other_request(self, request: Mapping[str, Any], *, overwrite: bool) -> str:
        """Say that the folder holds the work of another request, if it does and may be thrown away."""
        path = self.folder / REQUEST
        if not path.is_file():
            return ""
        old = parse_record(path.read_bytes())
        if old is None:
            raise GravLensError(f"{path}: damaged; move {self.folder} away")
        # As it comes back from the file; what it does not name was not told apart before.
        wanted = json.loads(json.dumps(request))
        keys = [key for key, value in old.items() if wanted.get(key) != value]
        # The images are other ones too, where anything else is.
        keys = [key for key in keys if key != "images"] or keys
        if not keys:
            return ""
        what = f"{self.folder}: holds an unfinished balance of another {', '.join(keys)}"
        if not overwrite:
            raise GravLensError(
                f"{what}; give what it was given, or `overwrite` to start anew, or choose another `out`"
            )
        return what

    def begin(self, request: Mapping[str, Any], *, overwrite: bool) -> str:
        """Prepare the folder, which must be held, and say what the user should know of earlier work."""
        what = self.other_request(request, overwrite=overwrite)
        if what:
            self.clear()
        self.clean()
        if (self.folder / REQUEST).exists():
            return f"going on with what lies in {self.folder}"
        with whole_file(self.folder / REQUEST, overwrite=False) as temporary:
            temporary.write_text(json.dumps(request, indent=2), encoding="utf-8")
        return f"{what}: starting anew" if what else ""

    def has(self, index: int) -> bool:
        """Whether a batch is there to be used; a damaged file is as good as none, and removed."""
        path = self.path(index)
        with suppress(GravLensError):
            # A batch of before says nothing of itself; the folder does.
            if path.exists() and not self.differences(index, {}):
                return True
        path.unlink(missing_ok=True)
        return False

    def clear(self) -> None:
        """Remove what a balance has written, and nothing else; what tells whose it is, at the end."""
        Shards.clear(self)
        for name in (WHOLE, REQUEST):
            (self.folder / name).unlink(missing_ok=True)
