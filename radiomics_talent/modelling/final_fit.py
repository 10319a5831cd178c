"""The model that is kept: fitted on all rows, with its refits and with what a new patient is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from radiomics_talent.modelling.explanation import used_columns
from radiomics_talent.modelling.folds import seed_of
from radiomics_talent.modelling.outcome import events_of
from radiomics_talent.modelling.search import fit_with_search, preprocessed, preprocessed_names, refit_on_samples
from radiomics_talent.modelling.trained_domain import Reference, fit_distance, score_quantiles
from radiomics_talent.modelling.validation import training_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.pipeline import Pipeline

    from radiomics_talent.model_settings import Block, ModelSettings
    from radiomics_talent.modelling.dataset import StudyTable
    from radiomics_talent.modelling.search import FittedModel
    from radiomics_talent.modelling.validation_report import Scored


@dataclass(frozen=True, slots=True, eq=False)
class FinalFit:
    """Everything that is fitted on all rows.

    Attributes
    ----------
    fits : dict of str to FittedModel
        Every block, each with its own search.
    refits : tuple of Pipeline
        The model's block on bootstrap samples of the patients.
    reference : Reference
        Centre, selected columns, distances and scores of the training.
    distance : Pipeline, optional
        For `trained_domain.row_distances`.
    """

    fits: dict[Block, FittedModel]
    refits: tuple[Pipeline, ...]
    reference: Reference
    distance: Pipeline | None

    @property
    def pipelines(self) -> dict[str, Pipeline]:
        """The fitted pipeline of each block."""
        return {str(block): fit.pipeline for block, fit in self.fits.items()}

    @property
    def thresholds(self) -> dict[str, float]:
        """The cut-off of each block."""
        return {str(block): fit.threshold for block, fit in self.fits.items()}


def fit_final(
    table: StudyTable, settings: ModelSettings, icc: Mapping[str, float] | None, out_of_fold: Scored
) -> FinalFit:
    """Fit every block on all rows, and describe the training for the one that is the model.

    Parameters
    ----------
    table : StudyTable
        All rows.
    settings : ModelSettings
        Steps, models, search, refits.
    icc : mapping of str to float, optional
        ICC by feature.
    out_of_fold : Scored
        Scores of the validation, which new scores are placed among.
    """
    seed = seed_of(settings.seed, 12)
    everything = np.arange(len(table))
    with threadpool_limits(1):
        rows = {block: training_rows(table, block, everything, icc, y=table.y) for block in table.blocks}
        fits = {block: fit_with_search(rows[block], settings, seed) for block in rows}
        chosen = fits[settings.block]
        refits = refit_on_samples(rows[settings.block], settings, chosen.choice, seed)
        names = preprocessed_names(chosen.pipeline)
        z = preprocessed(chosen.pipeline, rows[settings.block].frame)
        selected = used_columns(chosen.pipeline)
        distance, distances = fit_distance(z[:, [names.index(n) for n in selected]], table.patients, seed)
    scores, without, with_event = score_quantiles(out_of_fold.score, events_of(out_of_fold.y))
    centre = dict(zip(names, map(float, z.mean(axis=0)), strict=True))
    return FinalFit(fits, refits, Reference(centre, selected, distances, scores, (without, with_event)), distance)
