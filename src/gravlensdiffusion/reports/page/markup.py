"""HTML from Python, escaped unless it is HTML already."""

import base64
from html import escape


class Markup(str):
    """Text that is HTML and goes into a page as it is."""

    __slots__ = ()


def element(tag: str, /, *children: str, **attributes: str) -> Markup:
    """Return an element.

    Args:
        tag: Its name.
        children: What it holds; whatever is no `Markup` is escaped.
        attributes: By name, always escaped; ``class_`` and ``aria_label`` stand for ``class`` and
            ``aria-label``.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{tag}{written}>{joined(*children)}</{tag}>")


def void(tag: str, /, **attributes: str) -> Markup:
    """Return an element that holds nothing, such as an image."""
    return Markup(element(tag, **attributes).removesuffix(f"</{tag}>"))


def joined(*children: str) -> Markup:
    """Return texts one after the other, those that are no `Markup` escaped."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in children))


def picture(png: bytes, alt: str, class_: str = "") -> Markup:
    """Return an image that holds its PNG file.

    Args:
        png: The file.
        alt: What it shows, for those who do not see it.
        class_: Class of the element.
    """
    data = base64.b64encode(png).decode("ascii")
    # Width and height keep the page from jumping while it loads.
    width, height = (int.from_bytes(png[k : k + 4], "big") for k in (16, 20))
    return void(
        "img",
        src=f"data:image/png;base64,{data}",
        alt=alt,
        width=str(width),
        height=str(height),
        class_=class_,
    )
