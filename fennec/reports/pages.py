"""A template of `templates/` becomes the text of one self-contained HTML file: no network, opens from disk.

In: values and charts. Out: the page, with what made it. Names are text everywhere, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import platform
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

LIBRARIES = ("fennec-recommender", "torch", "timm", "open-clip-torch", "numpy", "plotly")


@cache
def environment() -> Environment:
    """Where templates are found and how they are filled."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("fennec.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, title: str, command: str, charts: dict[str, Any] | None = None, **values: Any) -> str:
    """Text of a page.

    Args:
        template: file in `templates/`.
        title: of the page.
        command: what was typed, shown as it is.
        charts: plotly figures by the id of their place.
        values: what the template asks for.
    """
    plotly_js = ""
    if charts:
        from plotly.offline import get_plotlyjs

        plotly_js = get_plotlyjs()
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
    drawn = {name: figure.to_plotly_json() for name, figure in (charts or {}).items()}
    page_script = environment().get_template("page.js").render(charts=drawn)
    return (
        environment()
        .get_template(template)
        .render(
            title=title,
            command=command,
            versions=versions,
            charts=drawn,
            policy=_policy(page_script, plotly_js),
            page_script=page_script,
            plotly_js=plotly_js,
            **values,
        )
    )


def _policy(*scripts: str) -> str:
    """What a browser lets the page do: run these very scripts, show pictures that are in it, reach nothing."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )
