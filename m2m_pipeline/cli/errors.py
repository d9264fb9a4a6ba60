"""How errors look on the command line, and which exit status they make."""

import json
import sys
from collections.abc import Sized

from m2m_pipeline.domain.carrier import UnsupportedIntegrationError
from m2m_pipeline.domain.digests import ArchiveUnavailableError
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.secrets import SecretUnavailableError
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.services.accounts import CarrierCallFailedError
from m2m_pipeline.services.audit.export import UnprovenExportError
from m2m_pipeline.services.auditing import NoDigestTargetError, TenantUnknownError
from m2m_pipeline.services.destinations import DestinationUnknownError
from m2m_pipeline.services.identity import KeyUnknownError
from m2m_pipeline.services.inbox import MessageUnknownError
from m2m_pipeline.services.outbox import NoticeUnknownError
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.services.retrying import NotRetryableError
from m2m_pipeline.services.submission import NotProcessableError
from m2m_pipeline.services.withdrawing import NotWithdrawableError
from m2m_pipeline.settings import MissingSettingError
from m2m_pipeline.storage.database import DatabaseRefusedError, DatabaseUnavailableError
from m2m_pipeline.storage.migrate import FrontDoorRoleError
from m2m_pipeline.storage.vault import CredentialUnreadableError, EncryptionKeyError

REJECTED = 2
"""The request does not hold, or the command cannot be understood: trying it again unchanged does not help."""

UNAVAILABLE = 3
"""Something that the command needs does not answer or does not do its work: the message says what helps."""

STATUS: dict[type[Exception], int] = {
    RequestRejectedError: REJECTED,
    UnsupportedIntegrationError: REJECTED,
    BulkChangeUnknownError: REJECTED,
    MessageUnknownError: REJECTED,
    KeyUnknownError: REJECTED,
    DestinationUnknownError: REJECTED,
    NoticeUnknownError: REJECTED,
    NotProcessableError: REJECTED,
    NotWithdrawableError: REJECTED,
    NotRetryableError: REJECTED,
    MissingSettingError: REJECTED,
    EncryptionKeyError: REJECTED,
    CredentialUnreadableError: REJECTED,
    NoDigestTargetError: REJECTED,
    UnprovenExportError: REJECTED,
    TenantUnknownError: REJECTED,
    ValueError: REJECTED,
    DatabaseUnavailableError: UNAVAILABLE,
    DatabaseRefusedError: UNAVAILABLE,
    FrontDoorRoleError: UNAVAILABLE,
    CarrierCallFailedError: UNAVAILABLE,
    LocalServiceError: UNAVAILABLE,
    ArchiveUnavailableError: UNAVAILABLE,
    SecretUnavailableError: UNAVAILABLE,
}


def exit_status(error: Exception, *, as_json: bool) -> int:
    """Tell an error that has a name on stderr; its exit status. Others are raised again."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
    if status is None:
        raise error
    if as_json:
        problems = [problem.as_dict() for problem in error.problems] if isinstance(error, RequestRejectedError) else []
        print(json.dumps({"error": type(error).__name__, "message": str(error), "problems": problems}), file=sys.stderr)
    elif isinstance(error, RequestRejectedError):
        print(f"Rejected, nothing was recorded ({reasons(error.problems)}):", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
    else:
        print(str(error), file=sys.stderr)
    return status


def reasons(problems: Sized) -> str:
    """`1 reason`, `2 reasons`."""
    return f"{len(problems)} reason{'' if len(problems) == 1 else 's'}"
