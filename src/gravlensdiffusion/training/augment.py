"""Symmetries of a lens: images and the parameters behind them, mirrored and turned together.

A mirror image of a lens is a lens, whose source has another sign of x or y. What a parameter does
depends on what it is: positions are vectors, shears and ellipticities have spin 2, most others stay.
Whether the mirror images are as likely as the originals is another question: that is what
`config.simulation.symmetries` answers.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from gravlensdiffusion.config.galaxies import MAX_NEIGHBOURS
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.population import DISC_FIELDS, ENVELOPE_FIELDS, NEIGHBOUR

MIRROR_X, MIRROR_Y, EXCHANGE = 1, 2, 4
"""Bits of a symmetry: x changes sign; y changes sign; then x and y change places."""

GROUPS = {
    "none": (0,),
    "half_turn": (0, MIRROR_X | MIRROR_Y),
    "flips": (0, MIRROR_X, MIRROR_Y, MIRROR_X | MIRROR_Y),
    "d4": tuple(range(8)),
}
"""The symmetries of each kind of augmentation."""

BESIDE = ("companion", *(f"{NEIGHBOUR}{k}" for k in range(MAX_NEIGHBOURS)))
GALAXIES = ("source", "lens_light", *BESIDE)
"""How the parameters of galaxies begin; those of the lens galaxy's position are its mass's."""
POSITIONS = tuple((f"{name}_x", f"{name}_y") for name in ("source", "lens", *BESIDE))
"""Parameters along x and along y."""
SPINS = (
    ("gamma1", "gamma2"),
    *((f"{name}_e1", f"{name}_e2") for name in ("lens", *GALAXIES, "psf")),
)
"""Parameters along the axes, cos(2 phi), and along the diagonals, sin(2 phi)."""
TWISTS = frozenset(f"{name}_envelope_twist" for name in GALAXIES)
"""Angles from one line to another, whose sign is their sense [rad]."""
ANGLES = ("vortex_angle",)
"""Angles from the x axis to a line, in [0, pi) [rad]."""
INVARIANTS = frozenset(
    {
        *("theta_E", "axion_mass", "vortex_length", "exposure_time", "background_rms"),
        *("substructure_mass", "substructure_fraction", "subhalo_count", "flux_min", "flux_max"),
        *(f"{name}_{end}" for name in GALAXIES for end in ("magnitude", "R_sersic", "n_sersic")),
        *(f"{name}_{end}" for name in GALAXIES for end in (*ENVELOPE_FIELDS, *DISC_FIELDS)),
        *(f"{name}_clump_count" for name in GALAXIES),
        *("scene", "psf_fwhm", "bad_pixels"),
        *("signal_to_noise", "log_signal_to_noise", "log_mean_flux"),
    }
    - TWISTS
)
"""Parameters that no symmetry changes."""

_DIAGONAL = {second for _, second in SPINS}
_ODD = {
    MIRROR_X: TWISTS | _DIAGONAL | {x for x, _ in POSITIONS},
    MIRROR_Y: TWISTS | _DIAGONAL | {y for _, y in POSITIONS},
    EXCHANGE: TWISTS | {first for first, _ in SPINS},
}
_PARTNER = dict(POSITIONS) | {y: x for x, y in POSITIONS}

DIRECTED = frozenset(set[str]().union(*_ODD.values()))
"""Parameters whose sign says where something points."""


def augment(
    kind: str, images: Tensor, parameters: Mapping[str, Tensor], u: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mirror and turn each image of a batch, and its parameters with it.

    Args:
        kind: A key of `GROUPS`.
        images: Shape ``(B, C, H, W)``, square for ``d4``; left as they are.
        parameters: Values by their names in the store, ``(B,)`` each; NaN stays NaN.
        u: Numbers in [0, 1) that choose the symmetry of each image, evenly, shape ``(B,)``.

    Raises:
        GravLensError: If a parameter cannot be turned.
    """
    check_names(kind, parameters)
    group = GROUPS[kind]
    chosen = torch.floor(u * len(group)).long()
    new_images = images.clone()
    new_values = {name: value.clone() for name, value in parameters.items()}
    for place, symmetry in enumerate(group):
        rows = torch.nonzero(chosen == place)[:, 0]
        if symmetry and len(rows):
            part = {name: value[rows] for name, value in parameters.items()}
            new_images[rows], part = turn_lenses(images[rows], part, symmetry)
            for name, value in part.items():
                new_values[name][rows] = value
    return new_images, new_values


def turn_lenses(
    images: Tensor, parameters: Mapping[str, Tensor], symmetry: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mirror and turn images and their parameters, all of them alike.

    Args:
        images: Shape ``(..., H, W)``; x runs along the columns, y along the rows.
        parameters: Values by names that `check_names` lets pass, of any shape.
        symmetry: From 0 to 7, a sum of `MIRROR_X`, `MIRROR_Y` and `EXCHANGE`, done in this order.
    """
    turned = dict(parameters)
    for bit in (MIRROR_X, MIRROR_Y, EXCHANGE):
        if symmetry & bit:
            if bit == EXCHANGE:
                images = images.transpose(-2, -1)
            else:
                images = images.flip(-1 if bit == MIRROR_X else -2)
            turned = {name: _turn_value(turned, name, bit) for name in turned}
    return images, turned


def check_names(kind: str, names: Iterable[str]) -> None:
    """Refuse parameters that an augmentation would leave wrong.

    Raises:
        GravLensError: If it is not known what a symmetry does to one of them, or if x and y are to
            change places and only one of the two is there.
    """
    known = INVARIANTS | DIRECTED | set(ANGLES)
    names = set(names)
    if kind == "none":
        return
    for name in sorted(names):
        if name not in known:
            raise GravLensError(
                f"augment {kind} does not know how parameter '{name}' turns with the image; "
                "train without that parameter or with augment none"
            )
        partner = _PARTNER.get(name, name)
        if any(symmetry & EXCHANGE for symmetry in GROUPS[kind]) and partner not in names:
            raise GravLensError(
                f"augment {kind} exchanges parameter '{name}' with '{partner}', which is not "
                "learned; train with both or with augment flips"
            )


def _turn_value(values: Mapping[str, Tensor], name: str, bit: int) -> Tensor:
    if name in ANGLES:
        # A line at pi - angle is one at -angle.
        return torch.remainder((math.pi / 2 if bit == EXCHANGE else 0) - values[name], math.pi)
    value = values[_PARTNER.get(name, name) if bit == EXCHANGE else name]
    return -value if name in _ODD[bit] else value
