"""The page of check --html: nothing fetched, everything escaped, the contour where the lesion is."""

import base64
import gc
import io
import re
import weakref
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.findings import Finding
from radiomics_talent.reporting.figures import SIDE_PX, draw_lesion
from radiomics_talent.reporting.html import jpeg_uri
from radiomics_talent.reporting.qc import QcEntry, write_qc_html

SPACING = (0.8, 0.8, 3.0)


def scan(size=(120, 110, 40), spacing=SPACING, direction=None):
    """Soft tissue with noise, and a brick of 20 x 12 x 4 voxels in it."""
    rng = np.random.default_rng(1)
    image = sitk.GetImageFromArray(rng.normal(40, 15, size[::-1]).astype(np.int16))
    voxels = np.zeros(size[::-1], dtype=np.uint8)
    voxels[18:22, 50:62, 30:50] = 1
    mask = sitk.GetImageFromArray(voxels)
    for volume in (image, mask):
        volume.SetSpacing(spacing)
        if direction:
            volume.SetDirection(direction)
    return image, mask


def picture(view) -> np.ndarray:
    """Pixels (row, column, RGB) as a browser would show them."""
    data = base64.b64decode(str(jpeg_uri(view.figure)).split(",", 1)[1])
    return matplotlib.image.imread(io.BytesIO(data), format="jpeg").astype(int)


def is_yellow(rgb) -> np.ndarray:
    return (rgb[..., 0] > 170) & (rgb[..., 1] > 140) & (rgb[..., 2] < 110)


def yellow_box_mm(view, half_mm):
    """Left, right, top and bottom of the contour, in mm from the middle of the picture."""
    rows, columns = np.nonzero(is_yellow(picture(view)))
    mm = 2 * half_mm / SIDE_PX
    return [
        (columns.min() + 0.5) * mm - half_mm,
        (columns.max() + 0.5) * mm - half_mm,
        (rows.min() + 0.5) * mm - half_mm,
        (rows.max() + 0.5) * mm - half_mm,
    ]


def test_contour_is_where_and_as_large_as_the_lesion():
    views = draw_lesion(*scan())
    # The brick is 16 x 9.6 x 12 mm; each picture is centred on it, all at one scale.
    half_mm = 16 / 2 + 22
    assert [v.plane for v in views] == ["axial", "coronal", "sagittal"]
    # Half the line (0.2 mm) and a pixel (0.19 mm) more.
    for view, (across, down) in zip(views, ((16, 9.6), (16, 12), (9.6, 12)), strict=True):
        found = yellow_box_mm(view, half_mm)
        expected = [-across / 2, across / 2, -down / 2, down / 2]
        assert found == pytest.approx(expected, abs=0.45), view.plane


def test_no_yellow_inside_and_far_away():
    rgb = picture(draw_lesion(*scan())[0])
    middle = slice(SIDE_PX // 2 - 20, SIDE_PX // 2 + 20)
    assert not is_yellow(rgb[middle, middle]).any()
    assert not is_yellow(rgb[:40]).any()


def test_radiological_convention():
    """A bright ball to the patient's left, front and top shows at right, top of axial, top of coronal."""
    image, mask = scan()
    voxels = sitk.GetArrayFromImage(image)
    voxels[:, :, 54:60] = 200  # +x is the patient's left
    voxels[:, 40:46, :] = -150  # -y is anterior
    voxels[25:28, :, :] = -150  # +z is superior
    bright = sitk.GetImageFromArray(voxels)
    bright.CopyInformation(image)
    axial, coronal, sagittal = (picture(v).mean(axis=2) for v in draw_lesion(bright, mask))
    centre = SIDE_PX // 2
    row = axial[centre - 5 : centre + 5].mean(axis=0)
    assert row[centre + 60 : centre + 120].max() > row[centre - 120 : centre - 60].max() + 60
    column = axial[:, centre - 5 : centre + 5].mean(axis=1)
    assert column[centre - 120 : centre - 60].min() < column[centre + 60 : centre + 120].min() - 60
    for view in (coronal, sagittal):
        column = view[:, centre - 5 : centre + 5].mean(axis=1)
        assert column[centre - 120 : centre - 60].min() < column[centre + 60 : centre + 120].min() - 60


def test_flipped_grid_gives_the_same_pictures():
    image, mask = scan()
    turned = [sitk.Flip(v, (True, False, True), False) for v in (image, mask)]
    assert turned[0].GetDirection() != image.GetDirection()
    for straight, flipped in zip(draw_lesion(image, mask), draw_lesion(*turned), strict=True):
        np.testing.assert_allclose(picture(straight), picture(flipped), atol=12)


def test_lesion_in_a_corner_is_drawn_on_black():
    image, mask = scan()
    voxels = np.zeros_like(sitk.GetArrayFromImage(mask))
    voxels[:2, :8, :8] = 1
    corner = sitk.GetImageFromArray(voxels)
    corner.CopyInformation(image)
    rgb = picture(draw_lesion(image, corner)[0])
    assert rgb[60:100, 20:60].max() < 30
    assert is_yellow(rgb).sum() > 50


@pytest.mark.parametrize("pixel_type", [sitk.sitkUInt8, sitk.sitkInt32, sitk.sitkFloat64])
def test_any_pixel_type(pixel_type):
    image, mask = scan()
    assert len(draw_lesion(sitk.Cast(image, pixel_type), mask)) == 3


def test_empty_mask_has_no_picture():
    image, mask = scan()
    assert draw_lesion(image, mask * 0) == ()


def test_one_voxel_lesion():
    image, mask = scan()
    voxels = np.zeros_like(sitk.GetArrayFromImage(mask))
    voxels[20, 55, 40] = 1
    dot = sitk.GetImageFromArray(voxels)
    dot.CopyInformation(image)
    assert all(is_yellow(picture(v)).any() for v in draw_lesion(image, dot))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.ids, self.links, self.images = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)


def page_of(tmp_path, entries, title="Lesions of cohort.csv"):
    path = tmp_path / "new" / "qc.html"
    write_qc_html(entries, path, title=title)
    text = path.read_text(encoding="utf-8")
    parser = Tags()
    parser.feed(text)
    return text, parser


def entries_of_all_levels():
    image, mask = scan()
    gap = Finding("slice-gap", "one gap is 6 mm where the others are 3 mm; export the series again")
    parts = Finding("lesion-parts", "the lesion has 2 parts; remove stray voxels")
    mended = Finding("mask-grid-mended", "shifted by 0.01 mm", severity="info")
    return [
        QcEntry("p1/a", "ok", (mended,), image, mask),
        QcEntry("p2/b", "warning", (mended, parts), image, mask),
        QcEntry("p3/c", "error", (gap,)),
        QcEntry("p4/d", "ok", (), image, mask),
    ]


def test_page_fetches_and_runs_nothing(tmp_path):
    text, parser = page_of(tmp_path, entries_of_all_levels())
    assert "http:" not in text
    assert "https:" not in text
    assert not {"script", "link", "iframe", "object", "embed"} & set(parser.tags)
    assert "default-src 'none'" in text
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in parser.images)
    assert "url(" not in text
    assert "@import" not in text


def test_gravest_first_with_counts_and_links(tmp_path):
    text, parser = page_of(tmp_path, entries_of_all_levels())
    order = re.findall(r'<h2 id="name-\d+">(.*?)</h2>', text)
    assert order == ["p3/c", "p2/b", "p1/a", "p4/d"]
    for count in ("1 error", "1 warning", "2 ok"):
        assert count in text
    assert len(parser.ids) == len(set(parser.ids))
    assert parser.links == ["#lesion-1", "#lesion-2"]
    assert set(parser.links) <= {f"#{i}" for i in parser.ids}
    assert "one gap is 6 mm" in text
    assert "slice-gap" in text
    # Within a card the warning comes before the information.
    card = text[text.index('id="lesion-2"') :]
    assert card.index("lesion-parts") < card.index("mask-grid-mended")


def test_codes_are_counted_with_their_remedy(tmp_path):
    text, _ = page_of(tmp_path, entries_of_all_levels())
    table = text[text.index('id="codes"') : text.index("</table>")]
    codes = re.findall(r"<code>(.*?)</code>", table)
    assert codes == ["slice-gap", "lesion-parts", "mask-grid-mended"]
    assert re.findall(r'<td class="number">(\d+)</td>', table) == ["1", "1", "2"]
    assert "Remove stray voxels" in table


def test_pictures_have_alt_texts_and_are_small(tmp_path):
    text, parser = page_of(tmp_path, entries_of_all_levels())
    assert len(parser.images) == 9
    assert all("contour in yellow" in image["alt"] for image in parser.images)
    assert "axial CT slice through the centre of lesion p2/b" in parser.images[0]["alt"]
    assert all(sum(len(i["src"]) for i in parser.images[n : n + 3]) < 60_000 for n in (0, 3, 6))
    assert "No picture" in text


def test_names_from_headers_are_escaped(tmp_path):
    nasty = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"
    image, mask = scan()
    finding = Finding("label-absent", f"no ROI {nasty} here", where=nasty)
    entry = QcEntry(f"p/{nasty}", "error", (finding,), image, mask)
    text, parser = page_of(tmp_path, [entry], title=nasty)
    assert "script" not in parser.tags
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "{{ 7*7 }}" in text
    assert len(parser.images) == 3
    assert all(set(i) == {"src", "alt", "width", "height"} for i in parser.images)
    assert nasty in parser.images[0]["alt"]


def test_empty_cohort(tmp_path):
    text, _ = page_of(tmp_path, [])
    assert "0 lesions" in text
    assert "What was found" not in text


def test_info_counts_as_ok(tmp_path):
    text, _ = page_of(tmp_path, [QcEntry("p/a", "info", ())])
    assert "1 ok" in text


def test_one_scan_in_memory_at_a_time(tmp_path):
    alive: list[weakref.ref] = []
    most = 0

    def entries():
        nonlocal most
        for n in range(4):
            image, mask = scan(size=(60, 64, 30))
            alive.append(weakref.ref(image))
            gc.collect()
            most = max(most, sum(r() is not None for r in alive))
            yield QcEntry(f"p/{n}", "ok", (), image, mask)
            del image, mask

    write_qc_html(entries(), tmp_path / "qc.html", title="t")
    assert most <= 2


def test_an_error_in_the_middle_leaves_the_older_page(tmp_path):
    path = tmp_path / "qc.html"
    write_qc_html([], path, title="older")

    def entries():
        yield QcEntry("p/a", "ok", ())
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_qc_html(entries(), path, title="newer")
    assert "older" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["qc.html"]


def test_headings_do_not_skip_a_level(tmp_path):
    text, _ = page_of(tmp_path, entries_of_all_levels())
    levels = [int(n) for n in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_same_lesion_same_bytes(tmp_path):
    first, _ = page_of(tmp_path / "a", entries_of_all_levels())
    second, _ = page_of(tmp_path / "b", entries_of_all_levels())
    assert first == second
