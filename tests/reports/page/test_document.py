from gravlensdiffusion.reports.page.document import Opening, Section, document, encode
from gravlensdiffusion.reports.page.markup import element
from tests.reports.reader import check_harmless, read_page

EVIL = "<script>alert('x')</script>"


def test_a_page_is_whole_and_runs_nothing_whatever_its_words():
    opening = Opening(kind=EVIL, title=EVIL, lead=EVIL, verdict=[EVIL], notes=[EVIL, "few images"])
    text = document(opening, [Section("a", EVIL, element("p", EVIL)), None])
    check_harmless(text)
    read = read_page(text)
    assert read.texts.count(EVIL) == 7
    assert "few images" in read.texts
    assert [each["id"] for each in read.all("section")] == ["a"]
    assert [each["href"] for each in read.all("a")] == ["#a"]


def test_odd_bytes_of_a_file_name_become_question_marks():
    assert encode("a\udcffb") == b"a?b"
