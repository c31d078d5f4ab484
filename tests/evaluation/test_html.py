"""The page of a report: whole, safe, and the same each time."""

import base64
import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.evaluation.report import to_html
from gravlensdiffusion.evaluation.result import Evaluation
from tests.evaluation.cards import EVIL, ROWS, evaluation
from tests.reports.reader import Reader, check_harmless, read_page

TIMES, MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"


def page(found: Evaluation) -> str:
    return to_html(found).decode()


@pytest.fixture(scope="module")
def text() -> str:
    return page(evaluation())


@pytest.fixture(scope="module")
def read(text) -> Reader:
    return read_page(text)


def test_every_row_is_there_with_its_numbers(read):
    for row in ROWS:
        assert row.statistic.title in read.texts
        if row.note:
            assert row.note in read.texts
    for number in ("2.351 ± 0.012", "1.353 ± 0.080", "+12.5", "+9.1%", "<0.001"):
        assert number in read.texts
    assert {f"{TIMES}1.74", f"{MINUS}5.0", f"{MINUS}1.2%"} <= set(read.texts)


def test_rows_far_from_the_floor_are_marked_in_words(read):
    assert read.texts.count("▲ above floor") == 2
    assert read.texts.count("▼ below floor") == 1
    assert read.texts.count("▲ memorised") == 1
    lines = [each.get("class") or "" for each in read.all("tr")]
    assert sum(each.split()[:1] == ["far"] for each in lines) == 4


def test_nothing_of_a_name_becomes_markup(read):
    assert read.texts.count(f"{EVIL} against real.h5") == 1
    assert f"{EVIL} / cdm" in read.texts


def test_nothing_is_loaded_and_nothing_runs(text):
    check_harmless(text)


def test_links_lead_to_sections(read):
    anchors = {each["id"] for each in read.all("section")}
    assert {each["href"] for each in read.all("a")} == {f"#{anchor}" for anchor in anchors}


def test_pictures_are_in_the_page_and_described(read):
    pictures = read.all("img")
    # Eight of each set to guess; two grids, two statistics that have values, two profiles, two pairs.
    assert len(pictures) == 16 + 8
    for each in pictures:
        assert each["alt"]
        data = base64.b64decode(each["src"].removeprefix("data:image/png;base64,"), validate=True)
        with Image.open(BytesIO(data)) as picture:
            assert picture.size == (int(each["width"]), int(each["height"]))


def test_both_grids_share_one_grey_scale():
    dark = evaluation()
    half = replace(dark, generated_images=dark.real_images / 4)
    one, two = (
        np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("L"), dtype=float)
        for data in re.findall(r"base64,([A-Za-z0-9+/=]+)", page(half))[16:18]
    )
    # The square root of a quarter is a half.
    assert one[10, 10] / two[10, 10] == pytest.approx(0.5, abs=0.02)


def test_the_same_evaluation_is_the_same_page(text):
    assert page(evaluation()) == text


def test_parts_without_content_are_left_out():
    text = page(evaluation(class_pairs=(), requested=(), notes=(), neighbours=()))
    assert 'id="neighbours"' not in text
    assert 'id="conditioning"' not in text


def test_large_images_stay_small():
    images = np.random.default_rng(0).random((2, 40, 150, 150), dtype=np.float32)
    found = evaluation(size=150, num_shown=40)
    large = replace(found, generated_images=images[0], real_images=images[1])
    assert len(page(large)) < 3e6
