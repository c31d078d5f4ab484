"""What a user orders, as text, to the numbers that a model is conditioned on.

Each value is held against the range that the model has learned of its parameter. Whether values go
together is not: a source at the edge of both ranges may lie farther out than any in the training
set.
"""

import csv
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.ranges import check_ranges, complaint, is_outside
from gravlensdiffusion.sets.records import UNLABELLED

ANY_LABEL = "any"
"""What to ask for where the class, or a value, is left to the model."""
LABEL_COLUMN = "label"
MAX_ROWS = 10_000_000
"""Rows that a table of conditions may have."""
MAX_LINE = 100_000
"""Letters that one of its lines may have."""

_LEFT_OUT = ("", ANY_LABEL, "nan")


class Span(NamedTuple):
    """A range of values; both ends are the same for a single value."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Order:
    """What each of N images is asked to be.

    Attributes:
        labels: Class indices, int16 of shape ``(N,)``; -1 where the class is left out.
        parameters: Shape ``(N, P)``, in the order of the model's parameters and in their units;
            NaN where a value is left out.
    """

    labels: NDArray[np.int16]
    parameters: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice) -> "Order":
        return Order(self.labels[index], self.parameters[index])


def parse_span(text: str, name: str) -> Span:
    """Return the range of values that ``1.2`` or ``1.0:1.4`` stands for.

    Args:
        text: A number, or two with a colon between them.
        name: Name of the parameter; ``theta_E`` goes by the flag ``--theta-E``.

    Raises:
        GravLensError: If it is neither a number nor a range.
    """
    flag = "--" + name.replace("_", "-")
    try:
        values = [_number(part) for part in text.split(":")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(map(math.isfinite, values)):
        raise GravLensError(f"{flag}: '{text}' is neither a number nor a range like 1.0:1.4")
    span = Span(values[0], values[-1])
    if span.low > span.high:
        raise GravLensError(f"{flag}: the range '{text}' ends below its start")
    return span


def draw_order(
    config: ModelConfig,
    num: int,
    label: str | Sequence[str] | None,
    spans: Mapping[str, Span],
    seed: int,
    model_name: str,
) -> Order:
    """Return an order of images whose values lie evenly in ranges.

    The values of image k depend on (seed, k) and their own range alone. Even means even in the
    logarithm for a parameter that the model sees on a logarithmic scale.

    Args:
        config: The model.
        num: Number of images N.
        label: See `cycle_labels`.
        spans: Ranges of values by the names of the parameters; the others are left out.
        seed: Seed.
        model_name: What error messages call the model.

    Raises:
        GravLensError: If the model does not know a class, a parameter or a value.
    """
    labels = cycle_labels(config, num, label, model_name)
    check_ranges(config, spans, model_name)
    values = np.full((len(labels), len(config.parameters)), np.nan)
    columns = {each.name: place for place, each in enumerate(config.parameters)}
    for name, span in spans.items():
        values[:, columns[name]] = span.low
    wide = [name for name, span in spans.items() if span.low < span.high]
    if wide:
        # Each parameter has its place among an image's numbers, whether it is asked for or not.
        shape = len(config.parameters)
        numbers = [generator(seed, k, Stream.ORDER).random(shape) for k in range(len(labels))]
        u = np.reshape(numbers, (len(labels), shape))
        for name in wide:
            place = columns[name]
            values[:, place] = _spread(spans[name], config.parameters[place].scale, u[:, place])
    return Order(labels, values)


def cycle_labels(
    config: ModelConfig, num: int, label: str | Sequence[str] | None, model_name: str
) -> NDArray[np.int16]:
    """Return the class index of image k for k from 0 to ``num - 1``, shape ``(num,)``.

    Args:
        config: The model.
        num: Number of images.
        label: A class for all; or a list of classes that is gone through again and again; ``any``
            leaves the class to the model; None goes through all classes in turn.
        model_name: What error messages call the model.

    Raises:
        GravLensError: If the model does not know the class.
    """
    if label is None:
        label = list(config.class_names) or ANY_LABEL
    names = [label] if isinstance(label, str) else list(label)
    cycle = [_class_index(config, name, model_name) for name in names]
    return np.resize(np.array(cycle, dtype=np.int16), max(num, 0))


def parameter_table(
    config: ModelConfig, num: int, values: Mapping[str, ArrayLike], model_name: str
) -> NDArray[np.float64]:
    """Return values in the order of the model's parameters, NaN where they are left out.

    Args:
        config: The model.
        num: Number of images N.
        values: Numbers, or arrays of shape ``(N,)``, by the names of the parameters [their units].
        model_name: What error messages call the model.

    Returns:
        Shape ``(N, P)``.

    Raises:
        GravLensError: If the model does not know a parameter or a value, or the shape is another.
    """
    check_ranges(config, values, model_name)
    table = np.full((num, len(config.parameters)), np.nan)
    for place, parameter in enumerate(config.parameters):
        if parameter.name in values:
            column = np.asarray(values[parameter.name], dtype=np.float64)
            if column.shape not in ((), (num,)):
                raise GravLensError(
                    f"parameter '{parameter.name}' must be a number or {num} numbers, one per "
                    f"image, got an array of shape {column.shape}"
                )
            table[:, place] = column
    return table


def read_conditions(path: str | Path, config: ModelConfig, model_name: str) -> Order:
    """Read an order from a table, one image per row.

    The first line of the CSV file names the columns: ``label`` and parameters of the model, any of
    them in any order. An empty cell, ``any`` or ``nan`` leaves the value to the model; empty lines
    are skipped.

    Args:
        path: The file.
        config: The model.
        model_name: What error messages call the model.

    Raises:
        GravLensError: If the file cannot be read, or holds what the model does not know.
    """
    path = Path(path)
    rows = _rows(path)
    _, header = next(rows, (1, []))
    columns = _columns(path, header, config)
    labels, values = array("h"), array("d")
    for line, row in rows:
        if len(row) != len(columns):
            raise GravLensError(
                f"{path}, line {line}: {len(row)} columns where the header has {len(columns)}"
            )
        cells = dict(zip(columns, row, strict=True))
        labels.append(_label(path, line, cells.get(LABEL_COLUMN, ""), config, model_name))
        for parameter in config.parameters:
            cell = cells.get(parameter.name, "")
            values.append(_value(path, line, cell, parameter, model_name))
        if len(labels) > MAX_ROWS:
            raise GravLensError(f"{path}: more than {MAX_ROWS:,} rows")
    if not labels:
        raise GravLensError(f"{path}: no rows below the header")
    table = np.array(values, dtype=np.float64).reshape(len(labels), len(config.parameters))
    return Order(np.array(labels, dtype=np.int16), table)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file that are not empty, each with the number of its last line."""
    try:
        # A pipe or a device may never end.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise GravLensError(f"{path}: is no regular file")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(file, path), strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except OSError as error:
        raise GravLensError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise GravLensError(f"{path}: not a text file, a table in CSV is needed") from None
    except csv.Error as error:
        raise GravLensError(f"{path}, line {reader.line_num}: {error}") from None


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a table, none of which is so long that it would fill the memory."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise GravLensError(f"{path}: has a line of over {MAX_LINE:,} letters")
        yield line


def _columns(path: Path, header: list[str], config: ModelConfig) -> list[str]:
    allowed = [LABEL_COLUMN, *(each.name for each in config.parameters)]
    if not header:
        raise GravLensError(f"{path}: empty, the first line must name columns")
    for name in header:
        if name not in allowed:
            shown = name if name.isprintable() and len(name) <= 40 else ascii(name[:40])[1:-1]
            raise GravLensError(
                f"{path}, line 1: unknown column '{shown}'; choose from {', '.join(allowed)}"
            )
        if header.count(name) > 1:
            raise GravLensError(f"{path}, line 1: column '{name}' stands there twice")
    return header


def _label(path: Path, line: int, cell: str, config: ModelConfig, model_name: str) -> int:
    if cell.lower() in _LEFT_OUT and cell not in config.class_names:
        return UNLABELLED
    try:
        return _class_index(config, cell, model_name)
    except GravLensError as error:
        raise GravLensError(f"{path}, line {line}, column {LABEL_COLUMN}: {error}") from None


def _value(path: Path, line: int, cell: str, parameter: ParameterConfig, model_name: str) -> float:
    if cell.lower() in _LEFT_OUT:
        return math.nan
    where = f"{path}, line {line}, column {parameter.name}"
    try:
        value = _number(cell)
    except ValueError:
        raise GravLensError(f"{where}: '{cell}' is not a number") from None
    if is_outside(parameter, value):
        raise GravLensError(f"{where}: {complaint(parameter, value, model_name)}")
    return value


def _class_index(config: ModelConfig, name: str, model_name: str) -> int:
    known = config.class_names
    if name == ANY_LABEL:
        return UNLABELLED
    if name not in known:
        allowed = ", ".join((*known, ANY_LABEL)) if known else f"only '{ANY_LABEL}'"
        raise GravLensError(f"model '{model_name}' has no class '{name}'; it has: {allowed}")
    return known.index(name)


def _number(text: str) -> float:
    """Return a number as people write it; Python would also take 1_0."""
    if "_" in text:
        raise ValueError
    return float(text)


def _spread(span: Span, scale: str, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values at shares u of a span, even on its scale."""
    low, high = np.log(span) if scale == "log" else span
    values = low + u * (high - low)
    # Rounding must not lead out of the span.
    return np.clip(np.exp(values) if scale == "log" else values, span.low, span.high)
