"""Configurations as JSON, and back, with every key checked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gravlensdiffusion.config.bounds import LATER
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import check_regular

T = TypeVar("T")

MAX_BYTES = 2**24
"""Size of a configuration that is read."""


def to_json(config: object, indent: int | None = 2) -> str:
    """Return a configuration dataclass as JSON text.

    A field with the metadata `LATER` is left out where it has its default value, so that the text
    is the one from before there was such a field, and so are identities made of it.
    """
    cls: Any = type(config)
    return _adapter(cls).dump_json(config, indent=indent, exclude=_left_out(config)).decode()


def from_json(cls: type[T], text: str | bytes, source: str = "configuration") -> T:
    """Read a configuration dataclass from JSON text, which came from a source that messages name.

    Raises:
        GravLensError: If the text is not JSON, has an unknown or missing key, or a value that is
            not allowed; the first fault is named.
    """
    adapter: TypeAdapter[T] = _adapter(cast("Any", cls))
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise GravLensError(f"{source}: {where}: {first['msg']}") from None
    except (ArithmeticError, RecursionError) as error:
        raise GravLensError(f"{source}: holds a value out of range ({error})") from None
    except GravLensError as error:
        # The checks of the dataclasses themselves do not know what they are read from.
        raise GravLensError(f"{source}: {error}") from None


def read_json(cls: type[T], path: Path) -> T:
    """Read a configuration dataclass from a file; see `from_json`.

    Raises:
        GravLensError: If it cannot be read, is no regular file, is too large, or holds anything else.
    """
    try:
        check_regular(path)
        with path.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise GravLensError(f"{path}: {error.strerror or error}") from None
    if len(text) > MAX_BYTES:
        raise GravLensError(f"{path}: has more than {MAX_BYTES} bytes, which is no configuration")
    return from_json(cls, text, source=str(path))


def read_preset(cls: type[T], presets: Mapping[str, Callable[[], T]], name: str) -> T:
    """Return the preset of a name, or what a JSON file holds; see `from_json`."""
    if name.endswith(".json"):
        return read_json(cls, Path(name))
    if name not in presets:
        known = ", ".join(presets)
        raise GravLensError(f"unknown preset '{name}'; choose from {known}, or a .json file")
    return presets[name]()


def _left_out(value: object) -> dict[Any, Any]:
    """Return which fields are left out, at any depth, as pydantic's ``exclude``."""
    found: dict[Any, Any] = {}
    if is_dataclass(value):
        for each in fields(value):
            own = getattr(value, each.name)
            makes = each.default_factory
            default = each.default if makes is MISSING else makes()
            is_default = each.metadata == LATER and own == default
            found[each.name] = True if is_default else _left_out(own)
    elif isinstance(value, tuple):
        found = {k: _left_out(each) for k, each in enumerate(value)}
    return {name: inner for name, inner in found.items() if inner}


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    _forbid_unknown_keys(cls)
    return TypeAdapter(cls)


def _forbid_unknown_keys(annotation: Any) -> None:
    """Mark every dataclass that an annotation mentions, at any depth."""
    for argument in get_args(annotation):
        _forbid_unknown_keys(argument)
    if is_dataclass(annotation) and isinstance(annotation, type):
        annotation.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[attr-defined]
        for hint in get_type_hints(annotation).values():
            _forbid_unknown_keys(hint)


def parse_record(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that the package has written for itself; None where a text holds none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_record(path: Path) -> dict[str, Any]:
    """Read a small JSON object that the package has written for itself.

    Raises:
        GravLensError: If there is none in the file.
    """
    try:
        found = parse_record(path.read_bytes())
    except OSError:
        found = None
    if found is None:
        raise GravLensError(f"{path}: damaged: no JSON object can be read from it")
    return found
