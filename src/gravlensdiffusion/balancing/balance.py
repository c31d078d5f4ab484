"""Filling the rare classes of a labelled set with generated images."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from gravlensdiffusion import __version__
from gravlensdiffusion.balancing.fit import Fit, Survey, fit_model, stored_units
from gravlensdiffusion.balancing.settings import Settings, class_targets, fill
from gravlensdiffusion.balancing.unfinished import Unfinished
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.formats.open import as_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.model.checkpoint import fingerprint
from gravlensdiffusion.sets.flux import PEAK
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import GENERATED, FilledClass, Filling, LensRecord, SetHeader
from gravlensdiffusion.store.writer import check_store_file, write_store

CLASS_STRIDE = 2**40
"""Image numbers from one class of a model to the next."""
DEFAULTS = Settings()
"""Seed 0, the model's own sampler and steps, nothing resampled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a balance does.

    Attributes:
        filling: What is made, of which class and by what; it goes into the file.
        num_kept: Images that the set has.
        fit: What makes the model's images fit.
        seen: What was seen of the set.
        requests: What is asked of the model, batch by batch, none of two classes.
        identity: All that the balanced set depends on, by the names of messages.
        notes: What the user should know, one line each.
    """

    filling: Filling
    num_kept: int
    fit: Fit
    seen: Survey
    requests: Sequence[Request]
    identity: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def made(self) -> dict[str, int]:
        """Images to be generated, by class, in the order of the set's."""
        return {each.name: each.num for each in self.filling.classes}

    @property
    def num_made_before(self) -> int:
        """Images of the set that were generated before."""
        return int(self.seen.source.is_generated.sum())


def _plan(
    source: LensSet, generator: LensGenerator, targets: Mapping[str, int], settings: Settings
) -> Plan:
    classes = fill(source, targets, settings.seed)
    fit = fit_model(source, generator, classes, settings)
    sampler, num_steps = generator.sampling(settings.sampler, settings.num_steps)
    requests = _requests(generator, classes, fit, settings)
    seen = Survey.of(source)
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
    return Plan(
        filling=filling,
        num_kept=len(source),
        fit=fit,
        seen=seen,
        requests=requests,
        identity=_identity(generator, filling, fit, seen, requests, settings),
        notes=(*fit.notes, *_note_extremes(fit, seen)),
    )


def balance(
    source: LensSet | str | os.PathLike[str],
    generator: LensGenerator | str | Path,
    out: str | os.PathLike[str],
    *,
    targets: Mapping[str, int] | int | None = None,
    settings: Settings = DEFAULTS,
    overwrite: bool = False,
    dry_run: bool = False,
    tell: Callable[[str], object] = lambda line: line,
    advance: Callable[[int], object] = lambda num: num,
) -> Plan:
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
        GravLensError: If the set has no classes, the model does not fit, a file is in the way, or
            another process makes the same file.

    Example:
        >>> balance("rare.h5", "lens64", "balanced.h5")  # doctest: +SKIP
    """
    out = Path(out)
    check_store_file(out, overwrite=overwrite)
    source = as_set(source)
    if not isinstance(generator, LensGenerator):
        generator = LensGenerator.from_pretrained(generator)
    if targets is None or isinstance(targets, int):
        targets = class_targets(source, targets)
    with Unfinished.held(out, writes=not dry_run) as folder:
        plan = _plan(source, generator, targets, settings)
        parts = Unfinished(folder, [request.numbers for request in plan.requests])
        if dry_run:
            parts.other_request(plan.identity, overwrite=overwrite)
            return plan
        for note in (*plan.notes, parts.begin(plan.identity, overwrite=overwrite)):
            if note:
                tell(note)
        header = _header(source, generator, plan)
        clipping = []
        for k, request in enumerate(plan.requests):
            if not parts.has(k):
                (samples,) = generator.generate(request, batch_size=settings.batch_size)
                clipping.append(samples.clipping)
                records = _made(source, generator, plan, request, samples)
                parts.write(k, records, header, {})
            advance(len(request))
        if note := Clipping.total(clipping).note(seen=plan.fit.has_twins):
            tell(note)
        records = chain(_originals(source, plan.fit.has_twins), parts.records())
        num = len(source) + plan.filling.num
        write_store(out, records, header, num=num, overwrite=overwrite)
        parts.clear()
    return plan


def _requests(
    generator: LensGenerator, classes: Sequence[FilledClass], fit: Fit, settings: Settings
) -> list[Request]:
    """Return what is asked of the model.

    Image j of a class depends on (seed, class, j), where the class is its place among the model's.
    """
    found: list[Request] = []
    for each in classes:
        if not each.num:
            continue
        place = 1 + generator.config.class_names.index(each.name)
        whole = generator.request(
            each.num,
            label=each.name,
            seed=settings.seed,
            first=place * CLASS_STRIDE + each.first,
            sampler=settings.sampler,
            num_steps=settings.num_steps,
            guidance=settings.guidance,
            noise_free=fit.has_twins,
        )
        found += whole.batches(settings.batch_size)
    return found


def _identity(
    generator: LensGenerator,
    filling: Filling,
    fit: Fit,
    seen: Survey,
    requests: Sequence[Request],
    settings: Settings,
) -> dict[str, Any]:
    """Return all that the balanced set depends on; what hardware does to the last digits is none."""
    config = hashlib.sha256(to_json(generator.config).encode()).hexdigest()
    images = json.dumps([request.identity() for request in requests])
    return {
        "data": seen.digest,
        "model": [filling.model, filling.weights, fingerprint(generator.model), config],
        "number of images": [[each.name, each.first, each.num] for each in filling.classes],
        "seed": filling.seed,
        "sampler": filling.sampler,
        "number of steps": filling.num_steps,
        "guidance": filling.guidance,
        "batch size": settings.batch_size,
        "flux unit": fit.flux_unit,
        "resampling": filling.resample,
        "version": filling.software,
        "images": hashlib.sha256(images.encode()).hexdigest(),
    }


def _made(
    source: LensSet, generator: LensGenerator, plan: Plan, request: Request, samples: LensSamples
) -> Iterator[LensRecord]:
    name = generator.config.class_names[request.labels[0]]
    label = source.header.class_names.index(name)
    stored = stored_units(source, generator)
    for record in plan.fit(samples, request, plan.seen, label).records():
        kept = {name: value for name, value in record.parameters.items() if name in stored}
        yield replace(record, parameters=kept | {GENERATED: 1.0})


def _header(source: LensSet, generator: LensGenerator, plan: Plan) -> SetHeader:
    own = source.header
    units = stored_units(source, generator) if plan.filling.num else {}
    return replace(
        own,
        flux_unit=plan.fit.flux_unit,
        parameter_units={**own.parameter_units, **units, GENERATED: ""},
        fillings=(*own.fillings, plan.filling) if plan.filling.num else own.fillings,
    )


def _originals(source: LensSet, has_twins: bool) -> Iterator[LensRecord]:
    # NaN too, as it stands there: a name that no image has a value of is kept.
    records = source.records(with_unknown=True)
    for record, is_made in zip(records, source.is_generated, strict=True):
        parameters = {**record.parameters, GENERATED: float(is_made)}
        yield replace(
            record, parameters=parameters, noise_free=record.noise_free if has_twins else None
        )


def _note_extremes(fit: Fit, seen: Survey) -> list[str]:
    if not fit.is_scaled or (not seen.lows.any() and (seen.highs == 1).all()):
        return []
    note = (
        "the images of the set do not reach from 0 to 1, as if they were scaled at another size "
        f"(brightest pixel {seen.highs.mean():.3g} on average): each image that is made takes the "
        "faintest and the brightest pixel of an original of its class, drawn at random"
    )
    return [note]
