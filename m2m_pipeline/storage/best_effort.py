"""Work on which nothing depends, such as giving back at the end what runs out by itself."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from m2m_pipeline.domain.attempt import LeaseLostError
from m2m_pipeline.storage.database import DatabaseRefusedError, DatabaseUnavailableError


@contextmanager
def best_effort(if_not: str) -> Generator[None]:
    """Where the database does not do this work, that is logged and no more: an error that came before is not hidden.

    `if_not`: what the log says then, and what becomes of it.
    """
    try:
        yield
    except (DatabaseUnavailableError, DatabaseRefusedError, LeaseLostError) as error:
        logging.getLogger(__name__).warning("%s %s", if_not, error)
