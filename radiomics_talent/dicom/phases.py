"""Contrast phase of a CT from the words that sites write into SeriesDescription and ProtocolName."""

from __future__ import annotations

import re
import unicodedata

_EDGE_LEFT, _EDGE_RIGHT = r"(?<![a-z])", r"(?![a-z])"
_WORDS: dict[str, tuple[str, ...]] = {
    # Ordered: a phrase is taken out before the words in it are looked for.
    "native": (
        r"non?[ -]?contra?st\w*", r"without (?:iv )?contrast", r"w/?o(?: (?:iv )?contrast)?",
        r"un-?enhanced", r"unenh", r"non[ -]?enhanced", r"ncct", r"n/?c", r"pre[ -]?contrast",
        r"sin (?:contraste|civ|medio de contraste)", r"s/c(?:iv)?", r"sem contraste",
        r"sans (?:injection|contraste|iv|pdc)", r"senza (?:mdc|mezzo di contrasto|contrasto)",
        r"ohne (?:km|kontrastmittel|kontrast)", r"zonder contrast",
        r"nativ\w*", r"natif", r"blanco?", r"basale?", r"plain",
    ),
    "arterial": (
        r"(?:late|early) art\w*", r"art\w* (?:tard|spat|spaet)\w*", r"art(?:er\w*)?\.?", r"hap", r"cta",
        r"angio\w*", r"pancreatic phase",
    ),
    "portal-venous": (
        r"port(?:al|ale|o)?[ -]*ven\w*", r"portal\w*", r"pv[pi]?", r"port\.?", r"hvp",
    ),
    "delayed": (
        r"delay\w*", r"late", r"tard(?:ia|io|ive|if|ivo|iva|o)", r"spat\w*", r"spaet\w*", r"equilibri\w*",
        r"excret\w*", r"eliminacion", r"nephrographic", r"urograph\w*",
    ),
    "venous": (r"ven(?:ous|osa|oso|eux|eus|euse|a|o[es]\w*)?\.?", r"veineu[xs]e?"),
    "contrast": (
        r"c ?\+", r"\+ ?c", r"post[ -]?contrast", r"con (?:contraste|civ)", r"with (?:iv )?contrast",
        r"mit (?:km|kontrastmittel)", r"avec (?:injection|contraste|iv)", r"com contraste", r"con mdc",
        r"met contrast", r"ce-?ct", r"ce", r"enhanced", r"iv ?\+", r"contrast\w*", r"c/c(?:iv)?",
    ),
}  # fmt: skip
PHASES = ("native", "arterial", "portal-venous", "venous", "delayed", "contrast")
"""What `find_contrast_phase` returns; 'contrast' is some phase with contrast."""
_NO_AGENT = frozenset({
    "", "none", "no", "non", "n", "nein", "not given", "null", "nil", "0", "without", "native", "unenhanced", "nc",
    "ninguno", "oral",
})  # fmt: skip


def find_contrast_phase(series_description: str, protocol_name: str = "", *, agent: str = "") -> str:
    """Return the contrast phase that header texts name.

    Parameters
    ----------
    series_description, protocol_name : str
        Free text; the first that names exactly one phase decides. It is never returned itself.
    agent : str
        ContrastBolusAgent.

    Returns
    -------
    str
        'native', 'arterial', 'portal-venous', 'venous', 'delayed', 'contrast' (some phase with contrast), or ''.
    """
    enhanced = _plain(agent) not in _NO_AGENT
    for text in (series_description, protocol_name):
        named = _phases(_plain(text))
        precise = named - {"contrast"}
        if len(precise) == 1:
            return precise.pop()
        enhanced = enhanced or (not precise and "contrast" in named)
    return "contrast" if enhanced else ""


def _phases(text: str) -> set[str]:
    found = set()
    # "C-" would be lost among the words: the sign is its edge.
    if re.search(r"(?<![a-z])(?:iv ?-|c-)(?![a-z0-9])", text):
        found.add("native")
    for phase, words in _WORDS.items():
        pattern = f"{_EDGE_LEFT}(?:{'|'.join(words)}){_EDGE_RIGHT}"
        text, count = re.subn(pattern, " ; ", text)
        if count:
            found.add(phase)
    return found


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(letters.replace("_", " ").split())
