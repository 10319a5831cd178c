import json
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.outcome import Shard
from radiomics_talent.extraction.preprocessed import file_name
from radiomics_talent.extraction.provenance import content_key, different_keys, image_sha256, mask_sha256
from radiomics_talent.extraction.store import Recipe, open_run, read_shard, write_shard
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.settings import ExtractionSettings


def image(array: np.ndarray, **geometry: tuple[float, ...]) -> sitk.Image:
    result = sitk.GetImageFromArray(array)
    for name, value in geometry.items():
        getattr(result, f"Set{name}")(value)
    return result


def test_a_shard_comes_back_as_it_was_to_the_last_bit(tmp_path):
    values = {"a": 0.1 + 0.2, "b": math.inf, "c": 5e-324, "d": -0.0}
    shard = Shard("k" * 64, "i", "m", "run", values, ("a warning, ü",), {"prepare": 0.25})
    with open_run(tmp_path / "run", Recipe.of_extraction(ExtractionSettings())) as folder:
        write_shard(folder, shard)
        assert read_shard(folder, shard.key, Shard) == shard
        assert math.copysign(1, read_shard(folder, shard.key, Shard).values["d"]) == -1
        assert read_shard(folder, "other", Shard) is None


def test_a_shard_under_a_name_not_its_own_is_not_believed(tmp_path):
    with open_run(tmp_path / "run", Recipe.of_extraction(ExtractionSettings())) as folder:
        write_shard(folder, Shard("a", "i", "m", "run", {"x": 1.0}))
        (folder.shards / "a.json").rename(folder.shards / "b.json")
        assert read_shard(folder, "b", Shard) is None


def test_a_shard_that_cannot_be_read_is_computed_again(tmp_path, monkeypatch):
    shard = Shard("a", "i", "m", "run", {"x": 1.0})
    with open_run(tmp_path / "run", Recipe.of_extraction(ExtractionSettings())) as folder:
        (folder.shards / "a.json" / "mine").mkdir(parents=True)
        assert read_shard(folder, "a", Shard) is None
        write_shard(folder, shard)
        assert read_shard(folder, "a", Shard) == shard
        assert len(list(folder.shards.glob("moved-*/mine"))) == 1

        def denied(*_: object, **__: object) -> str:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_text", denied)
        assert read_shard(folder, "a", Shard) is None


def test_settings_written_down_otherwise_are_refused_with_a_reason(tmp_path):
    with open_run(tmp_path, Recipe.of_extraction(ExtractionSettings())):
        record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run.json").write_text(json.dumps(record | {"settings_sha256": "other"}), encoding="utf-8")
    with (
        pytest.raises(ConfigError, match="whose settings another version wrote down otherwise; give another folder"),
        open_run(tmp_path, Recipe.of_extraction(ExtractionSettings())),
    ):
        pass


def test_opening_removes_half_written_files_and_old_tables(tmp_path):
    with open_run(tmp_path, Recipe.of_extraction(ExtractionSettings())) as folder:
        (folder.shards / ".tmp-1-x.json").write_text("half", encoding="utf-8")
        (tmp_path / "features.csv").write_text("old", encoding="utf-8")
    with open_run(tmp_path, Recipe.of_extraction(ExtractionSettings())) as folder:
        assert list(folder.shards.iterdir()) == []
        assert not (tmp_path / "features.csv").exists()


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", "[1]", "null", '{"settings": {}, "settings_sha256": "", "versions": []}']
)
def test_a_damaged_record_of_the_run_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with (
        pytest.raises(ConfigError, match=r"run\.json: is damaged"),
        open_run(tmp_path, Recipe.of_extraction(ExtractionSettings())),
    ):
        pass


def test_the_hash_of_an_image_is_that_of_voxels_type_and_place():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    one = image_sha256(image(array))
    assert one == image_sha256(image(array.copy()))
    changed = array.copy()
    changed[1, 2, 3] += 1
    others = [
        image(changed),
        image(array.astype(np.int32)),
        image(array, Spacing=(1, 1, 2)),
        image(array, Origin=(0, 0, 1)),
        image(array.reshape(2, 4, 3)),
    ]
    assert len({one, *map(image_sha256, others)}) == 6


def test_the_hash_of_a_mask_is_that_of_the_lesion_and_its_place():
    array = np.zeros((4, 5, 6), np.uint8)
    array[1:3, 2:4, 1:4] = 1

    def hashed(mask):
        return mask_sha256(LesionVoxels.of(sitk.GetArrayFromImage(mask) != 0, Geometry.of(mask)))

    one = hashed(image(array))
    assert one == hashed(image(array * 3))
    moved, hollow = np.roll(array, 1, axis=2), array.copy()
    hollow[1, 2, 2] = 0
    others = [image(moved), image(hollow), image(array, Origin=(1, 0, 0))]
    assert len({one, *map(hashed, others)}) == 4


def test_the_key_depends_on_each_of_its_parts():
    parts = {"image": "i", "mask": "m", "label": "1", "settings_hash": "s", "versions_used": {"a": "1", "b": "2"}}
    one = content_key(**parts)
    assert one == content_key(**{**parts, "versions_used": {"b": "2", "a": "1"}})
    others = [content_key(**{**parts, name: {"a": "1"} if name == "versions_used" else "other"}) for name in parts]
    assert len({one, *others}) == 6


def test_keys_that_differ_are_named_in_full():
    assert list(different_keys({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1, "c": 3}, "e": 1})) == ["a.c", "d", "e"]


@pytest.mark.parametrize("text", ["L1", "lesion_2.b", "7-a"])
def test_plain_ids_are_file_names(text):
    assert file_name(text) == text


def test_odd_ids_become_safe_and_stay_different():
    odd = ["..", ".", "a/b", "a\\b", "a b", "../../etc/passwd", "-rf", "ä", "ö", "x" * 300, "CON:1", ""]
    names = [file_name(t) for t in odd]
    assert len(set(names)) == len(odd)
    assert all("/" not in n and not n.startswith((".", "-")) and 0 < len(n) < 120 for n in names)


def test_run_json_is_readable(tmp_path):
    for engine, library in (("native", "numba"), ("reference", "pyradiomics")):
        settings = ExtractionSettings(engine=engine)
        with open_run(tmp_path / engine, Recipe.of_extraction(settings)):
            record = json.loads((tmp_path / engine / "run.json").read_text(encoding="utf-8"))
        assert record["settings_sha256"] == settings.hash
        assert record["versions"]["engine"] == engine
        assert library in record["versions"]
