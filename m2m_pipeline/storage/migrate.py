"""Brings the schema up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from m2m_pipeline.storage.connections import is_away
from m2m_pipeline.storage.database import Database, unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


class FrontDoorRoleError(Exception):
    """The user who migrates can neither make nor take the role under which the front door works."""

    def __init__(self, user: str) -> None:
        super().__init__(
            f"The database user {user} may not make the role m2m_web, as which the front door works. Nothing was "
            "changed. Trying again does not help before a superuser has said: CREATE ROLE m2m_web NOLOGIN; "
            f'GRANT m2m_web TO "{user}"; then run `m2m migrate` again.'
        )


def upgrade(url: str, revision: str = "head") -> None:
    """Apply the migrations that are missing. Safe to call from several processes at once (advisory lock).

    Raises:
        DatabaseUnavailableError: no connection, or it was lost; nothing was changed.
        FrontDoorRoleError: a superuser has to make a role first; nothing was changed.

    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    try:
        command.upgrade(config, revision)
    except DBAPIError as error:
        if not is_away(error):
            raise
        raise unavailable(error) from error


def pending(database: Database) -> str | None:
    """What is missing to the newest schema, in a sentence; None where nothing is.

    Raises:
        DatabaseUnavailableError: no connection.
        DatabaseRefusedError: no migration was ever applied.

    """
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    with database.begin() as tx:
        current = tx.execute(text("SELECT version_num FROM m2m.m2m_alembic_version")).scalar_one_or_none()
    return None if current == newest else f"the schema is at {current}, the newest is {newest}: run `m2m migrate`"
