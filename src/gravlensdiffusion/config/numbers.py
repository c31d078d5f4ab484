"""Checks of single numbers."""

from gravlensdiffusion.errors import GravLensError

WISE_GUIDANCE = 3.0
"""Scale up to which the bundled models' lenses keep their shape and flux."""
MAX_GUIDANCE = 10.0
"""Scale from which on there are no lenses left in their images, but speckles."""


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
