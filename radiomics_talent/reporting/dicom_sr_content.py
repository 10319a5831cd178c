"""The content tree of the SR: TID 1500, one group a lesion (TID 1411) and one for the patient's score (TID 1501)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import highdicom.sr as hd
from highdicom.sr import CodedConcept, TextContentItem
from highdicom.sr.value_types import CodeContentItem, ContentSequence, NumContentItem
from pydicom.sr.codedict import codes

from radiomics_talent.reporting import ibsi_words
from radiomics_talent.reporting.dicom_sr_codes import feature_concept, private, unit
from radiomics_talent.reporting.dicom_sr_seg import MANUFACTURER, lesion_slices
from radiomics_talent.reporting.dicom_sr_source import new_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from highdicom.sr.content import SourceImageForSegmentation
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

    from radiomics_talent.reporting.dicom_sr import SrLesion
    from radiomics_talent.reporting.dicom_sr_seg import RoiReference
    from radiomics_talent.reporting.dicom_sr_source import ScanSource, Stamp
    from radiomics_talent.scoring.score_report import (
        DomainVerdict,
        HorizonSurvival,
        LesionScore,
        PatientScore,
        ScoredModel,
        ScoreReport,
    )
    from radiomics_talent.settings import ExtractionSettings

Group = hd.MeasurementsAndQualitativeEvaluations | hd.VolumetricROIMeasurementsAndQualitativeEvaluations


def measurement_report(groups: Sequence[Group], stamp: Stamp) -> hd.MeasurementReport:
    """Return the root of the tree (TID 1500)."""
    observer = hd.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.DeviceObserverIdentifyingAttributes(
            uid=new_uid("device", stamp.program, stamp.version),
            name=stamp.program,
            manufacturer_name=MANUFACTURER,
            model_name=f"{stamp.program} {stamp.version}".strip(),
        ),
    )
    tree = hd.MeasurementReport(
        observation_context=hd.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    _separate(tree[0])
    return tree


def _separate(container: Dataset) -> None:
    """Have viewers show each item with its name: highdicom's CONTINUOUS asks them for running text."""
    container.ContinuityOfContent = "SEPARATE"
    for item in container.ContentSequence:
        if item.ValueType == "CONTAINER":
            _separate(item)


def lesion_group(
    lesion: SrLesion, scan: ScanSource, roi: RoiReference, report: ScoreReport, stamp: Stamp
) -> hd.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Return the group of one lesion: its segment, its images, its features, and what it adds to the score."""
    score = lesion.lesion
    group = hd.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.TrackingIdentifier(uid=roi.tracking_uid, identifier=score.lesion_id),
        finding_type=codes.SCT.Lesion,
        referenced_segment=hd.ReferencedSegment(
            sop_class_uid=roi.sop_class_uid,
            sop_instance_uid=roi.sop_instance_uid,
            segment_number=roi.segment_number,
            source_images=_source_images(lesion, scan),
        ),
        algorithm_id=_algorithm(report, stamp),
        measurements=[*_lesion_numbers(score), *_features(score, report.model.extraction_settings)],
        qualitative_evaluations=_domain_level(score.domain),
    )
    _add_texts(group, _domain_texts(score.domain))
    return group


def patient_group(
    report: ScoreReport, patient: PatientScore, scan: ScanSource, stamp: Stamp, *, elsewhere: Sequence[str]
) -> hd.MeasurementsAndQualitativeEvaluations:
    """Return the group of the patient's score.

    Parameters
    ----------
    report, patient
        The score.
    scan : ScanSource
        A CT of the study that the SR belongs to.
    stamp : Stamp
        When and by what.
    elsewhere : sequence of str
        Lesions that the score rests on and the document does not hold.
    """
    model = report.model
    uid = new_uid("score", scan.study_uid, patient.patient_id, model.record_sha256)
    group = hd.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.TrackingIdentifier(uid=uid, identifier="Score of the patient"),
        algorithm_id=_algorithm(report, stamp),
        measurements=_score_numbers(model, patient),
        qualitative_evaluations=[
            hd.QualitativeEvaluation(private("class"), private(patient.predicted)),
            *_domain_level(patient.domain),
        ],
    )
    interval = [("score-interval", patient.interval.method)] if patient.interval else []
    interval += [("event-free-int", s.interval.method) for s in patient.survival[:1] if s.interval]
    _add_texts(
        group,
        [
            ("notice", report.notice),
            ("outcome", _outcome(model)),
            ("class-label", patient.predicted_label),
            ("risk-group", patient.risk_group),
            *interval,
            *_domain_texts(patient.domain),
            *(("model", line) for line in model.description),
            *([("model", "Trained on invented (synthetic) patients")] if model.synthetic else []),
            *(("difference", line) for line in report.differences),
            *(("elsewhere", name) for name in elsewhere),
        ],
    )
    return group


# --- numbers


def _measure(name: CodedConcept | Code, value: float | None, of: str) -> list[hd.Measurement]:
    """Return a measurement, or none: a number that is not there cannot be measured."""
    if value is None or not math.isfinite(value):
        return []
    return [hd.Measurement(name=name, value=float(value), unit=unit(of))]


def _features(score: LesionScore, settings: ExtractionSettings | None) -> list[hd.Measurement]:
    measured = []
    absent = 0
    for name, value in score.features.items():
        if value is None or not math.isfinite(value):
            absent += 1
            continue
        concept = feature_concept(name, settings)
        one = hd.Measurement(name=concept.name, value=float(value), unit=concept.unit)
        if concept.modifiers:
            one[0].ContentSequence = ContentSequence(
                [CodeContentItem(of, told, "HAS CONCEPT MOD") for of, told in concept.modifiers]
            )
        measured.append(one)
    count = hd.Measurement(name=private("absent"), value=absent, unit=unit("1"))
    count[0].MeasuredValueSequence[0].NumericValue = str(absent)
    return [*measured, count]


def _lesion_numbers(score: LesionScore) -> list[hd.Measurement]:
    return [
        *_measure(codes.SCT.Volume, score.volume_ml, "ml"),
        *_measure(private("alone"), score.alone, "1"),
        *_measure(private("contribution"), score.contribution, "1"),
        *_domain_numbers(score.domain),
    ]


def _score_numbers(model: ScoredModel, patient: PatientScore) -> list[hd.Measurement]:
    score = hd.Measurement(
        name=private("probability" if model.task == "response" else "risk"),
        value=float(patient.score),
        unit=unit("1"),
        properties=_rank(patient.percentile),
    )
    limits = patient.interval
    return [
        score,
        *(_measure(private("score-low"), limits.low, "1") if limits else []),
        *(_measure(private("score-high"), limits.high, "1") if limits else []),
        *_measure(private("threshold"), patient.threshold, "1"),
        *(one for horizon in patient.survival for one in _survival_numbers(horizon)),
        *_domain_numbers(patient.domain),
    ]


def _rank(percentile: float | None) -> hd.MeasurementProperties | None:
    """Return where the score lies among the training's (TID 310 and 311)."""
    if percentile is None or not math.isfinite(percentile):
        return None
    rank = NumContentItem(codes.DCM.PercentileRankingOfMeasurement, float(percentile), unit("%"))
    rank.RelationshipType = "HAS PROPERTIES"
    among = hd.MeasurementStatisticalProperties(
        [rank], description="Out-of-fold scores of the patients that the model was trained on"
    )
    return hd.MeasurementProperties(measurement_statistical_properties=among)


def _survival_numbers(horizon: HorizonSurvival) -> list[hd.Measurement]:
    limits = horizon.interval
    found = [
        *_measure(private("event-free"), horizon.probability, "1"),
        *(_measure(private("event-free-low"), limits.low, "1") if limits else []),
        *(_measure(private("event-free-high"), limits.high, "1") if limits else []),
    ]
    for one in found:
        at = NumContentItem(private("horizon"), float(horizon.days), unit("d"), relationship_type="INFERRED FROM")
        one[0].ContentSequence = ContentSequence([at])
    return found


def _domain_numbers(domain: DomainVerdict) -> list[hd.Measurement]:
    return [
        *_measure(private("domain-distance"), domain.distance, "1"),
        *_measure(private("domain-farther"), domain.farther_than, "1"),
    ]


# --- words


def _domain_level(domain: DomainVerdict) -> list[hd.QualitativeEvaluation]:
    return [hd.QualitativeEvaluation(private("domain"), private(domain.level))]


def _domain_texts(domain: DomainVerdict) -> list[tuple[str, str]]:
    def line(reason: str, level: str, lesion: str) -> str:
        return f"{level}, {lesion}: {reason}" if lesion else f"{level}: {reason}"

    return [("domain-reason", line(r.sentence, r.level, r.lesion_id)) for r in domain.reasons]


def _outcome(model: ScoredModel) -> str:
    return f"{model.outcome}: {', '.join(model.positive)}" if model.positive else model.outcome


def _add_texts(group: Group, texts: Iterable[tuple[str, str]]) -> None:
    """Add text evaluations, which TID 1501 and 1411 have and highdicom's constructors lack."""
    content = group[0].ContentSequence
    for code, text in texts:
        if text.strip():
            content.append(TextContentItem(private(code), text, "CONTAINS"))


def _algorithm(report: ScoreReport, stamp: Stamp) -> hd.AlgorithmIdentification:
    model = report.model
    settings = model.extraction_settings
    parameters = [
        *([f"features: {ibsi_words.engine(settings.ibsi)}"] if settings is not None and settings.ibsi else []),
        f"extraction settings sha256: {model.extraction_sha256}",
        f"model settings sha256: {model.settings_sha256}",
        f"model.yaml sha256: {model.record_sha256}",
        *(f"{name}: {version}" for name, version in sorted(report.versions.items())),
    ]
    return hd.AlgorithmIdentification(name=stamp.program, version=stamp.version or "unknown", parameters=parameters)


def _source_images(lesion: SrLesion, scan: ScanSource) -> list[SourceImageForSegmentation]:
    return [
        hd.SourceImageForSegmentation(image.SOPClassUID, image.SOPInstanceUID, list(frames) or None)
        for image, frames in scan.images_of(lesion_slices(lesion.mask))
    ]
