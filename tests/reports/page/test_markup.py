from gravlensdiffusion.reports.page.markup import Markup, element, joined, void


def test_markup_is_escaped_once():
    inner = element("b", "1 < 2", title='"')
    assert inner == '<b title="&quot;">1 &lt; 2</b>'
    assert joined(inner, "&") == inner + "&amp;"
    assert element("p", inner) == f"<p>{inner}</p>"
    assert void("br") == "<br>"
    assert isinstance(joined("a"), Markup)
