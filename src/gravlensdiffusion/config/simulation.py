"""What a set of simulated lenses is drawn from and how it is observed."""

import math
from dataclasses import dataclass
from typing import Literal

from gravlensdiffusion.config.bounds import require_positive
from gravlensdiffusion.config.priors import Constant, Prior, lower_bound, upper_bound
from gravlensdiffusion.errors import GravLensError

MAX_ELLIPTICITY = 0.9
"""Largest modulus of (e1, e2) of a profile; at 1 the axis ratio is zero."""


def _check_ellipticity(what: str, e1: tuple[Prior, ...], e2: tuple[Prior, ...]) -> None:
    """Refuse priors whose values, added up along each axis, could reach a modulus of one."""
    largest = [
        max(-sum(map(lower_bound, priors)), sum(map(upper_bound, priors))) for priors in (e1, e2)
    ]
    if math.hypot(*largest) > MAX_ELLIPTICITY:
        raise GravLensError(
            f"{what}: the modulus of (e1, e2) must stay below {MAX_ELLIPTICITY}; truncate the prior"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosmology:
    """Flat LambdaCDM and the two redshifts.

    Attributes:
        hubble: Hubble constant today [km / s / Mpc].
        omega_matter: Matter density today, in units of the critical density.
        redshift_lens: Redshift of the lens.
        redshift_source: Redshift of the source.
    """

    hubble: float = 70.0
    omega_matter: float = 0.3
    redshift_lens: float = 0.5
    redshift_source: float = 1.0

    def __post_init__(self) -> None:
        require_positive("hubble", self.hubble)
        if not 0 < self.omega_matter <= 1:
            raise GravLensError(f"omega_matter must lie in (0, 1], got {self.omega_matter}")
        if not 0 < self.redshift_lens < self.redshift_source:
            raise GravLensError(
                "the lens must lie between us and the source: 0 < z_lens < z_source"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class GalaxyLight:
    """Elliptical Sersic light of a galaxy.

    Attributes:
        magnitude: Total unlensed AB magnitude [mag].
        effective_radius: Half-light radius [arcsec].
        sersic_index: Sersic index.
        e1: Ellipticity along the axes, lenstronomy's convention.
        e2: Ellipticity along the diagonals.
    """

    magnitude: Prior
    effective_radius: Prior
    sersic_index: Prior
    e1: Prior
    e2: Prior

    def __post_init__(self) -> None:
        if lower_bound(self.effective_radius) <= 0:
            raise GravLensError("effective_radius must be positive, so its prior needs a low end")
        if lower_bound(self.sersic_index) < 0.3 or upper_bound(self.sersic_index) > 8:
            raise GravLensError("sersic_index must lie between 0.3 and 8")
        _check_ellipticity("light", (self.e1,), (self.e2,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Disc:
    """A position by its distance from the centre, in any direction alike.

    Attributes:
        radius: Distance from the centre [arcsec].
    """

    kind: Literal["disc"] = "disc"
    radius: Prior

    def __post_init__(self) -> None:
        if lower_bound(self.radius) < 0:
            raise GravLensError("the radius of a position must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A position by its two coordinates.

    Attributes:
        x: First coordinate, along the columns [arcsec].
        y: Second coordinate, along the rows [arcsec].
    """

    kind: Literal["box"] = "box"
    x: Prior
    y: Prior


@dataclass(frozen=True, kw_only=True, slots=True)
class Lens:
    """Singular isothermal ellipsoid and external shear.

    Attributes:
        einstein_radius: Einstein radius theta_E, lenstronomy's convention [arcsec].
        e1: Ellipticity along the axes.
        e2: Ellipticity along the diagonals.
        position: Where the centre lies.
        gamma1: Shear along the axes.
        gamma2: Shear along the diagonals.
        light: Light of the lens galaxy, centred on its mass; None for a dark lens.
        light_follows_mass: True where the ellipticity of the light is that of the mass plus what
            the priors of the light give.
    """

    einstein_radius: Prior
    e1: Prior
    e2: Prior
    position: Disc | Box
    gamma1: Prior
    gamma2: Prior
    light: GalaxyLight | None = None
    light_follows_mass: bool = False

    def __post_init__(self) -> None:
        if lower_bound(self.einstein_radius) <= 0:
            raise GravLensError("einstein_radius must be positive, so its prior needs a low end")
        _check_ellipticity("lens", (self.e1,), (self.e2,))
        if self.light is not None and self.light_follows_mass:
            _check_ellipticity("lens light", (self.e1, self.light.e1), (self.e2, self.light.e2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The galaxy behind the lens.

    Attributes:
        light: Its light before lensing.
        position: Where it lies, as seen without the lens.
    """

    light: GalaxyLight
    position: Disc | Box


@dataclass(frozen=True, kw_only=True, slots=True)
class Subhaloes:
    """Cold dark matter: point masses with a power-law mass function.

    Attributes:
        mean_count: Mean of the Poisson number of subhaloes.
        slope: Slope s of dN/dm, which goes as m**s.
        mass_min: Smallest mass [M_sun].
        mass_max: Largest mass [M_sun].
        radius_min: Smallest distance from the centre of the field [arcsec].
        radius_max: Largest distance; distances are even between the two [arcsec].
    """

    kind: Literal["subhaloes"] = "subhaloes"
    mean_count: float = 25.0
    slope: float = -0.9
    mass_min: float = 1e6
    mass_max: float = 1e10
    radius_min: float = 0.25
    radius_max: float = 2.0

    def __post_init__(self) -> None:
        require_positive("mean_count", self.mean_count)
        if not 0 < self.mass_min < self.mass_max:
            raise GravLensError("subhaloes need 0 < mass_min < mass_max")
        if not 0 <= self.radius_min < self.radius_max:
            raise GravLensError("subhaloes need 0 <= radius_min < radius_max")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vortex:
    """Axion dark matter: a vortex, mass spread evenly along a straight segment.

    The segment is one de Broglie wavelength h / (m v) long, is centred on the field and lies in
    any direction alike.

    Attributes:
        axion_mass: Mass m of the axion [eV].
        velocity: Velocity v of the halo's particles [km / s].
        mass: Mass of the segment [M_sun]; exactly one of mass and mass_fraction is given.
        mass_fraction: Mass of the part of the segment that lies within the Einstein radius of
            its middle, in units of the smooth lens's mass within its Einstein radius.
    """

    kind: Literal["vortex"] = "vortex"
    axion_mass: Prior
    velocity: float = 200.0
    mass: Prior | None = None
    mass_fraction: Prior | None = None

    def __post_init__(self) -> None:
        require_positive("velocity", self.velocity)
        if lower_bound(self.axion_mass) <= 0:
            raise GravLensError("axion_mass must be positive")
        if (self.mass is None) == (self.mass_fraction is None):
            raise GravLensError("a vortex needs either mass or mass_fraction")
        if lower_bound(self.mass or self.mass_fraction or Constant(value=-1)) < 0:
            raise GravLensError("the mass of a vortex must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One kind of image without a lens: an isolated galaxy, a galaxy with a companion, empty sky.

    Attributes:
        name: Name of the kind.
        weight: Weight among the scenes of its class; the weights need not sum to one.
        galaxy: Light of the galaxy at the lens's position: ``lens`` for that of the lens galaxies,
            or priors of its own; None for none.
        companion: Light and position of a second galaxy; None for none.
        companion_chance: Share of the images that have the companion.
    """

    name: str
    weight: float
    galaxy: Literal["lens"] | GalaxyLight | None = None
    companion: Source | None = None
    companion_chance: float = 1.0

    def __post_init__(self) -> None:
        _check_name(self.name, "a scene")
        if not 0 < self.weight < float("inf"):
            raise GravLensError(f"scene '{self.name}' needs a positive weight, got {self.weight}")
        if not 0 < self.companion_chance <= 1:
            raise GravLensError(f"companion_chance must lie in (0, 1], got {self.companion_chance}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LensClass:
    """One class of images.

    Attributes:
        name: Name of the class.
        substructure: What is added to the smooth lens; None for nothing.
        lensed: False for images without lensing.
        scenes: What such images show; empty for lens galaxy and source, each where it is.
    """

    name: str
    substructure: Subhaloes | Vortex | None = None
    lensed: bool = True
    scenes: tuple[Scene, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name, "a class")
        if self.substructure is not None and not self.lensed:
            raise GravLensError(f"class '{self.name}' has substructure but does not lens")
        if self.scenes and self.lensed:
            raise GravLensError(f"class '{self.name}' has scenes without a lens, but lenses")
        scene_names = [scene.name for scene in self.scenes]
        if len(set(scene_names)) != len(scene_names):
            raise GravLensError(
                f"class '{self.name}' names a scene twice: {', '.join(scene_names)}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """An instrument by its numbers.

    Attributes:
        pixel_scale: Side of a pixel [arcsec].
        psf_fwhm: Full width at half maximum of the Gaussian point spread function [arcsec].
        zero_point: AB magnitude of one electron per second [mag].
        background_rms: Standard deviation of sky and read noise in a pixel [e- / s]: a number, or
            a prior that each image draws its own from.
        exposure_time: Exposure time that sets the Poisson noise of the galaxies [s]; None where
            they have none, as if the sky outshone them by far.
    """

    kind: Literal["camera"] = "camera"
    pixel_scale: float
    psf_fwhm: float
    zero_point: float
    background_rms: float | Prior
    exposure_time: Prior | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_scale", "psf_fwhm"):
            require_positive(name, getattr(self, name))
        rms = self.background_rms
        if (rms if isinstance(rms, int | float) else lower_bound(rms)) < 0:
            raise GravLensError("background_rms must not be negative")
        if self.exposure_time is not None:
            require_positive("exposure_time", lower_bound(self.exposure_time))


@dataclass(frozen=True, kw_only=True, slots=True)
class Telescope:
    """An instrument by its name in lenstronomy's observation configurations.

    Attributes:
        name: Telescope.
        band: Filter, as lenstronomy names it.
    """

    kind: Literal["telescope"] = "telescope"
    name: Literal["Euclid", "HST"]
    band: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Imaging:
    """How an image is taken and stored.

    Attributes:
        instrument: Pixel scale, point spread function and noise.
        num_pixels: Native size of the image [pixel].
        supersampling: Rays per pixel and axis.
        flux_unit: ``peak``: each image is shifted and scaled to [0, 1] at its native size;
            ``e-/s``: electrons per second and pixel, the sky subtracted.
        noise_free_twin: True to keep the noise-free image beside the noisy one, which stays as it is.
        size: Size of the stored image [pixel]; None for the native size.
    """

    instrument: Camera | Telescope
    num_pixels: int
    supersampling: int = 1
    flux_unit: Literal["peak", "e-/s"] = "e-/s"
    noise_free_twin: bool = False
    size: int | None = None

    def __post_init__(self) -> None:
        if self.num_pixels < 8:
            raise GravLensError(f"num_pixels must be at least 8, got {self.num_pixels}")
        if self.supersampling < 1:
            raise GravLensError(f"supersampling must be at least 1, got {self.supersampling}")
        if self.size is not None and not 8 <= self.size <= self.num_pixels:
            raise GravLensError(
                f"size must lie between 8 and the native {self.num_pixels} pixels, got {self.size}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationConfig:
    """Everything that a simulated set is made from, but its seed and number.

    Attributes:
        preset: Name of the preset that this configuration started from, or None.
        cosmology: Cosmology and redshifts.
        lens: The smooth lens.
        source: The source behind it.
        classes: The classes, in the order of the labels.
        mix: Weight of each class; the weights need not sum to one.
        imaging: The instrument and the image.
    """

    preset: str | None = None
    cosmology: Cosmology = Cosmology()
    lens: Lens
    source: Source
    classes: tuple[LensClass, ...]
    mix: tuple[float, ...]
    imaging: Imaging

    def __post_init__(self) -> None:
        names = [each.name for each in self.classes]
        if not names:
            raise GravLensError("at least one class is needed")
        if len(set(names)) != len(names):
            raise GravLensError(f"a class is named twice: {', '.join(names)}")
        if len(self.mix) != len(names):
            raise GravLensError(
                f"mix has {len(self.mix)} weights for the {len(names)} classes {', '.join(names)}"
            )
        if min(self.mix) < 0 or not 0 < sum(self.mix) < float("inf"):
            raise GravLensError(f"mix needs weights of zero or more, not all zero, got {self.mix}")
        needs_light = any(scene.galaxy == "lens" for scene in self.scenes)
        if needs_light and self.lens.light is None:
            raise GravLensError("a scene shows the light of a lens galaxy, but the lens is dark")

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes of all classes."""
        return tuple(scene for each in self.classes for scene in each.scenes)


def _check_name(name: str, what: str) -> None:
    if not name or "," in name or name != name.strip():
        raise GravLensError(f"'{name}' cannot be the name of {what}")
