import re

import pytest

from radiomics_talent.cohort.pseudonym import pseudonym, read_key
from radiomics_talent.errors import ConfigError

KEY = bytes(range(32))


def test_stable_and_keyed():
    assert pseudonym("007", KEY) == pseudonym("007", KEY)
    assert re.fullmatch(r"P-[A-Z2-7]{12}", pseudonym("007", KEY))
    assert len({pseudonym("007", KEY), pseudonym("7", KEY), pseudonym("007", KEY[::-1])}) == 3


def test_known_value():
    # From openssl; a change of the recipe would give every patient a new name.
    assert pseudonym("007", KEY) == "P-MZSW2JG2KRUP"


def test_read_key(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(KEY)
    assert read_key(path) == KEY


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 64])
def test_weak_keys_are_refused(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="expected 16 random bytes or more; make one with"):
        read_key(path)


def test_no_key_is_made(tmp_path):
    with pytest.raises(ConfigError, match="no such key file"):
        read_key(tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key(tmp_path)
    assert not list(tmp_path.iterdir())
