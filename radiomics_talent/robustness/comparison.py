"""`robustness compare`: two measurements of the same lesions, looked at in every way, as one record and folder.

::

    OUT/stability.csv     every statistic of agreement by feature
    OUT/icc.csv           one statistic by feature, which ``train --icc`` reads
    OUT/versions.parquet  the values of the pairs (and .csv): chain ``original`` is A, ``A-B`` is B
    OUT/bland_altman.csv  differences B - A by feature
    OUT/masks.csv         overlap and surface distances by pair; absent where masks were not compared
    OUT/batches.csv       share of variance by scanner, kernel, slice thickness, ..., before and after ComBat
    OUT/unpaired.csv      rows that only one table has
    OUT/comparison.json   what A and B were, options, notes; written last
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radiomics_talent import __version__
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.provenance import installed_version, seen_from
from radiomics_talent.extraction.store import write_record
from radiomics_talent.modelling.record import write_frame
from radiomics_talent.robustness.batch_shares import batch_shares
from radiomics_talent.robustness.bland_altman import bland_altman
from radiomics_talent.robustness.mask_agreement import compare_masks
from radiomics_talent.robustness.pairing import CHAIN, SAME_LESION, pair_tables, read_measured
from radiomics_talent.robustness.stability import icc_table, stability, stable_shares
from radiomics_talent.robustness_settings import StabilitySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from radiomics_talent.robustness.pairing import Measured, PairedTables
    from radiomics_talent.robustness_settings import Statistic

COMMAND = "robustness compare"
RECORD = "comparison.json"
OUTPUTS = (
    "stability.csv", "icc.csv", "versions.parquet", "versions.csv", "bland_altman.csv", "masks.csv", "batches.csv",
    "unpaired.csv", "report.html", RECORD,
)  # fmt: skip
"""What a comparison leaves in its folder, its page among it."""
_DEPENDS_ON = ("numpy", "scipy", "pandas", "scikit-learn", "combatlearn", "SimpleITK")
_PASSING = (".tmp-", ".DS_Store")


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two measurements of the same lesions.

    Attributes
    ----------
    pairs : PairedTables
        The rows that go together, their values, and those left over.
    settings : StabilitySettings
        Which statistic decides, and from where on agreement is good and excellent.
    stability : DataFrame
        Every statistic by feature: `radiomics_talent.robustness.stability.stability`.
    icc : DataFrame
        One row a feature, by the statistic that decides.
    shares : DataFrame
        Share of good and excellent features by image type and class.
    bland_altman : DataFrame
        Differences B - A by feature: `radiomics_talent.robustness.bland_altman`.
    masks : DataFrame or None
        One row a pair: `radiomics_talent.robustness.mask_agreement`; None where masks were not compared.
    batches : DataFrame
        One row a factor: `radiomics_talent.robustness.batch_shares`.
    notes : tuple of str
        What could not be made sure of, or was not done, in sentences.
    """

    pairs: PairedTables
    settings: StabilitySettings
    stability: pd.DataFrame
    icc: pd.DataFrame
    shares: pd.DataFrame
    bland_altman: pd.DataFrame
    masks: pd.DataFrame | None
    batches: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def n_unreadable(self) -> int:
        """Pairs whose masks could not be read."""
        return 0 if self.masks is None else int((self.masks["status"] == "unreadable").sum())


def compare(
    a: str | Path,
    b: str | Path,
    *,
    by: Sequence[str] = SAME_LESION,
    statistic: Statistic = "icc_2_1",
    masks: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare two measurements of the same lesions: test and retest, two readers, two kernels, two phases.

    Parameters
    ----------
    a, b : str or Path
        Run folders of ``extract``, or feature tables.
    by : sequence of str
        Key columns that two rows of one lesion share.
    statistic : str
        What icc.csv holds. ICC(2,1) by default: A and B are two occasions that every lesion has, each with a bias of
        its own that counts as disagreement (absolute agreement); ICC(3,1) would forgive a constant bias.
    masks : bool
        Whether masks are read again and compared, where provenance.json says where they are.
    progress : callable, optional
        Called with the number of mask pairs done and their total.

    Raises
    ------
    ConfigError
        A and B are the same, or were made with different settings or versions.
    TableError
        A table is absent or damaged, features differ, a key is there twice, or there are too few pairs.
    """
    pairs = pair_tables(read_measured(a, "A"), read_measured(b, "B"), by)
    settings = StabilitySettings(chain=CHAIN, statistic=statistic)
    by_feature = stability(pairs.as_versions())
    notes = list(pairs.notes)
    found = compare_masks(pairs, progress=progress) if masks else None
    if found is None:
        notes.append(
            "masks are not compared: both tables need the provenance.json of their run" if masks else "masks left out"
        )
    notes.append("batches.csv is descriptive: ComBat is fitted on the whole table, and no model may learn from it")
    return Comparison(
        pairs=pairs,
        settings=settings,
        stability=by_feature,
        icc=icc_table(by_feature, CHAIN, statistic),
        shares=stable_shares(by_feature, CHAIN, statistic, settings.good, settings.excellent),
        bland_altman=bland_altman(pairs.values_a, pairs.values_b, pairs.features),
        masks=found,
        batches=batch_shares(pairs),
        notes=tuple(notes),
    )


def check_out(out: Path) -> None:
    """Refuse a folder that holds what no comparison wrote.

    Raises
    ------
    ConfigError
        The folder is a file, or is not empty and is not of an earlier comparison.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError("is a file; name a folder", where=str(out))
    names = {p.name for p in out.iterdir() if not p.name.startswith(_PASSING)}
    if foreign := sorted(names - set(OUTPUTS)) or (sorted(names) if names and not _is_ours(out) else []):
        raise ConfigError(
            f"the folder is not empty and was not made by {COMMAND} (it holds {foreign[0]}); give a new folder",
            where=str(out),
        )


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write the tables and the record of a comparison, each whole or not at all.

    Raises
    ------
    ConfigError
        The folder holds what no comparison wrote, or cannot be written.
    """
    check_out(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        # A record from the start: a comparison that was stopped may be repeated into the same folder.
        write_record(out / RECORD, {"command": COMMAND, "complete": False})
        for name in OUTPUTS:
            if name != RECORD:
                (out / name).unlink(missing_ok=True)
        write_frame(out / "stability.csv", comparison.stability)
        write_frame(out / "icc.csv", comparison.icc)
        comparison.pairs.as_versions().write(out)
        write_frame(out / "bland_altman.csv", comparison.bland_altman)
        if comparison.masks is not None:
            write_frame(out / "masks.csv", comparison.masks)
        write_frame(out / "batches.csv", comparison.batches)
        write_frame(out / "unpaired.csv", comparison.pairs.unpaired)
        write_record(out / RECORD, comparison_record(comparison, out))
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror or error}; give another folder", where=str(out)
        ) from error


def comparison_record(comparison: Comparison, out: Path) -> dict[str, Any]:
    """Return what comparison.json holds: plain data, with paths counted from `out` alone."""
    pairs, masks = comparison.pairs, comparison.masks
    counts = None if masks is None else {str(k): int(v) for k, v in masks["status"].value_counts().sort_index().items()}
    return {
        "command": COMMAND,
        "complete": True,
        "versions": {"radiomics-talent": __version__} | {name: installed_version(name) for name in _DEPENDS_ON},
        "a": _measured_record(pairs.a, out),
        "b": _measured_record(pairs.b, out),
        "options": {
            "by": list(pairs.by),
            "statistic": comparison.settings.statistic,
            "good": comparison.settings.good,
            "excellent": comparison.settings.excellent,
        },
        "pairs": len(pairs),
        "unpaired": {name: int((pairs.unpaired["table"] == name).sum()) for name in ("A", "B")},
        "features": len(pairs.features),
        "masks": counts,
        "notes": list(comparison.notes),
    }


def _measured_record(side: Measured, out: Path) -> dict[str, Any]:
    record = side.record or {}
    return {
        "table": seen_from(side.file.absolute(), out.absolute()),
        "table_sha256": side.sha256,
        "settings_sha256": record.get("settings_sha256"),
        "lesions": len(side.table),
    }


def _is_ours(out: Path) -> bool:
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("command") == COMMAND
