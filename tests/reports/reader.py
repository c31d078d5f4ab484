"""Reading a page as a browser would, for tests."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "input"}


class Reader(HTMLParser):
    """Reads a page, and fails where elements do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(text: str) -> Reader:
    """Read a whole page, all of whose elements are closed."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def without_pictures(text: str) -> str:
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)


def check_harmless(text: str) -> None:
    """Assert that a page loads nothing and runs nothing."""
    read = read_page(text)
    assert not re.search(r"https?:|//|@import|url\(|javascript:|\son\w+=", without_pictures(text))
    assert not read.all("script")
    assert "<script" not in text
    assert {each["href"][0] for each in read.all("a")} <= {"#"}
    assert not read.all("link")
    policy = next(each for each in read.all("meta") if "http-equiv" in each)
    assert policy["content"].startswith("default-src 'none'")
