"""The signature of a notice: HMAC-SHA256 over timestamp and body, by each secret of the destination."""

import hashlib
import hmac
from collections.abc import Sequence

SIGNATURE = "M2M-Signature"
EVENT_ID = "M2M-Event-Id"
EVENT_TYPE = "M2M-Event-Type"


def signature(secrets: Sequence[str], timestamp: int, body: bytes) -> str:
    """`t=1700000000,v1=<hex>`, with one `v1` for each secret. `timestamp` in seconds since 1970.

    The timestamp is signed too: a receiver that refuses old ones cannot be sent a recorded delivery again.
    """
    signed = f"{timestamp}.".encode() + body
    marks = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={timestamp}", *(f"v1={mark}" for mark in marks)])
