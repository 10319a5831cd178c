"""Perturbations, statistics and negative controls in words, and the works that a methods section cites."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from radiomics_talent.features.ibsi.processing import MARGIN_MM
from radiomics_talent.robustness.controls import looks_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.robustness_settings import ChainSettings, Step, StrengthSettings
    from radiomics_talent.settings import ExtractionSettings

STATISTICS = {
    "icc_1_1": ("ICC(1,1)", "intraclass correlation of a single measurement, one-way random effects"),
    "icc_2_1": (
        "ICC(2,1)",
        "intraclass correlation of a single measurement, two-way random effects, absolute agreement",
    ),
    "icc_3_1": ("ICC(3,1)", "intraclass correlation of a single measurement, two-way mixed effects, consistency"),
    "ccc": ("CCC", "concordance correlation coefficient"),
}
CONTROLS = {
    "roi_shuffled": "the lesion's own voxels are exchanged on the scan: their values stay, its texture goes",
    "roi_sampled": "each voxel of the lesion is drawn, with replacement, from all of the lesion's voxels",
    "roi_noise": "each voxel of the lesion is drawn evenly between its least and its largest value",
    "surroundings_shuffled": "voxels about the lesion are exchanged; the lesion stays as it is",
    "surroundings_sampled": "each voxel about the lesion is drawn, with replacement, from all of those about it",
    "surroundings_noise": "each voxel about the lesion is drawn evenly between their least and their largest value",
}
FEATURE_SETS = {
    "all": "all features",
    "texture": "texture",
    "firstorder": "first order",
    "shape": "shape",
    "volume": "volume alone",
}
"""Sets of features that models on controls are offered."""
_RAW = re.compile(r"`([^`]+)`|((?<!\w)--[a-z][a-z-]+|[\w.-]*\w_\w[\w-]*|[\w-]+\.(?:csv|json|parquet|yaml))")
"""What a page sets as code: in backquotes, or an option, a name with an underscore, a file."""

ZWANENBURG = "Zwanenburg A et al. Assessing robustness of radiomic features by image perturbation. Sci Rep 2019;9:614."
SHROUT = (
    "Shrout PE, Fleiss JL. Intraclass correlations: uses in assessing rater reliability. Psychol Bull 1979;86:420-428."
)
MCGRAW = (
    "McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. Psychol Methods "
    "1996;1:30-46."
)
KOO = (
    "Koo TK, Li MY. A guideline of selecting and reporting intraclass correlation coefficients for reliability "
    "research. J Chiropr Med 2016;15:155-163."
)
BLAND = "Bland JM, Altman DG. Measuring agreement in method comparison studies. Stat Methods Med Res 1999;8:135-160."
WELCH = (
    "Welch ML et al. Vulnerabilities of radiomic signature development: the need for safeguards. Radiother Oncol "
    "2019;130:2-9."
)
READII = (
    "READII (Radiomic Extraction and Analysis for DICOM Images to Identify bias), Haibe-Kains laboratory, "
    "bhklab/readii."
)
COMBAT = (
    "Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data. Biostatistics "
    "2007;8:118-127."
)


def statistic_name(statistic: str) -> str:
    """Return a statistic as papers spell it."""
    base = statistic.removesuffix("_lower")
    name = STATISTICS[base][0]
    return name if base == statistic else f"lower 95 % limit of {name}"


def statistic_words(statistic: str) -> str:
    """Return what a statistic is, for a methods section."""
    base = statistic.removesuffix("_lower")
    name, meaning = STATISTICS[base]
    limit = "the lower limit of the 95 % interval of " if base != statistic else ""
    return f"{limit}{name} ({meaning})"


def step_words(step: Step, strengths: StrengthSettings) -> str:
    """Say what a step does at its strength."""
    s = strengths
    return {
        "volume": f"the lesion grown or shrunk by up to {s.volume_change:.0%} of its volume",
        "contour": (
            f"the contour drawn anew by supervoxels of {s.contour_supervoxel_mm3:g} mm³, in small lesions of a tenth "
            "of the lesion's volume"
        ),
        "noise": f"white noise of {s.noise:g} times the scan's own standard deviation of noise added",
        "hu_shift": f"up to ± {s.hu_shift_hu:g} HU added to every voxel",
        "slice_thickness": f"slices averaged to at most {s.slice_thickness_mm:g} mm",
        "rotation": f"rotation by up to ± {s.rotation_deg:g}° about the axis across the slices",
        "translation": f"translation by up to ± {s.translation_voxels:g} voxels along each axis",
        "bin_width": f"width of a grey level changed by up to ± {s.bin_width_change:.0%}",
    }[step]


def surroundings_words(surroundings_mm: float, settings: ExtractionSettings) -> str:
    """Say in a sentence how far the surroundings reach, and how far features see them."""
    asked = f"Tissue up to {surroundings_mm:g} mm from the lesion counts as its surroundings"
    setting = settings.setting
    pad = f"{counted(setting.padDistance, 'voxel')} (`padDistance`)"
    if not looks_outside(settings):
        if settings.new_spacing_mm is None:
            return f"{asked}; features know of it by the scale (`normalize`) alone."
        return f"{asked}; features know of it by what interpolation carries across the contour alone."
    if settings.ibsi is not None:
        image = f"{MARGIN_MM:g} mm"
    elif settings.resamples and setting.resampledPixelSpacing is not None:
        spacing = [f"{s:g}" if s else "the scan's own" for s in setting.resampledPixelSpacing]
        image = f"{pad} of {' × '.join(spacing)} mm"
    elif setting.preCrop:
        image = f"{pad} of the scan"
    elif settings.pad_mm is not None:
        image = f"{settings.pad_mm:g} mm (`pad_mm`)"
    else:
        return f"{asked}, as far as the scan goes."
    return f"{asked}; features see {image} about the lesion's box."


def prose(text: str) -> Markup:
    """Return a sentence as a page shows it: a capital, a full stop, and raw names as code; all else is escaped."""
    text = text.strip()
    if not _RAW.match(text):
        text = text[:1].upper() + text[1:]
    text += "" if text.endswith((".", "?", "!")) else "."
    parts, end = [], 0
    for raw in _RAW.finditer(text):
        parts += [escape(text[end : raw.start()]), Markup("<code>{}</code>").format(raw[1] or raw[2])]
        end = raw.end()
    return Markup("").join([*parts, escape(text[end:])])


def plain(text: str) -> str:
    """Return a sentence without the backquotes that `prose` reads: for a manuscript."""
    return text.replace("`", "")


def chain_words(chain: ChainSettings, strengths: StrengthSettings) -> str:
    """Say what the versions of a chain are."""
    steps = joined([step_words(step, strengths) for step in chain.steps], "; ")
    return f"{chain.versions} versions: {steps}."


def joined(parts: Sequence[str], comma: str = ", ") -> str:
    """Join parts of a sentence, the last by 'and'."""
    return " and ".join([comma.join(parts[:-1]), parts[-1]] if len(parts) > 1 else list(parts))


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
