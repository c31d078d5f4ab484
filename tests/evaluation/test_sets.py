"""What is said of images that the sets of an evaluation share."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gravlensdiffusion.cli.evaluate import Options, _open_sets
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.evaluate import evaluate, evaluate_sets
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.flux import peak_scaled, resize
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.store.writer import write_store
from tests.evaluation.sets import opened, pixels, records
from tests.models import LEARNED, awake
from tests.sources import ArraySource, rings

NUM = 30


@pytest.fixture
def given(tmp_path: Path) -> dict:
    """Four sets that share no image."""
    names = ("generated", "reference", "reference2", "train")
    return {
        name: opened(tmp_path / f"{name}.h5", records(4 * NUM)[k * NUM : (k + 1) * NUM])
        for k, name in enumerate(names)
    }


def test_sets_that_share_nothing_need_no_word(given: dict) -> None:
    assert Sets(**given).copies() == []


@pytest.mark.parametrize(
    ("copy", "original", "role"),
    [
        ("generated", "reference", "the generated images"),
        ("generated", "reference2", "the generated images"),
        ("reference2", "reference", "the second reference"),
        ("reference", "train", "the reference"),
        ("reference2", "train", "the reference"),
    ],
)
def test_a_set_of_copies_is_refused_and_a_part_is_told(
    tmp_path: Path, given: dict, copy: str, original: str, role: str
) -> None:
    shift = ["generated", "reference", "reference2", "train"].index(original) * NUM
    of = records(4 * NUM)[shift : shift + NUM]
    noise = np.random.default_rng(0).normal(0, 1e-4, (NUM, 28, 28))
    copied = opened(tmp_path / "copied.h5", of, pixels(of) * 1.5 + noise)
    with pytest.raises(
        GravLensError, match=f"30 of the 30 .* copied .* {original}; {role} must be"
    ):
        Sets(**given | {copy: copied}).copies()
    part = opened(tmp_path / "part.h5", (*records(5 * NUM)[4 * NUM : 5 * NUM - 4], *of[:4]))
    (note,) = Sets(**given | {copy: part}).copies()
    assert note.startswith(
        f"4 of the {NUM} images of part are copies of those of {original}; {role}"
    )


def test_nothing_is_measured_where_a_set_is_compared_with_itself(
    given: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object) -> None:
        raise AssertionError("a set was measured")

    monkeypatch.setattr("gravlensdiffusion.evaluation.evaluate.Team.measure", measure)
    sets = Sets(**given | {"generated": given["reference"]})
    with pytest.raises(GravLensError, match="the generated images must be others"):
        evaluate_sets(sets, EvaluationSettings(protocol="none"))


def test_images_that_come_several_times_are_counted(tmp_path: Path, given: dict) -> None:
    few = opened(tmp_path / "few.h5", records(1) * 12 + records(4 * NUM)[1:3])
    (note,) = Sets(**given | {"generated": few}).copies()
    assert note == "11 of the 14 images of few are copies of others among them, 3 are different"


def of_peak(size: int, *, is_reduced: bool = False, gain: float = 1.0) -> ArraySource:
    """Return images that were each scaled to [0, 1], reduced after that or not."""
    images = np.random.default_rng(size).random((9, 1, 48, 48), dtype=np.float32)
    images = resize(images, size, "area") if not is_reduced else peak_scaled(images)[0]
    images = peak_scaled(images)[0] if not is_reduced else resize(images, size, "area")
    header = SetHeader(flux_unit="peak", pixel_scale_arcsec=4.8 / size)
    return ArraySource(images * gain, np.zeros(9, np.int16), header)


@pytest.mark.parametrize(
    ("generated", "reference", "here"),
    [
        (of_peak(24), of_peak(24, is_reduced=True), "generated"),
        (of_peak(24), of_peak(48), "generated"),
        (of_peak(48), of_peak(24), "reference"),
        # What a model draws that has learned exact images is not exact.
        (of_peak(24, gain=0.99), of_peak(24), None),
        (of_peak(24, is_reduced=True), of_peak(24, is_reduced=True), None),
        (of_peak(48), of_peak(48), None),
    ],
)
def test_images_that_were_scaled_at_different_sizes_are_told(
    generated: ArraySource, reference: ArraySource, here: str | None
) -> None:
    sets = Sets.of(generated, reference)
    notes = sets.prepared(EvaluationSettings(size=24)).notes
    there = {"generated": "reference", "reference": "generated", None: ""}[here]
    expected = f"{here} were each scaled to [0, 1] at 24 pixels, those of {there} at another size"
    assert [expected in note for note in notes] == ([True] if here else [])
    assert not sets.prepared(EvaluationSettings(size=24, rescale="peak")).notes


def test_the_images_of_a_model_are_drawn_first(tmp_path: Path) -> None:
    save_model(tmp_path / "model", awake(LEARNED))
    reference = rings(6, size=8)
    sets = Sets.of(tmp_path / "model", reference, settings=EvaluationSettings(seed=4))
    expected = LensGenerator(awake(LEARNED)).sample(6, seed=4).images
    assert np.array_equal(sets.generated.read(slice(None)), expected)
    assert sets.generated.title == "model"
    assert len(Sets.of(tmp_path / "model", reference, num=2).generated) == 2
    write_store(tmp_path / "reference.h5", reference)
    options = Options(
        generated=tmp_path / "model",
        reference=tmp_path / "reference.h5",
        out=tmp_path / "report",
        num=3,
    )
    assert len(_open_sets(options).generated) == 3
    with pytest.raises(GravLensError, match="`num` is for a model"):
        Sets.of(reference, reference, num=2)


@pytest.mark.parametrize(
    ("num", "size", "settings", "message"),
    [
        (1, 8, {}, "the generated set has 1 image; at least 2 are needed"),
        (None, 12, {}, "the sizes differ; `size` 8 brings them to one"),
        (None, 8, {"size": 9}, "`size` must be at most the 8 pixels of the smallest images"),
    ],
)
def test_nothing_is_drawn_of_a_model_whose_images_would_not_go_with_the_reference(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num: int | None,
    size: int,
    settings: dict,
    message: str,
) -> None:
    save_model(tmp_path / "model", awake(LEARNED))
    drawn: list[int] = []
    sample = LensGenerator.sample

    def counted(self: LensGenerator, num: int, **asked: Any) -> LensSamples:
        drawn.append(num)
        return sample(self, num, **asked)

    monkeypatch.setattr(LensGenerator, "sample", counted)
    with pytest.raises(GravLensError, match=message):
        Sets.of(
            tmp_path / "model",
            rings(6, size=size),
            num=num,
            settings=EvaluationSettings(**settings),
        )
    assert drawn == [1]


def test_nothing_is_drawn_where_weights_that_were_named_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sample(*_: object, **__: object) -> None:
        raise AssertionError("images were drawn")

    save_model(tmp_path / "model", awake(LEARNED))
    monkeypatch.setattr(LensGenerator, "sample", sample)
    with pytest.raises(GravLensError, match=r"nowhere\.pth"):
        evaluate(tmp_path / "model", rings(6, size=8), inception_weights=tmp_path / "nowhere.pth")
