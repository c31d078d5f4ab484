from itertools import pairwise

from gravlensdiffusion.reports.figures.series import class_series


def test_classes_differ_by_more_than_colour():
    styles = [class_series(k) for k in range(24)]
    assert len({(each.colour, each.line) for each in styles}) == 24
    for first, second in pairwise(styles[:12]):
        assert first.colour != second.colour
        assert first.line != second.line
