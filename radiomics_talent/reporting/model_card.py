"""card.md: what a model is, what it was made from, how well it does, what it is for and where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from radiomics_talent.features.whole_files import replacing
from radiomics_talent.reporting import settings_words as words
from radiomics_talent.reporting.html import markdown_text

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.modelling.training import TrainingResult

_ORDER = ("radiomics", "clinical", "combined", "volume")


def write_card(result: TrainingResult, folder: Path) -> Path:
    """Write ``card.md`` into the model's folder and return its path.

    Parameters
    ----------
    result : TrainingResult
        The model and its validation; every figure of the card comes from it.
    folder : Path
        The model's folder.
    """
    path = folder / "card.md"
    with replacing(path) as temporary:
        temporary.write_text(markdown_text("card.md.j2", **_values(result)), encoding="utf-8")
    return path


def _values(result: TrainingResult) -> dict[str, Any]:
    report, model, settings = result.report, result.model, result.model.settings
    blocks = [(b, report.blocks[b]) for b in _ORDER if b in report.blocks]
    weights = sorted(((n, w) for n, w in model.facts["weights"].items() if w is not None), key=lambda x: -abs(x[1]))
    return {
        "model": model,
        "settings": settings,
        "facts": model.facts,
        "report": report,
        "metrics": list(report.blocks[report.block].metrics),
        "blocks": blocks,
        "weights": weights[:30],
        "n_weights": len(model.facts["weights"]),
        "findings": result.findings,
        "chain": None if model.extraction is None else words.chain(model.extraction, model.extraction_versions),
        "headline": "C-index" if report.headline == "c_index" else "AUC",
        "permuted_mean": float(report.permuted.mean()) if len(report.permuted) else None,
    }
