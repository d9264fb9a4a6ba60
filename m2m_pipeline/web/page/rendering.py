"""Templates: everything in them is escaped, and what is missing is an error."""

from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from m2m_pipeline.domain.iccid import ICCID_PATTERN
from m2m_pipeline.domain.permissions import Permission
from m2m_pipeline.domain.reasons import REASONS
from m2m_pipeline.web.page import wording
from m2m_pipeline.web.page.statics import ADDRESS_OF

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    # With `no-referrer`, browsers would send forms with `Origin: null`, and we go by the origin.
    "Referrer-Policy": "same-origin",
}


def _coded(text: str) -> Markup:
    """A text with its `code` marked up as such, and everything escaped."""
    parts = [escape(part) for part in text.split("`")]
    marked = (Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts))
    return Markup("").join(marked)


def _is_iccid(text: str) -> bool:
    return ICCID_PATTERN.fullmatch(text) is not None


_templates = Environment(
    loader=PackageLoader("m2m_pipeline.web.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_GLOBALS: dict[str, object] = {
    "static": ADDRESS_OF,
    "change_words": wording.CHANGES,
    "device_words": wording.DEVICES,
    "reasons": REASONS,
    "may": Permission,
    "is_iccid": _is_iccid,
}
_templates.filters.update(
    number=wording.number, sims=wording.sims, duration=wording.duration, coded=_coded, moment=wording.moment
)


def render(request: Request, template: str, status: int = 200, /, **content: object) -> Response:
    """The page that a template makes of `content`, for whoever asks."""
    visitor = getattr(request.state, "visitor", None)
    text = _templates.get_template(template, globals=_GLOBALS).render(content, visitor=visitor, path=request.url.path)
    return HTMLResponse(text, status)
