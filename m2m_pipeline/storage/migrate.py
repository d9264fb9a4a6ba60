"""Brings the schema up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import OperationalError

from m2m_pipeline.storage.database import unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str, revision: str = "head") -> None:
    """Apply the migrations that are missing. Safe to call from several processes at once (advisory lock).

    Raises:
        DatabaseUnavailableError: no connection, or it was lost; nothing was changed.

    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    try:
        command.upgrade(config, revision)
    except OperationalError as error:
        raise unavailable(error) from error
