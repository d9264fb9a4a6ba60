"""The front door on a socket."""

import uvicorn

from m2m_pipeline.bootstrap import build
from m2m_pipeline.settings import Settings
from m2m_pipeline.web.application import build_app

SHUTDOWN_SECONDS = 5


def serve(settings: Settings, host: str, port: int) -> None:
    """Answer requests until SIGINT or SIGTERM; those under way get five seconds to end.

    Raises:
        EncryptionKeyError: one of the configured keys is not a Fernet key.

    """
    services = build(settings)
    try:
        uvicorn.run(
            build_app(services, settings),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    finally:
        services.close()
