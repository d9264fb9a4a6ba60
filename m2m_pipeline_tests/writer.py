"""The role that owns nothing, made by the statements of docs/audit.md."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_DOCUMENT = Path(__file__).parents[1] / "docs" / "audit.md"


@contextmanager
def writer_role(database_url: str) -> Generator[str]:
    """The role's name; it is gone afterwards."""
    (script,) = [part.split("```")[0] for part in _DOCUMENT.read_text().split("```sql\n")[1:] if "CREATE ROLE" in part]
    role = f"writer_{secrets.token_hex(6)}"
    owner = database_url.replace("+psycopg", "")
    with psycopg.connect(owner) as connection:
        connection.execute(script.replace("m2m_writer", role).encode())
    try:
        yield role
    finally:
        with psycopg.connect(owner) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
