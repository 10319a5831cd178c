"""ComBat as a step of a pipeline: fitted on training rows alone, with a policy for batches that they do not have."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from combatlearn.core import ComBatModel
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from radiomics_talent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FEWEST = 2


class BatchHarmoniser(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """ComBat (Johnson 2007; with covariates Fortin 2018) by combatlearn, on a table that carries its batch column.

    Parameters
    ----------
    batch : str
        Column that names the batch.
    covariates : sequence of str
        Columns whose effect is kept.
    unseen : {'refuse', 'unadjusted'}
        Rows of a batch without estimates (not seen in fitting, or with a single row there): refused, or left as
        they are with a warning.
    parametric, mean_only : bool
        As combatlearn has them.
    """

    def __init__(
        self,
        batch: str,
        covariates: Sequence[str] = (),
        unseen: str = "refuse",
        parametric: bool = True,
        mean_only: bool = False,
    ) -> None:
        self.batch = batch
        self.covariates = covariates
        self.unseen = unseen
        self.parametric = parametric
        self.mean_only = mean_only

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: N803, ARG002
        """Estimate the batches' effects.

        Parameters
        ----------
        X : DataFrame
            Complete features, the batch column and the covariates.
        y : ignored
            Present for scikit-learn: the outcome is never used.

        Raises
        ------
        ModelError
            A batch has a single row and the policy is to refuse.
        """
        self.columns_ = [c for c in X.columns if c != self.batch and c not in self.covariates]
        batch = X[self.batch].astype(str)
        sizes = batch.value_counts()
        self.batches_ = sorted(str(b) for b in sizes.index[sizes >= _FEWEST])
        lonely = sorted(sizes.index[sizes < _FEWEST])
        if lonely and self.unseen == "refuse":
            raise ModelError(
                f"ComBat: batch {lonely[0]!r} has a single row in a training fold, so its variance is unknown; merge "
                "rare batches into one level, or set preprocess.combat.unseen: unadjusted"
            )
        values = X[self.columns_].astype(np.float64)
        # ComBat divides by the spread within batches; what does not vary has nothing to adjust.
        varying = [c for c in self.columns_ if values[c].std() > 0]
        shape = (len(self.batches_), len(self.columns_))
        self.factor_, self.offset_ = np.ones(shape), np.zeros(shape)
        self.effects_: dict[str, Any] = {}
        if len(self.batches_) > 1 and varying:
            known = batch.isin(self.batches_)
            self._learn(values.loc[known], varying, batch[known], X.loc[known, list(self.covariates)])
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        """Return the features without batch effect; batch and covariate columns are dropped.

        Raises
        ------
        ModelError
            A batch was not seen in fitting and the policy is to refuse.
        """
        check_is_fitted(self, "batches_")
        values = X[self.columns_].astype(np.float64)
        batch = X[self.batch].astype(str)
        known = batch.isin(self.batches_)
        if not known.all():
            self._meet_unknown(batch[~known])
        rows = np.searchsorted(self.batches_, batch[known].to_numpy(dtype=str))
        result = values.to_numpy(copy=True)
        at = known.to_numpy()
        result[at] = result[at] * self.factor_[rows] + self.offset_[rows]
        for name, effect in self.effects_.items():
            result[at] += _covariate_term(effect, X.loc[known, name], rows)
        return pd.DataFrame(result, index=X.index, columns=self.columns_)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Return the names of the columns that `transform` gives."""
        check_is_fitted(self, "columns_")
        return np.asarray(self.columns_, dtype=object)

    def _meet_unknown(self, batches: pd.Series) -> None:
        name = min(set(batches))
        if self.unseen == "refuse":
            raise ModelError(
                f"ComBat: batch {name!r} was not in the training data (it has {', '.join(map(repr, self.batches_))}); "
                "set preprocess.combat.unseen: unadjusted to leave such rows as they are, or use another batch column"
            )
        warnings.warn(
            f"ComBat: {len(batches)} rows of batch {name!r} have no estimate and stay unadjusted", stacklevel=2
        )

    def _learn(self, values: pd.DataFrame, varying: list[str], batch: pd.Series, covariates: pd.DataFrame) -> None:
        """Fit ComBat and keep it as plain numbers: for each batch a factor, an offset, and the covariates' effects.

        ComBat is affine in the feature and linear in the covariates, so a few probes through combatlearn give it
        whole; plain arrays can be saved and audited, combatlearn's pandas objects cannot.
        """
        model = ComBatModel(
            method="fortin" if len(self.covariates) else "johnson", parametric=self.parametric, mean_only=self.mean_only
        )
        x = values[varying]
        base, step = x.mean(axis=0).to_numpy(), x.std(axis=0).to_numpy()
        numeric = [c for c in covariates.columns if pd.api.types.is_numeric_dtype(covariates[c])]
        reference: dict[Any, Any] = {
            c: float(covariates[c].mean()) if c in numeric else str(covariates[c].iloc[0]) for c in covariates
        }
        # The probes: the reference itself, one step in the feature, one step (or level) in each covariate.
        probes: list[tuple[str, Any, bool]] = [("", None, False), ("", None, True)]
        for name in covariates.columns:
            levels = [reference[name] + 1.0] if name in numeric else sorted(set(covariates[name].astype(str)))
            probes += [(name, level, False) for level in levels]
        rows = [(b, *probe) for b in self.batches_ for probe in probes]
        table = pd.DataFrame([base + step if moved else base for *_, moved in rows], columns=varying)
        z = pd.DataFrame([{**reference, **({name: level} if name else {})} for _, name, level, _ in rows])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # small or unequal batches: said once for the study
            model.fit(x, batch=batch, **_by_kind(covariates, numeric))
            probed = model.transform(table, batch=pd.Series([b for b, *_ in rows]), **_by_kind(z, numeric))
        result = np.asarray(probed).reshape(len(self.batches_), len(probes), len(varying))
        at = [self.columns_.index(c) for c in varying]
        factor = (result[:, 1] - result[:, 0]) / step
        self.factor_[:, at], self.offset_[:, at] = factor, result[:, 0] - factor * base
        for k, (name, level, _) in enumerate(probes[2:], start=2):
            change = np.zeros_like(self.factor_)
            change[:, at] = result[:, k] - result[:, 0]
            effect = self.effects_.setdefault(name, {"reference": reference[name], "change": {}})
            effect["change"]["" if name in numeric else level] = change


def _covariate_term(effect: dict[str, Any], column: pd.Series, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return what a covariate adds to each feature of each row."""
    change = effect["change"]
    if isinstance(effect["reference"], float):
        distance = np.nan_to_num(column.to_numpy(dtype=np.float64) - effect["reference"])
        return np.asarray(change[""][rows] * distance[:, None])
    result = np.zeros((len(rows), next(iter(change.values())).shape[1]))
    for i, (level, row) in enumerate(zip(column.astype(str), rows, strict=True)):
        if level in change:
            result[i] = change[level][row]
    return result


def _by_kind(covariates: pd.DataFrame, numeric: list[str]) -> dict[str, pd.DataFrame]:
    """Return the covariates as combatlearn takes them; a missing number counts as the mean."""
    levels = [c for c in covariates.columns if c not in numeric]
    kinds = {
        "continuous_covariates": covariates[numeric].fillna(covariates[numeric].mean()),
        "discrete_covariates": covariates[levels].astype(str),
    }
    return {kind: table for kind, table in kinds.items() if len(table.columns)}
