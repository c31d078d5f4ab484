"""Strong gravitational lens images from a diffusion model."""

__version__ = "0.1.0"
