"""Images that several sets of an evaluation share, or one holds more than once."""

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.sets.copies import are_known, group


def note_copies(sets: Sets) -> list[str]:
    """Say which sets hold copies of one another's images, or of their own.

    Args:
        sets: The sets, on common ground.

    Raises:
        GravLensError: If all images of a set are copies of images that it is compared with, so that
            nothing could be learned.
    """
    pairs = [(sets.generated, each, "the generated images") for each in sets.real]
    if sets.second is not None:
        pairs.append((sets.second, sets.reference, "the second reference"))
    if sets.training is not None:
        pairs += [(each, sets.training, "the reference") for each in sets.real]
    notes = []
    for own, other, role in pairs:
        num = int(are_known(own.signatures, other.signatures).sum())
        text = (
            f"{num:,} of the {len(own):,} images of {own.name} are copies of those of {other.name}"
        )
        if num == len(own):
            raise GravLensError(f"{text}; {role} must be others")
        if num:
            notes.append(f"{text}; {role} should be others")
    for each in (sets.generated, *sets.real):
        copies = group([each.signatures])
        if copies.num_different < len(each):
            notes.append(
                f"{len(each) - copies.num_different:,} of the {len(each):,} images of {each.name} "
                f"are copies of others among them, {copies.num_different:,} are different"
            )
    return notes
