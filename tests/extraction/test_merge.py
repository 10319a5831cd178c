import json
from dataclasses import replace

import numpy as np
import pytest
from extraction.tiny_cohorts import SIZE_ZYX, make_settings, write_image, write_scan

from radiomics_talent.cohort.chunks import chunk_of
from radiomics_talent.cohort.manifest import load_cohort, write_cohort
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.merge import merge_runs
from radiomics_talent.extraction.run import run_extraction

TABLES = ("features.csv", "features.parquet", "failures.csv", "features_dictionary.csv")


def provenance(run):
    return json.loads((run / "provenance.json").read_text(encoding="utf-8"))


@pytest.fixture
def mixed(cohort, tmp_path):
    """The cohort with a lesion that fails, one in two parts, and one that is there twice."""
    lesions = list(cohort.lesions)
    boxes = np.zeros(SIZE_ZYX, np.uint8)
    boxes[2:7, 3:8, 4:9] = boxes[2:7, 14:19, 4:9] = 1
    two = write_image(tmp_path / "data" / "two.nii.gz", boxes)
    lesions[1] = replace(lesions[1], mask=two)
    lesions[2] = replace(lesions[2], mask=tmp_path / "data" / "absent.nii.gz")
    twin = replace(lesions[5], lesion_id="twin", image=write_scan(tmp_path / "data", "again", seed=3))
    write_cohort([*lesions, twin], tmp_path / "data" / "cohort.csv")
    return load_cohort(tmp_path / "data" / "cohort.csv")


def chunks(cohort, settings, folder, of=3):
    for number in range(1, of + 1):
        run_extraction(chunk_of(cohort, number, of), settings, folder / str(number))
    return [folder / str(number) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", [1, 3, 5])
def test_merged_chunks_are_the_one_run_to_the_byte(mixed, tmp_path, of):
    settings = make_settings()
    whole = run_extraction(mixed, settings, tmp_path / "whole")
    merged = merge_runs(chunks(mixed, settings, tmp_path, of), tmp_path / "merged", command=["merge"])
    assert (merged.n_done, merged.n_failed) == (whole.n_done, whole.n_failed) == (6, 1)
    for name in TABLES:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    one, many = (provenance(tmp_path / name) for name in ("whole", "merged"))
    for lesion in (*one["lesions"], *many["lesions"]):
        lesion.pop("seconds", None)
    assert many["lesions"] == one["lesions"]
    assert sum("lesion-duplicate" in str(lesion["findings"]) for lesion in many["lesions"]) == 1
    assert len(many["merged_from"]) == of
    assert many["complete"] is True


def test_lesions_split_into_parts_keep_them(mixed, tmp_path):
    split = make_settings()
    split = split.model_copy(update={"mask": split.mask.model_copy(update={"components": "split"})})
    run_extraction(mixed, split, tmp_path / "whole")
    merge_runs(chunks(mixed, split, tmp_path), tmp_path / "merged")
    assert (tmp_path / "merged" / "features.csv").read_bytes() == (tmp_path / "whole" / "features.csv").read_bytes()
    assert ".1," in (tmp_path / "merged" / "features.csv").read_text(encoding="utf-8")


def test_a_merged_run_is_gone_on_with(cohort, settings, tmp_path):
    merge_runs(chunks(cohort, settings, tmp_path), tmp_path / "merged")
    assert run_extraction(cohort, settings, tmp_path / "merged").n_resumed == 6
    assert merge_runs(chunks(cohort, settings, tmp_path), tmp_path / "merged").n_done == 6


def test_chunks_that_do_not_fit_are_refused(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    out = tmp_path / "merged"
    with pytest.raises(
        ConfigError, match=r"cohort\.csv: rows 3, 4 are in none of the runs; name the run of every chunk"
    ):
        merge_runs([runs[0], runs[2]], out)
    with pytest.raises(ConfigError, match="row 2 is in another of the runs, too; name each chunk once"):
        merge_runs([*runs, runs[0]], out)
    with pytest.raises(ConfigError, match=r"no-run: is no finished run of extract; repeat its command"):
        merge_runs([*runs, tmp_path / "no-run"], out)
    with pytest.raises(ConfigError, match="no run is named"):
        merge_runs([], out)
    other = tmp_path / "other"
    run_extraction(chunk_of(cohort, 2, 3), make_settings(binWidth=11), other)
    with pytest.raises(
        ConfigError, match=r"other: was extracted with other settings than .*/1: setting\.binWidth differ"
    ):
        merge_runs([runs[0], other, runs[2]], out)
    assert not (out / "features.csv").exists()


def test_a_run_that_was_stopped_is_refused(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    record = provenance(runs[1])
    (runs[1] / "provenance.json").write_text(json.dumps(record | {"complete": False}), encoding="utf-8")
    with pytest.raises(ConfigError, match="2: the run was stopped before its end; repeat its command, then merge"):
        merge_runs(runs, tmp_path / "merged")
    (runs[1] / "provenance.json").write_text(json.dumps(record)[:-30], encoding="utf-8")
    with pytest.raises(ConfigError, match=r"provenance\.json: is damaged"):
        merge_runs(runs, tmp_path / "merged")


def test_a_damaged_result_is_refused_with_its_run(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    shard = next((runs[1] / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(ConfigError, match="2: the result of row 3 is gone or damaged; repeat the run's command"):
        merge_runs(runs, tmp_path / "merged")


def test_a_damaged_result_of_an_earlier_merge_is_put_right(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    merge_runs(runs, tmp_path / "merged")
    shard = next((tmp_path / "merged" / "shards").iterdir())
    shard.unlink()
    shard.write_bytes(b"half")
    assert merge_runs(runs, tmp_path / "merged").n_done == 6


def test_a_cohort_table_that_was_changed_is_refused(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    swapped = [replace(x, lesion_id=f"new{x.lesion_id}", label="2") for x in cohort.lesions]
    write_cohort(swapped, tmp_path / "data" / "cohort.csv")
    with pytest.raises(ConfigError, match=r"row 2 is not what .*/1 extracted; name the cohort table of the runs"):
        merge_runs(runs, tmp_path / "merged")


def test_a_chunk_is_not_merged_into_itself(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    with pytest.raises(ConfigError, match="1: is one of the runs to be merged; give a folder of its own"):
        merge_runs(runs, tmp_path / "data" / ".." / "1")
    assert (runs[0] / "features.csv").exists()


def test_a_chunk_that_was_moved_is_merged_with_the_table_named(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    moved = [runs[0].rename(tmp_path / "a" / "b" / "1"), *runs[1:]]
    table = tmp_path / "data" / "cohort.csv"
    with pytest.raises(ConfigError, match="name the table with --cohort"):
        merge_runs(moved, tmp_path / "merged")
    assert merge_runs(moved, tmp_path / "merged", cohort=table).n_done == 6


def test_a_cohort_table_that_is_gone_is_asked_for(cohort, settings, tmp_path):
    runs = chunks(cohort, settings, tmp_path)
    table = (tmp_path / "data" / "cohort.csv").rename(tmp_path / "data" / "renamed.csv")
    with pytest.raises(ConfigError, match=r"cohort\.csv: the runs' cohort table is not there any more; name it with"):
        merge_runs(runs, tmp_path / "merged")
    assert merge_runs(runs, tmp_path / "merged", cohort=table).n_done == 6
