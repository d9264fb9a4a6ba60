"""Endpoints about API keys."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool

from m2m_pipeline.domain.request import MAX_ID
from m2m_pipeline.web.bodies import read_small
from m2m_pipeline.web.documentation import json_body, problems
from m2m_pipeline.web.identity import KeyManager, KeyViewer
from m2m_pipeline.web.models import BASE, Key, KeyList, KeyRequest, NewKey

router = APIRouter(prefix=f"{BASE}/keys", tags=["keys"])


@router.get("", operation_id="listKeys", summary="The tenant's API keys")
def list_keys(caller: KeyViewer) -> KeyList:
    """The revoked ones too; never a secret."""
    return KeyList(items=[Key.model_validate(key) for key in caller.desk.identity.list_keys(caller.tenant)])


@router.post(
    "",
    status_code=201,
    operation_id="createKey",
    summary="Make an API key",
    openapi_extra=json_body(KeyRequest),
    responses=problems("unsupported-media-type"),
)
async def create_key(request: Request, caller: KeyManager) -> NewKey:
    """The secret is in this answer, and cannot be had again."""
    wanted = await read_small(request, KeyRequest)
    issued = await run_in_threadpool(
        caller.desk.identity.create_key, caller.tenant, wanted.name, wanted.role, caller.principal.actor
    )
    return NewKey.model_validate({**Key.model_validate(issued.key).model_dump(), "secret": issued.secret})


@router.delete(
    "/{key_id}", operation_id="revokeKey", summary="Have an API key hold no more", responses=problems("not-found")
)
def revoke_key(key_id: Annotated[int, Path(ge=1, le=MAX_ID)], caller: KeyManager) -> Key:
    """From the next request on."""
    return Key.model_validate(caller.desk.identity.revoke_key(caller.tenant, key_id, caller.principal.actor))
