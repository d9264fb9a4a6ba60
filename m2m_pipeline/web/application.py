"""The ASGI application: routes, what all of them share, and the document that describes them."""

from importlib.metadata import version

from fastapi import FastAPI

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.settings import Settings
from m2m_pipeline.web import events, examining, faults, keys, looking, metrics, operations, results, submitting
from m2m_pipeline.web.documentation import describe
from m2m_pipeline.web.headers import SecurityHeaders
from m2m_pipeline.web.identity import FrontDoor
from m2m_pipeline.web.limits import BodyLimit, RequestRate
from m2m_pipeline.web.models import BASE
from m2m_pipeline.web.oidc import Tokens
from m2m_pipeline.web.page.installing import install_page
from m2m_pipeline.web.page.route import refusal
from m2m_pipeline.web.streams import Streams

ROUTERS = (
    examining.router,
    submitting.router,
    submitting.legacy_router,
    looking.router,
    results.router,
    events.router,
    keys.router,
    operations.router,
    metrics.router,
)
DESCRIPTION = "Moves SIMs to new carrier rate plans in bulk: one truthful, audited outcome for every device."


def build_app(application: Application, settings: Settings) -> FastAPI:
    """The front door over the services. Who serves it closes them."""
    app = FastAPI(
        title="m2m_pipeline",
        version=version("m2m-pipeline"),
        description=DESCRIPTION,
        openapi_url=f"{BASE}/openapi.json",
        # Their pages load scripts from elsewhere, which our content security policy forbids.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.front_door = FrontDoor(
        application=application,
        settings=settings,
        tokens=Tokens(settings, application.security_log),
        rate=RequestRate(settings.requests_per_second),
        streams=Streams(),
    )
    for router in ROUTERS:
        app.include_router(router)
    # Where programs of the API look for them.
    app.include_router(operations.router, prefix=BASE, include_in_schema=False)
    app.include_router(metrics.router, prefix=BASE, include_in_schema=False)
    faults.register(app)
    install_page(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, refuse=refusal)
    app.add_middleware(SecurityHeaders)
    app.openapi = lambda: describe(app, ROUTERS)
    return app
