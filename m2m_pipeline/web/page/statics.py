"""The stylesheet and the script: two files of ours, under addresses that change with their content."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Response

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_NAMES = ("page.css", "page.js", "icon.svg")
_FILES = {name: files("m2m_pipeline.web.page").joinpath("static", name).read_bytes() for name in _NAMES}
_ADDRESSES = {
    f"{hashlib.sha256(content).hexdigest()[:12]}-{name}": (content, _KINDS[name.rpartition(".")[2]])
    for name, content in _FILES.items()
}

ADDRESS_OF = {address.partition("-")[2]: f"/static/{address}" for address in _ADDRESSES}
"""Where a file is, by its name."""

router = APIRouter(include_in_schema=False)


@router.get("/static/{address}")
def send_file(address: str) -> Response:
    """Kept by browsers for good: another content has another address."""
    content, kind = _ADDRESSES.get(address, (b"", ""))
    if not kind:
        return Response(status_code=404)
    return Response(content, headers={"Cache-Control": "public, max-age=31536000, immutable"}, media_type=kind)
