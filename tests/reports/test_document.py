from gravlensdiffusion.reports.document import (
    Beside,
    Figure,
    Guess,
    Line,
    Section,
    Table,
    to_html,
)
from tests.reports.reader import check_harmless, read_page

EVIL = "<script>alert('x')</script>"
MINUS = "\N{MINUS SIGN}"


def test_a_page_is_whole_and_runs_nothing_whatever_its_words():
    line = Line(name=EVIL, cells=["-1", EVIL], mark=EVIL, note=EVIL)
    why = Line(name=EVIL, note=EVIL)
    heading = Line(name=EVIL, note=EVIL, is_heading=True)
    tables = [
        Table(
            headings=(EVIL, "value", EVIL),
            lines=[heading, line, why],
            title=EVIL,
            about=EVIL,
            ends_in_text=True,
            is_wide=is_wide,
        )
        for is_wide in (True, False)
    ]
    figure = Figure(png=bytes(24), alt=EVIL, heading=EVIL, caption=EVIL, hint=EVIL)
    blocks = [*tables, Beside(blocks=[figure, tables], title=EVIL, has_key=True)]
    empty = [Table(headings=(EVIL,), lines=[]), Beside(blocks=[]), Guess((EVIL,), [])]
    text = to_html(
        EVIL,
        EVIL,
        lead=EVIL,
        verdict=[EVIL],
        notes=[EVIL, "few images", f"see `gravlens {EVIL}` first"],
        sections=[Section("a", EVIL, EVIL, blocks), Section("b", EVIL, EVIL, empty)],
        words={EVIL: EVIL},
        facts={EVIL: {EVIL: EVIL}},
        about_facts=EVIL,
    ).decode()
    check_harmless(text)
    read = read_page(text)
    assert {EVIL, "few images", f"{MINUS}1", f"{EVIL}.{EVIL}"} <= set(read.texts)
    assert len(read.all("code")) == 1
    assert f"gravlens {EVIL}" in read.texts
    assert [each["id"] for each in read.all("section")] == ["a", "reading", "protocol"]
    assert [each["href"] for each in read.all("a")] == ["#a", "#reading", "#protocol"]
    (picture,) = read.all("img")
    assert picture["alt"] == EVIL


def test_facts_are_spelled_out():
    facts = {"a": {"b": None, "c": True}, "d": [1, 0], "e": 1}
    page = to_html("", "", lead="", verdict=[], notes=[], sections=[], facts=facts).decode()
    texts = [text for text in read_page(page).texts if text]
    assert texts[-8:] == ["a.b", "none", "a.c", "yes", "d", "1, 0", "e", "1"]


def test_odd_bytes_of_a_file_name_become_question_marks():
    page = to_html("", "a\udcffb", lead="", verdict=[], notes=[], sections=[])
    assert b"<h1>a?b</h1>" in page


def test_a_guess_tells_its_answer_only_in_what_is_shown_after_it():
    one, two = (Figure(png=bytes(24), alt=f"Image {k}, of a kind to guess") for k in (1, 2))
    block = Guess(kinds=("real", EVIL), figures=[(one, "real"), (two, EVIL)])
    sections = [Section("guess", "Guess", "", [block])]
    text = to_html("Evaluation", "", lead="", verdict=[], notes=[], sections=sections).decode()
    read = read_page(text)
    choices = read.all("input")
    assert [each["name"] for each in choices] == ["guess-1"] * 2 + ["guess-2"] * 2
    assert [each["class"] for each in choices] == ["right", "wrong", "wrong", "right"]
    assert len({each["id"] for each in choices}) == 4
    assert {each["for"] for each in read.all("label")} == {each["id"] for each in choices}
    check_harmless(text)
