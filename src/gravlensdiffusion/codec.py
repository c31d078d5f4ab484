"""Configurations as JSON, and back, with every key checked."""

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from .errors import GravLensError

T = TypeVar("T")


def to_json(config: object, indent: int | None = 2) -> str:
    """Return a configuration dataclass as JSON text."""
    return _adapter(type(config)).dump_json(config, indent=indent).decode()


def from_json(cls: type[T], text: str | bytes, source: str = "configuration") -> T:
    """Read a configuration dataclass from JSON text.

    Args:
        cls: The dataclass to build.
        text: The JSON text.
        source: What the text came from, for the error message.

    Raises:
        GravLensError: If the text is not JSON, has an unknown or missing key, or a value that is
            not allowed; the first fault is named.
    """
    try:
        value: T = _adapter(cls).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise GravLensError(f"{source}: {where}: {first['msg']}") from None
    return value


@lru_cache(maxsize=64)
def _adapter(cls: Any) -> TypeAdapter[Any]:
    cls.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)
    return TypeAdapter(cls)
