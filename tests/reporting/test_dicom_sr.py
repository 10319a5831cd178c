"""DICOM SR of scores: every number read back, the masks' voxels, what is copied from odd CTs, and what is refused."""

import errno
import logging
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.dicom.ct import load_ct
from radiomics_talent.dicom.headers import quiet_pydicom
from radiomics_talent.dicom.selection import find_series_files
from radiomics_talent.errors import ConfigError, InputError
from radiomics_talent.feature_dictionary import definition_of, ibsi_names, pyradiomics_names
from radiomics_talent.reporting import settings_words as words
from radiomics_talent.reporting.dicom_sr import SrLesion, write_patient_sr
from radiomics_talent.reporting.dicom_sr_codes import IBSI, PRIVATE, PRIVATE_CODES, UNITS, feature_concept
from radiomics_talent.scoring.score_report import (
    RESEARCH_USE,
    DomainReason,
    DomainVerdict,
    HorizonSurvival,
    Interval,
    LesionScore,
    PatientScore,
    ScoredModel,
    ScoreReport,
    ScoringFailure,
)
from radiomics_talent.settings import ExtractionSettings

FEATURES = {
    "original_shape_MeshVolume": 123456.78901234567,
    "original_firstorder_Mean": -1 / 3,
    "original_firstorder_Kurtosis": 3.0000000000000004,
    "original_glcm_JointEntropy": 2 / 3,
    "original_glszm_GrayLevelVariance": None,
    "original_glcm_MCC": 0.1,
    "wavelet-LLH_firstorder_Mean": -1.2345678901234567e-11,
    "log-sigma-1-0-mm-3D_glcm_Contrast": 2e20 / 3,
}


DIRECTED = ("-2D-avg", "-2D-comb", "-2.5D-avg", "-2.5D-comb", "", "-3D-comb")
FLAT = ("-2D", "-2.5D", "")
BY_IBSI = ExtractionSettings.from_yaml("ibsi-digital")


def verdict(level="inside", *sentences):
    reasons = tuple(DomainReason(level=level, subject="scan", name="kernel", sentence=s) for s in sentences)
    return DomainVerdict(level=level, reasons=reasons, distance=3.141592653589793, farther_than=0.97)


def lesion_score(lesion_id="L1", features=None, **given):
    fields = {
        "label": "", "roi_name": "", "image": "", "mask": "", "series_uid": "", "image_sha256": "", "mask_sha256": "",
        "volume_ml": 1 / 7, "alone": 0.41, "contribution": -0.1, "domain": verdict(),
    }  # fmt: skip
    return LesionScore(lesion_id=lesion_id, features=FEATURES if features is None else features, **(fields | given))


def patient_score(lesions, **given):
    fields = {
        "patient_id": "pat07", "score": 1 / 3, "threshold": 0.52, "predicted": "negative",
        "interval": Interval(low=0.1, high=0.7000000000000001, method="200 refits"),
        "predicted_label": "not CR, PR", "risk_group": "lower third", "percentile": 12.5, "baseline": 0.0,
        "contribution_scale": "log-odds", "contribution_method": "exact", "contributions": (),
        "domain": verdict("outside", "kernel µ70 is unlike the training's"),
    }  # fmt: skip
    return PatientScore(lesions=tuple(lesions), **(fields | given))


def report_of(*patients, task="response", failures=(), created="2026-11-23T20:45:07+00:00", extraction=None, **given):
    model = ScoredModel(
        path="m", outcome="best response", positive=("CR", "PR"), task=task, level="patient", block="radiomics",
        description=("elastic net, C = 0.1",), record_sha256="a" * 64, settings_sha256="b" * 64,
        extraction_sha256="c" * 64, patients=40, events=20, performance={}, score_quantiles=(), synthetic=True,
        findings=(), extraction=extraction,
    )  # fmt: skip
    return ScoreReport(
        created=created, program="radiomics-talent 0.1.0", model=model, versions={"pyradiomics": "3.0.1"},
        differences=("numpy 2.4 was 2.3",), patients=patients, failures=tuple(failures), **given,
    )  # fmt: skip


def ball(like, radius=3):
    nx, ny, nz = like.GetSize()
    mask = np.zeros((nz, ny, nx), np.uint8)
    mask[max(0, nz // 2 - 1) : nz // 2 + 1, ny // 2 - radius : ny // 2 + radius, nx // 2 - radius : nx // 2 + 1] = 1
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(like)
    return image


def sr_lesion(image, mask_path, label="", *, mask=None, lesion_id="L1", **given):
    if mask is None:
        row = Lesion(2, "pat07", lesion_id, Path(image), Path(mask_path), label)
        mask = load_case(row, ExtractionSettings()).mask
    return SrLesion(lesion_score(lesion_id, **given), Path(image), "", Path(mask_path), label, mask)


def write(folder, *cases, **given):
    patient = patient_score([c.lesion for c in cases], **given)
    report = report_of(patient)
    return report, patient, write_patient_sr(report, patient, cases, folder)


def numbers(group):
    """Every NUM below a group: (code, image type or horizon) -> (value, DS text, unit)."""
    found = {}
    for item in group.ContentSequence:
        if item.ValueType != "NUM":
            continue
        of = ""
        for child in item.get("ContentSequence", ()):
            if child.RelationshipType == "HAS CONCEPT MOD":
                of = child.ConceptCodeSequence[0].CodeMeaning
            if child.RelationshipType == "INFERRED FROM":
                of = float(child.MeasuredValueSequence[0].FloatingPointValue)
        name, value = item.ConceptNameCodeSequence[0], item.MeasuredValueSequence[0]
        key = (name.CodingSchemeDesignator, name.get("CodeValue") or name.LongCodeValue, of)
        assert key not in found, key
        number = value.get("FloatingPointValue", value.NumericValue)
        found[key] = (float(number), str(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue)
    return found


def texts(group):
    wanted = [i for i in group.ContentSequence if i.ValueType == "TEXT" and i.RelationshipType == "CONTAINS"]
    return [(i.ConceptNameCodeSequence[0].CodeValue, i.TextValue) for i in wanted]


def groups_of(path):
    tree = pydicom.dcmread(path).ContentSequence
    measured = next(i for i in tree if i.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements")
    return list(measured.ContentSequence)


def evidence(path, keyword="CurrentRequestedProcedureEvidenceSequence"):
    return {
        str(sop.ReferencedSOPInstanceUID)
        for study in pydicom.dcmread(path).get(keyword, ())
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    }


@pytest.fixture
def sts(sts_root):
    root = sts_root / "STS_001" / "CT"
    return root / "image", next((root / "mask").glob("*.dcm"))


@pytest.fixture
def dcmqi(shared_data):
    return shared_data / "dicom_masks" / "dcmqi"


@pytest.fixture
def ct_copy(dcmqi, tmp_path):
    """Return a function that copies the small CT with its headers changed."""

    def copy(change, name="ct", split=None):
        folder = tmp_path / name
        folder.mkdir()
        for number, file in enumerate(sorted((dcmqi / "ct-3slice").glob("*.dcm"))):
            ds = pydicom.dcmread(file)
            with quiet_pydicom():
                change(ds)
                ds.save_as(folder / f"{number}.dcm")
        return folder

    return copy


def ball_on(folder, lesion_id="L1", mask_path=Path("mask.nii.gz")):
    files = find_series_files(folder, None)
    image = load_ct(files, ExtractionSettings().geometry, where="ct").image
    return sr_lesion(folder, mask_path, mask=ball(image), lesion_id=lesion_id)


# --- the content


def test_every_number_is_read_back_to_the_last_digit(dcmqi, tmp_path):
    _, patient, (path, *_) = write(tmp_path, sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm"))
    of_patient, of_lesion = map(numbers, groups_of(path))
    assert {k[1]: v[0] for k, v in of_patient.items()} == {
        "probability": patient.score,
        "score-low": 0.1,
        "score-high": 0.7000000000000001,
        "threshold": 0.52,
        "domain-distance": 3.141592653589793,
        "domain-farther": 0.97,
    }
    expected = {(PRIVATE, "absent", ""): 1.0, ("SCT", "118565006", ""): 1 / 7}
    expected |= {(PRIVATE, "alone", ""): 0.41, (PRIVATE, "contribution", ""): -0.1}
    expected |= {(PRIVATE, "domain-distance", ""): 3.141592653589793, (PRIVATE, "domain-farther", ""): 0.97}
    for name, value in FEATURES.items():
        if value is not None:
            concept = feature_concept(name)
            modifier = concept.modifiers[0][1].meaning if concept.modifiers else ""
            expected[concept.name.scheme_designator, concept.name.value, modifier] = value
    assert {k: v[0] for k, v in of_lesion.items()} == expected
    for value, text, _ in of_lesion.values():
        assert len(text) <= 16
        assert float(text) == pytest.approx(value, rel=1e-9)
    units = {k[1]: v[2] for k, v in of_lesion.items()}
    assert units["RNU0"] == "mm3"
    assert units["Q4LE"] == "[hnsf'U]"
    assert units["118565006"] == "ml"
    assert units["absent"] == "1"
    assert of_lesion[PRIVATE, "firstorder_Mean", "wavelet-LLH"][2] == "[arb'U]"


def test_the_score_in_words(dcmqi, tmp_path):
    _, _, (path, *_) = write(tmp_path, sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm"))
    group = groups_of(path)[0]
    assert texts(group) == [
        ("notice", RESEARCH_USE),
        ("outcome", "best response: CR, PR"),
        ("class-label", "not CR, PR"),
        ("risk-group", "lower third"),
        ("score-interval", "200 refits"),
        ("domain-reason", "outside: kernel µ70 is unlike the training's"),
        ("model", "elastic net, C = 0.1"),
        ("model", "Trained on invented (synthetic) patients"),
        ("difference", "numpy 2.4 was 2.3"),
    ]
    coded = {
        i.ConceptNameCodeSequence[0].CodeValue: i.ConceptCodeSequence[0].CodeValue
        for i in group.ContentSequence
        if i.ValueType == "CODE"
    }
    assert coded == {"class": "negative", "domain": "outside"}
    algorithm = [i.TextValue for i in group.ContentSequence if i.RelationshipType == "HAS CONCEPT MOD"]
    assert algorithm[:3] == ["radiomics-talent", "0.1.0", f"extraction settings sha256: {'c' * 64}"]
    score = next(i for i in group.ContentSequence if i.ValueType == "NUM")
    rank = score.ContentSequence[0]
    assert rank.ConceptNameCodeSequence[0].CodeMeaning == "Percentile Ranking of measurement"
    assert rank.MeasuredValueSequence[0].NumericValue == 12.5


def test_survival_has_its_horizons(dcmqi, tmp_path):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm")
    interval = Interval(low=0.5, high=0.9, method="200 refits")
    survival = (
        HorizonSurvival(days=365.0, probability=0.75, interval=interval),
        HorizonSurvival(days=730.0, probability=0.5),
    )
    patient = patient_score([case.lesion], interval=None, survival=survival, percentile=None)
    path, *_ = write_patient_sr(report_of(patient, task="survival"), patient, [case], tmp_path)
    found = numbers(groups_of(path)[0])
    assert found[PRIVATE, "risk", ""][0] == patient.score
    assert found[PRIVATE, "event-free", 365.0][0] == 0.75
    assert found[PRIVATE, "event-free-low", 365.0][0] == 0.5
    assert found[PRIVATE, "event-free", 730.0][0] == 0.5
    assert (PRIVATE, "score-low", "") not in found


def test_header_claims_no_more_than_is_true(dcmqi, tmp_path):
    _, _, (path, *_) = write(tmp_path, sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm"))
    sr = pydicom.dcmread(path)
    ct = pydicom.dcmread(dcmqi / "ct-3slice" / "01.dcm")
    assert sr.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert (sr.CompletionFlag, sr.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert "PreliminaryFlag" not in sr
    assert "research use only" in sr.SeriesDescription
    assert sr.ContentQualification == "RESEARCH"
    assert (sr.ContentDate, sr.ContentTime) == ("20261123", "204507")
    assert (sr.InstanceCreationDate, sr.InstanceCreationTime) == ("20261123", "204507")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert str(sr[keyword].value) == str(ct[keyword].value), keyword
    schemes = {i.CodingSchemeDesignator: i for i in sr.CodingSchemeIdentificationSequence}
    assert schemes[IBSI].CodingSchemeUID == "1.2.840.10008.2.16.13"
    assert schemes[PRIVATE].CodingSchemeResponsibleOrganization


def test_lesion_left_out_or_failed_makes_the_document_partial(dcmqi, tmp_path):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm")
    patient = patient_score([case.lesion, lesion_score("L2")])
    failure = ScoringFailure(patient_id="pat07", lesion_id="L3", stage="read", sentence="too small")
    path, *_ = write_patient_sr(report_of(patient, failures=[failure]), patient, [case], tmp_path)
    sr = pydicom.dcmread(path)
    assert sr.CompletionFlag == "PARTIAL"
    assert sr.CompletionFlagDescription == "1 lesions are not in this document, 1 were not scored"
    assert ("elsewhere", "L2") in texts(groups_of(path)[0])


def test_time_zone_is_that_of_the_study(ct_copy, tmp_path):
    folder = ct_copy(lambda ds: setattr(ds, "TimezoneOffsetFromUTC", "-0330"))
    _, _, (path, *_) = write(tmp_path / "out", ball_on(folder))
    sr = pydicom.dcmread(path)
    assert (sr.ContentDate, sr.ContentTime, sr.TimezoneOffsetFromUTC) == ("20261123", "171507", "-0330")


# --- segments and evidence


def test_segment_of_the_seg_that_the_mask_is(dcmqi, tmp_path):
    _, _, paths = write(tmp_path, sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm"))
    assert [p.name for p in paths] == ["pat07.SR.dcm"]
    seg = pydicom.dcmread(dcmqi / "liver.dcm", stop_before_pixels=True)
    (group,) = highdicom.sr.srread(paths[0]).content.get_volumetric_roi_measurement_groups()
    assert group.tracking_identifier == "L1"
    assert group.finding_type == codes.SCT.Lesion
    assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert group.referenced_segment.referenced_segment_numbers == [1]
    slices = {pydicom.dcmread(f).SOPInstanceUID for f in (dcmqi / "ct-3slice").glob("*.dcm")}
    assert {i.referenced_sop_instance_uid for i in group.referenced_segment.source_images_for_segmentation} <= slices
    assert evidence(paths[0]) == slices | {seg.SOPInstanceUID}


@pytest.mark.parametrize("number", [1, 2], ids=["first", "second"])
def test_one_of_several_segments(dcmqi, tmp_path, number):
    path = dcmqi / "partial_overlaps.dcm"
    _, _, paths = write(tmp_path, sr_lesion(dcmqi / "ct-3slice", path, str(number)))
    (group,) = highdicom.sr.srread(paths[0]).content.get_volumetric_roi_measurement_groups()
    assert len(paths) == 1
    assert group.referenced_segment.referenced_segment_numbers == [number]


def test_seg_with_other_voxels_is_not_referred_to(dcmqi, tmp_path):
    whole = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm")
    voxels = sitk.GetArrayFromImage(whole.mask)
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    part = sitk.GetImageFromArray(voxels)
    part.CopyInformation(whole.mask)
    _, _, (path, seg_path) = write(tmp_path, replace(whole, mask=part))
    (group,) = highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    mine = pydicom.dcmread(seg_path)
    assert group.referenced_segment.referenced_sop_instance_uid == mine.SOPInstanceUID
    assert {mine.SOPInstanceUID, pydicom.dcmread(dcmqi / "liver.dcm").SOPInstanceUID} <= evidence(path)


@pytest.mark.parametrize("source", ["rtstruct", "nrrd"])
def test_seg_that_is_written_holds_the_very_voxels(source, dcmqi, sts, tmp_path):
    image, mask = sts if source == "rtstruct" else (dcmqi / "ct-3slice", dcmqi / "liver_seg.nrrd")
    case = sr_lesion(image, mask)
    _, _, (path, seg_path) = write(tmp_path, case)
    row = Lesion(2, "pat07", "L1", image, seg_path, "1")
    again = load_case(row, ExtractionSettings()).mask
    assert np.array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(case.mask))
    seg = pydicom.dcmread(seg_path)
    slices = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in image.glob("*.dcm")}
    origin = {pydicom.dcmread(mask).SOPInstanceUID} if source == "rtstruct" else set()
    assert evidence(path) == slices | {seg.SOPInstanceUID} | origin
    of_slices = np.flatnonzero(sitk.GetArrayFromImage(case.mask).any(axis=(1, 2)))
    assert seg.NumberOfFrames == len(of_slices)
    files = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID: f for f in image.glob("*.dcm")}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        there = pydicom.dcmread(files[source], stop_before_pixels=True).ImagePositionPatient
        assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, there, atol=1e-3)
    uids = load_ct(find_series_files(image, None), ExtractionSettings().geometry, where="").sop_instance_uids
    (group,) = highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    assert {i.referenced_sop_instance_uid for i in group.referenced_segment.source_images_for_segmentation} == {
        uids[k] for k in of_slices
    }
    assert group.tracking_uid == seg.SegmentSequence[0].TrackingUID


def test_multiframe_ct_is_referred_to_by_frame(dcmqi, tmp_path):
    image = dcmqi / "24x38x3" / "multiframe" / "mf.dcm"
    _, _, (path, seg_path) = write(tmp_path, ball_on(image))
    (group,) = highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    (source,) = group.referenced_segment.source_images_for_segmentation
    assert source.referenced_sop_instance_uid == pydicom.dcmread(image).SOPInstanceUID
    frames = [
        f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for f in pydicom.dcmread(seg_path).PerFrameFunctionalGroupsSequence
    ]
    assert sorted(source.referenced_frame_numbers) == sorted(frames)
    assert len(frames) == 2


def test_one_document_a_study(ct_copy, tmp_path):
    def another(ds):
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            setattr(ds, keyword, f"{ds[keyword].value[:50]}.77")
        ds.SOPInstanceUID += str(ds.InstanceNumber)

    cases = [ball_on(ct_copy(lambda ds: None)), ball_on(ct_copy(another, "ct2"), "L2")]
    _, _, paths = write(tmp_path / "out", *cases)
    assert [p.name for p in paths] == ["pat07.SR1.dcm", "pat07.SR2.dcm", "pat07.SEG.L1.dcm", "pat07.SEG.L2.dcm"]
    one, two = (pydicom.dcmread(p) for p in paths[:2])
    assert one.StudyInstanceUID != two.StudyInstanceUID
    assert one.CompletionFlag == two.CompletionFlag == "PARTIAL"
    assert evidence(paths[0]) == evidence(paths[1], "PertinentOtherEvidenceSequence")
    assert evidence(paths[1]) == evidence(paths[0], "PertinentOtherEvidenceSequence")
    for path, mine, other in ((paths[0], "L1", "L2"), (paths[1], "L2", "L1")):
        (group,) = highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()
        assert group.tracking_identifier == mine
        assert ("elsewhere", other) in texts(groups_of(path)[0])


def test_same_input_gives_the_same_bytes_and_another_score_other_uids(dcmqi, tmp_path):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver_seg.nrrd")
    first, again = write(tmp_path / "a", case)[2], write(tmp_path / "b", case)[2]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    other = write(tmp_path / "c", case, score=0.5)[2]
    one, two = pydicom.dcmread(first[0]), pydicom.dcmread(other[0])
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert first[1].read_bytes() == other[1].read_bytes()


# --- odd headers


def test_empty_and_absent_attributes(ct_copy, tmp_path):
    def strip(ds):
        for keyword in ("StudyID", "AccessionNumber", "StudyTime", "ReferringPhysicianName", "PatientSex"):
            if keyword in ds:
                del ds[keyword]
        ds.PatientName = ""
        ds.add_new(0x00091001, "UN", b"\x00\xff")

    _, _, (path, seg_path) = write(tmp_path / "out", ball_on(ct_copy(strip)))
    for file in (path, seg_path):
        ds = pydicom.dcmread(file)
        assert all(ds[k].is_empty for k in ("StudyID", "AccessionNumber", "StudyTime", "PatientName", "PatientSex"))
        assert 0x00091001 not in ds


def test_invalid_values_are_left_out_and_the_patient_id_stays(ct_copy, tmp_path):
    def break_values(ds):
        ds.StudyDate, ds.PatientSex, ds.PatientAge, ds.StudyTime = "31.12.2020", "male", "old", "late"
        ds.PatientBirthDate, ds.StudyID, ds.PatientID = "1950", "x" * 40, "p" * 70
        ds._dict[Tag("PatientWeight")] = RawDataElement(Tag("PatientWeight"), "DS", 6, b"heavy ", 0, False, True)

    _, _, (path, _) = write(tmp_path / "out", ball_on(ct_copy(break_values)))
    with quiet_pydicom():
        sr = pydicom.dcmread(path)
        assert sr.PatientID == "p" * 70
        assert all(sr[k].is_empty for k in ("StudyDate", "StudyTime", "PatientSex", "PatientBirthDate", "StudyID"))
        assert "PatientAge" not in sr
        assert "PatientWeight" not in sr


def test_name_in_another_character_set(ct_copy, tmp_path, caplog):
    def rename(ds):
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName = "Müllerin"

    caplog.set_level(logging.DEBUG)
    _, _, (path, seg_path) = write(tmp_path / "out", ball_on(ct_copy(rename)))
    for file in (path, seg_path):
        ds = pydicom.dcmread(file)
        assert (ds.SpecificCharacterSet, str(ds.PatientName)) == ("ISO_IR 192", "Müllerin")
    assert "Müllerin" not in caplog.text


def test_trial_and_deidentification_are_copied_when_whole(ct_copy, tmp_path):
    def trial(ds):
        ds.PatientIdentityRemoved = "YES"
        ds.ClinicalTrialSponsorName, ds.ClinicalTrialProtocolID = "Sponsor", "T1"
        ds.ClinicalTrialSubjectID = "S7"

    _, _, (path, _) = write(tmp_path / "out", ball_on(ct_copy(trial)))
    sr = pydicom.dcmread(path)
    assert (sr.ClinicalTrialSubjectID, sr.ClinicalTrialSponsorName, sr.PatientIdentityRemoved) == (
        "S7",
        "Sponsor",
        "YES",
    )
    assert "Not said in the CT" in sr.DeidentificationMethod


def test_odd_ids_make_file_names_of_their_own(dcmqi, tmp_path):
    cases = [
        sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver_seg.nrrd", lesion_id=name)
        for name in ("../up", "..\\up", "ü" * 99)
    ]
    _, _, paths = write(tmp_path / "out", *cases, patient_id="a/b c")
    assert len(set(paths)) == 4
    assert all(p.parent == tmp_path / "out" and p.is_file() for p in paths)
    found = highdicom.sr.srread(paths[0]).content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_identifier for g in found] == ["../up", "..\\up", "ü" * 99]


# --- what is refused


def test_image_that_is_not_dicom(dcmqi, tmp_path):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm")
    with pytest.raises(InputError, match=r"liver_seg\.nrrd: is not DICOM, and a DICOM SR can refer to nothing else"):
        write(tmp_path, replace(case, image_path=dcmqi / "liver_seg.nrrd"))
    assert not list(tmp_path.iterdir())


def test_no_lesion_on_a_dicom_scan(tmp_path):
    with pytest.raises(InputError, match=r"pat07: has no lesion on a DICOM scan"):
        write(tmp_path)


def test_ct_without_study(ct_copy, tmp_path):
    folder = ct_copy(lambda ds: delattr(ds, "StudyInstanceUID"))
    with pytest.raises(InputError, match=r"the CT has no StudyInstanceUID, which a DICOM SR refers to it by"):
        write(tmp_path / "out", ball_on(folder))


def test_ct_without_frame_of_reference_gets_one(ct_copy, tmp_path):
    folder = ct_copy(lambda ds: ds.pop("FrameOfReferenceUID"))
    _, _, (_, seg_path) = write(tmp_path / "out", ball_on(folder))
    assert pydicom.dcmread(seg_path).FrameOfReferenceUID


def test_series_of_several_studies(shared_data, tmp_path):
    folder = shared_data / "dicom_masks" / "rt_utils" / "oriented_data"
    with pytest.raises(InputError, match=r"name 3 different StudyInstanceUIDs, but a DICOM SR belongs to one"):
        write(tmp_path, ball_on(folder))


def test_empty_mask(dcmqi, tmp_path):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm")
    with pytest.raises(InputError, match=r"the mask has no voxel of the lesion; draw it again"):
        write(tmp_path, replace(case, mask=case.mask * 0))


def test_created_that_is_no_time(dcmqi, tmp_path):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm")
    patient = patient_score([case.lesion])
    with pytest.raises(InputError, match=r"score\.json: created is 'yesterday', expected an ISO 8601 time"):
        write_patient_sr(report_of(patient, created="yesterday"), patient, [case], tmp_path)


def test_folder_that_cannot_be_made(dcmqi, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"file/out: cannot be written: Not a directory; give another --out"):
        write(tmp_path / "file" / "out", sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver.dcm"))


@pytest.mark.parametrize(("code", "text"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system")])
@pytest.mark.parametrize("failing", [1, 2], ids=["first file", "second file"])
def test_nothing_is_half_written(code, text, failing, dcmqi, tmp_path, monkeypatch):
    case = sr_lesion(dcmqi / "ct-3slice", dcmqi / "liver_seg.nrrd")
    kept = write(tmp_path, case)[2]
    before = [p.read_bytes() for p in kept]
    save, calls = Path.write_bytes, []

    def fail(self, content):
        calls.append(self)
        if len(calls) == failing:
            save(self, content[:100])
            raise OSError(code, text)
        save(self, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ConfigError, match=rf"cannot be written: {text}.*; give another --out"):
        write(tmp_path, case, score=0.9)
    assert len(calls) == failing
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert [p.read_bytes() for p in kept] == before


# --- codes


def test_every_feature_of_the_dictionary_has_codes_of_its_own():
    seen = set()
    for feature_class, names in pyradiomics_names().items():
        for name in names:
            concept = feature_concept(f"original_{feature_class}_{name}")
            assert len(concept.name.meaning) <= 64
            assert concept.name.scheme_designator in {IBSI, PRIVATE}
            assert concept.unit.scheme_designator == "UCUM"
            assert concept.modifiers == ()
            seen.add((concept.name.scheme_designator, concept.name.value))
    assert len(seen) == sum(map(len, pyradiomics_names().values()))
    filtered = {
        feature_concept(f"wavelet-LLH_{c}_{n}").name.CodeValue
        for c, names in pyradiomics_names().items()
        for n in names
    }
    assert len(filtered) == len(seen)


def test_code_of_another_number_is_not_used():
    assert feature_concept("original_firstorder_Kurtosis").name.scheme_designator == PRIVATE
    assert feature_concept("original_firstorder_Skewness").name.value == "KE2A"


def test_every_feature_of_the_ibsi_chain_has_its_ibsi_code():
    for feature_class, names in ibsi_names().items():
        for name in names:
            column = f"original_{feature_class}_{name}"
            concept = feature_concept(column, BY_IBSI)
            assert (concept.name.scheme_designator, concept.name.value) == (IBSI, definition_of(column).ibsi_code)
            assert len(concept.name.meaning) <= 64


@pytest.mark.parametrize(
    ("column", "meaning"),
    [
        ("original_glcm_JointEntropy", "Joint entropy (GLCM)"),
        ("original_glcm-2.5D-avg_JointEntropy", "Joint entropy (GLCM 2.5D-avg)"),
        (
            "original_glrlm-2.5D-comb_ShortRunHighGrayLevelEmphasis",
            "Short run high grey level emphasis (GLRLM 2.5D-comb)",
        ),
        ("original_gldzm-2D_ZonePercentage", "Zone percentage (GLDZM 2D)"),
        ("original_firstorder_Entropy", "Intensity histogram entropy"),
        ("original_histogram_10Percentile", "Intensity histogram 10th percentile"),
        ("original_localintensity_LocalIntensityPeak", "Local intensity peak"),
        ("original_shape_Asphericity", "Asphericity"),
    ],
)
def test_meaning_says_family_and_aggregation(column, meaning):
    name = feature_concept(column).name
    assert (name.scheme_designator, name.meaning) == (IBSI, meaning)


def test_a_deprecated_feature_of_pyradiomics_has_the_code_in_the_ibsi_chain_alone():
    assert feature_concept("original_shape_Compactness1").name.scheme_designator == PRIVATE
    assert feature_concept("original_shape_Compactness1", BY_IBSI).name.value == "SKGS"
    # PyRadiomics gives no number for it: the column can only be the IBSI chain's.
    assert feature_concept("original_glcm_Dissimilarity").name.value == "8S9J"
    assert feature_concept("original_glcm_Homogeneity1", BY_IBSI).name.scheme_designator == PRIVATE


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("original_glcm-2D-avg_Id", "BTW3"),
        ("original_glcm-2D-comb_Id", "SUJT"),
        ("original_glrlm-2.5D-avg_RunEntropy", "JJUI"),
        ("original_glcm-2.5D-comb_Id", "ZW7Z"),
        ("original_glcm_Id", "ITBB"),
        ("original_glrlm-3D-comb_RunEntropy", "IAZD"),
        ("original_gldzm-2D_ZonePercentage", "8QNN"),
        ("original_ngtdm-2.5D_Busyness", "62GR"),
        ("original_gldm_DependenceEntropy", "KOBO"),
    ],
)
def test_aggregation_of_the_ibsi_chain_is_a_modifier(column, code):
    ((of, told),) = feature_concept(column, BY_IBSI).modifiers
    assert (of.scheme_designator, of.value, told.scheme_designator, told.value) == (IBSI, "5QB6", IBSI, code)
    assert code in words.texture(BY_IBSI.canonical())
    assert feature_concept(column).modifiers == ()
    assert feature_concept(column, ExtractionSettings()).modifiers == ()


def test_points_of_the_volume_histogram_are_told_apart():
    for name in ("VolumeFraction", "IntensityAtVolume"):
        low, high = (feature_concept(f"original_ivh_{name}{n}", BY_IBSI) for n in (10, 90))
        assert low.name.value == high.name.value
        assert [told.meaning for _, told in low.modifiers + high.modifiers] == ["10 %", "90 %"]
    assert feature_concept("original_ivh_AreaUnderCurve", BY_IBSI).modifiers == ()


@pytest.mark.parametrize(
    ("column", "settings", "of"),
    [
        ("original_ivh_IntensityAtVolume10", {"ibsi": {}}, "[hnsf'U]"),
        ("original_ivh_IntensityAtVolume10", {"ibsi": {"ivh_discretisation": {"bin_count": 1000}}}, "1"),
        ("original_firstorder_Mean", {"ibsi": {"ivh_discretisation": {"bin_count": 1000}}}, "[hnsf'U]"),
        ("original_firstorder_Mean", {}, "[hnsf'U]"),
        ("original_firstorder_Mean", {"setting": {"normalize": True}}, "[arb'U]"),
        ("original_shape_MeshVolume", {"setting": {"normalize": True}}, "mm3"),
        ("made_up_column", {"setting": {"normalize": True}}, "1"),
    ],
)
def test_unit_follows_the_settings(column, settings, of):
    assert feature_concept(column, ExtractionSettings.model_validate(settings)).unit.value == of


def test_aggregations_of_a_filtered_image_have_codes_of_their_own():
    columns = [f"square_glcm{way}_Id" for way in ("", "-2D-avg", "-2D-comb", "-2.5D-avg", "-2.5D-comb", "-3D-comb")]
    assert len({feature_concept(column).name.value for column in columns}) == len(columns)


def test_intensity_times_volume_has_a_unit():
    assert feature_concept("original_shape_IntegratedIntensity").unit.value == "[hnsf'U].mm3"


@pytest.mark.parametrize("name", ["odd", "odd_", "square_", "a_b_c\\d\ne", "x" * 200])
def test_names_of_no_known_shape_are_kept(name):
    concept = feature_concept(name)
    assert concept.name.scheme_designator == PRIVATE
    assert 0 < len(concept.name.meaning) <= 64


def test_private_codes_fit_dicom():
    assert all(len(code) <= 16 and len(meaning) <= 64 for code, meaning in PRIVATE_CODES.items())
    assert len(set(PRIVATE_CODES.values())) == len(PRIVATE_CODES)
    assert all(len(code) <= 16 for code, _ in UNITS.values())


# --- other programs


def run_tool(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")


@pytest.fixture(scope="module")
def written(sts_root, tmp_path_factory):
    root = sts_root / "STS_001" / "CT"
    case = sr_lesion(root / "image", next((root / "mask").glob("*.dcm")))
    return write(tmp_path_factory.mktemp("sr"), case)[2]


def test_dcmtk_reads_the_document(written, tmp_path):
    dump = run_tool("dsrdump", "-Ec", "+Pl", str(written[0]))
    assert dump.returncode == 0
    assert not [line for line in dump.stderr.splitlines() if line.startswith("E:")]
    assert 'NUM:(,,"Predicted probability of response")="0.33333333333333"' in dump.stdout
    page = tmp_path / "sr.html"
    assert run_tool("dsr2html", str(written[0]), str(page)).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert RESEARCH_USE in text
    # Each number stands behind its name.
    assert re.search(r"Joint entropy \(GLCM\):?</b>.{0,40}0\.6666", text, re.DOTALL)


@pytest.mark.parametrize("number", [0, 1], ids=["SR", "SEG"])
def test_dciodvfy_finds_no_error(written, number):
    run = run_tool("dciodvfy", str(written[number]))
    assert not [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


# --- a model of the IBSI chain


@pytest.fixture(scope="module")
def of_ibsi(shared_data, tmp_path_factory):
    """An SR with a feature of every name, aggregation and point of the IBSI chain, and those features."""
    ct = shared_data / "dicom_masks" / "dcmqi"
    spelt = {"glcm": DIRECTED, "glrlm": DIRECTED} | dict.fromkeys(("glszm", "gldzm", "ngtdm", "gldm"), FLAT)
    columns = [
        f"original_{c}{way}_{n}" for c, names in ibsi_names().items() for way in spelt.get(c, [""]) for n in names
    ]
    features = {column: float(number) for number, column in enumerate(columns)}
    case = sr_lesion(ct / "ct-3slice", ct / "liver.dcm", features=features)
    patient = patient_score([case.lesion])
    report = report_of(patient, extraction=BY_IBSI.canonical())
    path, *_ = write_patient_sr(report, patient, [case], tmp_path_factory.mktemp("ibsi"))
    return path, features


def test_codes_and_modifiers_tell_every_feature_of_the_ibsi_chain(of_ibsi):
    path, features = of_ibsi
    found = {}
    for item in groups_of(path)[1].ContentSequence:
        if item.ValueType == "NUM":
            name = item.ConceptNameCodeSequence[0]
            modifiers = [
                (m.ConceptNameCodeSequence[0].CodeValue, m.ConceptCodeSequence[0].CodeValue)
                for m in item.get("ContentSequence", ())
            ]
            key = (name.CodingSchemeDesignator, name.CodeValue, *modifiers)
            assert key not in found
            found[key] = item.MeasuredValueSequence[0].get("FloatingPointValue")
    assert len([key for key in found if key[0] == IBSI]) == len(features)
    assert found[IBSI, "SKGS"] == features["original_shape_Compactness1"]
    assert found[IBSI, "TU9B", ("5QB6", "JJUI")] == features["original_glcm-2.5D-avg_JointEntropy"]
    assert found[IBSI, "GBPN", ("ivh-point", "ivh-90")] == features["original_ivh_IntensityAtVolume90"]


def test_the_algorithm_names_the_ibsi_chain(of_ibsi):
    algorithm = [i.TextValue for i in groups_of(of_ibsi[0])[1].ContentSequence if "TextValue" in i]
    assert f"features: {words.engine(BY_IBSI.canonical(), {})}" in algorithm


def test_other_programs_read_the_ibsi_document(of_ibsi):
    path, _ = of_ibsi
    dump = run_tool("dsrdump", "-Ec", "+Pl", str(path))
    assert dump.returncode == 0
    assert not [line for line in dump.stderr.splitlines() if line.startswith("E:")]
    assert '<has concept mod CODE:(,,"Feature aggregation")=(JJUI,' in dump.stdout
    run = run_tool("dciodvfy", str(path))
    assert not [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    (group,) = highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    assert any(m.name.value == "SKGS" for m in group.get_measurements())
