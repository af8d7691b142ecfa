"""/: a simple page with the gateway's state and links. No scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib.resources import files
from string import Template

from aiohttp import web

from gateway.api.deps import DEPS
from gateway.api.health import report_of

__all__ = ["page"]

_TEXT = files("gateway.api").joinpath("page.html").read_text(encoding="utf-8")
_STYLES = re.findall(r"<style>(.*?)</style>", _TEXT, re.DOTALL)
_HASHES = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in _STYLES)
_POLICY = f"default-src 'none'; style-src {_HASHES}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


async def page(request: web.Request) -> web.Response:
    deps = request.app[DEPS]
    report = report_of(deps)
    notes = [*report.reasons, *report.warnings]
    text = Template(_TEXT).substitute(
        state=escape(report.state),
        notes="".join(f"<p>{escape(note)}</p>\n" for note in notes),
        figures="\n".join(
            f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{count}</dd>" for name, count in report.figures.items()
        ),
        version=escape(f"Version {deps.version}" if deps.version else ""),
    )
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": _POLICY})
