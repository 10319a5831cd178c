"""``radiomics-talent robustness compare``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer

from radiomics_talent.cli.stable_shares import shares_lines

if TYPE_CHECKING:
    import pandas as pd

    from radiomics_talent.robustness.comparison import Comparison
    from radiomics_talent.robustness_settings import Statistic

_MOST_UNPAIRED = 20


def robustness_compare(
    a: Path = typer.Argument(help="First measurement: a run folder of extract, or a feature table.", metavar="A"),
    b: Path = typer.Argument(help="Second measurement of the same lesions, extracted alike.", metavar="B"),
    out: Path = typer.Option(..., "--out", help="Folder to write: new, or of an earlier comparison.", metavar="DIR"),
    by: str = typer.Option(
        "patient_id,lesion_id",
        "--by",
        help="Key columns by which rows are paired; patient_id where each patient has one lesion.",
        metavar="COLUMNS",
    ),
    statistic: str = typer.Option(
        "icc_2_1",
        "--statistic",
        help="What icc.csv holds. icc_2_1: two fixed occasions, of which a bias counts as disagreement; icc_3_1 "
        "forgives a constant bias; icc_1_1 takes A and B for interchangeable; ..._lower takes the lower limit; ccc.",
        metavar="NAME",
    ),
    no_masks: bool = typer.Option(False, "--no-masks", help="Do not read the masks again to compare them."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Say how far two measurements of the same lesions agree: test and retest, two readers, two kernels, two phases.

    Writes into DIR: stability.csv (every statistic by feature), icc.csv (for `train --icc`), bland_altman.csv
    (differences B - A), masks.csv (overlap and surface distances), batches.csv (variance by scanner, kernel, ... before
    and after ComBat), versions.parquet and versions.csv (the values of the pairs), unpaired.csv, comparison.json and
    report.html. Tables extracted with other settings or versions are refused. Exit code 0: all well; 1: masks of a pair
    could not be read; 2: wrong usage, or A and B cannot be compared.

    Example: radiomics-talent robustness compare run1 run2 --out agreement
    """
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.reporting.robustness_page import write_robustness_page
    from radiomics_talent.robustness.comparison import check_out, compare, write_comparison

    check_out(out)
    columns = [name.strip() for name in by.split(",") if name.strip()]
    with progress("comparing masks", "pairs") as bar:
        found = compare(a, b, by=columns, statistic=_known(statistic), masks=not no_masks, progress=bar)
    write_comparison(found, out)
    write_robustness_page(out, out / "report.html")
    typer.echo(_json(found) if as_json else _text(found, out))
    if found.n_unreadable:
        raise typer.Exit(1)


def _known(statistic: str) -> Statistic:
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.robustness_settings import Statistic

    names: tuple[Statistic, ...] = get_args(Statistic)
    found = next((name for name in names if name == statistic), None)
    if found is None:
        raise ConfigError(f"{statistic!r} is not known; take one of {', '.join(names)}", where="--statistic")
    return found


def _text(found: Comparison, out: Path) -> str:
    pairs, unpaired = found.pairs, found.pairs.unpaired
    lines = [f"{len(pairs)} pairs of lesions with {len(pairs.features)} features; {len(unpaired)} rows unpaired"]
    rows = list(unpaired.itertuples(index=False, name=None))
    lines += [f"  {table}: {patient}/{lesion}: {reason}" for table, patient, lesion, reason in rows[:_MOST_UNPAIRED]]
    if len(rows) > _MOST_UNPAIRED:
        lines.append(f"  and {len(rows) - _MOST_UNPAIRED} more, see {out / 'unpaired.csv'}")
    lines += [*shares_lines(found.shares, found.settings), *_mask_lines(found, out), *_batch_lines(found)]
    lines += [f"note: {note}" for note in found.notes]
    lines.append(f"for train: --icc {out / 'icc.csv'}; page: {out / 'report.html'}")
    return "\n".join(lines)


def _mask_lines(found: Comparison, out: Path) -> list[str]:
    masks = found.masks
    if masks is None:
        return []
    compared = masks[masks["status"] == "compared"]
    line = f"masks: {len(compared)} of {len(masks)} pairs compared"
    if len(compared):
        dice, distance = (compared[c].median() for c in ("dice", "mean_surface_distance_mm"))
        line += f"; median Dice {dice:.3f}, median of the mean surface distances {distance:.2f} mm"
    lines = [line]
    apart = Counter((s, r) for s, r in zip(masks["status"], masks["reason"], strict=True) if s != "compared")
    lines += [
        f"  {n} {'not read' if status == 'unreadable' else 'not comparable'}: {reason}"
        for (status, reason), n in apart.most_common()
    ]
    return [*lines[:_MOST_UNPAIRED], *([f"  see {out / 'masks.csv'}"] if len(lines) > _MOST_UNPAIRED else [])]


def _batch_lines(found: Comparison) -> list[str]:
    known: pd.DataFrame = found.batches.dropna(subset=["mean_before"])
    if known.empty:
        return []
    row = known.sort_values("mean_before", ascending=False, kind="stable").iloc[0]
    after = "" if row["mean_after"] != row["mean_after"] else f", after ComBat {row['mean_after']:.1%}"
    chance = "" if row["chance"] != row["chance"] else f"; by chance {row['chance']:.1%}"
    share = f"{row['mean_before']:.1%} of the features' variance{after}{chance}"
    return [f"largest batch share: {row['factor']} ({row['levels']}) makes {share}"]


def _json(found: Comparison) -> str:
    import json

    masks = found.masks
    record: dict[str, Any] = {
        "pairs": len(found.pairs),
        "unpaired": found.pairs.unpaired.to_dict("records"),
        "features": len(found.pairs.features),
        "statistic": found.settings.statistic,
        "shares": _plain(found.shares),
        "masks": None if masks is None else _plain(masks),
        "batches": _plain(found.batches),
        "notes": list(found.notes),
    }
    return json.dumps(record, indent=1, ensure_ascii=False)


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows with null for what is not defined: NaN is no JSON."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()} for row in rows]
