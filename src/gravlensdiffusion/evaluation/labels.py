"""What rows, groups and parameters are called where people read them."""

from gravlensdiffusion.metrics import physics

LABELS = {
    "einstein_radius": "Einstein radius",
    "total_flux": "total flux",
    "maximum": "brightest pixel",
    "centroid_x": "centroid x",
    "centroid_y": "centroid y",
    "ellipticity": "ellipticity",
    "ellipticity_1": "ellipticity e1",
    "ellipticity_2": "ellipticity e2",
    "quadrupole_plus": "quadrupole, plus",
    "quadrupole_cross": "quadrupole, cross",
    "asymmetry": "asymmetry",
    "gini": "Gini coefficient",
    "m20": "M20",
    "sky_level": "sky level",
    "sky_rms": "sky rms",
    "sky_whiteness": "sky correlation",
    "radial_profile": "radial profile",
    "power_spectrum": "power spectrum",
    "nearest, pixels": "nearest, in pixels",
    "nearest, encoder features": "nearest, in features",
    "theta_E": "Einstein radius [arcsec]",
    "source_x": "source x [arcsec]",
    "source_y": "source y [arcsec]",
    "gamma1": "shear gamma1",
    "gamma2": "shear gamma2",
    "log_signal_to_noise": "log10 signal-to-noise",
    "log_mean_flux": "log10 mean flux",
}

GROUPS = {
    "encoder features": "features of the lens encoder",
    "lens physics": "Wasserstein distance in units of the scatter of the real images",
    "two-sample test": "AUC of a classifier; 0.5: it cannot tell generated from real",
    "memorisation": "median distance to the nearest training image, over that of held-out images",
    "Inception features": "features of the public Inception network",
}


def label(name: str) -> str:
    """Return what a row or a parameter is called; a name that is not known stays as it is."""
    return LABELS.get(name, name)


def group_title(group: str) -> str:
    """Return a section's heading and, where it is known, what its numbers are."""
    return f"{group}: {GROUPS[group]}" if group in GROUPS else group


def with_unit(name: str, pixel_scale_arcsec: float | None, flux_unit: str) -> str:
    """Return a statistic's label and its unit.

    Args:
        name: Name of the statistic.
        pixel_scale_arcsec: Side of a pixel [arcsec]; None where lengths are in pixels.
        flux_unit: Unit of the pixel values.
    """
    unit = physics.units(pixel_scale_arcsec, flux_unit).get(name, "").replace("^2", "²")
    return f"{label(name)} [{unit}]" if unit else label(name)
