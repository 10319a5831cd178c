"""``radiomics-talent table``: a run's feature table, or a part of it, as one file."""

from __future__ import annotations

from pathlib import Path

import typer


def table(
    run: Path = typer.Argument(help="Run folder of extract, or a feature table.", metavar="RUN"),
    out: Path = typer.Option(..., "--out", help="File to write, in .parquet or .csv.", metavar="FILE"),
    feature: list[str] | None = typer.Option(
        None, "--feature", help="Features to take: a name, or a pattern such as 'original_glcm_*'; may be repeated."
    ),
    patient: list[str] | None = typer.Option(None, "--patient", help="Patients to take; may be repeated."),
) -> None:
    """Write the feature table of a run, or some patients and features of it, into one file.

    A run of more than 10,000 lesions keeps its table in parts (RUN/features, a Parquet dataset); they are read one
    after the other, so the table may be larger than memory. The columns that say which lesion a row is are always
    there.

    Example: radiomics-talent table run --feature 'original_shape_*' --patient P-007 --out part.csv
    """
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.features.dataset import open_features, write_one_file

    if out.suffix not in {".parquet", ".csv"}:
        raise ConfigError("is no name of a table; end it in .parquet or .csv", where=str(out))
    source = open_features(run)
    if out.resolve() == source.path.resolve() or source.path.resolve() in out.resolve().parents:
        raise ConfigError("is the table that is read; name another file", where=str(out))
    if (out.parent / "run.json").exists():
        raise ConfigError("lies in a run folder, whose files are of all its lesions; name another", where=str(out))
    try:
        n = write_one_file(source.batches(feature or None, patient or None), out)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}; name another file", where=str(out)) from error
    if patient and not n:
        raise ConfigError(f"no lesion is of {', '.join(patient)}; {out} has a header alone", where=str(run))
    typer.echo(f"{n} lesions: {out}")
