"""Endpoints about API keys."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.domain.request import MAX_ID, MAX_NAME_LENGTH, NO_CONTROL_CHARACTERS
from m2m_pipeline.web.documentation import problems
from m2m_pipeline.web.identity import KeyManager, KeyViewer
from m2m_pipeline.web.models import BASE, Key, KeyList, NewKey

router = APIRouter(prefix=f"{BASE}/keys", tags=["keys"])


class KeyRequest(BaseModel):
    """A key that is wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=NO_CONTROL_CHARACTERS)]
    role: Role


@router.get("", operation_id="listKeys", summary="The tenant's API keys")
def list_keys(caller: KeyViewer) -> KeyList:
    """The revoked ones too; never a secret."""
    return KeyList(items=[Key.model_validate(key) for key in caller.desk.identity.list_keys(caller.tenant)])


@router.post(
    "", status_code=201, operation_id="createKey", summary="Make an API key", responses=problems("request-too-large")
)
def create_key(wanted: KeyRequest, caller: KeyManager) -> NewKey:
    """The secret is in this answer, and cannot be had again."""
    issued = caller.desk.identity.create_key(caller.tenant, wanted.name, wanted.role, caller.principal.actor)
    return NewKey.model_validate({**Key.model_validate(issued.key).model_dump(), "secret": issued.secret})


@router.delete(
    "/{key_id}", operation_id="revokeKey", summary="Have an API key hold no more", responses=problems("not-found")
)
def revoke_key(key_id: Annotated[int, Path(ge=1, le=MAX_ID)], caller: KeyManager) -> Key:
    """From the next request on."""
    return Key.model_validate(caller.desk.identity.revoke_key(caller.tenant, key_id, caller.principal.actor))
