"""Folds by patient: no patient is ever on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable

    Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One split of the rows.

    Attributes
    ----------
    repeat, number : int
        From 0.
    train, test : ndarray of int
        Rows.
    name : str
        The site that is left out, or ``''``.
    """

    repeat: int
    number: int
    train: Rows
    test: Rows
    name: str = ""


def outer_folds(table: StudyTable, settings: ModelSettings) -> list[Fold]:
    """Return the folds of every repeat; leave-one-site-out has one repeat.

    Raises
    ------
    ConfigError
        One class only, fewer patients of a class than folds, or fewer than two sites.
    """
    v = settings.validation
    check_classes(table, v.folds if v.split == "stratified" else 2)
    if v.split == "leave-one-site-out":
        return _site_folds(table)
    return [
        Fold(repeat, number, train, test)
        for repeat in range(v.repeats)
        for number, (train, test) in enumerate(
            stratified_by_patient(table.patients, table.events, v.folds, seed_of(settings.seed, 1, repeat))
        )
    ]


def holdout_fold(table: StudyTable, share: float, seed: int) -> Fold:
    """Return one single split by patient, stratified by outcome, as publications report it."""
    names, label, row_of = _patient_labels(table.patients, table.events)
    rarer = int(np.bincount(label, minlength=2).min())
    if not 1 <= round(share * rarer) < rarer or round(share * len(names)) < 2:
        raise ConfigError(
            f"validation.holdout {share:g} of {len(names)} patients leaves one side without one of both classes; "
            "take a larger share, or null"
        )
    splitter = StratifiedShuffleSplit(1, test_size=share, random_state=seed_of(seed, 2))
    train, test = next(splitter.split(names, label))
    return Fold(0, 0, np.flatnonzero(np.isin(row_of, train)), np.flatnonzero(np.isin(row_of, test)))


def stratified_by_patient(
    patients: NDArray[np.str_], events: NDArray[np.int64], folds: int, seed: int
) -> list[tuple[Rows, Rows]]:
    """Split rows into folds of whole patients with like shares of events (a patient counts as event if any row does).

    Returns
    -------
    list of (train, test)
        Row numbers.
    """
    names, label, row_of = _patient_labels(patients, events)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [
        (np.flatnonzero(np.isin(row_of, train)), np.flatnonzero(np.isin(row_of, test)))
        for train, test in splitter.split(names, label)
    ]


def fewest_of_a_class(patients: NDArray[np.str_], events: NDArray[np.int64]) -> int:
    """Return the number of patients of the rarer class."""
    _, label, _ = _patient_labels(patients, events)
    return int(np.bincount(label, minlength=2).min())


def check_classes(table: StudyTable, folds: int) -> None:
    """Refuse an outcome that cannot be put into so many folds.

    Raises
    ------
    ConfigError
        One class only, or fewer patients of a class than folds.
    """
    _, label, _ = _patient_labels(table.patients, table.events)
    without, with_event = np.bincount(label, minlength=2)
    what = "have the event" if table.y.dtype.names else "responded"
    if min(without, with_event) == 0:
        raise ConfigError(
            f"of {len(label)} patients {with_event} {what}: the outcome has one class only, so nothing can be learned; "
            "see the outcome column and --positive"
        )
    if min(without, with_event) < folds:
        raise ConfigError(
            f"{with_event} patients {what} and {without} did not: too few for {folds} folds, each of which needs one "
            "of both; lower validation.folds, or gather more patients"
        )


def subset(fold: Fold, table: StudyTable, share: float, seed: int) -> Fold:
    """Return the fold with a stratified share of its training patients (for the learning curve)."""
    patients, events = table.patients[fold.train], table.events[fold.train]
    names, label, row_of = _patient_labels(patients, events)
    splitter = StratifiedShuffleSplit(1, train_size=share, random_state=seed_of(seed, 3, fold.repeat, fold.number))
    chosen, _ = next(splitter.split(names, label))
    return Fold(fold.repeat, fold.number, fold.train[np.isin(row_of, chosen)], fold.test)


def permuted_outcome(table: StudyTable, seed: int, number: int) -> NDArray[np.intp]:
    """Return the row whose outcome each row gets, so that the outcomes of patients are exchanged.

    Where a patient's rows differ in outcome, or patients differ in their number of rows, lesions are exchanged
    as far as patients cannot be.
    """
    rng = np.random.default_rng((seed, 4, number))
    names, first, row_of = np.unique(table.patients, return_index=True, return_inverse=True)
    constant = bool((table.y == table.y[first][row_of]).all())
    if not constant:
        return np.asarray(rng.permutation(len(table)))
    return np.asarray(first[rng.permutation(len(names))][row_of])


def seed_of(*parts: int) -> int:
    """Return a 32-bit seed for one purpose, independent of all others."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _patient_labels(
    patients: NDArray[np.str_], events: NDArray[np.int64]
) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.intp]]:
    names, row_of = np.unique(patients, return_inverse=True)
    label = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(label, row_of, events)
    return names, label, row_of


def _site_folds(table: StudyTable) -> list[Fold]:
    sites = sorted(set(table.sites) - {""})
    if len(sites) < 2 or "" in set(table.sites):
        raise ConfigError(
            f"validation.split leave-one-site-out needs a site for every patient and at least two sites; the tables "
            f"have {len(sites)} ({', '.join(sites) or 'none'}): fill the column site"
        )
    home: dict[str, str] = {}
    for patient, site in zip(table.patients, table.sites, strict=True):
        if home.setdefault(patient, site) != site:
            raise ConfigError(
                f"patient {patient} has lesions from two sites ({home[patient]}, {site}), so no site can be left out "
                "without it; correct the column site"
            )
    folds = []
    for number, site in enumerate(sites):
        out = table.sites == site
        if len(np.unique(table.events[~out])) < 2:
            raise ConfigError(f"without site {site} the outcome has one class only; merge sites, or split otherwise")
        folds.append(Fold(0, number, np.flatnonzero(~out), np.flatnonzero(out), site))
    return folds
