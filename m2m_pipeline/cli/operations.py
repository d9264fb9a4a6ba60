"""Commands that run the platform: up, demo, simulate, migrate, key."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    key = typer.Typer(help="Encryption keys.", no_args_is_help=True)
    key.command("generate")(generate_key)
    app.add_typer(key, name="key")
    app.command()(migrate)


def migrate() -> None:
    """Bring the database schema up to date."""
    from m2m_pipeline.settings import load_settings  # noqa: PLC0415
    from m2m_pipeline.storage.migrate import upgrade  # noqa: PLC0415

    upgrade(load_settings().database_url.get_secret_value())


def generate_key() -> None:
    """Print a new key for M2M_ENCRYPTION_KEYS."""
    from cryptography.fernet import Fernet  # noqa: PLC0415

    print(Fernet.generate_key().decode())
