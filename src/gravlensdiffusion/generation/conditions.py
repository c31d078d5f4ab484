"""Tables of what each image is asked to be."""

import csv
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import ANY
from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import check_regular
from gravlensdiffusion.generation.request import class_index, complaint, parse_number

LABEL_COLUMN = "label"
MAX_ROWS = 10_000_000
"""Rows that a table of conditions may have."""
MAX_LINE = 100_000
"""Letters that one of its lines may have."""

_LEFT_OUT = ("", ANY, "nan")


def read_conditions(
    path: str | Path, config: ModelConfig, model_name: str
) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """Read a table, one image per row.

    The first line of the CSV file names the columns: ``label`` and parameters of the model, any of
    them in any order. An empty cell, ``any`` or ``nan`` leaves the value to the model; empty lines
    are skipped.

    Returns:
        The class of each image, and its parameters by name, as `LensGenerator.request` takes them.

    Raises:
        GravLensError: If the file cannot be read, or holds what the model does not know.
    """
    path = Path(path)
    rows = _rows(path)
    _, header = next(rows, (1, []))
    columns = _columns(path, header, config)
    labels: list[str] = []
    values = {each.name: array("d") for each in config.parameters if each.name in columns}
    for line, row in rows:
        if len(row) != len(columns):
            raise GravLensError(
                f"{path}, line {line}: {len(row)} columns where the header has {len(columns)}"
            )
        cells = dict(zip(columns, row, strict=True))
        labels.append(_label(path, line, cells.get(LABEL_COLUMN, ""), config, model_name))
        for parameter in config.parameters:
            if parameter.name in values:
                cell = cells[parameter.name]
                values[parameter.name].append(_value(path, line, cell, parameter, model_name))
        if len(labels) > MAX_ROWS:
            raise GravLensError(f"{path}: more than {MAX_ROWS:,} rows")
    if not labels:
        raise GravLensError(f"{path}: no rows below the header")
    return labels, {name: np.array(column) for name, column in values.items()}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file that are not empty, each with the number of its last line."""
    try:
        check_regular(path)
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


def _label(path: Path, line: int, cell: str, config: ModelConfig, model_name: str) -> str:
    if cell.lower() in _LEFT_OUT and cell not in config.class_names:
        return ANY
    try:
        # The name that all rows of the class share.
        return config.class_names[class_index(config, cell, model_name)]
    except GravLensError as error:
        raise GravLensError(f"{path}, line {line}, column {LABEL_COLUMN}: {error}") from None


def _value(path: Path, line: int, cell: str, parameter: ParameterConfig, model_name: str) -> float:
    if cell.lower() in _LEFT_OUT:
        return math.nan
    where = f"{path}, line {line}, column {parameter.name}"
    try:
        value = parse_number(cell)
    except ValueError:
        raise GravLensError(f"{where}: '{cell}' is not a number") from None
    low, high = parameter.bounds()
    if value < low or value > high:
        raise GravLensError(f"{where}: {complaint(parameter, value, model_name)}")
    return value
