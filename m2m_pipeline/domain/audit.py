"""What is written into the audit log, and by which name."""

from enum import StrEnum


class AuditKind(StrEnum):
    """The closed list of entries."""

    REQUEST_RECORDED = "REQUEST_RECORDED"  # a bulk change was accepted
    PROCESSING_REQUESTED = "PROCESSING_REQUESTED"  # somebody queued a bulk change that was only recorded
    ATTEMPT_STARTED = "ATTEMPT_STARTED"  # a run took the lease
    ATTEMPT_ABANDONED = "ATTEMPT_ABANDONED"  # the sweeper gave an attempt up, and what it did instead
    RETRY_REQUESTED = "RETRY_REQUESTED"  # a person queued the refused devices of an ended bulk change again
    CARRIER_CALL = "CARRIER_CALL"  # one change call and its answer
    CARRIER_READ = "CARRIER_READ"  # what a reading back or a verification found
    AMOP_UPDATE = "AMOP_UPDATE"  # the inventory followed the carrier, or could not
    DEVICE_ENDED = "DEVICE_ENDED"  # a device ended without an effective change, and why
    BULK_CHANGE_ENDED = "BULK_CHANGE_ENDED"  # the end of a bulk change, with its counts
    CARRIER_SIGN_IN_FAILED = "CARRIER_SIGN_IN_FAILED"  # security: the carrier or a rule kept us out
    PROVIDER_CONFIGURED = "PROVIDER_CONFIGURED"  # security: an account was added or changed
    CREDENTIAL_CHANGED = "CREDENTIAL_CHANGED"  # security: a carrier credential was stored
    DRIFT_REPAIRED = "DRIFT_REPAIRED"  # AMOP took over what the carrier shows of a device
    SIGN_IN_FAILED = "SIGN_IN_FAILED"  # security: a key, token or sign-in of somebody does not hold
    SIGNED_IN = "SIGNED_IN"  # security: somebody signed in at the page
    PERMISSION_DENIED = "PERMISSION_DENIED"  # security: beyond what a role grants, or by a form not our own
    KEY_CREATED = "KEY_CREATED"  # security: an API key was made
    KEY_REVOKED = "KEY_REVOKED"  # security: an API key holds no more
    DESTINATION_CHANGED = "DESTINATION_CHANGED"  # security: where notices go, or what signs them, was changed
    RECORDS_PURGED = "RECORDS_PURGED"  # what the retention removed, and from before when
