"""A plan whose versions are simple and countable, importable by workers."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from radiomics_talent.errors import MaskError
from radiomics_talent.features import engine
from radiomics_talent.features.engine import LesionFeatures


@dataclass(frozen=True)
class Doubles:
    """The lesion, and versions with every feature times their number; version 2 of lesion `vanishes` cannot be made."""

    trace: Path
    vanishes: str = ""
    kills: str = ""
    command: str = "robustness doubles"
    hash: str = "h"
    outputs: tuple[str, ...] = ("extra.txt",)

    @property
    def chains(self):
        return {"original": 1, "times": 3}

    def canonical(self):
        return {"hash": self.hash}

    def record(self):
        return {"doubles": self.canonical()}

    def begin(self, case, settings):
        with self.trace.open("a", encoding="utf-8") as file:
            file.write(f"{case.lesion.key}\n")
        if case.lesion.key == self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        found = engine.extract(case.image, case.voxels, settings)

        def make(chain):
            if chain == "original":
                return [found]
            made = [LesionFeatures({k: v * n for k, v in found.items()}) for n in (1, 2, 3)]
            if case.lesion.key == self.vanishes:
                made[1] = MaskError("nothing is left")
            return made

        return make
