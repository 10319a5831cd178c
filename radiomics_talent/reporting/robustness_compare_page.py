"""The page of ``robustness compare``: how far two measurements of the same lesions agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from radiomics_talent.reporting import robustness_agreement as agreement
from radiomics_talent.reporting import robustness_compare_figures as figures
from radiomics_talent.reporting import robustness_words as words
from radiomics_talent.reporting.extraction_figures import Plate, listed, plate
from radiomics_talent.reporting.html import render_page
from radiomics_talent.reporting.robustness_bland_altman import bland_altman_plates, bland_altman_rows, read_bland_altman
from radiomics_talent.reporting.robustness_figures import Levels
from radiomics_talent.reporting.robustness_folder import damaged, finished_record, read_table
from radiomics_talent.robustness.mask_agreement import mask_medians
from radiomics_talent.robustness_settings import Statistic

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.reporting.robustness_agreement import Agreed

_NEEDED = ("stability.csv", "bland_altman.csv", "batches.csv", "unpaired.csv")
_SECTIONS = (
    ("summary", "Summary"),
    ("shares", "Agreement by class"),
    ("intervals", "Intervals"),
    ("bland-altman", "Bland-Altman"),
    ("masks", "Masks"),
    ("batches", "Batches"),
    ("features", "All features"),
    ("unpaired", "Unpaired rows"),
    ("methods", "For the methods section"),
    ("provenance", "Provenance"),
)
_MEASURES = {
    "dice": "Dice",
    "mean_surface_distance_mm": "mean surface\ndistance (mm)",
    "hausdorff_95_mm": "95 % Hausdorff\ndistance (mm)",
    "hausdorff_mm": "Hausdorff\ndistance (mm)",
}
_MASK_TEXTS = ("patient_id", "lesion_id", "status", "reason")
_MASK_NUMBERS = (*_MEASURES, "jaccard", "volume_a_ml", "volume_b_ml")
_BATCH_TEXTS = ("factor", "levels", "remark")
_BATCH_NUMBERS = ("n_rows", "n_features", "chance", "mean_before", "n_large_before", "mean_after", "n_large_after")


def write_compare_page(run: Path, path: Path, *, title: str) -> None:
    """Write the page of a finished folder of ``robustness compare``.

    Parameters
    ----------
    run : Path
        The folder.
    path : Path
        Page to write.
    title : str
        Its heading.

    Raises
    ------
    ConfigError
        The comparison is not finished, or a file of it is damaged.
    TableError
        stability.csv is damaged.
    """
    record = finished_record(run, "compare", _NEEDED)
    found = _agreed(run, record)
    analysed = read_bland_altman(run / "bland_altman.csv")
    masks = read_table(run / "masks.csv", _MASK_TEXTS, _MASK_NUMBERS) if (run / "masks.csv").is_file() else None
    batches = read_table(run / "batches.csv", _BATCH_TEXTS, _BATCH_NUMBERS)
    plates, remark = bland_altman_plates(run, analysed, found)
    render_page(
        "robustness_compare.html.j2",
        path,
        title=title,
        sections=_SECTIONS,
        subtitle=(
            f"Two measurements of the same lesions, radiomics-talent {record['versions'].get('radiomics-talent', '')}. "
            "Research use only."
        ),
        tiles=_tiles(record, found, masks),
        sentences=[words.prose(s) for s in _sentences(record, found)],
        notes=[words.prose(str(note)) for note in record["notes"]],
        shares=agreement.share_plates(found),
        intervals=agreement.interval_plates(found),
        bland_altman=plates,
        bland_altman_remark=words.prose(remark) if remark else "",
        bland_altman_rows=bland_altman_rows(analysed),
        masks=_mask_plate(masks),
        mask_rows=[] if masks is None else _mask_rows(masks),
        batch_plate=_batch_plate(batches),
        batch_rows=_batch_rows(batches),
        rows=agreement.feature_rows(found),
        statistic=words.STATISTICS[found.statistic.removesuffix("_lower")][0],
        decides=words.statistic_name(found.statistic),
        levels=found.levels,
        unpaired=read_table(run / "unpaired.csv", ("table", "patient_id", "lesion_id", "reason"), ()).to_dict(
            "records"
        ),
        methods=_methods(record, found, masks),
        references=(words.SHROUT, words.MCGRAW, words.KOO, words.BLAND, words.COMBAT),
        provenance=_provenance(record),
        record_text=json.dumps(record, indent=1, ensure_ascii=False),
    )


def _agreed(run: Path, record: dict[str, Any]) -> Agreed:
    try:
        options = record["options"]
        levels = Levels(float(options["good"]), float(options["excellent"]))
        statistic = cast("Statistic", options["statistic"])
        whole = statistic in get_args(Statistic) and {
            "versions",
            "a",
            "b",
            "pairs",
            "unpaired",
            "features",
            "notes",
        } <= set(record)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(run / "comparison.json") from error
    if not whole:
        raise damaged(run / "comparison.json")
    stability = agreement.ordered_stability(run / "stability.csv")
    chains = list(dict.fromkeys(stability["chain"]))
    return agreement.agreed(stability, chains[0] if chains else "", statistic, levels)


def _tiles(record: dict[str, Any], found: Agreed, masks: pd.DataFrame | None) -> list[tuple[str, str]]:
    n = found.n_features
    tiles = [
        (f"{record['pairs']:,}", "pairs of lesions"),
        (f"{sum(record['unpaired'].values()):,}", "rows unpaired"),
        (f"{n:,}", "features"),
        (_share(found.n_good, n), f"features ≥ {found.levels.good:g}"),
        (_share(found.n_excellent, n), f"features ≥ {found.levels.excellent:g}"),
        (f"{found.n_not_defined:,}", "features not defined"),
    ]
    if masks is not None and (medians := mask_medians(masks)):
        tiles.append((f"{medians['dice']:.3f}", "median Dice of the masks"))
    return tiles


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _sentences(record: dict[str, Any], found: Agreed) -> list[str]:
    return [
        (
            f"Of {words.counted(found.n_features, 'feature')} in {words.counted(record['pairs'], 'pair')} of lesions, "
            f"{found.n_good:,} reach {words.statistic_name(found.statistic)} of at least {found.levels.good:g}, "
            f"{found.n_excellent:,} of them at least {found.levels.excellent:g}."
        ),
        *agreement.not_tested_sentence(found, "A and B have the same value in every pair"),
    ]


def _compared(masks: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if masks is None else masks.loc[masks["status"] == "compared"]


def _mask_plate(masks: pd.DataFrame | None) -> Plate | None:
    compared = _compared(masks)
    if masks is None or compared is None or compared.empty:
        return None
    medians = mask_medians(masks)
    panels = [(label, compared[name].to_numpy(np.float64), medians[name]) for name, label in _MEASURES.items()]
    said = listed([f"{label.replace(chr(10), ' ')} {median:.3g}" for label, _, median in panels])
    caption = (
        "Masks of A and B: overlap (Dice, 1 is the same mask) and distances between their surfaces. A point is a "
        "pair, the line with its number the median."
    )
    return plate(
        figures.draw_masks(panels),
        alt=f"Strips of {len(compared)} pairs. Medians: {said}",
        caption=words.prose(caption),
    )


def _mask_rows(masks: pd.DataFrame) -> list[tuple[str, list[str], str]]:
    """Return lesion, numbers and remark of each pair, the least overlap first."""
    digits = {"dice": 3, "jaccard": 3, "volume_a_ml": 2, "volume_b_ml": 2}
    order = masks.sort_values("dice", kind="stable", na_position="first")
    return [
        (
            f"{row['patient_id']}/{row['lesion_id']}",
            [
                agreement.number(row[name], digits.get(name, 2))
                for name in ("dice", "jaccard", "volume_a_ml", "volume_b_ml", *list(_MEASURES)[1:])
            ],
            row["reason"] or ("" if row["status"] == "compared" else row["status"]),
        )
        for row in order.to_dict("records")
    ]


def _batch_plate(batches: pd.DataFrame) -> Plate | None:
    known = batches.dropna(subset=["mean_before"])
    if known.empty:
        return None
    names = [str(f).replace("_", " ") for f in known["factor"]]
    before, after, chance = (known[c].to_numpy(np.float64) for c in ("mean_before", "mean_after", "chance"))
    said = listed(
        [f"{n}: {_percent(b)} before ComBat, {_percent(a)} after" for n, b, a in zip(names, before, after, strict=True)]
    )
    caption = (
        "Mean share of the features' variance (eta squared) between the levels of each factor, over the rows of A and "
        "B together, before and after ComBat on that factor; a stroke marks what levels without any effect would have "
        "by chance, where that is known."
    )
    return plate(figures.draw_batches(names, before, after, chance), alt=f"Dots by factor. {said}", caption=caption)


def _batch_rows(batches: pd.DataFrame) -> list[tuple[str, str, list[str], str]]:
    return [
        (
            str(row["factor"]).replace("_", " "), str(row["levels"]),
            [
                _percent(row["chance"]), _percent(row["mean_before"]), _percent(row["mean_after"]),
                agreement.number(row["n_large_before"], 0), agreement.number(row["n_large_after"], 0),
                agreement.number(row["n_features"], 0),
            ],
            str(row["remark"]),
        )
        for row in batches.to_dict("records")
    ]  # fmt: skip


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1%}"


def _methods(record: dict[str, Any], found: Agreed, masks: pd.DataFrame | None) -> str:
    sentences = [
        (
            f"Agreement of {words.counted(found.n_features, 'radiomic feature')} between two measurements (A, B) of "
            f"{words.counted(record['pairs'], 'lesion')} was measured by {words.statistic_words(found.statistic)} with "
            "its 95 % confidence interval (1, 2)."
        ),
        (
            f"Features of at least {found.levels.good:g} were called good, of at least {found.levels.excellent:g} "
            f"excellent (3): {found.n_good:,} and {found.n_excellent:,}; "
            f"{found.n_not_defined:,} were not defined."
        ),
        "Differences B − A were analysed by bias and 95 % limits of agreement (4).",
    ]
    compared = _compared(masks)
    if compared is not None and len(compared):
        sentences.append(
            f"Masks of {words.counted(len(compared), 'pair')} were compared by Dice coefficient and by surface "
            "distances."
        )
    sentences.append(
        "The share of variance by scanner, kernel and slice thickness is descriptive, before and after ComBat (5)."
    )
    sentences.append(f"radiomics-talent {record['versions'].get('radiomics-talent', '')} was used.")
    return " ".join(sentences)


def _provenance(record: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for name in ("a", "b"):
        side = record[name]
        pairs += [
            (f"Table {name.upper()}", f"{side.get('table', '')}, {side.get('lesions', '?')} rows"),
            (f"SHA-256 of table {name.upper()}", str(side.get("table_sha256", ""))),
            (f"Settings SHA-256 of {name.upper()}", str(side.get("settings_sha256") or "not recorded")),
        ]
    pairs.append(("Paired by", ", ".join(map(str, record["options"].get("by", ())))))
    return [*pairs, *((str(n), str(v)) for n, v in record["versions"].items())]
