"""Which setting of ours is as good as another's, and what that saves."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One arm with one sampler.

    Attributes:
        arm: The arm.
        sampler: Its sampler.
        s_per_image: Time per image [s].
        distances: Lens Fréchet distance by the number of images that it was measured on.
    """

    arm: str
    sampler: str
    s_per_image: float
    distances: dict[int, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A setting of another arm, and the cheapest of ours that is at least as good.

    Attributes:
        theirs: The setting.
        num: Images that both were compared on.
        ours: The cheapest setting of ours not worse than it; None where there is none.
    """

    theirs: Setting
    num: int
    ours: Setting | None

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is; None where nothing of ours is as good."""
        return None if self.ours is None else self.theirs.s_per_image / self.ours.s_per_image


def best_of(settings: Sequence[Setting], num: int) -> Setting | None:
    """Return the setting of the least distance among those measured on a number of images."""
    known = [each for each in settings if num in each.distances]
    return min(known, key=lambda each: each.distances[num], default=None)


def match(theirs: Setting, ours: Sequence[Setting], num: int) -> Match:
    """Return the cheapest of ours whose distance at a number of images is not above theirs."""
    good = [
        each
        for each in ours
        if num in each.distances and each.distances[num] <= theirs.distances[num]
    ]
    cheapest = min(good, key=lambda each: each.s_per_image, default=None)
    return Match(theirs=theirs, num=num, ours=cheapest)


def time_to_reach(curve: Sequence[tuple[float, float]], goal: float) -> float | None:
    """Return the first training time at which a distance is not above a goal.

    Args:
        curve: Training time and distance.
        goal: The distance to reach.
    """
    return next((time for time, distance in sorted(curve) if distance <= goal), None)
