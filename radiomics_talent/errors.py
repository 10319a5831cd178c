"""Every error that a user can meet.

Each takes one message and the keyword ``where`` and so survives pickling, which is how it comes back from a
worker process. ``str(error)`` is one sentence: where, what was found, what was expected, what to do.
"""

from __future__ import annotations

LONGEST = 4000
"""Characters of a sentence, at most."""


def one_line(text: str) -> str:
    """Return a sentence as one line of printable text, whatever the file held that it quotes."""
    if not text.isprintable():
        text = " ".join(text.split())
        plain = (c if c.isprintable() else "?" for c in text)
        text = "".join(plain)
    if len(text) > LONGEST:
        half = LONGEST // 2 - 3
        text = f"{text[:half]} ... {text[-half:]}"
    return text


class TalentError(Exception):
    """Root of all errors raised on purpose by this package.

    Parameters
    ----------
    message : str
        What was found, what was expected and what to do, without the place.
    where : str, optional
        File, row, series or lesion that the message is about.
    """

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(one_line(message))
        self.message = one_line(message)
        self.where = where

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.message}") if self.where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own __reduce__ would lose the keywords; the state brings them back.
        return (type(self), (self.message,), self.__dict__)


class ConfigError(TalentError, ValueError):
    """The command or its settings are wrong: nothing was started (exit code 2)."""


class InputError(TalentError, ValueError):
    """One case is unusable; the job goes on with the others (exit code 1 at the end).

    Parameters
    ----------
    message, where : str
        As for every error.
    code : str, optional
        Code of the finding that the error stands for.
    """

    def __init__(self, message: str, *, where: str | None = None, code: str | None = None) -> None:
        super().__init__(message, where=where)
        self.code = code


class DicomError(InputError):
    """A DICOM object cannot be read, or would give a silently wrong volume."""


class GeometryError(InputError):
    """Image and mask do not share a space, or a grid is not one that features are defined on."""


class MaskError(InputError):
    """A mask is empty, absent, ambiguous or unlike the contours that it came from."""


class TableError(InputError):
    """A CSV or Parquet table breaks its schema."""


class ExtractionError(TalentError, RuntimeError):
    """The feature engine failed, ran out of time, or its worker died."""


class ModelError(TalentError, ValueError):
    """A model file is untrusted or damaged, or does not fit the table given to it."""
