"""What each figure of a training is called, and how to read it."""

# ruff: noqa: E501
from __future__ import annotations

FIGURES = {
    "roc": (
        "ROC curves",
        (
            "Sensitivity over 1 - specificity as the cut-off moves, out of fold. The further a curve bends to the upper "
            "left, the better; the dotted diagonal is chance. Bands are 95 %."
        ),
    ),
    "precision_recall": (
        "Precision and recall",
        (
            "Of those called responders, the share that responds (precision), over the share of responders that is found "
            "(recall). The dotted line is the share of responders: a model without signal stays on it."
        ),
    ),
    "calibration": (
        "Calibration",
        (
            "Observed share of responders over the probability foretold, in fifths of the patients. On the diagonal, "
            "70 % foretold means 70 % observed; a slope below 1 says that probabilities are too extreme."
        ),
    ),
    "decision_curve": (
        "Decision curve",
        (
            "Net benefit of treating by the model, over the probability from which one would treat. Useful where its line "
            "is above both 'treat all' and 'treat none'."
        ),
    ),
    "score_by_outcome": (
        "Score by outcome",
        (
            "Each dot is a patient's mean out-of-fold score. The less the two groups overlap, the better they are told "
            "apart."
        ),
    ),
    "confusion": (
        "Confusion matrix",
        (
            "Patients by outcome and by what was predicted at the folds' cut-offs, mean over repeats. The diagonal is "
            "right."
        ),
    ),
    "kaplan_meier": (
        "Survival of the risk groups",
        (
            "Probability of no event over time, for patients whose out-of-fold risk lies above and below their fold's "
            "cut-off. Curves that part early and stay apart tell the groups apart; below, how many are still at risk."
        ),
    ),
    "time_dependent_auc": (
        "AUC over time",
        (
            "How well the risk tells those with the event by a day from those without it then. The dotted line, 0.5, is "
            "chance."
        ),
    ),
    "features": (
        "Features",
        (
            "Left, the share of folds in which a feature was in the model: a bar to the end was always chosen. Right, its "
            "mean weight (or the loss when it is shuffled) and direction."
        ),
    ),
    "learning_curve": (
        "Learning curve",
        (
            "Performance with fewer training patients. A line that still rises at its end says that more patients would "
            "help."
        ),
    ),
    "permutation": (
        "Permutation test",
        (
            "Performance of the same procedure on permuted outcomes (grey), and that of the model (line). A model with "
            "signal lies to the right of all of them."
        ),
    ),
}
"""Title of each figure of a training, and how to read it."""
