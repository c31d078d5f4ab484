"""Cameras of surveys, measured on images of theirs; docs/simulation.md says how."""

from gravlensdiffusion.config.instrument import Camera, Depth, Moffat, PointSpread
from gravlensdiffusion.config.priors import Constant, TruncatedNormal, Uniform
from gravlensdiffusion.config.sky import SkyCorrelation


def _about(mean: float, std: float, low: float, high: float) -> TruncatedNormal:
    return TruncatedNormal(mean=mean, std=std, low=low, high=high)


def _round_about(std: float) -> TruncatedNormal:
    return _about(0.0, std, -4 * std, 4 * std)


ACS_F814W = Camera(
    pixel_scale=0.05,
    psf=PointSpread(
        components=(
            Moffat(share=0.249, fwhm=0.050, beta=4.9),
            Moffat(share=0.540, fwhm=0.153, beta=12.0),
            Moffat(share=0.211, fwhm=0.540, beta=1.5),
        ),
        width=_about(1.0, 0.01, 0.96, 1.04),
        e1=_round_about(0.012),
        e2=_round_about(0.012),
    ),
    zero_point=25.94,
    # Snapshots of 420 s; the others are of one orbit.
    background_rms=_about(0.0134, 0.0019, 0.0125, 0.0198),
    exposure_time=Uniform(low=400, high=420),
    other_depths=(
        Depth(
            share=0.57,
            background_rms=_about(0.0065, 0.0008, 0.0053, 0.0084),
            exposure_time=Uniform(low=2000, high=2330),
        ),
    ),
    sky_correlation=SkyCorrelation(table=((1.0, 0.245), (0.245, 0.06))),
)
"""HST ACS/WFC, F814W, drizzled to 0.05 arcsec, as 42 SLACS lenses."""

WFC3_F140W = Camera(
    pixel_scale=0.08,
    psf=PointSpread(
        components=(
            Moffat(share=0.310, fwhm=0.0755, beta=12.0),
            Moffat(share=0.492, fwhm=0.257, beta=12.0),
            Moffat(share=0.198, fwhm=0.823, beta=1.5),
        ),
        width=_about(1.0, 0.01, 0.96, 1.04),
        e1=_round_about(0.012),
        e2=_round_about(0.012),
    ),
    zero_point=26.45,
    background_rms=_about(0.0134, 0.0016, 0.0119, 0.0168),
    # 450 s in the files' maps, which count the share of a detector pixel that a pixel holds.
    exposure_time=Constant(value=1150.0),
    sky_correlation=SkyCorrelation(
        table=((1.0, 0.37, 0.038), (0.37, 0.148, 0.021), (0.038, 0.021, 0.009))
    ),
)
"""HST WFC3/IR, F140W, drizzled to 0.08 arcsec, as 14 lenses of DESI."""

EUCLID_VIS = Camera(
    pixel_scale=0.1,
    psf=PointSpread(
        components=(
            Moffat(share=0.068, fwhm=0.0703, beta=12.0),
            Moffat(share=0.793, fwhm=0.190, beta=2.71),
            Moffat(share=0.139, fwhm=0.241, beta=1.5),
        ),
        width=_about(1.0, 0.02, 0.92, 1.08),
        e1=_round_about(0.012),
        e2=_round_about(0.012),
    ),
    zero_point=25.72,
    background_rms=_about(0.008, 0.0025, 0.0058, 0.0125),
    exposure_time=Constant(value=2264.0),
    sky_correlation=SkyCorrelation(table=((1.0, 0.19), (0.19, 0.023))),
)
"""Euclid VIS, mosaics of 0.1 arcsec, as four lenses of Q1; the zero point is lenstronomy's."""
