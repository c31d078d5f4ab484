"""How generated images are drawn, and how many of each class."""

from collections.abc import Mapping
from dataclasses import dataclass

from gravlensdiffusion.config.bounds import Count, Guidance, NoiseSeed, check_ranges
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import FilledClass


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceSettings:
    """How the images are drawn.

    Attributes:
        seed: Seed of the images.
        sampler: Name of the sampler; None for what suits the model and the number of steps.
        num_steps: Number of steps; None for what suits model and sampler.
        guidance: Scale of classifier-free guidance; 1 is none.
        batch_size: Images at a time.
        resample: Whether generated images of another size or pixel scale are brought to those of
            the set.
        flux_unit: Unit of the set's images, where its files do not say it; None elsewhere.
    """

    seed: NoiseSeed = 0
    sampler: str | None = None
    num_steps: Count | None = None
    guidance: Guidance = 1.0
    batch_size: Count = 100
    resample: bool = False
    flux_unit: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "`{}`")


def class_targets(
    source: LensSet, num: int | None = None, *, alike: bool = False
) -> dict[str, int]:
    """Return how many images each class shall have in the end; one without images gets none.

    Args:
        source: The labelled set.
        num: Images that each class shall have; None for as many as the largest has.
        alike: Whether as many images are added to every class as to the one that lacks most. Where only
            the rare class has generated images, a classifier can tell it by their being generated.
    """
    counts = {name: count for name, count in source.class_counts.items() if count}
    wanted = max(counts.values(), default=0) if num is None else num
    if not alike:
        return dict.fromkeys(counts, wanted)
    most = max((wanted - count for count in counts.values()), default=0)
    return {name: count + max(most, 0) for name, count in counts.items()}


def fill(source: LensSet, targets: Mapping[str, int], seed: int) -> tuple[FilledClass, ...]:
    """Return what has to be made of each class, in the order of the set's classes.

    Images that a seed has given to the set before are not made again: numbers go on after them. A
    class that has as many images as its target or more, or has no target, gets none.

    Raises:
        GravLensError: If the set has no classes, lacks one that is named, or a number is negative.
    """
    counts = source.class_counts
    if not counts:
        raise GravLensError("the set has no classes, so there is nothing to balance")
    for name, num in targets.items():
        if name not in counts:
            raise GravLensError(f"the set has no class '{name}'; it has: {', '.join(counts)}")
        if num < 0:
            raise GravLensError(f"class '{name}' cannot be filled up to {num} images")
    first = dict.fromkeys(counts, 0)
    for filling in source.header.fillings:
        for each in filling.classes if filling.seed == seed else ():
            first[each.name] = max(first.get(each.name, 0), each.first + each.num)
    return tuple(
        FilledClass(name=name, first=first[name], num=max(0, targets.get(name, 0) - num))
        for name, num in counts.items()
    )
