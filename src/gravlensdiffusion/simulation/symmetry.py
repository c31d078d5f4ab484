"""Which mirror images and turns of its lenses a population holds as often as the lenses."""

from gravlensdiffusion.config.galaxies import Disc, Envelope, GalaxyLight
from gravlensdiffusion.config.instrument import PointSpread, Telescope
from gravlensdiffusion.config.priors import Prior
from gravlensdiffusion.config.simulation import SimulationConfig


def symmetries(config: SimulationConfig) -> tuple[str, ...]:
    """Return those of ``half_turn``, ``flips`` and ``d4`` that leave a population exactly as it is.

    Parameters are drawn independently of each other, and subhaloes and vortices lie in any
    direction alike, so each prior of what has a direction can be looked at alone. Half a turn
    changes the sign of positions; mirror images also that of what lies along the diagonals
    (``gamma2``, ``e2``, the twist of an envelope); quarter turns, with them, also that of what lies
    along the axes (``gamma1``, ``e1``).
    """
    lens = config.lens
    sources = [config.source, *(s.companion for s in config.scenes if s.companion is not None)]
    sources += [each.galaxy for each in config.neighbours]
    places = [lens.position, *(source.position for source in sources)]
    galaxies = [lens.light, *(scene.galaxy for scene in config.scenes)]
    lights = [source.light for source in sources]
    lights += [galaxy for galaxy in galaxies if isinstance(galaxy, GalaxyLight)]
    camera = config.imaging.instrument
    shapes: list[GalaxyLight | PointSpread] = [*lights]
    if not isinstance(camera, Telescope) and camera.psf is not None:
        shapes.append(camera.psf)
    half_turn = all(
        isinstance(place, Disc) or (_is_even(place.x) and _is_even(place.y)) for place in places
    )
    diagonal = all(map(_is_even, (lens.gamma2, lens.e2, *(shape.e2 for shape in shapes))))
    diagonal &= all(
        _is_even(light.structure.twist) for light in lights if isinstance(light.structure, Envelope)
    )
    axial = all(map(_is_even, (lens.gamma1, lens.e1, *(shape.e1 for shape in shapes))))
    square = all(isinstance(place, Disc) or place.x == place.y for place in places)
    flips = half_turn and diagonal
    found = {"half_turn": half_turn, "flips": flips, "d4": flips and axial and square}
    return tuple(kind for kind, holds in found.items() if holds)


def _is_even(prior: Prior) -> bool:
    """Return whether a value and its negative are equally likely."""
    low, high = prior.support
    return low == -high and getattr(prior, "mean", 0) == 0
