"""What is said of the rows."""

from dataclasses import replace

import pytest

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.conditioning import ClassPair
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.evaluation.statistics import COVERAGE, MEASURED, Space, auc
from gravlensdiffusion.evaluation.verdict import verdict
from tests.evaluation.cards import EVIL, ROWS, USUAL, evaluation


@pytest.mark.parametrize(
    ("changes", "far"),
    [
        ({"z": 4.1}, True),
        ({"z": 3.9}, False),
        ({"z": -9.0}, False),
        ({"z": -9.0, "ratio": None}, True),
        ({"z": -9.0, "ratio": None, "statistic": auc(Space.PIXELS)}, False),
        ({"z": 9.0, "ratio": None, "statistic": auc(Space.PIXELS)}, True),
        ({"z": None, "ratio": 1.6}, True),
        ({"z": None, "ratio": 1.4}, False),
        ({"z": None, "ratio": None}, False),
        ({"z": 9.0, "is_valid": False}, False),
        ({"z": 9.0, "value": None}, False),
        ({"z": None, "ratio": None, "is_memorised": True}, True),
    ],
)
def test_a_row_stands_out_where_it_is_worse_than_real_images(changes, far):
    assert replace(USUAL, **changes).stands_out is far


def said(*rows: Row, **changes: object) -> str:
    return " ".join(verdict(evaluation(rows=rows, **changes)))


def test_headline_names_sets_and_numbers():
    text = evaluation().headline
    assert text.startswith(f"{EVIL} (600 images) against real.h5 (1,200 images), at 16 pixels.")
    assert text.endswith("Floors: 600 reference images against 600 others, mean of 5 draws.")
    simulated = told(reference={"origin": "simulated"}).headline
    assert "against real.h5 (1,200 simulations)" in simulated
    assert "600 generated images against 600 simulations" in simulated


def test_distance_is_put_beside_its_floor():
    text = said(ROWS[0])
    assert "2.351, 1.74 times its floor of 1.353 ± 0.080, like a 6.9% flux error." in text
    assert "flux error" not in said(replace(ROWS[0], z=1.0))


def test_physics_counts_what_was_measured_and_names_the_farthest_first():
    physics = ROWS[2:5]
    text = said(*physics)
    assert "Of 2 measures of lens physics, 1 lies above the floor. The total flux differs" in text
    assert "None of the 1 measures" in said(ROWS[2])
    far = [
        replace(
            ROWS[3],
            statistic=replace(ROWS[3].statistic, label=f"statistic {k}"),
            value=float(k),
        )
        for k in range(1, 8)
    ]
    assert "The farthest: the statistic 7 differs" in said(*far)
    assert "statistic 3 " not in said(*far)


def test_invalid_tests_are_not_quoted():
    text = said(*ROWS[5:7])
    assert "0.600 from encoder features" in text
    assert "0.71" not in text
    assert "The two-sample test from pixels is invalid" in text


def test_memorisation_is_said_either_way():
    assert "in pixels: a sign of copies" in said(ROWS[7])
    assert said(ROWS[7]).startswith("Worst fault: images are copies of training images")
    fine = replace(ROWS[7], is_memorised=False)
    assert "No sign of copies of training images, in pixels." in said(fine)


def test_gaps_are_said():
    assert "Not computed: M20, FID" in said(ROWS[4], ROWS[8])
    assert not verdict(evaluation(rows=(), class_pairs=()))


@pytest.mark.parametrize(("n", "m", "few"), [(2, 2, True), (600, 29, True), (30, 30, False)])
def test_a_handful_of_images_is_said_before_anything_else(n: int, m: int, few: bool) -> None:
    whole = evaluation()
    sizes = {"num_generated": n, "num_reference": m}
    first = verdict(replace(whole, facts={**whole.facts, **sizes}))[0]
    assert first.startswith(f"Only {n} generated and {m} reference images") is few


def told(
    *rows: Row,
    num: int = 600,
    generated: dict[str, object] | None = None,
    reference: dict[str, object] | None = None,
    class_pairs: tuple[ClassPair, ...] = (),
) -> Evaluation:
    """Return an evaluation of some rows, with what is known of both sets."""
    whole = evaluation()
    sets = dict(whole.facts["sets"])
    sets["generated"] = {**sets["generated"], **(generated or {})}
    sets["reference"] = {**sets["reference"], **(reference or {})}
    facts = {**whole.facts, "sets": sets, "num_generated": num, "num_reference": num}
    return replace(whole, rows=rows or ROWS, facts=facts, class_pairs=class_pairs)


SIMULATED = {"origin": "simulated"}
NEAR = replace(USUAL, statistic=MEASURED["sky_rms"], ratio=1.1, z=0.5)
AREAS = tuple(
    Row(statistic=auc(space), value=0.51, floor=0.5, floor_spread=0.01, z=1.0)
    for space in (Space.FEATURES, Space.PIXELS)
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shift": -0.91, "offset": -3.0}, "the sky rms is 91% lower than in simulations"),
        ({"shift": 0.9, "offset": 3.0}, "the sky rms is 90% higher than in simulations"),
        ({"shift": 2.2, "offset": 3.0}, "the sky rms is 3.20 times as high as in simulations"),
        ({"offset": -3.0}, "the sky rms is smaller than in simulations by 3.00 of its scatter"),
        ({"shift": 0.0, "offset": 0.0, "widening": -0.4}, "varies less than in simulations"),
        ({}, "differs from that of simulations by 3.00 of its scatter"),
    ],
)
def test_the_worst_fault_comes_first_in_plain_words(changes, words):
    sky = replace(NEAR, value=3.1, ratio=31.0, z=150.0, **changes)
    flux = replace(sky, statistic=MEASURED["total_flux"], value=0.12, shift=0.01, offset=0.02)
    first = verdict(told(flux, sky, *AREAS, reference=SIMULATED))[0]
    assert first.startswith("Worst fault: ")
    assert words in first
    assert "(31.0 times the floor)" in first
    assert "Not good for: what depends on the sky and its noise." in first
    # A difference of a fiftieth of the scatter is certain and does not matter.
    assert "No such fault was found for: measuring flux." in first


def test_only_everything_at_its_floor_is_not_told_apart():
    fine = verdict(told(NEAR, *AREAS, reference=SIMULATED))
    assert fine[0] == "Nothing that was measured on 600 images tells them from simulations."
    unusual = replace(NEAR, statistic=MEASURED["power_spectrum"], ratio=1.56, z=3.0)
    area = replace(AREAS[0], value=0.53, z=3.0)
    invalid = replace(AREAS[1], is_valid=False)
    close = ClassPair(names=("cdm", "axion"), generated=0.52, real=0.7, kept=0.1, spread=0.05)
    for other, words in (
        (told(NEAR, *AREAS, num=400), "with 400 images on a side only gross faults"),
        (told(NEAR, unusual, *AREAS), "power spectrum lies farther from the floor"),
        (told(NEAR, area, AREAS[1]), "AUC, encoder features lies farther from the floor"),
        (told(NEAR, AREAS[0]), "No classifier could be tried on pixels"),
        (told(NEAR, AREAS[0], invalid), "No classifier could be tried on pixels"),
        (told(NEAR, *AREAS, class_pairs=(close,)), "Not good for: telling the classes apart"),
        (told(NEAR, replace(AREAS[0], value=0.607, z=9.0)), "with an area of 0.607 from encoder"),
    ):
        first = verdict(other)[0]
        assert words in first
        assert "Nothing that was measured" not in first


def test_what_is_certain_and_does_not_matter_is_no_worst_fault():
    shape = replace(
        NEAR, statistic=MEASURED["total_flux"], value=0.12, z=9.0, shift=0.004, offset=0.02
    )
    density = Row(statistic=COVERAGE[2], value=1.01, floor=0.98, z=17.0)
    first = verdict(told(density, shape, *AREAS, reference=SIMULATED))[0]
    assert first.startswith("Only small differences were found: the total flux is 0.4% higher than")
    assert "Not good for" not in first


def test_sets_of_other_classes_are_said():
    mixed = {"classes": {"no_sub": 200, "cdm": 200, "axion": 200}}
    text = " ".join(verdict(told(NEAR, generated={"classes": {"cdm": 600}}, reference=mixed)))
    assert "are all cdm; the reference images are 33% no_sub, 33% cdm and 33% axion." in text
    assert "compare with a reference of the same classes" in text
    like = {"classes": {"no_sub": 180, "cdm": 210, "axion": 210}}
    for ours in (like, {"classes": {}}, {}):
        assert "the same classes" not in " ".join(
            verdict(told(NEAR, generated=ours, reference=mixed))
        )


def test_classes_that_are_too_alike_are_said_by_their_areas():
    pairs = (
        ClassPair(names=("cdm", "axion"), generated=0.46, real=0.7, kept=0.0),
        ClassPair(names=("no_sub", "axion"), generated=0.85, real=0.86, kept=0.97),
    )
    text = " ".join(verdict(told(NEAR, reference=SIMULATED, class_pairs=pairs)))
    assert "cdm and axion are too alike: the encoder tells them apart with an area of 0.460" in text
    assert "in simulations with 0.700" in text
    assert "is there for" not in text
    unsure = replace(pairs[0], spread=0.1)
    assert "too alike" not in " ".join(verdict(told(NEAR, class_pairs=(unsure,))))
    assert "No two classes" in " ".join(verdict(told(NEAR, class_pairs=pairs[1:])))
