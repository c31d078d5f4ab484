"""Operations of each part of a network, against those counted by hand."""

import pytest
from network_cost import operations, read_config

from gravlensdiffusion.model.build import build_network


@pytest.mark.parametrize("name", ["reference", "lens28", "cutouts28"])
def test_all_operations_of_a_network_lie_in_known_parts(name: str) -> None:
    config = read_config(name)
    assert operations(build_network(config).eval(), config).total() > 1e8


def test_the_operations_of_the_refinement_are_those_of_its_three_convolutions() -> None:
    config = read_config("lens28:refine=8")
    counted = operations(build_network(config).eval(), config)
    # An image drawn, its 8 features and the noisy image come in.
    weights = 9 * (10 * 8 + 8 * 8 + 8 * 1)
    modulation = 128 * 2 * 8
    assert counted["refinement at full resolution"] == 2 * (28 * 28 * weights + modulation)
