"""The tables, in the schema `m2m`. Constraints carry the rules; the migrations make them."""

from m2m_pipeline.storage.schema import accounts, changes, drift, identity, inbox, notices, page, records, sightings
from m2m_pipeline.storage.schema.base import SCHEMA, Base

__all__ = [
    "SCHEMA",
    "Base",
    "accounts",
    "changes",
    "drift",
    "identity",
    "inbox",
    "notices",
    "page",
    "records",
    "sightings",
]
