"""The slice viewer: what is cut out of a scan, and how it behaves in a real browser."""

import base64
import hashlib
import io
import json
import zlib

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401  # a fixture
from jinja2 import DictLoader, Environment, PackageLoader, StrictUndefined

from radiomics_talent.reporting.figures import draw_lesion
from radiomics_talent.reporting.html import jpeg_uri
from radiomics_talent.reporting.viewer import (
    MOST_PX,
    MOST_SLICES,
    script_hash,
    viewer_assets,
    viewer_script,
    viewer_volume,
    volume_json,
)

PAGE = """{% extends "page.html.j2" %}{% from "_viewer.html.j2" import viewer %}
{% block content %}<div style="height: {{ above }}px"></div>
{% for volume in volumes %}
<section class="card">{{ viewer(volume, name, still, "still picture") }}</section>
{% endfor %}
<div style="height: 1500px"></div>{% endblock %}"""


def scan(
    size=(100, 80, 30), spacing=(0.8, 0.9, 3.0), origin=(-40.0, -30.0, -310.0), lower=(30, 40, 10), upper=(46, 52, 16)
):
    """Every voxel's HU tells where it is; the brick of a lesion has one slice with a row more than the others."""
    x, y, z = np.meshgrid(*map(np.arange, size), indexing="ij")
    hu = (x + 2 * y - 10 * z).transpose(2, 1, 0).astype(np.int16)
    voxels = np.zeros(hu.shape, np.uint8)
    voxels[lower[2] : upper[2], lower[1] : upper[1], lower[0] : upper[0]] = 1
    voxels[lower[2] + 2, upper[1], lower[0] : upper[0]] = 1
    pair = [sitk.GetImageFromArray(v) for v in (hu, voxels)]
    for image in pair:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
    return pair


def unpacked(volume):
    shape = volume["size"][::-1]
    hu = np.frombuffer(zlib.decompress(base64.b64decode(volume["hu"])), "<i2").reshape(shape)
    if volume["mask"] is None:
        return hu, None
    return hu, np.frombuffer(zlib.decompress(base64.b64decode(volume["mask"])), np.uint8).reshape(shape)


def test_volume_is_the_lesion_with_its_surroundings():
    image, mask = scan()
    volume = viewer_volume(image, mask, context_mm=8.0)
    # 8 mm are 10, 9 and 3 voxels.
    assert volume["size"] == [36, 13 + 18, 12]
    assert volume["spacing_mm"] == [0.8, 0.9, 3.0]
    assert volume["thinning"] == [1, 1, 1]
    assert volume["z_mm"] == [-310.0 + 3 * k for k in range(7, 19)]
    assert volume["start"] == 5
    hu, lesion = unpacked(volume)
    np.testing.assert_array_equal(hu, sitk.GetArrayFromImage(image)[7:19, 31:62, 20:56])
    np.testing.assert_array_equal(lesion, sitk.GetArrayFromImage(mask)[7:19, 31:62, 20:56])


@pytest.mark.parametrize("axes", [(True, False, False), (False, True, True), (True, True, True)], ids=str)
def test_flipped_grid_gives_the_same_volume(axes):
    straight = viewer_volume(*scan())
    flipped = viewer_volume(*(sitk.Flip(v, axes, False) for v in scan()))
    assert flipped["z_mm"] == pytest.approx(straight["z_mm"])
    assert {**flipped, "z_mm": 0, "hu": 0, "mask": 0} == {**straight, "z_mm": 0, "hu": 0, "mask": 0}
    for one, other in zip(unpacked(flipped), unpacked(straight), strict=True):
        np.testing.assert_array_equal(one, other)


def test_large_lesion_is_thinned_and_its_largest_slice_stays():
    image, mask = scan(size=(420, 200, 205), lower=(20, 20, 4), upper=(400, 180, 200), spacing=(1.0, 1.0, 1.0))
    volume = viewer_volume(image, mask)
    assert volume["thinning"] == [3, 3, 3]
    assert volume["spacing_mm"] == [3.0, 3.0, 3.0]
    assert max(volume["size"][:2]) <= MOST_PX
    assert volume["size"][2] <= MOST_SLICES
    assert volume["z_mm"][volume["start"]] == -310.0 + 6
    hu, lesion = unpacked(volume)
    np.testing.assert_array_equal(hu, sitk.GetArrayFromImage(image)[::3, ::3, ::3])
    assert lesion.any()


@pytest.mark.parametrize("empty", [True, False], ids=["empty mask", "no mask"])
def test_without_a_lesion_the_whole_scan_is_shown(empty):
    image, mask = scan()
    volume = viewer_volume(image, mask * 0 if empty else None)
    assert volume["size"] == [100, 80, 30]
    assert volume["mask"] is None
    assert volume["start"] == 15


def test_values_beyond_16_bits_and_no_numbers_are_held():
    voxels = np.array([[[np.nan, 1e6, -1e6, 10.6]]])
    hu, _ = unpacked(viewer_volume(sitk.GetImageFromArray(voxels), None))
    assert hu.ravel().tolist() == [-32768, 32767, -32768, 11]


def test_json_cannot_end_its_script_element():
    text = volume_json({"name": "</script><!--<script>"})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--<script>"}


def test_hash_is_of_the_script():
    digest = base64.b64encode(hashlib.sha256(viewer_script().encode()).digest()).decode()
    assert script_hash() == f"'sha256-{digest}'"
    assert "</script" not in viewer_script().lower()


def written(path, volumes, above=0, name='Lesion "1" <b>'):
    still = jpeg_uri(draw_lesion(*scan())[0].figure)
    loader = PackageLoader("radiomics_talent.reporting")
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=loader, trim_blocks=True)
    environment.loader = DictLoader(
        {"t": PAGE, **{n: loader.get_source(environment, n)[0] for n in loader.list_templates()}}
    )
    template = environment.get_template("t")
    page = template.render(title="Viewer", name=name, volumes=volumes, still=still, above=above, assets=viewer_assets())
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def url(tmp_path):
    return written(tmp_path / "page.html", [volume_json(viewer_volume(*scan()))])


def ready(visit, number=1):
    visit.wait_until(f"document.querySelectorAll('.viewer.is-live').length >= {number}")
    return visit.page.locator(".viewer").first


def slice_of(viewer):
    return int(viewer.get_attribute("data-slice"))


def canvas_pixels(visit):
    """RGB of the first viewer's canvas, (row, column, channel)."""
    uri = visit.page.evaluate("() => document.querySelector('.viewer-canvas').toDataURL('image/png')")
    data = io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))
    return np.rint(matplotlib.image.imread(data, format="png")[..., :3] * 255).astype(int)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_opens_without_complaint(browser, url, width, scheme):  # noqa: F811
    with opened(browser, url, width=width, scheme=scheme) as visit:
        viewer = ready(visit)
        volume = viewer_volume(*scan())
        assert slice_of(viewer) == volume["start"] + 1
        z = f"{volume['z_mm'][volume['start']]:.1f}".replace("-", "\u2212")
        expected = f"Slice {volume['start'] + 1} of {volume['size'][2]}, z {z} mm, W 400 L 40"
        assert viewer.locator(".viewer-text").inner_text() == expected
        assert viewer.get_attribute("aria-label") == 'Lesion "1" <b>'
        assert canvas_pixels(visit).std() > 10
        visit.check()


@pytest.mark.parametrize(
    ("key", "expected"),
    [("ArrowUp", 12), ("ArrowRight", 12), ("ArrowDown", 10), ("ArrowLeft", 10), ("PageUp", 16), ("PageDown", 6),
     ("Home", 1), ("End", 24)],
)  # fmt: skip
def test_keys_change_the_slice(browser, url, key, expected):  # noqa: F811
    with opened(browser, url) as visit:
        viewer = ready(visit)
        heard = """() => { window.heard = []; document.addEventListener('slicechange', e => heard.push(e.detail)); }"""
        visit.page.evaluate(heard)
        for focus in (".viewer-stage", ".viewer-slider"):
            viewer.locator(focus).focus()
            visit.page.keyboard.press("Home")
            for _ in range(10):
                visit.page.keyboard.press("ArrowUp")
            assert slice_of(viewer) == 11
            visit.page.keyboard.press(key)
            assert slice_of(viewer) == expected
            assert viewer.locator(".viewer-slider").input_value() == str(expected)
        last = visit.page.evaluate("() => window.heard.at(-1)")
        assert (last["slice"], last["slices"]) == (expected, 24)
        assert last["zMm"] == viewer_volume(*scan())["z_mm"][expected - 1]
        visit.check()


def test_wheel_changes_the_slice_and_lets_the_page_go_at_the_end(browser, url):  # noqa: F811
    with opened(browser, url) as visit:
        viewer = ready(visit)
        viewer.locator(".viewer-stage").hover()
        start = slice_of(viewer)
        visit.page.mouse.wheel(0, -120)
        visit.wait_until(f"document.querySelector('.viewer').dataset.slice === '{start + 1}'")
        assert visit.page.evaluate("() => scrollY") == 0
        viewer.locator(".viewer-stage").focus()
        visit.page.keyboard.press("Home")
        visit.page.mouse.wheel(0, 300)
        visit.wait_until("scrollY > 0")
        assert slice_of(viewer) == 1


def test_windows_by_button_key_and_drag(browser, url):  # noqa: F811
    with opened(browser, url) as visit:
        viewer = ready(visit)
        text, stage = viewer.locator(".viewer-text"), viewer.locator(".viewer-stage")
        pressed = "() => [...document.querySelectorAll('[aria-pressed=true]')].map(b => b.textContent)"
        assert visit.page.evaluate(pressed) == ["Soft tissue", "Contour"]
        for key, name, shown in (
            ("2", "Liver", "W 150 L 60"),
            ("3", "Lung", "W 1500 L −600"),
            ("4", "Bone", "W 1800 L 400"),
            ("1", "Soft tissue", "W 400 L 40"),
        ):
            before = canvas_pixels(visit)
            stage.focus()
            visit.page.keyboard.press(key)
            assert text.inner_text().endswith(shown)
            assert visit.page.evaluate(pressed) == [name, "Contour"]
            assert (canvas_pixels(visit) != before).any()
        viewer.get_by_role("button", name="Liver").click()
        assert text.inner_text().endswith("W 150 L 60")
        box = stage.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        visit.page.mouse.move(x + 50, y - 20)
        visit.page.mouse.up()
        visit.page.mouse.move(x, y)
        assert text.inner_text().endswith("W 200 L 40")
        assert visit.page.evaluate(pressed) == ["Contour"]
        visit.check()


def test_contour_follows_the_voxels_and_goes(browser, url):  # noqa: F811
    volume = viewer_volume(*scan())
    _, lesion = unpacked(volume)
    with opened(browser, url) as visit:
        viewer = ready(visit)
        rgb = canvas_pixels(visit)
        yellow = (rgb[..., 0] > 200) & (rgb[..., 1] > 160) & (rgb[..., 2] < 80)
        rows, columns = np.nonzero(yellow)
        scale = min(
            side / (n * s) for side, n, s in zip(rgb.shape[1::-1], volume["size"], volume["spacing_mm"], strict=False)
        )
        found = []
        for axis, pixels in ((1, columns), (0, rows)):
            n, step = lesion.shape[2 - (1 - axis)], volume["spacing_mm"][1 - axis] * scale
            margin = (rgb.shape[axis] - n * step) / 2
            found += [(pixels.min() - margin) / step, (pixels.max() + 1 - margin) / step]
        y, x = np.nonzero(lesion[volume["start"]])
        assert found == pytest.approx([x.min(), x.max() + 1, y.min(), y.max() + 1], abs=0.35)
        viewer.locator(".viewer-stage").focus()
        visit.page.keyboard.press("c")
        assert viewer.get_by_role("button", name="Contour").get_attribute("aria-pressed") == "false"
        rgb = canvas_pixels(visit)
        assert not ((rgb[..., 0] > 200) & (rgb[..., 2] < 80)).any()


def test_hu_under_the_pointer(browser, url):  # noqa: F811
    volume = viewer_volume(*scan())
    hu, _ = unpacked(volume)
    with opened(browser, url) as visit:
        viewer = ready(visit)
        box = viewer.locator(".viewer-stage").bounding_box()
        (nx, ny), (sx, sy) = volume["size"][:2], volume["spacing_mm"][:2]
        scale = min(box["width"] / (nx * sx), box["height"] / (ny * sy))
        left, top = (box["width"] - nx * sx * scale) / 2, (box["height"] - ny * sy * scale) / 2
        for x, y in ((0, 0), (nx - 1, ny - 1), (17, 23)):
            visit.page.mouse.move(box["x"] + left + (x + 0.5) * sx * scale, box["y"] + top + (y + 0.5) * sy * scale)
            shown = viewer.locator(".viewer-value").inner_text()
            assert shown == f"{hu[volume['start'], y, x]} HU".replace("-", "\u2212")
        visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] + 400)
        assert viewer.locator(".viewer-value").inner_text().strip() == ""


def test_touch_turns_slices_sideways(browser, url):  # noqa: F811
    with opened(browser, url, width=PHONE, has_touch=True) as visit:
        viewer = ready(visit)
        before = slice_of(viewer)
        swipe = """(dx) => { const s = document.querySelector('.viewer-stage'), r = s.getBoundingClientRect();
          const fire = (type, x) => s.dispatchEvent(new PointerEvent(type, { pointerType: 'touch',
            pointerId: 7, button: 0, bubbles: true, clientX: x, clientY: r.top + 50 }));
          fire('pointerdown', r.left + 50); fire('pointermove', r.left + 50 + dx * r.width); fire('pointerup', 0); }"""
        visit.page.evaluate(swipe, 0.5)
        assert slice_of(viewer) == before + round(0.5 * 24)


def test_many_viewers_unpack_when_they_are_seen(browser, tmp_path):  # noqa: F811
    volume = volume_json(viewer_volume(*scan()))
    with opened(browser, written(tmp_path / "p.html", [volume] * 8, above=3000)) as visit:
        assert visit.page.locator(".viewer-stage").count() == 8
        assert visit.page.locator(".is-live").count() == 0
        visit.page.locator(".viewer").nth(7).scroll_into_view_if_needed()
        ready(visit)
        assert visit.page.locator(".is-live").count() < 8
        visit.check()


def test_hidden_at_mount_and_shown_later(browser, tmp_path):  # noqa: F811
    page = written(tmp_path / "p.html", [volume_json(viewer_volume(*scan()))])
    path = tmp_path / "p.html"
    path.write_text(
        path.read_text().replace('<section class="card">', "<details><summary>more</summary>"), encoding="utf-8"
    )
    path.write_text(path.read_text().replace("</section>", "</details>"), encoding="utf-8")
    with opened(browser, page) as visit:
        assert visit.page.locator(".is-live").count() == 0
        visit.page.locator("summary").click()
        ready(visit)
        visit.wait_until("document.querySelector('.viewer-canvas').width > 300")
        assert canvas_pixels(visit).std() > 10
        visit.check()


def test_without_javascript_the_still_picture_is_there(browser, url):  # noqa: F811
    with opened(browser, url, java_script_enabled=False) as visit:
        assert visit.page.locator(".viewer-still").is_visible()
        assert visit.page.locator(".viewer-stage").count() == 0


def test_paper_has_the_still_picture(browser, url):  # noqa: F811
    with opened(browser, url) as visit:
        viewer = ready(visit)
        visit.page.emulate_media(media="print")
        assert viewer.locator(".viewer-still").is_visible()
        for part in (".viewer-stage", ".viewer-slider", ".viewer-buttons", ".viewer-text"):
            assert not viewer.locator(part).is_visible(), part


@pytest.mark.parametrize(
    ("script", "sentence"),
    [("delete window.DecompressionStream", "no DecompressionStream"),
     ("Response.prototype.arrayBuffer = () => Promise.reject(new Error('x'))", "are damaged")],
    ids=["old browser", "damaged volume"],
)  # fmt: skip
def test_says_when_it_cannot_show(browser, url, script, sentence):  # noqa: F811
    with opened(browser, "about:blank") as visit:
        visit.page.add_init_script(script)
        visit.page.goto(url)
        visit.wait_until("document.querySelector('.viewer-note')?.textContent")
        assert sentence in visit.page.locator(".viewer-note").inner_text()
        assert visit.page.locator(".viewer-still").is_visible()
        assert not visit.page.locator(".viewer-stage").is_visible()
        visit.check()


def test_mount_again_replaces_the_volume(browser, url):  # noqa: F811
    """As the review page does it: one element, one lesion after the other, without a still picture."""
    first, second = viewer_volume(*scan()), viewer_volume(*scan(), context_mm=3.0)
    with opened(browser, url) as visit:
        ready(visit)
        script = """([a, b]) => { const e = document.createElement('div'); e.id = 'mine';
          document.querySelector('main').prepend(e); RadiomicsViewer.mount(e, a); RadiomicsViewer.mount(e, b);
          window.again = () => RadiomicsViewer.mount(e, b); }"""
        visit.page.evaluate(script, [first, second])
        visit.wait_until("document.querySelector('#mine').classList.contains('is-live')")
        for _ in range(2):
            assert visit.page.locator("#mine .viewer-stage").count() == 1
            assert visit.page.locator("#mine .viewer-slider").get_attribute("max") == str(second["size"][2])
            visit.page.evaluate("() => window.again()")
            visit.wait_until("document.querySelector('#mine').classList.contains('is-live')")
        visit.check()


def test_nothing_else_may_run(browser, tmp_path):  # noqa: F811
    """The policy of the page stops a script that somebody's name brought in, even unescaped."""
    path = tmp_path / "p.html"
    page = written(path, [])
    text = path.read_text().replace(
        "</main>", "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'></main>"
    )
    path.write_text(text, encoding="utf-8")
    with opened(browser, page) as visit:
        assert visit.page.evaluate("() => window.hacked") is None
        assert any("Content Security Policy" in c for c in visit.complaints)


def test_thinning_is_said(browser, tmp_path):  # noqa: F811
    image, mask = scan(size=(220, 60, 100), lower=(20, 20, 4), upper=(200, 40, 98), spacing=(1.0, 1.0, 1.0))
    page = written(tmp_path / "p.html", [volume_json(viewer_volume(image, mask))])
    with opened(browser, page) as visit:
        note = ready(visit).locator(".viewer-note").inner_text()
        assert note.startswith("Thinned for this page: 1 of 2 voxels across and down, 1 of 2 slices.")
