"""How fast images are simulated: plain use of lenstronomy, one image at a time, and ours.

    python benchmarks/simulate.py --num 600 --jobs 2

Both make the same images: same parameters, same classes, same grid, with noise. Prints the time
per image and what 10,000 images take on the given number of processes; plain use is shared out
over as many.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util import image_util, util

from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.simulation.substructure import lens_geometry

TARGET = 10_000
VORTEX_POINTS = 100
"""Point masses that plain use strings along a vortex, as DeepLenseSim does."""


def main() -> None:
    """Time both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=600, help="images to time plain use with")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    options = parser.parse_args()
    config = simulation_preset("deeplense")
    records = list(simulate(config, options.num, seed=0, num_jobs=options.jobs).records())
    plain = timed(lambda: render_plain_all(config, records, options.jobs)) / options.num
    ours = timed(lambda: exhaust(config, options.jobs)) / TARGET
    print(f"150 x 150 pixels, three classes evenly, {options.jobs} processes")
    print(f"| way | ms per image | {TARGET:,} images | measured with |")
    print("|---|---|---|---|")
    for name, seconds, num in (("plain", plain, options.num), ("ours", ours, TARGET)):
        print(f"| {name} | {1e3 * seconds:.2f} | {seconds * TARGET:.1f} s | {num:,} |")
    print(f"ours is {plain / ours:.1f} times as fast")


def timed(work: Callable[[], None]) -> float:
    """Return the wall-clock time [s] that a piece of work takes, starting processes included."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def exhaust(config: SimulationConfig, jobs: int) -> None:
    """Simulate the whole set and drop the images."""
    for _ in simulate(config, TARGET, seed=1, num_jobs=jobs).records():
        pass


def render_plain_all(config: SimulationConfig, records: list[LensRecord], jobs: int) -> None:
    """Render every record with lenstronomy's classes, built anew for each image."""
    mass_scale = lens_geometry(config.cosmology).mass_scale
    Parallel(n_jobs=jobs)(delayed(render_plain)(config, r, mass_scale) for r in records)


def render_plain(config: SimulationConfig, record: LensRecord, mass_scale: float) -> object:
    """Render one record as lenstronomy's documentation shows it."""
    imaging, values = config.imaging, record.parameters
    camera = imaging.instrument
    _, _, ra, dec, _, _, matrix, _ = util.make_grid_with_coordtransform(
        imaging.num_pixels, camera.pixel_scale, inverse=False
    )
    data = ImageData(
        image_data=np.zeros((imaging.num_pixels,) * 2),
        ra_at_xy_0=ra,
        dec_at_xy_0=dec,
        transform_pix2angle=matrix,
    )
    lens_models, lens_values = plain_lens(record, mass_scale)
    names = ("R_sersic", "n_sersic", "e1", "e2")
    source = {name: values[f"source_{name}"] for name in names}
    source |= {"amp": 1.0, "center_x": values["source_x"], "center_y": values["source_y"]}
    light = LightModel(["SERSIC_ELLIPSE"])
    flux = 10 ** (0.4 * (camera.zero_point - values["source_magnitude"]))
    source["amp"] = flux / light.total_flux([source])[0]
    model = ImageModel(
        data,
        PSF(psf_type="GAUSSIAN", fwhm=camera.psf_fwhm, truncation=5),
        lens_model_class=LensModel(lens_models),
        source_model_class=light,
        kwargs_numerics={"supersampling_factor": imaging.supersampling},
    )
    image = model.image(lens_values, [source])
    image += image_util.add_background(image, sigma_bkd=camera.background_rms)
    return (image - image.min()) / np.ptp(image)


def plain_lens(record: LensRecord, mass_scale: float) -> tuple[list[str], list[dict[str, float]]]:
    """Return lenstronomy's list of lens models and their arguments."""
    values = record.parameters
    models = ["SIE", "SHEAR"]
    arguments = [
        {
            "theta_E": values["theta_E"],
            "e1": values["lens_e1"],
            "e2": values["lens_e2"],
            "center_x": values["lens_x"],
            "center_y": values["lens_y"],
        },
        {"gamma1": values["gamma1"], "gamma2": values["gamma2"]},
    ]
    if record.subhaloes is not None:
        points = record.subhaloes
    elif np.isfinite(values["vortex_length"]):
        along = np.linspace(-0.5, 0.5, VORTEX_POINTS) * values["vortex_length"]
        mass = values["substructure_mass"] / VORTEX_POINTS
        points = np.stack(
            [
                along * np.cos(values["vortex_angle"]),
                along * np.sin(values["vortex_angle"]),
                np.full(VORTEX_POINTS, mass),
            ],
            axis=1,
        )
    else:
        points = np.empty((0, 3))
    for x, y, mass in points:
        models.append("POINT_MASS")
        arguments.append({"theta_E": np.sqrt(mass / mass_scale), "center_x": x, "center_y": y})
    return models, arguments


if __name__ == "__main__":
    main()
