from gravlensdiffusion.reports.page.tables import (
    fact_table,
    flattened,
    small_table,
    typeset,
    word_list,
)
from tests.reports.reader import Reader

TIMES, MINUS, THIN = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}", "\N{THIN SPACE}"


def test_numbers_are_set_with_the_signs_of_print():
    assert typeset("x1.23") == f"{TIMES}1.23"
    assert typeset("-5.0 ± 0.1") == f"{MINUS}5.0 ± 0.1"
    assert typeset("1.23e-4") == f"1.23{THIN}{TIMES}{THIN}10⁻⁴"
    assert typeset("no_sub-x") == "no_sub-x"


def test_facts_are_spelled_out():
    facts = {"a": {"b": None, "c": True}, "d": [1, 0], "e": 1}
    assert dict(flattened(facts)) == {"a.b": "none", "a.c": "yes", "d": "1, 0", "e": "1"}


def test_tables_hold_texts_and_no_markup():
    reader = Reader()
    reader.feed(small_table(("class", "n"), [("<b>", "-1")]))
    reader.feed(word_list({"<i>": "a & b"}))
    reader.feed(fact_table({"<u>": "x"}))
    assert {"class", "n", "<b>", f"{MINUS}1", "<i>", "a & b", "<u>", "x"} <= set(reader.texts)
    assert not {"b", "i", "u"} & {tag for tag, _ in reader.tags}
