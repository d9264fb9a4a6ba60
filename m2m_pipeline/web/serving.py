"""The front door on a socket."""

import uvicorn

from m2m_pipeline.bootstrap import build
from m2m_pipeline.logs import configure
from m2m_pipeline.services.guarding import Guard
from m2m_pipeline.settings import MissingSettingError, Settings
from m2m_pipeline.web.application import build_app
from m2m_pipeline.web.malformed import ProblemProtocol
from m2m_pipeline.web.page.visiting import LOOPBACK_HOSTS

SHUTDOWN_SECONDS = 5


def serve(settings: Settings, host: str, port: int) -> None:
    """Answer requests until SIGINT or SIGTERM; those under way get five seconds to end. Meanwhile, miss the watcher.

    Raises:
        MissingSettingError: `host` is beyond this machine, and development sign-in is on.
        EncryptionKeyError: one of the configured keys is not a Fernet key.

    """
    if settings.dev_sign_in and host not in LOOPBACK_HOSTS:
        raise MissingSettingError(
            f"M2M_DEV_SIGN_IN lets anybody in as any role, and {host} can be reached from other machines. Nothing was "
            "started. Trying again does not help: unset M2M_DEV_SIGN_IN, or listen at 127.0.0.1."
        )
    configure(settings.log_format)
    services = build(settings)
    try:
        with Guard(services.alerting, services.outbox):
            uvicorn.run(
                build_app(services, settings),
                host=host,
                port=port,
                http=ProblemProtocol,
                log_config=None,  # its loggers are ours
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
    finally:
        services.close()
