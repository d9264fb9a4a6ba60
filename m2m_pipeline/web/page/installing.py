"""The page within the application."""

from fastapi import FastAPI

from m2m_pipeline.web.page import accounts, changes, devices, making, signing_in, statics
from m2m_pipeline.web.page.route import answer_strays

ROUTERS = (changes.router, making.router, devices.router, accounts.router, signing_in.router, statics.router)


def install_page(app: FastAPI) -> None:
    """Add the page at `/`, after the API and its error handlers."""
    for router in ROUTERS:
        app.include_router(router)
    answer_strays(app)
