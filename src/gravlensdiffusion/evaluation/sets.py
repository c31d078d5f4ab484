"""The sets of images that an evaluation is of."""

from dataclasses import dataclass

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.preparation import PreparedSource, prepare_sets
from gravlensdiffusion.evaluation.result import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Sets:
    """The sets of an evaluation.

    Attributes:
        generated: The images to be judged.
        reference: The real images.
        second: More real images, for the floor; or None.
        training: What the generator was trained on, or None.
    """

    generated: PreparedSource
    reference: PreparedSource
    second: PreparedSource | None = None
    training: PreparedSource | None = None

    @property
    def real(self) -> tuple[PreparedSource, ...]:
        """The reference and, where there is one, the second reference."""
        return (self.reference,) if self.second is None else (self.reference, self.second)

    @property
    def all(self) -> tuple[PreparedSource, ...]:
        """All sets that there are."""
        training = () if self.training is None else (self.training,)
        return (self.generated, *self.real, *training)

    def of_channel(self, channel: int) -> "Sets":
        """Return another channel of all sets, by its number from 0."""
        return Sets(
            generated=self.generated.of_channel(channel),
            reference=self.reference.of_channel(channel),
            second=None if self.second is None else self.second.of_channel(channel),
            training=None if self.training is None else self.training.of_channel(channel),
        )

    def prepared(self, settings: Settings) -> "Sets":
        """Return all sets on common ground; see `preparation.prepare_sets`."""
        given = [self.generated, self.reference, self.second, self.training]
        there = [each for each in given if each is not None]
        ready = iter(
            prepare_sets(
                there,
                size=settings.size,
                rescale=settings.rescale,
                eight_bit=settings.eight_bit,
            )
        )
        generated, reference, second, training = (
            None if each is None else next(ready) for each in given
        )
        if generated is None or reference is None:
            raise GravLensError("an evaluation needs a generated set and a reference")
        return Sets(generated=generated, reference=reference, second=second, training=training)
