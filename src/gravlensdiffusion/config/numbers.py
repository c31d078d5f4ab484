"""Checks of single numbers."""

from gravlensdiffusion.errors import GravLensError

WISE_GUIDANCE = 3.0
"""Scale beyond which the bundled models' lenses lose their shape; docs/conventions.md has their flux."""
MAX_GUIDANCE = 10.0
"""Scale at which rings have become arcs or speckles; no larger one is taken."""


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is zero, negative or not a number, by its name."""
    if not value > 0:
        raise GravLensError(f"{name} must be positive, got {value}")


def require_guidance(scale: float) -> None:
    """Refuse a scale of classifier-free guidance that is negative, or draws no lenses."""
    if not 0 <= scale <= MAX_GUIDANCE:
        raise GravLensError(
            f"guidance must be a number from 0 to {MAX_GUIDANCE:g}, beyond which no lenses come of "
            f"it, got {scale:g}"
        )
