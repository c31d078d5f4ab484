import numpy as np

from gravlensdiffusion.data.generated import generated_images
from gravlensdiffusion.records import GENERATED
from tests.sources import rings


def test_flags_say_which_images_are_generated():
    source = rings(5)
    source.parameters[GENERATED] = np.array([0.0, 1.0, np.nan, 1.0, 0.0])
    assert generated_images(source).tolist() == [False, True, False, True, False]


def test_a_set_without_flags_has_originals_only():
    assert generated_images(rings(3)).tolist() == [False, False, False]
