"""What the names of files say: their order, what a file is beside others, and what our commands call theirs."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

FITS_SUFFIXES = (".fits", ".fit", ".fts")
PACKED = (".gz", ".fz")
"""What follows the suffix of a FITS file that is packed."""
SHARD_SUFFIXES = (".h5", ".hdf5")
GRID, GIF = "grid.png", "denoising.gif"
_BESIDE = re.compile(
    rf"{re.escape(GRID)}|{re.escape(GIF)}|(.*-)?preview(-\d+)?\.png|report\.(json|html)|predictions\.csv"
    r"|.*\.(h5|hdf5)\.partial"
)

_IMAGE = re.compile(
    "images?|img|data|sci|science|cutout|stamp|drz|drc|flt|flc|flux|bgsub|bkgsub|skysub|coadd|calexp"
    "|stack|primary"
)
"""Words that say no more than that a file or an extension is an image."""
_NOISE = (
    "noise noisemap noisemaps noises rms rmsmap err errs error errors errmap unc uncert uncertainty sigmap "
    "stddev"
)
_WEIGHT = "ivar invvar invvariance inversevariance wht whtmap wt weight weights weightmap wgt"
_QUALITY = "dq dqm dataquality bpm badpix badpixel badpixels"
_CERTAIN = {
    "noise map": f"{_NOISE} {_WEIGHT} var vars variance varmap",
    "PSF": "psf psfs psfmap psfex epsf psfmodel psfmod",
    "mask": f"{_QUALITY} mask masks msk maskmap maskbits flag flags "
    "seg segm segmap segmentation segmentationmap",
    "exposure map": "expmap exptime exposure exposuremap expmaps nexp depthmap",
}
_LIKELY = {
    "noise map": "std sig sigma cov covar covariance conf confidence",
    "PSF": "kernel prf lsf beam",
    "mask": "qual quality ctx con context bits sat satmask artifact",
    "exposure map": "exp expo num nobs depth galdepth psfsize coverage gain time tim",
    "background": "bkg bkgd bg bgr bck back background sky skymap flat dark bias",
    "model": "model mod models fit bestfit resid residual residuals res source src chi chi2 chisq "
    "cat catalog thumb thumbnail preview",
}
_ROLES = {
    word: (kind, is_certain)
    for table, is_certain in ((_LIKELY, False), (_CERTAIN, True))
    for kind, words in table.items()
    for word in words.split()
}
NOISE, QUALITY, WEIGHT = "noise map", "data quality map", "weight map"
_MAPS = {
    word: kind
    for kind, words in ((NOISE, f"{_NOISE} std sig sigma"), (QUALITY, _QUALITY), (WEIGHT, _WEIGHT))
    for word in words.split()
}
"""What companions that say something of each pixel are called: its standard deviation, what is wrong with it
where that is not 0, or a weight, which is 0 where it was not observed."""
# They turn the word beside them round: noise_free, without_mask, psf_matched, sky_sub.
_BEFORE = re.compile("no|non|not|without|with|un|minus")
_AFTER = re.compile(
    "free|less|added|sub|subbed|subtracted|corrected|convolved|matched|removed|cleaned"
)
_SURVEY = re.compile(
    "hsc|des|euc|euclid|hst|acs|wfc3|decam|ps1?|panstarrs|sdss|legacy|ls|decals|megacam|cfht|cfhtls|kids|lsst|rubin|jst"
    "|viking|vista|ukidss|2mass|nir|nisp|nircam|wfi"
)
_FILTER = re.compile(
    r"vis|f\d{3,4}(?:w|m|n|x|l|lp|wl)|nb\d{3,4}|(?P<survey>nir|nisp|hsc)(?P<letter>[grizyjh])"
)
_LETTER = re.compile(r"[a-z]|ks")
_OPTICAL, _INFRARED = frozenset("ugrizy"), frozenset(("y", "j", "h", "k", "ks"))
_FILTER_WORDS = ("band", "filter")
_DOCUMENT = re.compile(r"(licen[cs]e|copying|readme|citation)(\.(txt|md|rst|cff))?", re.IGNORECASE)
_NUMBER = re.compile(r"v?\d+")
_OBSERVATION = re.compile(r"(epoch|visit|obs|observation|night)\d+")
_NUMBERED = re.compile(r"(psf|noise|mask|rms|ivar|invvar|wht|weight)\d+")


@dataclass(frozen=True, slots=True)
class NameParts:
    """What the name of a file or of a FITS extension says.

    Attributes:
        kind: ``noise map``, ``PSF``, ``mask``, ``exposure map``, ``background`` or ``model``; empty
            for an image, or where the name says nothing.
        is_certain: Whether the kind needs no image of the same name beside it to be believed.
        is_image: Whether a word says that it is an image.
        band: Band that the name states, as ``hsc_g`` or ``f814w``, or empty.
        letter: A part of one letter, which is a band where others beside it are, or empty.
        rest: What is left of the name, in lower case: the object, say.
        map: What it says of each pixel, `NOISE`, `QUALITY` or `WEIGHT`; empty where it says none of these.
    """

    kind: str
    is_certain: bool
    is_image: bool
    band: str
    letter: str
    rest: tuple[str, ...]
    map: str


@lru_cache(maxsize=1024)
def parse_name(stem: str) -> NameParts:
    """Return what the parts of a name without its suffix say.

    A name is split at ``_``, ``-``, ``.``, blanks, and where a capital follows a small letter. A
    word that tells a companion of an image is believed as prefix, as suffix and as the whole name,
    whatever bands, numbers and words for images stand around it; anywhere else, and where it has other
    meanings (``model``, ``exp``), it takes an image of the same name beside it.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)
    words = [word for word in re.split(r"[_\-.\s]+", spaced.lower()) if word]
    band, words = _take_band(words)
    plain = [word for word in words if not _IMAGE.fullmatch(word)]
    is_image, words = len(plain) < len(words), plain
    role, is_certain, words = _take_role(words)
    letter = "" if band else _take_letter(words)
    kind = _ROLES[role][0] if role else ""
    return NameParts(kind, is_certain, is_image, band, letter, tuple(words), _MAPS.get(role, ""))


def are_bands(letters: frozenset[str], is_beside_band: bool = False) -> bool:
    """Return whether single letters, found in names that are else alike, are bands.

    ``g, r, i`` are; ``a, b, c`` and ``i, j, k`` are not. ``h`` alone is where a name with ``vis`` is
    else alike.

    Args:
        letters: The letters.
        is_beside_band: Whether another name, else alike, states a band in more than a letter.
    """
    if not letters <= _OPTICAL | _INFRARED or len(letters) + is_beside_band < 2:
        return False
    of_one_row = letters <= _OPTICAL or letters <= _INFRARED
    return is_beside_band or of_one_row or bool(letters & {"g", "r"})


def object_words(name: NameParts) -> tuple[str, ...]:
    """Return the words of a name that bands and observations of one object have in common.

    ``J1204_F814W_sci`` and ``J1204_F160W_epoch2_drz`` give ``j1204``; none where nothing is left. What
    numbers an observation (``epoch1``, ``visit 02``) counts as part of the name where no other number is
    left to tell objects apart.
    """
    kept = list(name.rest)
    for k in range(len(kept) - 1, -1, -1):
        following = kept[k + 1] if k + 1 < len(kept) else ""
        if _OBSERVATION.fullmatch(kept[k] + following) and following.isdigit():
            del kept[k : k + 2]
        elif _OBSERVATION.fullmatch(kept[k]):
            del kept[k]
    return tuple(kept) if any(map(str.isdigit, "".join(kept))) else name.rest


def _take_band(words: list[str]) -> tuple[str, list[str]]:
    """Return the band and the other words."""
    for k, word in enumerate(words):
        following = words[k + 1] if k + 1 < len(words) else ""
        is_letter = _LETTER.fullmatch(word) is not None
        if fused := _FILTER.fullmatch(word):
            survey = fused["survey"]
            start = k - 1 if k and _SURVEY.fullmatch(words[k - 1]) else k
            band = f"{survey}_{fused['letter']}" if survey else word
            return band, words[:start] + words[k + 1 :]
        if _SURVEY.fullmatch(word) and _LETTER.fullmatch(following):
            return f"{word}_{following}", words[:k] + words[k + 2 :]
        if word in _FILTER_WORDS and _LETTER.fullmatch(following):
            return following, words[:k] + words[k + 2 :]
        if is_letter and following in _FILTER_WORDS:
            return word, words[:k] + words[k + 2 :]
        if len(word) == 5 and word.endswith("band"):
            return word[0], words[:k] + words[k + 1 :]
    return "", words


def _take_letter(words: list[str]) -> str:
    """Take out and return a part of one letter: the last but for a number, or the first."""
    places = [-1, 0]
    if len(words) > 1 and _NUMBER.fullmatch(words[-1]):
        places = [-2, 0]
    for place in places if words else ():
        if _LETTER.fullmatch(words[place]):
            return words.pop(place)
    return ""


def _take_role(words: list[str]) -> tuple[str, bool, list[str]]:
    """Return the word that tells a companion, whether it is certain, and the other words."""
    end = len(words)
    while end > 1 and (_NUMBER.fullmatch(words[end - 1]) or _LETTER.fullmatch(words[end - 1])):
        end -= 1
    found = ("", False, words)
    for start in range(len(words)):
        role, stop = _role_at(words, start)
        before, after = "".join(words[start - 1 : start]), "".join(words[stop : stop + 1])
        if not role or _BEFORE.fullmatch(before) or _AFTER.fullmatch(after):
            continue
        is_certain = _ROLES[role][1] and (start == 0 or stop >= end)
        if not found[0] or (is_certain and not found[1]):
            found = (role, is_certain, words[:start] + words[stop:])
    return found


def _role_at(words: list[str], start: int) -> tuple[str, int]:
    """Return the word of a companion that the words from one on make, and where they end."""
    numbered = _NUMBERED.fullmatch(words[start])
    for stop in (start + 2, start + 1):
        if stop > start + 1 and len(words[start]) < 3:
            continue
        word = "".join(words[start:stop])
        if numbered and stop == start + 1:
            word = numbered[1]
        if word in _ROLES and stop <= len(words):
            return word, stop + (words[stop : stop + 1] == ["map"])
    return "", start


def split_name(path: PurePath) -> tuple[str, str]:
    """Return the name of a file without its suffix, and the suffix in small letters.

    That a FITS file is packed, as ``.fits.gz`` and ``.fits.fz`` say, is left out of both.
    """
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    shown = name if name.suffix.lower() in FITS_SUFFIXES else path
    return shown.stem, shown.suffix.lower()


def is_document(name: str) -> bool:
    """Return whether a file of this name says something about a data set, as LICENSE does."""
    return _DOCUMENT.fullmatch(name) is not None


def is_beside(name: str) -> bool:
    """Return whether our commands give this name to what lies beside a set and is no part of it."""
    return _BESIDE.fullmatch(name) is not None


def preview_name(stem: str, number: int = 1) -> str:
    """Return how the picture of a set is called; later numbers are for where there is one already."""
    return f"{stem}-preview{'' if number == 1 else f'-{number}'}.png"


def is_preview(name: str, stem: str) -> bool:
    """Return whether a picture of the set is called so."""
    return re.fullmatch(rf"{re.escape(stem)}-preview(-\d+)?\.png", name) is not None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which runs of digits count as numbers, and upper and lower case are one."""
    parts = re.split(r"(\d+)", name.lower(), flags=re.ASCII)
    # The name itself comes last so that 01 and 1 have a fixed order.
    keys = [_number_key(part) if i % 2 else (0, 0, part) for i, part in enumerate(parts)]
    return (*keys, (-1, 0, name))


def _number_key(digits: str) -> tuple[int, int, str]:
    # More digits are a larger number; Python converts no number of thousands of them.
    significant = digits.lstrip("0")
    return 1, len(significant), significant
