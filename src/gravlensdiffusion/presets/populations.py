"""Populations of lenses and of what is taken for one, measured on images of surveys.

docs/simulation.md has the tables that they were set by.
"""

from dataclasses import dataclass, replace

from gravlensdiffusion.config.galaxies import (
    Box,
    Disc,
    Envelope,
    GalaxyLight,
    Neighbours,
    Source,
    StructuredDisc,
)
from gravlensdiffusion.config.priors import LogUniform, Prior, TruncatedNormal, Uniform, around_zero
from gravlensdiffusion.config.simulation import Lens, LensClass, Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What the galaxies of a survey's lenses are drawn from.

    Attributes:
        einstein_radius: Einstein radius [arcsec].
        lens_magnitude: Magnitude of the lens galaxies [mag].
        lens_radius: Half-light radius of their inner component [arcsec].
        source_magnitude: Magnitude of the sources, unlensed [mag].
        source_radius: Half-light radius of the sources' discs [arcsec].
        source_distance: Distance of the sources from the axis [arcsec].
        neighbour_magnitude: Magnitude of galaxies anywhere in the field [mag].
        neighbours: Largest number of these, and the chance of each.
        satellite_magnitude: Magnitude of galaxies near the lens [mag].
        satellites: Largest number of these, and the chance of each.
        half_width: Half the width of the field [arcsec].
        disc_magnitude: Magnitude of the spirals, rings and edge-on discs that are no lenses [mag].
        disc_radius: Half-light radius of these [arcsec].
        arc_magnitude: Magnitude of galaxies beside a lens galaxy that look like arcs [mag].
        lens_index: Sersic index of the lens galaxies' inner component.
        source_index: Sersic index of the sources' smooth discs.
        source_structure: What the sources have beside these.
    """

    einstein_radius: Prior
    lens_magnitude: Prior
    lens_radius: Prior
    source_magnitude: Prior
    source_radius: Prior
    source_distance: Prior
    neighbour_magnitude: Prior
    neighbours: tuple[int, float]
    satellite_magnitude: Prior
    satellites: tuple[int, float]
    half_width: float
    disc_magnitude: Prior
    disc_radius: Prior
    arc_magnitude: Prior
    lens_index: Prior
    source_index: Prior
    source_structure: StructuredDisc

    @property
    def lens(self) -> Lens:
        """A massive early-type galaxy whose light lies as its mass does, but for an outer part."""
        return Lens(
            einstein_radius=self.einstein_radius,
            e1=around_zero(0.12, 0.28),
            e2=around_zero(0.12, 0.28),
            position=Disc(radius=Uniform(0.0, 0.05)),
            gamma1=around_zero(0.05, 0.15),
            gamma2=around_zero(0.05, 0.15),
            light=_galaxy(
                self.lens_magnitude,
                self.lens_radius,
                self.lens_index,
                around_zero(0.05, 0.18),
                HALO,
            ),
            light_follows_mass=True,
        )

    @property
    def source(self) -> Source:
        """A star-forming galaxy."""
        index, structure = self.source_index, self.source_structure
        light = _galaxy(self.source_magnitude, self.source_radius, index, TILTED, structure)
        return Source(light=light, position=Disc(radius=self.source_distance))

    @property
    def around(self) -> tuple[Neighbours, ...]:
        """Galaxies of the field, and satellites of the lens."""
        anywhere = Uniform(-self.half_width, self.half_width)
        index = Uniform(0.8, 3.5)
        field = _galaxy(self.neighbour_magnitude, LogUniform(0.1, 0.5), index, TILTED)
        near = _galaxy(self.satellite_magnitude, LogUniform(0.06, 0.3), index, TILTED)
        return (
            Neighbours(
                most=self.neighbours[0],
                chance=self.neighbours[1],
                galaxy=Source(light=field, position=Box(x=anywhere, y=anywhere)),
            ),
            Neighbours(
                most=self.satellites[0],
                chance=self.satellites[1],
                galaxy=Source(light=near, position=Disc(radius=Uniform(0.6, self.half_width))),
            ),
        )

    @property
    def no_lens(self) -> LensClass:
        """What is taken for a lens and is none."""

        def disc(structure: StructuredDisc, e: Prior) -> GalaxyLight:
            index = TruncatedNormal(1.0, 0.25, 0.5, 1.8)
            return _galaxy(self.disc_magnitude, self.disc_radius, index, e, structure)

        tilted, thin = around_zero(0.18, 0.45), Uniform(-0.6, 0.6)
        arc = replace(self.source.light, magnitude=self.arc_magnitude, e1=thin, e2=thin)
        merging = replace(disc(STAR_FORMING, tilted), magnitude=self.arc_magnitude)
        anywhere = Uniform(-self.half_width, self.half_width)
        faint = replace(self.source, position=Box(x=anywhere, y=anywhere))
        beside = Source(light=arc, position=Disc(radius=Uniform(0.5, 0.9 * self.half_width)))
        close = Source(light=merging, position=Disc(radius=Uniform(0.3, 1.2)))
        return LensClass(
            name="no_lens",
            lensed=False,
            scenes=(
                Scene(name="early_type", weight=0.2, galaxy="lens"),
                Scene(name="spiral", weight=0.2, galaxy=disc(SPIRAL, tilted)),
                Scene(name="edge_on", weight=0.1, galaxy=disc(SMOOTH_DISC, thin)),
                Scene(name="ring", weight=0.1, galaxy=disc(RING, tilted)),
                Scene(name="pair", weight=0.25, galaxy="lens", companion=beside),
                Scene(name="merger", weight=0.05, galaxy=disc(LOPSIDED, tilted), companion=close),
                Scene(name="empty", weight=0.1, companion=faint, companion_chance=0.5),
            ),
        )


TILTED = around_zero(0.2, 0.5)
"""Ellipticities of galaxies seen from any side."""
STAR_FORMING = StructuredDisc(
    bulge_fraction=Uniform(0.0, 0.15),
    bar_fraction=Uniform(0.0, 0.12),
    clump_fraction=Uniform(0.05, 0.4),
    clump_count=6.0,
    arm_contrast=Uniform(0.0, 0.8),
    lopsidedness=Uniform(0.0, 1.0),
)
"""What the sources have, moved until they were structured as galaxies of COSMOS are."""
SPIRAL = StructuredDisc(
    bulge_fraction=Uniform(0.1, 0.45),
    bar_fraction=Uniform(0.0, 0.15),
    clump_fraction=Uniform(0.0, 0.15),
    clump_count=12.0,
    arm_contrast=Uniform(0.4, 0.95),
    lopsidedness=Uniform(0.0, 0.3),
)
SMOOTH_DISC = StructuredDisc(
    bulge_fraction=Uniform(0.05, 0.5),
    clump_fraction=Uniform(0.0, 0.1),
    arm_contrast=Uniform(0.0, 0.3),
    lopsidedness=Uniform(0.0, 0.2),
)
RING = StructuredDisc(
    bulge_fraction=Uniform(0.2, 0.5),
    bar_fraction=Uniform(0.0, 0.1),
    ring_fraction=Uniform(0.1, 0.35),
    clump_fraction=Uniform(0.0, 0.05),
    arm_contrast=Uniform(0.0, 0.6),
)
CALM = StructuredDisc(
    bulge_fraction=Uniform(0.0, 0.5),
    bar_fraction=Uniform(0.0, 0.1),
    clump_fraction=Uniform(0.0, 0.15),
    clump_count=6.0,
    arm_contrast=Uniform(0.0, 0.5),
    lopsidedness=Uniform(0.0, 0.5),
)
"""What sources have in the near infrared, which sees fewer of their young stars."""
HALO = Envelope(
    fraction=Uniform(0.0, 0.5),
    relative_radius=Uniform(1.5, 4.0),
    sersic_index=Uniform(0.8, 1.6),
    relative_ellipticity=Uniform(0.6, 3.0),
    twist=around_zero(0.3, 0.9),
)
"""The outer part of early-type galaxies."""
LOPSIDED = replace(STAR_FORMING, lopsidedness=Uniform(0.4, 1.0))


def _galaxy(
    magnitude: Prior,
    radius: Prior,
    index: Prior,
    e: Prior,
    structure: Envelope | StructuredDisc | None = None,
) -> GalaxyLight:
    """Return a galaxy whose two ellipticities are drawn alike."""
    return GalaxyLight(
        magnitude=magnitude,
        effective_radius=radius,
        sersic_index=index,
        e1=e,
        e2=e,
        structure=structure,
    )


SLACS = Survey(
    einstein_radius=TruncatedNormal(1.2, 0.28, 0.65, 1.8),
    lens_magnitude=TruncatedNormal(16.75, 0.62, 14.9, 18.4),
    lens_radius=TruncatedNormal(1.25, 0.5, 0.5, 3.0),
    lens_index=TruncatedNormal(3.5, 1.1, 1.2, 6.5),
    source_magnitude=TruncatedNormal(23.8, 0.8, 21.9, 25.6),
    source_radius=LogUniform(0.1, 0.45),
    source_distance=Uniform(0.0, 0.45),
    source_index=TruncatedNormal(0.8, 0.25, 0.4, 1.5),
    source_structure=STAR_FORMING,
    neighbour_magnitude=TruncatedNormal(23.5, 1.2, 20.5, 25.5),
    neighbours=(3, 0.25),
    satellite_magnitude=TruncatedNormal(22.5, 1.0, 20.0, 24.5),
    satellites=(1, 0.2),
    half_width=2.6,
    disc_magnitude=TruncatedNormal(17.8, 0.8, 15.8, 19.6),
    disc_radius=TruncatedNormal(1.3, 0.4, 0.6, 2.4),
    arc_magnitude=TruncatedNormal(21.8, 0.8, 20.0, 23.6),
)
"""SLACS: lenses at redshift 0.2 in HST ACS F814W."""
DESI = Survey(
    einstein_radius=TruncatedNormal(2.0, 0.75, 0.8, 3.4),
    lens_magnitude=TruncatedNormal(18.0, 0.7, 16.0, 19.6),
    lens_radius=TruncatedNormal(0.95, 0.35, 0.35, 2.0),
    lens_index=TruncatedNormal(3.3, 0.9, 1.2, 5.5),
    source_magnitude=TruncatedNormal(23.3, 0.8, 21.5, 25.2),
    source_radius=LogUniform(0.2, 0.7),
    source_distance=Uniform(0.0, 0.7),
    source_index=TruncatedNormal(1.0, 0.25, 0.5, 1.8),
    source_structure=CALM,
    neighbour_magnitude=TruncatedNormal(23.2, 1.2, 19.5, 25.2),
    neighbours=(5, 0.5),
    satellite_magnitude=TruncatedNormal(22.5, 1.2, 19.0, 24.5),
    satellites=(3, 0.3),
    half_width=4.2,
    disc_magnitude=TruncatedNormal(19.0, 0.8, 17.0, 20.8),
    disc_radius=TruncatedNormal(1.2, 0.4, 0.5, 2.4),
    arc_magnitude=TruncatedNormal(21.0, 0.8, 19.4, 22.8),
)
"""Lenses of the DESI legacy surveys at redshift 0.5 in HST WFC3 F140W."""
EUCLID = Survey(
    einstein_radius=TruncatedNormal(0.95, 0.35, 0.5, 2.0),
    lens_magnitude=TruncatedNormal(21.1, 1.1, 18.5, 22.8),
    lens_radius=TruncatedNormal(0.42, 0.2, 0.15, 1.2),
    lens_index=TruncatedNormal(4.0, 0.9, 1.5, 6.0),
    source_magnitude=TruncatedNormal(25.3, 0.7, 23.2, 26.6),
    source_radius=LogUniform(0.1, 0.4),
    source_distance=Uniform(0.0, 0.45),
    source_index=TruncatedNormal(0.8, 0.25, 0.4, 1.5),
    source_structure=STAR_FORMING,
    neighbour_magnitude=TruncatedNormal(24.5, 1.3, 20.0, 26.2),
    neighbours=(6, 0.4),
    satellite_magnitude=TruncatedNormal(24.0, 1.1, 21.0, 26.0),
    satellites=(2, 0.2),
    half_width=5.0,
    disc_magnitude=TruncatedNormal(20.3, 0.9, 18.3, 22.2),
    disc_radius=TruncatedNormal(0.9, 0.35, 0.35, 2.0),
    arc_magnitude=TruncatedNormal(22.6, 0.8, 21.0, 24.2),
)
"""Lenses of Euclid's quick release Q1 in VIS."""
