from gravlensdiffusion.reports.figures.lettering import MAX_LETTERS, lettered


def test_names_are_drawn_as_they_are():
    assert lettered("no_sub") == "no_sub"
    assert lettered("$x$\n y") == r"\$x\$ y"
    assert lettered("星") == "?"
    assert len(lettered("a" * 90)) == MAX_LETTERS
    # A legend would leave out what begins with an underscore.
    assert not lettered("_x").startswith("_")
