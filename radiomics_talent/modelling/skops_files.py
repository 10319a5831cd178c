"""Fitted pipelines in skops files: what is in one is known before any of it is loaded."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import skops.io

from radiomics_talent.errors import ModelError
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.modelling.skops_trees import refuse_malformed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from sklearn.pipeline import Pipeline

TRUSTED_TYPES = frozenset(
    {
        "numpy.asarray",
        "numpy.dtype",
        "radiomics_talent.modelling.harmonisation.BatchHarmoniser",
        "radiomics_talent.modelling.selection.FeatureFilter",
        "radiomics_talent.modelling.selection.LassoSelector",
        "radiomics_talent.modelling.selection.TopFeatures",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sksurv.ensemble.boosting.GradientBoostingSurvivalAnalysis",
        "sksurv.ensemble.forest.RandomSurvivalForest",
        "sksurv.ensemble.survival_loss.CoxPH",
        "sksurv.functions.StepFunction",
        "sksurv.linear_model.coxnet.CoxnetSurvivalAnalysis",
        "sksurv.linear_model.coxph.BreslowEstimator",
        "sksurv.linear_model.coxph.CoxPHSurvivalAnalysis",
        "sksurv.tree.tree.SurvivalTree",
    }
)
"""Types beyond skops' own list that a model of the catalogue holds; anything else is refused."""


def write_pipelines(path: Path, content: Mapping[Any, Pipeline]) -> bytes:
    """Write pipelines by name, whole or not at all, and return what was written."""
    data: bytes = skops.io.dumps(content, compression=zipfile.ZIP_DEFLATED)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return data


def load_audited(path: Path, trust: frozenset[str]) -> dict[Any, Pipeline]:
    """Load what `write_pipelines` wrote.

    Parameters
    ----------
    path : Path
        The file.
    trust : frozenset of str
        Types that are trusted beside `TRUSTED_TYPES`.

    Raises
    ------
    ModelError
        The file is no skops file, is damaged, or holds another type; nothing of it has run.
    """
    if not zipfile.is_zipfile(path):
        raise ModelError(
            "is no skops file (a pickle or joblib file is never loaded: it can run any code); train again",
            where=str(path),
        )
    data = path.read_bytes()
    try:
        refuse_malformed(data)
        strange = strange_types(data, trust)
    except Exception as error:  # skops raises whatever its parser meets in a damaged file
        raise ModelError(f"is damaged and cannot be audited: {error}", where=str(path)) from error
    if strange:
        raise ModelError(
            f"holds types that are not trusted: {', '.join(strange)}; nothing was loaded. If you know their code, name "
            "them with --trust",
            where=str(path),
        )
    try:
        pipelines = skops.io.loads(data, trusted=sorted(TRUSTED_TYPES | trust))
    except Exception as error:
        raise ModelError(f"cannot be loaded: {error}; see the versions in model.yaml", where=str(path)) from error
    if not isinstance(pipelines, dict):
        raise ModelError("holds no model of this program", where=str(path))
    return pipelines


def strange_types(data: bytes, trust: Collection[str] = ()) -> list[str]:
    """Return the types of a skops file that are on no list of trust."""
    return sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES - set(trust))
