"""The program with its imports done, from which each run is forked: kills then fall on its work, and a run is short.

Reads requests from stdin, a JSON list each: arguments, file for what is said. Answers the process, then how it ended.
"""

import json
import os
import sys
from importlib import import_module

from radiomics_talent.features import engine
from radiomics_talent.settings import ExtractionSettings

READY = (
    "radiomics_talent.extraction.run",
    "radiomics_talent.features.rehearsal",
    "radiomics_talent.features.table",
    "radiomics_talent.modelling.training",
    "radiomics_talent.reporting.model_card",
    "radiomics_talent.reporting.model_figures",
    "radiomics_talent.reporting.response_figures",
    "radiomics_talent.reporting.robustness_page",
    "radiomics_talent.robustness.perturbation_run",
)


def answer(what: object) -> None:
    """Say one line to who asked."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def begin(arguments: list[str], said: str) -> None:
    """Become the program, in a session of its own so that all its processes can be found."""
    from radiomics_talent.cli import main

    os.setsid()
    for number, name in ((0, os.devnull), (1, said), (2, said)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    sys.argv = ["radiomics-talent", *arguments]
    main()


if __name__ == "__main__":
    for name in READY:
        import_module(name)
    # The compiled engine is loaded, too; its kernels run in no threads of their own, which a fork would lose.
    engine.load(ExtractionSettings())
    answer("ready")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            begin(*json.loads(line))
        answer(child)
        answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
