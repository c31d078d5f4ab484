"""Physical parameters that models learn and images are ordered by, by their names in a set."""

ORDERED_BY = ("theta_E", "source_x", "source_y", "gamma1", "gamma2", "signal_to_noise")
"""What the recipes of the larger models learn, and `gravlens sample` has an option for."""
SHAPES = ("lens_e1", "lens_e2", "source_R_sersic", "source_n_sersic", "source_e1", "source_e2")
"""What `lens64` learns beside these; they are ordered by a file of conditions."""
LIGHTS = ("source_magnitude", "source_R_sersic", "lens_light_magnitude", "lens_light_R_sersic")
"""What the recipe of a survey learns of the light of source and lens."""
LOGARITHMIC = frozenset({"signal_to_noise"})
"""Parameters that the network sees in their logarithm."""
DERIVED = frozenset({"signal_to_noise"})
"""Parameters that follow from the others of a lens, and need not be given beside them."""
LABELS = {
    "theta_E": "Einstein radius [arcsec]",
    "source_x": "source x [arcsec]",
    "source_y": "source y [arcsec]",
    "gamma1": "shear gamma1",
    "gamma2": "shear gamma2",
    "log_signal_to_noise": "log10 signal-to-noise",
    "log_mean_flux": "log10 mean flux",
}
"""What parameters are called where people read them; these are what the encoders measure."""
