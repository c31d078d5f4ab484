"""Checks of single numbers."""

from gravlensdiffusion.errors import GravLensError


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is zero, negative or not a number, by its name."""
    if not value > 0:
        raise GravLensError(f"{name} must be positive, got {value}")
