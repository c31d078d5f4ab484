import json
import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.bounds import Bounded, Count, NonNegative, Positive, Range, Share
from gravlensdiffusion.config.priors import Constant, Normal, Prior, Uniform
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import simulation_preset


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyConfig(Bounded):
    share: Share = 0.5
    size: Annotated[int | None, Range(at_least=8)] = None
    rates: tuple[Positive, ...] = ()
    noise: dict[str, NonNegative] | None = None
    radius: Annotated[Prior | None, Range(above=0)] = None
    depth: Annotated[float, Range(above=0, below=1)] = 0.5
    num: Count = 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share": 1.5}, "toy share must lie between 0 and 1, got 1.5"),
        ({"share": math.nan}, "toy share must lie between 0 and 1, got nan"),
        ({"size": 7}, "toy size must be at least 8, got 7"),
        ({"rates": (1.0, 0.0)}, "toy rates must be positive, got 0.0"),
        ({"rates": (math.inf,)}, "toy rates must be positive, got inf"),
        ({"noise": {"sky": -1.0}}, "toy noise must not be negative, got -1.0"),
        ({"depth": 1.0}, "toy depth must lie between 0 and 1 (not 0 or 1), got 1.0"),
        ({"num": 0}, "toy num must be at least 1, got 0"),
        ({"num": -(10**400)}, f"toy num must be at least 1, got -1{'0' * 400}"),
    ],
)
def test_a_number_out_of_its_range_is_told_with_its_field_and_what_is_allowed(changes, words):
    with pytest.raises(GravLensError) as caught:
        ToyConfig(**changes)
    assert str(caught.value) == words


def test_a_prior_must_keep_to_the_range_wherever_it_ends():
    ToyConfig(radius=Uniform(low=0.1, high=2.0))
    for prior in (Uniform(low=0.0, high=2.0), Constant(value=0.0), Normal(mean=3, std=0.1)):
        with pytest.raises(GravLensError, match="toy radius must be positive, got"):
            ToyConfig(radius=prior)


def test_what_is_in_range_or_left_out_is_taken():
    ToyConfig(share=1, size=8, rates=(1e-9,), noise={"sky": 0.0}, num=3)
    assert Range(at_least=2) != Range(above=2)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("cosmology", "hubble"), 1e-300),
        (("cosmology", "redshift_source"), 1e300),
        (("lens", "einstein_radius"), {"kind": "constant", "value": 1e300}),
        (("source", "light", "effective_radius"), {"kind": "constant", "value": 1e-300}),
        (("source", "light", "magnitude"), {"kind": "constant", "value": -1e5}),
        (("classes", 1, "substructure", "mean_count"), 1e300),
        (("classes", 1, "substructure", "slope"), 500),
        (("classes", 1, "substructure", "mass_max"), 1e300),
        (("imaging", "num_pixels"), 10**9),
        (("imaging", "supersampling"), 10**6),
        (("imaging", "instrument", "pixel_scale"), 1e-200),
        (("imaging", "instrument", "psf_fwhm"), 1e5),
        (("imaging", "instrument", "zero_point"), 1e6),
    ],
)
def test_a_preset_of_numbers_that_nothing_can_be_simulated_with_is_refused(place, value):
    preset = json.loads(to_json(simulation_preset("deeplense")))
    owner = preset
    for name in place[:-1]:
        owner = owner[name]
    owner[place[-1]] = value
    with pytest.raises(GravLensError, match=place[-1]):
        from_json(SimulationConfig, json.dumps(preset))
