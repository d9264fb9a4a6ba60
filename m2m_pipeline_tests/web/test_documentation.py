"""docs/api.md tells what the code does: its tables are those of the code."""

from pathlib import Path

from m2m_pipeline.domain.permissions import GRANTS, Permission, Role
from m2m_pipeline.web.problems import KINDS, TYPE_PREFIX

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def problem_rows() -> list[str]:
    return [
        f"| `{TYPE_PREFIX}{slug}` | {kind.status} | {kind.title} | {'yes' if kind.retry_helps else 'no'} "
        f"| {kind.next_step} |"
        for slug, kind in KINDS.items()
    ]


def permission_rows() -> list[str]:
    def cell(role: Role, permission: Permission) -> str:
        return " yes " if permission in GRANTS[role] else " "

    return [f"| {permission} |{'|'.join(cell(role, permission) for role in Role)}|" for permission in Permission]


def test_the_problems_are_those_of_the_table() -> None:
    assert [line for line in DOCS.splitlines() if line.startswith(f"| `{TYPE_PREFIX}")] == problem_rows()


def test_the_permissions_are_those_of_the_table() -> None:
    names = tuple(f"| {permission} |" for permission in Permission)
    assert [line for line in DOCS.splitlines() if line.startswith(names)] == permission_rows()
