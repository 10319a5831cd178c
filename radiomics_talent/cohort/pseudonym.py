"""Names for patients that cannot be turned back without a key.

A pseudonym is the keyed hash (HMAC-SHA256) of the PatientID: the same patient gets the same name in every run with
the same key file, and nobody without the file can try out PatientIDs. What is replaced is `patient_id`; paths, ROI
names, series UIDs and study dates stay, because the later steps need them: a table to be shared outside the hospital
needs folders without identifiers, and dates may have to be shifted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.dicom.index import SeriesRecord

SHORTEST_KEY = 16
"""Bytes that a key file must hold: 128 bits cannot be tried out."""
_LENGTH = 12


def read_key(path: Path) -> bytes:
    """Return the bytes of a key file.

    Raises
    ------
    ConfigError
        The file is absent or too short; none is ever made silently, because a new key gives new names.
    """
    recipe = "make one with `head -c 32 /dev/urandom > KEYFILE` and keep it safe and apart from the data"
    try:
        key = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"no such key file; {recipe}", where=str(path)) from error
    except OSError as error:
        raise ConfigError(f"the key file cannot be read: {error.strerror}", where=str(path)) from error
    if len(key) < SHORTEST_KEY or len(set(key)) < SHORTEST_KEY // 4:
        raise ConfigError(
            f"the key file is too short or too simple, expected {SHORTEST_KEY} random bytes or more; {recipe}",
            where=str(path),
        )
    return key


def pseudonym(patient_id: str, key: bytes) -> str:
    """Return the patient's name under a key, such as ``P-K5QM2XZ7TB4A``."""
    digest = hmac.new(key, patient_id.encode(), hashlib.sha256).digest()
    return f"P-{base64.b32encode(digest).decode()[:_LENGTH]}"


def patient_name(series: SeriesRecord, key: bytes | None) -> str:
    """Return what stands for a series' patient in a table: PatientID, or its pseudonym when there is a key.

    Studies without PatientID are kept apart by StudyInstanceUID, so that two patients never become one.
    """
    name = series.patient_id
    if not name:
        name = f"unknown-{hashlib.sha256(series.study_instance_uid.encode()).hexdigest()[:8]}"
    return name if key is None else pseudonym(name, key)
