"""A row becomes voxels, or says why not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent import extract
from radiomics_talent.cohort.case import (
    Case,
    Footprint,
    inspect_case,
    inspect_overlaps,
    inspect_scan,
    load_case,
    split_parts,
)
from radiomics_talent.cohort.inspection import inspect_cohort
from radiomics_talent.cohort.manifest import CohortTable, Lesion, cohort_from_index, load_cohort, write_cohort
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.errors import DicomError, GeometryError, InputError, MaskError, TableError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.settings import ExtractionSettings

SIZE = (20, 16, 12)  # x, y, z
SPACING = (0.8, 0.8, 2.5)
DEFAULT = ExtractionSettings()


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 400, SIZE[::-1]).astype(np.int16)


def blob(z: slice = slice(4, 8), y: slice = slice(5, 10), x: slice = slice(6, 12)) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[z, y, x] = 1
    return mask


def image_of(
    array: np.ndarray, *, spacing=SPACING, origin=(-10.0, -20.0, 30.0), direction=None, vector=False
) -> sitk.Image:
    image = sitk.GetImageFromArray(array, isVector=vector)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        if direction:
            image.SetDirection(direction)
    return image


@pytest.fixture
def make(tmp_path):
    """Write an image and a mask, and return their row."""

    def write(
        image: np.ndarray | sitk.Image, mask: np.ndarray | sitk.Image, label: str = "", suffix: str = ".nii.gz"
    ) -> Lesion:
        paths = []
        for name, data in (("image", image), ("mask", mask)):
            paths.append(tmp_path / f"{name}{suffix}")
            sitk.WriteImage(data if isinstance(data, sitk.Image) else image_of(data), paths[-1])
        return Lesion(2, "P1", "L1", paths[0], paths[1], label)

    return write


def codes(lesion: Lesion, settings: ExtractionSettings = DEFAULT) -> list[str]:
    findings, case = inspect_case(lesion, settings)
    assert (case is None) == any(f.is_error for f in findings)
    return [f.code for f in findings]


def settings(**sections) -> ExtractionSettings:
    return ExtractionSettings.model_validate(sections)


# --- images


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_formats(make, suffix):
    case = load_case(make(values(), blob(), suffix=suffix))
    assert case.findings == ()
    assert case.image.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(sitk.GetArrayFromImage(case.image), values())
    assert np.array_equal(sitk.GetArrayFromImage(case.mask), blob())
    assert case.mask.GetPixelID() == sitk.sitkUInt8
    assert case.image.GetSpacing() == SPACING
    assert case.mask.GetOrigin() == case.image.GetOrigin()


def test_whole_floats_become_int16(make):
    assert load_case(make(values().astype(np.float32), blob())).image.GetPixelID() == sitk.sitkInt16


@pytest.mark.parametrize("change", [lambda a: a + 0.5, lambda a: a * 100])
def test_other_floats_stay(make, change):
    assert load_case(make(change(values().astype(np.float64)), blob())).image.GetPixelID() == sitk.sitkFloat64


def test_integers_keep_their_type(make):
    assert load_case(make(values().astype(np.int32), blob())).image.GetPixelID() == sitk.sitkInt32


def test_a_single_fourth_axis_is_dropped(make):
    assert load_case(make(sitk.JoinSeries([image_of(values())]), blob())).image.GetSize() == SIZE


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (sitk.JoinSeries([image_of(values()), image_of(values())]), "not-3d"),
        (sitk.GetImageFromArray(values()[0]), "not-3d"),
        (image_of(np.stack([values()] * 3, axis=-1), vector=True), "not-3d"),
        (np.where(blob(), np.nan, values()).astype(np.float32), "not-finite"),
        (np.where(blob(), np.inf, values()).astype(np.float32), "not-finite"),
    ],
)
def test_unusable_images(make, image, code):
    lesion = make(image, blob())
    assert codes(lesion) == [code]
    with pytest.raises(GeometryError, match=r"image\.nii\.gz: "):
        load_case(lesion)


@pytest.mark.parametrize(
    ("change", "why"),
    [(lambda a: a / 1000.0, "normalised"), (lambda a: a + 1024, "intercept"), (lambda a: a * 30.0, "wider")],
)
def test_implausible_hu(make, change, why):
    findings, _ = inspect_case(make(change(values()), blob()), DEFAULT)
    assert findings[0].code == "implausible-hu"
    assert why in findings[0].sentence


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.nii"),
        (b"junk" * 100, "a.nii.gz"),
        (b"\x1f\x8bjunk", "a.nii.gz"),
        (b"NRRD0004\n", "a.nrrd"),
        (b"text", "a.txt"),
    ],
)
def test_broken_files(make, tmp_path, content, name, capfd):
    lesion = make(values(), blob())
    bad = tmp_path / name
    bad.write_bytes(content)
    assert codes(replace(lesion, image=bad)) == ["unreadable-file"]
    assert codes(replace(lesion, mask=bad)) == ["mask-unreadable"]
    with pytest.raises(MaskError, match=f"{name}: "):
        load_case(replace(lesion, mask=bad))
    assert capfd.readouterr().err == ""


def test_cut_short(make, tmp_path):
    lesion = make(values(), blob(), suffix=".nrrd")
    lesion.image.write_bytes(lesion.image.read_bytes()[:2000])
    assert codes(lesion) == ["unreadable-file"]


def test_missing_files(make, tmp_path):
    lesion = make(values(), blob())
    for field in ("image", "mask"):
        assert codes(replace(lesion, **{field: tmp_path / "no"})) == ["missing-file"]
    with pytest.raises(TableError, match="the mask does not exist"):
        load_case(replace(lesion, mask=tmp_path / "no"))
    assert codes(replace(lesion, mask=tmp_path)) == ["mask-unreadable"]
    with pytest.raises(DicomError, match="is not there"):
        load_case(replace(lesion, image=tmp_path))


# --- labels


def test_labels(make):
    mask = blob() * 3
    mask[0:3, 0:4, 0:4] = 7
    lesion = make(values(), mask)
    assert codes(lesion) == ["label-ambiguous"]
    for label in ("3", "3.0"):
        assert np.array_equal(sitk.GetArrayFromImage(load_case(replace(lesion, label=label)).mask), blob())
    with pytest.raises(
        MaskError, match=r"label '5' is not in the mask, which holds 3: 120 voxels, 0.192 ml; 7: 48 voxels"
    ):
        load_case(replace(lesion, label="5"))
    assert codes(lesion, settings(setting={"label": 3})) == []


def test_the_only_value_needs_no_label(make):
    assert load_case(make(values(), blob() * 255)).findings == ()


def test_empty_mask(make):
    assert codes(make(values(), blob() * 0)) == ["mask-empty"]


def test_float_masks(make):
    assert codes(make(values(), blob().astype(np.float32))) == []
    assert codes(make(values(), blob() * 0.7)) == ["mask-unreadable"]
    assert codes(make(values(), np.where(blob(), np.nan, 0))) == ["not-finite"]


def test_channels(make):
    mask = image_of(np.stack([blob() * 0, blob()], axis=-1), vector=True)
    lesion = make(values(), mask)
    assert codes(lesion) == ["not-3d"]
    assert codes(lesion, settings(setting={"label_channel": 1})) == []


def test_segments_of_3d_slicer(make):
    mask = image_of(np.stack([blob(), blob(x=slice(2, 9))], axis=-1), vector=True)
    for number, name in enumerate(("tumour", "node")):
        mask.SetMetaData(f"Segment{number}_Name", name)
        mask.SetMetaData(f"Segment{number}_LabelValue", "1")
        mask.SetMetaData(f"Segment{number}_Layer", str(number))
    lesion = make(values(), mask, label="node", suffix=".nrrd")
    assert np.array_equal(sitk.GetArrayFromImage(load_case(lesion).mask), blob(x=slice(2, 9)))


# --- grids


def test_noise_of_formats_is_no_difference(make):
    assert codes(make(values(), image_of(blob(), origin=(-10.00003, -20.0, 30.0)))) == []


def test_mended(make):
    findings, case = inspect_case(make(values(), image_of(blob(), origin=(-10.05, -20.0, 30.0))), DEFAULT)
    assert [f.code for f in findings] == ["mask-grid-mended"]
    assert "0.05 mm and 0 degrees" in findings[0].sentence
    assert np.array_equal(sitk.GetArrayFromImage(case.mask), blob())


def test_a_crop_of_the_scans_grid_is_put_in_its_place(make):
    mask = image_of(blob())[4:15, 3:12, 2:10]
    findings, case = inspect_case(make(values(), mask), DEFAULT)
    assert findings == ()
    assert np.array_equal(sitk.GetArrayFromImage(case.mask), blob())


def test_flipped_axes_are_exact(make):
    flipped = sitk.Flip(image_of(blob()), (True, False, True))
    findings, case = inspect_case(make(values(), flipped), DEFAULT)
    assert findings == ()
    assert np.array_equal(sitk.GetArrayFromImage(case.mask), blob())


def test_equal_to_itk_on_the_whole_grid(make):
    fine = sitk.Resample(
        image_of(blob()), (31, 30, 29), sitk.Transform(), sitk.sitkNearestNeighbor, (-9.0, -19.3, 32.0), (0.5, 0.4, 0.9)
    )
    lesion = make(values(), fine, suffix=".nrrd")
    case = load_case(lesion)
    assert [f.code for f in case.findings] == ["mask-resampled"]
    assert "31 x 30 x 29 against" in case.findings[0].sentence
    assert " ml before, " in case.findings[0].sentence
    expected = sitk.Resample(fine, case.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    assert np.array_equal(sitk.GetArrayFromImage(case.mask), sitk.GetArrayFromImage(expected))


def test_outside(make):
    lesion = make(values(), image_of(blob(), origin=(0.0, -20.0, 30.0)))
    assert codes(lesion) == ["mask-outside-image"]
    with pytest.raises(GeometryError, match=r"80 voxels \(66\.67% of the lesion\) lie outside the scan"):
        load_case(lesion)


def test_lost_in_resampling(make):
    mask = np.zeros((60, 16, 20), np.uint8)
    mask[12, 5, 5] = 1  # between the scan's slices at 5.0 and 7.5 mm
    assert codes(make(values(), image_of(mask, spacing=(0.8, 0.8, 0.5)))) == ["mask-resampled", "mask-empty"]


# --- lesions


def test_parts(make):
    mask = blob() | blob(x=slice(14, 16), y=slice(2, 4))
    lesion = make(values(), mask)
    findings, case = inspect_case(lesion, DEFAULT)
    assert "has 2 parts of 0.192, 0.0256 ml: kept as one" in findings[0].sentence
    first, second = split_parts(case)
    assert (first.lesion.lesion_id, second.lesion.lesion_id) == ("L1.1", "L1.2")
    assert np.array_equal(sitk.GetArrayFromImage(first.mask), blob())
    assert sitk.GetArrayFromImage(second.mask).sum() == 16
    largest = load_case(lesion, settings(mask={"components": "largest"}))
    assert np.array_equal(sitk.GetArrayFromImage(largest.mask), blob())
    assert split_parts(largest) == (largest,)


def test_corners_connect(make):
    mask = blob()
    mask[8, 10, 12] = 1
    assert codes(make(values(), mask)) == []


@pytest.mark.parametrize(
    ("mask", "sections", "expected"),
    [
        (blob(slice(3, 4), slice(3, 4), slice(3, 4)), {}, ["too-few-voxels"]),
        (blob(slice(3, 4), slice(3, 4), slice(3, 9)), {}, ["too-few-voxels"]),
        (blob(slice(3, 4)), {}, []),
        (blob(slice(3, 4)), {"setting": {"minimumROIDimensions": 3}}, ["too-few-voxels"]),
        (blob(), {"setting": {"minimumROISize": 119}}, []),
        (blob(), {"setting": {"minimumROISize": 120}}, ["too-few-voxels"]),
        (blob(), {"setting": {"minimumROISize": 120, "resampledPixelSpacing": [1, 1, 1]}}, []),
    ],
)
def test_size(make, mask, sections, expected):
    assert codes(make(values(), mask), settings(**sections)) == expected


@pytest.mark.parametrize(
    "mask",
    [
        blob(),
        blob(slice(3, 4)),
        blob(slice(3, 4), slice(3, 4), slice(3, 9)),
        blob(slice(3, 5), slice(3, 5), slice(3, 5)),
        blob(slice(0, 2), slice(5, 6), slice(7, 9)),
    ],
)
@pytest.mark.parametrize("spacing", [[1, 1, 1], [3, 3, 3], [0.8, 0.8, 2.5], [0, 0, 6], [12, 12, 12]])
@pytest.mark.parametrize(("fewest", "dimensions"), [(None, 2), (None, 3), (40, 1), (190, 1), (4, 2)])
def test_check_refuses_for_its_size_what_extract_refuses(make, mask, spacing, fewest, dimensions):
    resampled = settings(
        setting={
            "resampledPixelSpacing": spacing,
            "minimumROISize": fewest,
            "minimumROIDimensions": dimensions,
        },
        featureClass={"firstorder": ["Mean"]},
    )
    findings, case = inspect_case(make(values(), mask), resampled)
    whole = load_case(make(values(), mask), settings(setting={"minimumROIDimensions": 1}))
    try:
        extract(whole.image, whole.mask, resampled)
    except MaskError:
        assert case is None
        assert {f.code for f in findings if f.is_error} == {"too-few-voxels"}
    else:
        assert case is not None
        assert "too-few-voxels" not in {f.code for f in findings}


def test_padding(make):
    image = values()
    image[5, 6, 7:9] = -2000
    findings, _ = inspect_case(make(image, blob()), DEFAULT)
    assert [f.code for f in findings] == ["padding-in-lesion"]
    assert "2 padding voxels (-1500 HU or less, 1.7%)" in findings[0].sentence


def test_cut(make):
    findings, _ = inspect_case(make(values(), blob(z=slice(8, 12))), DEFAULT)
    assert [f.code for f in findings] == ["lesion-cut"]
    assert "last slice" in findings[0].sentence


def case_of(name: str, mask: np.ndarray) -> Case:
    image = image_of(values())
    voxels = LesionVoxels.of(mask > 0, Geometry.of(image))
    return Case(Lesion(int(name), "P", name, Path("i"), Path("m")), image, voxels, ())


def test_overlaps():
    cases = [
        case_of("1", blob()),
        case_of("2", blob(x=slice(10, 14))),
        case_of("3", blob()),
        case_of("4", blob(z=slice(0, 2))),
    ]
    findings = inspect_overlaps(iter(cases))
    assert [(f.code, f.where) for f in findings] == [
        ("lesions-overlap", "P/2"),
        ("lesion-duplicate", "P/3"),
        ("lesions-overlap", "P/3"),
    ]
    assert "shares 40 voxels with P/1 (row 1): 50% of this lesion, 33% of that" in findings[0].sentence
    assert "holds the same 120 voxels as P/1" in findings[1].sentence
    assert Footprint.of(cases[0]).shared_with(Footprint.of(cases[3])) == 0


# --- DICOM


def table_of(root: Path, tmp_path: Path) -> CohortTable:
    return write_cohort(cohort_from_index(index_dicom(root), tmp_path / "c.csv"), tmp_path / "c.csv")


def test_sarcoma_patients(sts_root, tmp_path):
    for lesion in table_of(sts_root, tmp_path).lesions:
        case = load_case(lesion)
        assert case.image.GetPixelID() == sitk.sitkInt16
        assert sitk.GetArrayViewFromImage(case.mask).any()


def test_ibsi_phantom_dicom_and_nifti(shared_data, tmp_path):
    root = shared_data / "ibsi" / "ct_phantom"
    (lesion,) = (x for x in table_of(root, tmp_path).lesions if x.roi_name == "GTV-1")
    dicom = load_case(lesion)
    files = sorted(root.rglob("*.nii*"))
    image, mask = (next(f for f in files if ("mask" in str(f)) == is_mask) for is_mask in (False, True))
    nifti = load_case(Lesion(2, "P", "L", image, mask))
    assert int(sitk.GetArrayViewFromImage(dicom.mask).sum()) == 125_256
    for a, b in ((dicom.image, nifti.image), (dicom.mask, nifti.mask)):
        assert np.array_equal(sitk.GetArrayFromImage(a), sitk.GetArrayFromImage(b))
        assert a.GetPixelID() == b.GetPixelID()
        assert (a.GetSpacing(), a.GetOrigin(), a.GetDirection()) == (b.GetSpacing(), b.GetOrigin(), b.GetDirection())


def test_dicom_masks(shared_data, tmp_path):
    found = {}
    for report in inspect_cohort(table_of(shared_data / "dicom_masks", tmp_path), DEFAULT):
        found[report.lesion.key] = report.verdict, {f.code for f in report.findings}
    assert found["99000/Liver"][0] == "warning"
    assert "lesion-parts" in found["99000/Liver"][1]
    assert "mask-other-frame" in found["PHANTOM_EXAMPLE/ROI-1-3"][1]
    assert any("lesions-overlap" in c for _, c in found.values())


def test_wrong_dicom_as_mask(sts_root):
    folder = next(sts_root.glob("*/CT"))
    ct = next((folder / "image").glob("*.dcm"))
    lesion = Lesion(2, "P", "L", folder / "image", ct)
    with pytest.raises(MaskError, match="a DICOM object of Modality CT, expected RTSTRUCT or SEG"):
        load_case(lesion)
    mask = next((folder / "mask").glob("*.dcm"))
    with pytest.raises(MaskError, match=r"label 'GTV' is not in the mask, which holds GTV_Mass_CT: \d+ voxels"):
        load_case(Lesion(2, "P", "L", folder / "image", mask, "GTV"))
    named = settings(mask={"roi_names": {"GTV": ["gtv.*"]}})
    assert load_case(Lesion(2, "P", "L", folder / "image", mask, "GTV"), named).findings is not None


def test_nasty_files_give_a_sentence(shared_data, tmp_path):
    """Every file as image and as mask: a finding or a case, never another exception."""
    good = tmp_path / "m.nii.gz"
    sitk.WriteImage(image_of(blob()), good)
    scan = tmp_path / "i.nii.gz"
    sitk.WriteImage(image_of(values()), scan)
    for path in sorted(p for p in (shared_data / "dicom_nasty").rglob("*") if p.is_file()):
        for lesion in (Lesion(2, "P", "L", path, good), Lesion(2, "P", "L", scan, path)):
            findings, case = inspect_case(lesion, DEFAULT)
            assert (case is None) == any(f.is_error for f in findings), path


def test_tilted_series_is_refused(shared_data):
    refused = 0
    for folder in sorted({p.parent for p in (shared_data / "dicom_nasty" / "dcm_qa_ct").rglob("*") if p.is_file()}):
        for record in index_dicom(folder).series:
            if record.is_volume and record.n_files > 2:
                lesion = Lesion(2, "P", "L", folder, folder, series_uid=record.series_uid)
                findings, scan = inspect_scan(lesion, DEFAULT)
                refused += (
                    scan is None
                    and {f.code for f in findings} & {"gantry-tilt", "unequal-spacing", "slice-gap"} != set()
                )
    assert refused


# --- a whole cohort


def test_reports_keep_one_scan(make, tmp_path):
    lesion = make(values(), blob())
    second = tmp_path / "second.nii.gz"
    sitk.WriteImage(image_of(blob(x=slice(8, 14))), second)
    rows = (
        lesion,
        replace(lesion, row=3, lesion_id="L2", mask=second),
        replace(lesion, row=4, lesion_id="L3", mask=tmp_path / "no"),
    )
    seen = []
    reports = list(inspect_cohort(CohortTable(rows), DEFAULT, progress=lambda *n: seen.append(n)))
    assert [r.verdict for r in reports] == ["ok", "warning", "error"]
    assert [f.code for f in reports[1].findings] == ["lesions-overlap"]
    assert np.array_equal(sitk.GetArrayFromImage(reports[1].mask), blob(x=slice(8, 14)))
    assert reports[2].mask is None
    assert seen == [(1, 3), (2, 3), (3, 3)]
    lost = replace(lesion, image=tmp_path / "no")
    assert [r.verdict for r in inspect_cohort(CohortTable((lost, replace(lost, lesion_id="L2"))), DEFAULT)] == [
        "error"
    ] * 2


def test_errors_are_the_findings(make):
    lesion = make(values(), blob() * 0)
    findings, _ = inspect_case(lesion, DEFAULT)
    with pytest.raises(InputError, match="holds no label at all") as caught:
        load_case(lesion)
    assert str(caught.value) == str(next(f for f in findings if f.is_error))


def test_public_face(make, tmp_path):
    import radiomics_talent

    lesion = make(values(), blob())
    write_cohort([lesion], tmp_path / "c.csv")
    (row,) = load_cohort(tmp_path / "c.csv").lesions
    assert radiomics_talent.load_case(row).findings == ()


# --- what ITK's NIfTI reader hides


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("which", ["image", "mask"])
@pytest.mark.parametrize("keep", [0.85, 0.95])
def test_a_nifti_cut_short_is_refused(make, tmp_path, suffix, which, keep):
    """ITK fills what is missing with zeros and only prints a warning."""
    lesion = make(values(), blob(), suffix=suffix)
    path = tmp_path / f"{which}{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert codes(lesion) == ["unreadable-file" if which == "image" else "mask-unreadable"]
    with pytest.raises(InputError, match="cut short or damaged"):
        load_case(lesion)


def test_a_damaged_gzip_is_refused(make, tmp_path):
    lesion = make(values(), blob())
    content = bytearray((tmp_path / "image.nii.gz").read_bytes())
    content[-6] ^= 0xFF  # its checksum
    (tmp_path / "image.nii.gz").write_bytes(content)
    assert codes(lesion) == ["unreadable-file"]


def test_few_voxels_outside_are_left_out_with_a_warning(make):
    outside = np.zeros((len(values()), 16, 20), np.uint8)
    outside[:, 2:14, 2:14] = 1
    longer = np.concatenate([outside, np.zeros_like(outside[:1])])
    longer[-1, 5, 5] = 1
    findings, case = inspect_case(make(values(), longer), DEFAULT)
    assert [f.level for f in findings if f.code == "mask-outside-image"] == ["warning"]
    assert np.array_equal(sitk.GetArrayFromImage(case.mask), outside)
