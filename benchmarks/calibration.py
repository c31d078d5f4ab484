"""How close the `deeplense` preset comes to the real DeepLense set.

    python benchmarks/calibration.py PATH_TO_SHARED_DATA

Simulates 1,000 `no_sub` images and compares them with 36 real images, statistic by statistic, by
two-sample Kolmogorov-Smirnov tests, and with the figures known of the full set of 10,000. Exits
with code 1 if a test gives p <= 0.01 or a figure is more than 10% off.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.simulated_set import simulate

TESTED = ("radius", "q", "cx", "cy", "mean", "std", "gini")
"""The statistics that must agree; sample_statistics.py in the data folder defines them."""

MIN_P = 0.01
TOLERANCE = 0.1
CORNER = 15

FULL_SET = {
    "pixel mean": (0.0615, 0.0615),
    "pixel std": (0.1164, 0.1164),
    "pixel median": (0.017, 0.017),
    "sky": (0.0104, 0.012),
}
"""What is known of the full set: the least and the greatest value that was measured."""


def main() -> int:
    """Print both tables and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the 36 images and the statistics")
    parser.add_argument("--num", type=int, default=1000, help="number of simulated images")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulated images")
    options = parser.parse_args()
    simulated = simulate_smooth(options.num, options.seed)
    with np.load(options.data / "deeplense_samples_36.npz") as file:
        real = file["images"].astype(np.float64)
    passed = print_tests(real, simulated, options.data / "sample_statistics.py")
    return 0 if print_figures(simulated) and passed else 1


def simulate_smooth(num: int, seed: int) -> NDArray[np.float64]:
    """Return images of the class without substructure, shape ``(N, H, W)``."""
    config = select(simulation_preset("deeplense"), classes=("no_sub",))
    return np.stack([record.image[0] for record in simulate(config, num, seed).records()]).astype(
        np.float64
    )


def print_tests(
    real: NDArray[np.float64], simulated: NDArray[np.float64], statistics_file: Path
) -> bool:
    """Print a row for each statistic; True if all tested ones agree."""
    spec = importlib.util.spec_from_file_location("sample_statistics", statistics_file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{statistics_file}: cannot be read as a module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ours, theirs = module.stats(simulated), module.stats(real)
    passed = True
    print(f"| statistic | {len(real)} real | {len(simulated)} simulated | KS p |")
    print("|---|---|---|---|")
    for name in (*TESTED, "u"):
        p = ks_2samp(ours[name], theirs[name]).pvalue
        columns = [f"{x.mean():.4f} +- {x.std():.4f}" for x in (theirs[name], ours[name])]
        print(f"| {name} | {columns[0]} | {columns[1]} | {p:.3f} |")
        passed &= bool(p > MIN_P) or name not in TESTED
    return passed


def print_figures(simulated: NDArray[np.float64]) -> bool:
    """Print a row for each figure of the full set; True if all are within the tolerance."""
    measured = {
        "pixel mean": simulated.mean(),
        "pixel std": simulated.std(),
        "pixel median": np.median(simulated),
        "sky": np.median(simulated[:, :CORNER, :CORNER]),
    }
    passed = True
    print("\n| figure | full set | simulated | off |")
    print("|---|---|---|---|")
    for name, (low, high) in FULL_SET.items():
        value = measured[name]
        nearest = min(max(value, low), high)
        off = value / nearest - 1
        known = f"{low}" if low == high else f"{low} to {high}"
        print(f"| {name} | {known} | {value:.4f} | {off:+.1%} |")
        passed &= bool(abs(off) <= TOLERANCE)
    return passed


if __name__ == "__main__":
    sys.exit(main())
