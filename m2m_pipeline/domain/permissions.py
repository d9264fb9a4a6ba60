"""Who may do what: roles and permissions as one table. What it does not grant is denied."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person or a program is in a tenant."""

    VIEWER = "viewer"  # looks
    OPERATOR = "operator"  # makes changes
    ADMIN = "admin"  # makes changes, and decides who else may
    AUDITOR = "auditor"  # looks, also at who may do what


class Permission(StrEnum):
    """What an endpoint, or a part of the page, asks for."""

    VIEW_CHANGES = "view changes"
    VIEW_PROVIDERS = "view providers"
    EXAMINE_REQUESTS = "examine requests"
    SUBMIT_CHANGES = "submit changes"
    PROCESS_CHANGES = "process changes"
    WITHDRAW_CHANGES = "withdraw changes"
    RETRY_CHANGES = "retry changes"
    VIEW_KEYS = "view keys"
    MANAGE_KEYS = "manage keys"


_LOOK = frozenset({Permission.VIEW_CHANGES, Permission.VIEW_PROVIDERS})
_OPERATE = _LOOK | {
    Permission.EXAMINE_REQUESTS,
    Permission.SUBMIT_CHANGES,
    Permission.PROCESS_CHANGES,
    Permission.WITHDRAW_CHANGES,
    Permission.RETRY_CHANGES,
}

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _LOOK,
    Role.OPERATOR: _OPERATE,
    Role.ADMIN: _OPERATE | {Permission.VIEW_KEYS, Permission.MANAGE_KEYS},
    Role.AUDITOR: _LOOK | {Permission.VIEW_KEYS},
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, after signing in. `actor` is the name under which the audit log knows them."""

    tenant_id: int
    tenant: str
    actor: str
    role: Role

    def may(self, permission: Permission) -> bool:
        """Whether the table grants it."""
        return permission in GRANTS.get(self.role, frozenset())
