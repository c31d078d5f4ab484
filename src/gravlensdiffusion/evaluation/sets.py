"""The sets of images that an evaluation is of."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import (
    UNIT_RANGE,
    Preparation,
    PreparedSource,
)
from gravlensdiffusion.evaluation.result import DEFAULTS, EvaluationSettings
from gravlensdiffusion.files import told_apart
from gravlensdiffusion.formats.companions import is_of_images
from gravlensdiffusion.formats.open import Images, as_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.interop.hub import is_hub_name
from gravlensdiffusion.model.folders import is_model
from gravlensdiffusion.sets.copies import are_known, group
from gravlensdiffusion.sets.flux import EIGHT_BIT, PEAK, UNKNOWN
from gravlensdiffusion.sets.lens_set import LensSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Sets:
    """The sets of an evaluation."""

    generated: PreparedSource  # the images to be judged
    reference: PreparedSource  # the real images
    reference2: PreparedSource | None = None  # more real images, for the floor; or None
    train: PreparedSource | None = None  # what the generator was trained on, or None

    @classmethod
    def of(
        cls,
        generated: Images,
        reference: Images,
        reference2: Images | None = None,
        train: Images | None = None,
        *,
        names: Mapping[str, str] | None = None,
        num: int | None = None,
        settings: EvaluationSettings = DEFAULTS,
        progress: bool = False,
    ) -> "Sets":
        """Return the sets that are to be compared; images of a model are drawn once one of them fits.

        The arguments are those of `evaluate`, and ``names`` what to call a set, by the name of its
        argument.

        Raises:
            GravLensError: If one cannot be read, or its images are not square; or if those of a model
                would not go with the other sets.
        """
        given = {"generated": generated, "reference": reference}
        more = {"reference2": reference2, "train": train}
        given |= {role: images for role, images in more.items() if images is not None}
        paths = {role: each for role, each in given.items() if not isinstance(each, LensSet)}
        named = dict(zip(paths, told_apart(paths.values()), strict=True))
        called = {role: role for role in given} | named | dict(names or {})
        path = paths.get("generated")
        model = path if path is not None and names_model(path) else None
        if model is not None:
            del given["generated"]
        elif num is not None:
            raise GravLensError("`num` is for a model, whose images are drawn")
        sources = {k: PreparedSource(as_set(each), called[k]) for k, each in given.items()}
        if model is None:
            return cls(**sources)
        folder, num = Path(model), num or len(sources["reference"])
        generator = LensGenerator.from_pretrained(folder if folder.exists() else str(model))

        def drawn(num: int, *, progress: bool) -> "Sets":
            samples = generator.sample(num, seed=settings.seed, progress=progress)
            return cls(generated=PreparedSource(samples, called["generated"]), **sources)

        one = drawn(1, progress=False)
        one.plan(settings, num)
        one.prepared(settings)
        return drawn(num, progress=progress)

    @property
    def named(self) -> dict[str, PreparedSource]:
        """All sets that there are, by the name of their attribute."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: each for name, each in named.items() if each is not None}

    @property
    def real(self) -> tuple[PreparedSource, ...]:
        """The reference and, where there is one, the second reference."""
        both = (self.reference, self.reference2)
        return tuple(each for each in both if each is not None)

    @property
    def compared(self) -> tuple[PreparedSource, ...]:
        """The generated images, followed by the real ones."""
        return (self.generated, *self.real)

    @property
    def measured(self) -> tuple[PreparedSource, ...]:
        """All that may be measured: the sets, and their twins where these are compared."""
        return (*self.named.values(), *self.twins)

    @property
    def twins(self) -> tuple[PreparedSource, ...]:
        """The noise-free twins of the generated and the real images; none if one set lacks them."""
        if not all(each.has_noise_free for each in self.compared):
            return ()
        return tuple(each.noise_free for each in self.compared)

    def of_channel(self, channel: int) -> "Sets":
        """Return another channel of all sets, by its number from 0."""
        return replace(self, **{k: each.of_channel(channel) for k, each in self.named.items()})

    def prepared(self, settings: EvaluationSettings) -> "Sets":
        """Decide what all sets go through, and return them so prepared.

        Raises:
            GravLensError: If channels, sizes or flux units differ and nothing was said that makes them
                one, or 8 bits are asked for of images that are not in [0, 1].
        """
        sets, size, rescale = self.named.values(), settings.size, settings.rescale
        if len({each.num_channels for each in sets}) > 1:
            raise GravLensError(f"{_listing(sets, 'num_channels')}: the numbers of channels differ")
        sizes = {each.stored_size for each in sets}
        if min(sizes) < 8:
            raise GravLensError(
                f"{_listing(sets, 'stored_size')}: images of 8 pixels a side or more can be compared"
            )
        if size is None and len(sizes) > 1:
            raise GravLensError(
                f"{_listing(sets, 'stored_size')}: the sizes differ; `size` {min(sizes)} brings them to one"
            )
        chosen = min(sizes) if size is None else size
        if chosen > min(sizes):
            raise GravLensError(
                f"`size` must be at most the {min(sizes)} pixels of the smallest images, got {chosen}"
            )
        if rescale == "none":
            _check_units(sets)
        rounded = settings.eight_bit or any(each.is_eight_bit for each in sets)
        levels = EIGHT_BIT if rounded else None
        # What a set does not tell is that of the reference, or else of the first set that tells.
        every = (self.reference, *sets)
        units = (each.flux_unit for each in every if each.flux_unit != UNKNOWN)
        sides = (each.field_arcsec for each in every if each.field_arcsec is not None)
        preparation = Preparation(
            size=chosen,
            flux_unit=next(units, None),
            rescale=rescale,
            levels=levels,
            field_arcsec=next(sides, None),
        )
        reference = self.reference.prepared(preparation)
        if not _is_unit_range(reference):
            if settings.eight_bit:
                raise GravLensError(
                    "`eight_bit` rounds images in [0, 1], and these have another range; `rescale` peak "
                    "brings each image to it"
                )
            _, faint, bright = reference.extremes
            if not bright > faint:
                raise GravLensError(f"{reference.title}: its images have no spread")
            preparation = replace(preparation, faint=faint, bright=bright, levels=None)
        return replace(self, **{k: each.prepared(preparation) for k, each in self.named.items()})

    def plan(self, settings: EvaluationSettings, num: int | None = None) -> ComparisonPlan:
        """Decide which images are compared with which; see `ComparisonPlan.of`.

        Args:
            settings: How to compare them.
            num: Number of generated images, where it is not that of the set.
        """
        sizes = (len(self.generated) if num is None else num, *map(len, self.real))
        return ComparisonPlan.of(*sizes, num_seeds=settings.num_seeds, seed=settings.seed)

    def copies(self) -> list[str]:
        """Say which sets, on common ground, hold copies of one another's images, or of their own.

        Raises:
            GravLensError: If all images of a set are copies of images that it is compared with, so that
                nothing could be learned.
        """
        pairs = [(self.generated, each, "the generated images") for each in self.real]
        if self.reference2 is not None:
            pairs.append((self.reference2, self.reference, "the second reference"))
        if self.train is not None:
            pairs += [(each, self.train, "the reference") for each in self.real]
        notes = []
        for own, other, role in pairs:
            num = int(are_known(own.signatures, other.signatures).sum())
            text = f"{num:,} of the {len(own):,} images of {own.title} are copies of those of {other.title}"
            if num == len(own):
                raise GravLensError(f"{text}; {role} must be others")
            if num:
                notes.append(f"{text}; {role} should be others")
        for each in self.compared:
            copies = group([each.signatures])
            if copies.num_different < len(each):
                notes.append(
                    f"{len(each) - copies.num_different:,} of the {len(each):,} images of {each.title} "
                    f"are copies of others among them, {copies.num_different:,} are different"
                )
        return notes

    @property
    def notes(self) -> list[str]:
        """What a reader should know of where the images come from."""
        return [*_mixed(self), *_peaks(self)]


def names_model(generated: str | os.PathLike[str]) -> bool:
    """Whether images are to be drawn from a model: one in a folder, a bundled one, or one on the hub.

    What exists is taken for what lies there, whatever it is called.
    """
    path = Path(generated)
    if path.exists() or not isinstance(generated, str):
        return is_model(path)
    return is_model(generated) or (is_hub_name(generated) and not is_of_images(path))


def _peaks(sets: Sets) -> list[str]:
    """Say where generated and real images were each scaled to [0, 1], but not at one size.

    Images of a model that has learned such images need not reach 0 and 1, and are no sign of it.
    """
    pair = (sets.generated, sets.reference)
    if sets.generated.preparation.rescale != "none" or {each.flux_unit for each in pair} != {PEAK}:
        return []
    size = sets.generated.preparation.size
    made, real = (each.are_at_their_peak and each.stored_size == size for each in pair)
    if made and not real:
        here, there = pair
    elif real and sets.generated.are_at_their_peak:
        there, here = pair
    else:
        return []
    note = (
        f"the images of {here.title} were each scaled to [0, 1] at {size} pixels, those of "
        f"{there.title} at another size: their brightest pixels and all fluxes differ by that; "
        "`rescale` peak brings each image to [0, 1]"
    )
    return [note]


def _mixed(sets: Sets) -> list[str]:
    """Say which sets of a `gravlens balance` mix originals and generated images."""
    found = []
    for each in sets.real:
        num = int(each.is_generated.sum())
        if num:
            found.append(
                f"{num:,} of the {len(each):,} images of {each.title} are flagged as generated, and "
                "count as real here"
            )
    judged = sets.generated
    num = len(judged) - int(judged.is_generated.sum())
    if 0 < num < len(judged):
        found.append(
            f"{num:,} of the {len(judged):,} images of {judged.title} are originals, and are judged "
            "with those that are generated"
        )
    return found


def _is_unit_range(reference: PreparedSource) -> bool:
    """Whether the reference is on the scale of peak-scaled images already."""
    if reference.flux_unit != UNKNOWN and reference.preparation.rescale == "none":
        return reference.flux_unit in UNIT_RANGE
    low, _, high = reference.extremes
    return low >= -0.1 and 0.5 <= high <= 1.1


def _check_units(sets: Collection[PreparedSource]) -> None:
    """Refuse sets whose flux units differ.

    One that is not known goes with any, but not with images from 0 to 1 where its own reach far out.
    """
    alike = UNIT_RANGE | {UNKNOWN}
    known = {each.flux_unit for each in sets} - alike
    if len(known) > 1 or (known and any(each.flux_unit in UNIT_RANGE for each in sets)):
        raise GravLensError(
            f"{_listing(sets, 'flux_unit')}: the flux units differ; `rescale` peak brings each "
            "image to [0, 1]"
        )
    for each in sets if any(one.flux_unit in UNIT_RANGE for one in sets) else ():
        if each.flux_unit == UNKNOWN and each.is_far_beyond_one:
            raise GravLensError(
                f"{_listing(sets, 'flux_unit')}: the images of {each.title} reach far beyond 1, "
                "the others lie between 0 and 1; `rescale` peak brings each image there"
            )


def _listing(sets: Collection[PreparedSource], attribute: str) -> str:
    return ", ".join(f"{each.title} has {getattr(each, attribute)}" for each in sets)
