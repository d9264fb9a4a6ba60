"""How the page answers: with its own headers, and with a page where something is wrong."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from m2m_pipeline.services.drafts import DraftUnknownError
from m2m_pipeline.web.faults import NAMED
from m2m_pipeline.web.models import BASE
from m2m_pipeline.web.page.rendering import HEADERS, render
from m2m_pipeline.web.page.visiting import SignInNeededError
from m2m_pipeline.web.problems import KINDS, ProblemError, problem_response

SEE_OTHER = 303
_NAMED: dict[type[Exception], str] = {**NAMED, DraftUnknownError: "not-found"}


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with everything that it may raise answered."""
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                response = await handle(request)
            except SignInNeededError:
                response = _to_sign_in(request)
            except Exception as error:  # noqa: BLE001 -- the outermost edge: known errors are told, others are logged
                response = fault_page(request, error)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return answered


def fault_page(request: Request, error: Exception) -> Response:
    """What went wrong, whether trying again helps, and what to do."""
    slug, detail = _told(error)
    if slug == "internal-error":
        logging.getLogger(__name__).error("%s %s", request.method, request.url.path, exc_info=error)
    kind = KINDS[slug]
    response = render(request, "fault.html", kind.status, kind=kind, detail=detail)
    if kind.retry_after:
        response.headers["Retry-After"] = str(kind.retry_after)
    return response


def answer_strays(app: FastAPI) -> None:
    """Have an address that does not exist answered by a page, where a browser asks for it beside the API."""
    answer: Any = app.exception_handlers[HTTPException]

    async def stray(request: Request, error: Exception) -> Response:
        if not _wants_page(request):
            return answer(request, error)
        return _fault_page_of_its_own(request, ProblemError("not-found", "This address leads nowhere."))

    app.add_exception_handler(HTTPException, stray)


def refusal(request: Request, error: ProblemError) -> Response:
    """What no route gets to see is refused: with a page for a person at a browser, else with a problem document."""
    if not _wants_page(request):
        return problem_response(error.slug, error.detail, headers=error.headers)
    response = _fault_page_of_its_own(request, error)
    response.headers.update(error.headers)
    return response


def to(address: str) -> Response:
    """Go on at another address."""
    return RedirectResponse(address, SEE_OTHER)


def _wants_page(request: Request) -> bool:
    """Whether a browser asks, for something beside the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(BASE)


def _fault_page_of_its_own(request: Request, error: ProblemError) -> Response:
    """A fault page outside the page's routes, with their headers."""
    response = fault_page(request, error)
    response.headers.update(HEADERS)
    return response


def _told(error: Exception) -> tuple[str, str]:
    if isinstance(error, ProblemError):
        return error.slug, error.detail
    if isinstance(error, RequestValidationError):
        return "not-found", "The address is not one that this page makes."
    slug = next((_NAMED[kind] for kind in type(error).__mro__ if kind in _NAMED), None)
    return (slug, str(error)) if slug else ("internal-error", "The page met a fault of ours.")


def _to_sign_in(request: Request) -> Response:
    """The sign-in page, and afterwards where one wanted to go."""
    if request.method != "GET" or request.url.path == "/":
        return to("/sign-in")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return to(f"/sign-in?{urlencode({'next': wanted})}")
