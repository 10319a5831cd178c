"""The page of a folder of ``robustness``, whichever of its commands made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from radiomics_talent.reporting.robustness_compare_page import write_compare_page
from radiomics_talent.reporting.robustness_controls_page import write_controls_page
from radiomics_talent.reporting.robustness_folder import kind_of
from radiomics_talent.reporting.robustness_perturb_page import write_perturb_page

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.reporting.robustness_folder import Kind


class _Writer(Protocol):
    def __call__(self, run: Path, path: Path, *, title: str) -> None: ...


_WRITERS: dict[Kind, tuple[str, _Writer]] = {
    "perturb": ("Robustness", write_perturb_page),
    "compare": ("Agreement", write_compare_page),
    "controls": ("Negative controls", write_controls_page),
}


def write_robustness_page(run: Path, out: Path, *, title: str | None = None) -> None:
    """Write the page of a finished folder of ``robustness perturb``, ``compare`` or ``controls``.

    Parameters
    ----------
    run : Path
        The folder.
    out : Path
        Page to write.
    title : str, optional
        Its heading; by default what it is, and the folder's name.

    Raises
    ------
    ConfigError
        The folder is none of these, is not finished, or a file of it is damaged.
    """
    name, write = _WRITERS[kind_of(run)]
    write(run, out, title=title or f"{name} {run.resolve().name}")
