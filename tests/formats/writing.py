"""Writing a set as commands do."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gravlensdiffusion.formats.writers import FORMATS, whole_set, write_images
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from tests.sets.files import HEADER, lens_records


def write(
    folder: Path,
    header: SetHeader = HEADER,
    num: int = 12,
    *,
    formats: Sequence[str] = FORMATS,
    overwrite: bool = False,
    records: Iterable[LensRecord] | None = None,
    expected: int | None = None,
) -> list[str]:
    """Write a set as the command does."""
    with whole_set(folder, formats, overwrite=overwrite) as partial:
        own = lens_records(num) if records is None else records
        return write_images(partial, own, header, formats, model="lens28", num=expected)
