"""Commands about the front door: serve, key."""

import json
from typing import Annotated

import typer

from m2m_pipeline.cli.options import AsJson, Tenant, actor, application


def register(app: typer.Typer) -> None:
    """Add the commands."""
    key = typer.Typer(help="API keys, and encryption keys.", no_args_is_help=True)
    key.command("create")(create_key)
    key.command("list")(list_keys)
    key.command("revoke")(revoke_key)
    key.command("generate")(generate_key)
    key.command("rotate")(rotate_keys)
    app.add_typer(key, name="key")
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The TCP port.")] = 8080,
) -> None:
    """Serve the web page and the HTTP API until Ctrl-C. Keep it on loopback or behind a proxy that does TLS."""
    from m2m_pipeline.cli.options import running_settings
    from m2m_pipeline.web.serving import serve as serve_http

    serve_http(running_settings(), host, port)


def create_key(
    role: Annotated[str, typer.Option(help="`viewer`, `operator`, `admin` or `auditor`.")],
    name: Annotated[str, typer.Option(help="Whose it is, for people and the audit log.")] = "api",
    as_json: AsJson = False,
    tenant: Tenant = "default",
) -> None:
    """Make an API key, and print it: this once, it is stored nowhere."""
    from m2m_pipeline.domain.permissions import Role

    if role not in set(Role):
        raise typer.BadParameter(f"must be one of {', '.join(Role)}", param_hint="--role")
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise typer.BadParameter(f"must be 1 to {_MAX_NAME} printable characters", param_hint="--name")
    with application() as services:
        issued = services.identity.create_key(tenant, name, Role(role), actor())
    print(json.dumps({"id": issued.key.id, "key": issued.secret}) if as_json else issued.secret)


def list_keys(as_json: AsJson = False, tenant: Tenant = "default") -> None:
    """List API keys and when each was last used; never a secret."""
    with application() as services:
        found = services.identity.list_keys(tenant)
    if as_json:
        told = [{name: getattr(key, name) for name in key.__slots__} for key in found]
        print(json.dumps(told, default=lambda moment: moment.isoformat()))
        return
    for key in found:
        used = f"last used {key.last_used_at:%Y-%m-%d %H:%M}Z" if key.last_used_at else "never used"
        revoked = f", revoked {key.revoked_at:%Y-%m-%d %H:%M}Z" if key.revoked_at else ""
        print(f"{key.id}  {key.role}  {key.name}  {used}{revoked}")


def revoke_key(key_id: int, tenant: Tenant = "default") -> None:
    """Have an API key hold no more, from the next request on."""
    with application() as services:
        key = services.identity.revoke_key(tenant, key_id, actor())
    print(f"{key.name} ({key.role}) is revoked")


def generate_key() -> None:
    """Print a new key for M2M_ENCRYPTION_KEYS."""
    from cryptography.fernet import Fernet

    print(Fernet.generate_key().decode())


_MAX_NAME = 200


def rotate_keys() -> None:
    """Seal every stored secret with the newest of M2M_ENCRYPTION_KEYS; can be interrupted and said again.

    Exit status: 1 where a secret is opened by none of the keys.
    """
    with application() as services:
        done = services.rotation.rotate()
    print(f"{done.renewed} sealed anew, {done.newest_already} were already, {done.unreadable} cannot be read")
    raise typer.Exit(1 if done.unreadable else 0)
