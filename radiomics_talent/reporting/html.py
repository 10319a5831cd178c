"""Self-contained HTML pages: templates with every value escaped, pictures inside, nothing fetched."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context

from radiomics_talent.features.whole_files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Template
    from matplotlib.figure import Figure

_JPEG_QUALITY = 78


def render_page(template: str, path: Path, **values: Any) -> None:
    """Fill a template and write the page, whole or not at all.

    Parameters
    ----------
    template : str
        File name below ``templates/``.
    path : Path
        Page to write.
    **values
        What the template shows; every text is escaped, as names in it come from files of others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_template(template, escaped=True).generate(**values))


def page_text(template: str, **values: Any) -> str:
    """Return a filled template as text, every value escaped."""
    return _template(template, escaped=True).render(**values)


def markdown_text(template: str, **values: Any) -> str:
    """Return a filled template of Markdown, whose values are our own names and numbers and stay as they are."""
    return _template(template, escaped=False).render(**values)


def jpeg_uri(figure: Figure) -> Markup:
    """Return a figure as a ``data:`` address of a JPEG, safe to stand in an attribute.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; its own size and resolution count.
    """
    buffer = BytesIO()
    # Full colour resolution: halved, a thin yellow line on grey turns brown.
    options = {"quality": _JPEG_QUALITY, "optimize": True, "subsampling": 0}
    figure.savefig(buffer, format="jpeg", dpi="figure", facecolor=figure.get_facecolor(), pil_kwargs=options)
    return image_uri("jpeg", buffer.getvalue())


def svg_uri(figure: Figure) -> Markup:
    """Return a figure as a ``data:`` address of an SVG, the same bytes for the same figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; text becomes outlines, as a reader may lack the font.
    """
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "radiomics-talent", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return image_uri("svg+xml", buffer.getvalue())


def png_uri(figure: Figure, dpi: int) -> Markup:
    """Return a figure as a ``data:`` address of a PNG: for what has many small parts."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return image_uri("png", buffer.getvalue())


def image_uri(kind: str, data: bytes) -> Markup:
    """Return a picture's bytes as a ``data:`` address, safe to stand in an attribute.

    Parameters
    ----------
    kind : str
        What stands behind ``image/``.
    data : bytes
        The file.
    """
    # Base64 has no character with a meaning in HTML.
    return Markup(f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii"))  # noqa: S704


def _template(name: str, *, escaped: bool) -> Template:
    # Escaped whatever the template is called: ROI names are text from DICOM headers.
    environment = Environment(
        autoescape=escaped,  # noqa: S701  # False for Markdown alone
        loader=PackageLoader("radiomics_talent.reporting"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
