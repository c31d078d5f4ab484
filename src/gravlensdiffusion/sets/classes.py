"""Classes by other names: those that are given to them, and those that DeepLense has for its own."""

from collections.abc import Collection, Sequence

from gravlensdiffusion.errors import GravLensError

CLASSES = ("no_sub", "cdm", "axion")
"""The classes of dark matter as DeepLense's diffusion set names them, and simulations here."""
_KINDS = {"no": "no_sub", "nosub": "no_sub", "sphere": "cdm", "cdm": "cdm"}
_KINDS |= {"vort": "axion", "axion": "axion"}
"""What DeepLense's sets call them, in small letters and without signs."""


def read_map(text: str) -> dict[str, str]:
    """Return new names of classes by their own, from a text like ``no=no_sub,sphere=cdm,vort=axion``.

    Raises:
        GravLensError: If the text has another form, or names a class twice.
    """
    names: dict[str, str] = {}
    for part in text.split(","):
        own, _, new = (each.strip() for each in part.partition("="))
        if not own or not new or "=" in new:
            raise GravLensError(
                f"`map` must be like no=no_sub,sphere=cdm,vort=axion, each class of the images first, "
                f"got '{text}'"
            )
        if names.setdefault(own, new) != new:
            raise GravLensError(f"`map` takes class '{own}' both for {names[own]} and {new}")
    return names


def deeplense_names(own: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Return which known classes are meant by those of a set that DeepLense has named.

    Args:
        own: Classes of the set. Where one is none of DeepLense's, ``no`` may mean something else: nothing is
            said of any.
        known: Names that they are to be known by.

    Returns:
        Known names by those of the set; without those that are known as they are.
    """
    kinds = {name: _kind(name) for name in own}
    if None in kinds.values() or len(set(kinds.values())) < len(own):
        return {}
    meant = {kind: name for name in reversed([*known]) if (kind := _kind(name)) is not None}
    return {
        name: meant[kind] for name, kind in kinds.items() if kind in meant and name not in known
    }


def _kind(name: str) -> str | None:
    return _KINDS.get("".join(filter(str.isalnum, name.lower())))
