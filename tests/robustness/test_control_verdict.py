"""The verdict on where a signal lies: its rules, one by one and in their order."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from radiomics_talent.modelling.metrics import Estimate
from radiomics_talent.robustness.control_verdict import ControlRow, FeatureSet, control_findings, judged

GOOD, CHANCE = Estimate(0.9, 0.8, 0.97), Estimate(0.52, 0.38, 0.66)
ABOVE, NONE_SHOWN, BELOW = Estimate(0.3, 0.1, 0.5), Estimate(0.02, -0.05, 0.09), Estimate(-0.1, -0.2, -0.02)
PLAINLY_WORSE = Estimate(0.11, -0.1, 0.3)
UNDEFINED = Estimate(0.0, math.nan, math.nan)


def row(
    features: FeatureSet,
    metric: Estimate = CHANCE,
    below_all: Estimate | None = ABOVE,
    control: str = "original",
    lost: Estimate | None = None,
) -> ControlRow:
    return ControlRow(control, features, 1, False, metric, lost, below_all)


def rows(**changes: ControlRow | None) -> tuple[ControlRow, ...]:
    """All features and texture of the original have signal, which shuffling takes; nothing else has any."""
    standard = {
        "everything": row("all", GOOD, None),
        "texture": row("texture", GOOD, NONE_SHOWN),
        "firstorder": row("firstorder"),
        "shape": row("shape"),
        "volume": row("volume"),
        "shuffled": row("all", CHANCE, None, "roi_shuffled", ABOVE),
        "shuffled_texture": row("texture", CHANCE, NONE_SHOWN, "roi_shuffled", ABOVE),
    }
    return tuple(r for r in (standard | changes).values() if r is not None)


def verdict(**changes: ControlRow | None) -> str:
    return judged(rows(**changes), 40)[0]


def test_texture_is_what_shuffling_takes_away() -> None:
    found, sentence = judged(rows(), 40)
    assert found == "texture"
    assert "40 patients: 0.900 (0.800 to 0.970), and 0.520" in sentence


@pytest.mark.parametrize("metric", [CHANCE, Estimate(0.7, 0.5, 0.9), Estimate(0.2, 0.1, 0.3), UNDEFINED])
def test_no_signal_is_shown_unless_the_interval_lies_above_a_half(metric: Estimate) -> None:
    assert verdict(everything=row("all", metric, None), volume=row("volume", GOOD, NONE_SHOWN)) == "no signal"


def test_a_simpler_set_with_signal_is_told_where_all_features_show_none() -> None:
    _, sentence = judged(rows(everything=row("all", CHANCE, None), volume=row("volume", GOOD, BELOW)), 40)
    assert sentence.endswith("interval; lesion volume alone reaches 0.900 (0.800 to 0.970).")
    assert "shape" not in sentence


@pytest.mark.parametrize("below_all", [NONE_SHOWN, BELOW, Estimate(0.0, 0.0, 0.0), Estimate(0.1, -0.1, 0.3)])
@pytest.mark.parametrize(("features", "name"), [("volume", "volume"), ("shape", "shape"), ("firstorder", "intensity")])
def test_a_simpler_set_that_does_as_well_is_the_answer(features: FeatureSet, name: str, below_all: Estimate) -> None:
    kept = row("all", GOOD, None, "roi_shuffled", NONE_SHOWN)
    found, sentence = judged(rows(**{features: row(features, GOOD, below_all)}, shuffled=kept), 40)
    assert found == name
    assert sentence.endswith("not shown.")


@pytest.mark.parametrize("features", ["volume", "shape", "firstorder"])
@pytest.mark.parametrize(
    ("metric", "below_all"),
    [
        (CHANCE, NONE_SHOWN),
        (GOOD, ABOVE),
        (Estimate(1.0, math.nan, math.nan), NONE_SHOWN),
        (GOOD, UNDEFINED),
        (GOOD, PLAINLY_WORSE),
    ],
)
def test_a_set_without_signal_or_shown_to_be_worse_is_no_answer(
    features: FeatureSet, metric: Estimate, below_all: Estimate
) -> None:
    kept = row("all", GOOD, None, "roi_shuffled", NONE_SHOWN)
    assert verdict(**{features: row(features, metric, below_all)}, shuffled=kept) == "texture"


def test_the_simplest_of_several_answers_is_given() -> None:
    as_good = {f: row(f, GOOD, NONE_SHOWN) for f in ("volume", "shape", "firstorder")}
    assert verdict(**as_good) == "volume"
    assert verdict(**as_good | {"volume": row("volume")}) == "shape"


def test_first_order_that_does_as_well_while_shuffling_harms_is_no_answer() -> None:
    assert verdict(firstorder=row("firstorder", GOOD, NONE_SHOWN)) == "texture"


def test_first_order_without_any_texture_needs_no_shuffling() -> None:
    only = {"texture": None, "shuffled": None, "shuffled_texture": None}
    assert verdict(firstorder=row("firstorder", GOOD, NONE_SHOWN), **only) == "intensity"


@pytest.mark.parametrize("lost", [NONE_SHOWN, BELOW, UNDEFINED])
def test_texture_that_shuffling_does_not_harm_is_unclear(lost: Estimate) -> None:
    shuffled = row("texture", GOOD, NONE_SHOWN, "roi_shuffled", lost)
    found, sentence = judged(rows(shuffled_texture=shuffled), 40)
    assert found == "unclear"
    assert "no one source is shown" in sentence


def test_texture_without_signal_of_its_own_is_unclear_whatever_shuffling_does() -> None:
    assert verdict(texture=row("texture")) == "unclear"


def test_without_the_shuffled_control_texture_cannot_be_told() -> None:
    found, sentence = judged(rows(shuffled=None, shuffled_texture=None), 40)
    assert found == "unclear"
    assert "what shuffling leaves of it is not known" in sentence


def effects(spearman: float = 0.2) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "control": ["roi_shuffled", "roi_shuffled", "roi_shuffled", "surroundings_noise"],
            "depends_on": ["texture", "texture", "shape", "texture"],
            "spearman": [spearman, 0.1, 1.0, 1.0],
        }
    )


AROUND = row("all", CHANCE, None, "surroundings_noise", NONE_SHOWN)


def test_a_study_without_oddities_has_no_findings() -> None:
    assert control_findings((*rows(), AROUND), effects(), 0) == ()


def test_findings_tell_of_controls_without_a_model() -> None:
    (found,) = control_findings(rows(), effects(), 0)
    assert found.startswith("surroundings_noise changes no feature")


def test_findings_count_texture_that_shuffling_leaves_in_order() -> None:
    (found,) = control_findings((*rows(), AROUND), effects(spearman=0.95), 0)
    assert found.startswith("1 of 2 texture features")


def test_findings_tell_that_surroundings_matter() -> None:
    (found,) = control_findings((*rows(), replace(AROUND, lost=ABOVE)), effects(), 0)
    assert found.startswith("with surroundings_noise all features do worse by 0.300 (0.100 to 0.500)")


def test_findings_warn_of_intervals_below_a_half_and_of_perfect_models() -> None:
    odd = rows(shape=row("shape", Estimate(0.3, 0.1, 0.45)), texture=row("texture", Estimate(1.0, 1.0, 1.0)))
    below, perfect = control_findings((*odd, AROUND), effects(), 0)
    assert below.startswith("shape of original: below 0.5 with the whole interval")
    assert perfect.startswith("texture of original: 1 out of fold")


def test_findings_count_lesions_that_are_left_out() -> None:
    (found,) = control_findings((*rows(), AROUND), effects(), 3)
    assert found.startswith("3 lesions of the original lack a control")
