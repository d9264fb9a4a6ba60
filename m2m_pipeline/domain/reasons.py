"""Every reason why a request, a row or a device does not go through, as one table.

Code, result document, command line, docs and tests read `REASONS`; nowhere else is a reason worded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """The closed vocabulary. The name is what a client may rely on; the wording may change."""

    # The request as a whole.
    PROVIDER_UNKNOWN = "PROVIDER_UNKNOWN"
    PROVIDER_UNSUPPORTED = "PROVIDER_UNSUPPORTED"
    CHANGE_TYPE_UNSUPPORTED = "CHANGE_TYPE_UNSUPPORTED"
    RATE_PLAN_MISSING = "RATE_PLAN_MISSING"
    RATE_PLAN_UNKNOWN = "RATE_PLAN_UNKNOWN"
    COMMUNICATION_PLAN_UNKNOWN = "COMMUNICATION_PLAN_UNKNOWN"
    EFFECTIVE_DATE_MALFORMED = "EFFECTIVE_DATE_MALFORMED"
    EFFECTIVE_DATE_PAST = "EFFECTIVE_DATE_PAST"
    EFFECTIVE_DATE_TOO_FAR = "EFFECTIVE_DATE_TOO_FAR"
    NO_DEVICES = "NO_DEVICES"
    TOO_MANY_DEVICES = "TOO_MANY_DEVICES"
    TOO_MANY_OPEN_CHANGES = "TOO_MANY_OPEN_CHANGES"
    FIELD_INVALID = "FIELD_INVALID"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_NOT_UTF8 = "FILE_NOT_UTF8"
    FILE_HEADER_WRONG = "FILE_HEADER_WRONG"
    FILE_MALFORMED = "FILE_MALFORMED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    # Single rows.
    ICCID_MALFORMED = "ICCID_MALFORMED"
    ICCID_SPREADSHEET_DAMAGE = "ICCID_SPREADSHEET_DAMAGE"
    DUPLICATE = "DUPLICATE"
    NOT_IN_INVENTORY = "NOT_IN_INVENTORY"
    OPEN_CHANGE = "OPEN_CHANGE"
    ALREADY_ON_PLAN = "ALREADY_ON_PLAN"
    DEVICE_ROW_INVALID = "DEVICE_ROW_INVALID"
    # What the carrier said of one device.
    CARRIER_DEVICE_UNKNOWN = "CARRIER_DEVICE_UNKNOWN"
    CARRIER_REFUSED = "CARRIER_REFUSED"
    ACCEPTED_NOT_APPLIED = "ACCEPTED_NOT_APPLIED"
    PLAN_CONFLICT = "PLAN_CONFLICT"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    SCHEDULED = "SCHEDULED"
    # What the carrier said of the whole request or account.
    CARRIER_RATE_PLAN_REFUSED = "CARRIER_RATE_PLAN_REFUSED"
    CARRIER_COMMUNICATION_PLAN_REFUSED = "CARRIER_COMMUNICATION_PLAN_REFUSED"
    CARRIER_REQUEST_REFUSED = "CARRIER_REQUEST_REFUSED"
    CARRIER_SIGN_IN_REFUSED = "CARRIER_SIGN_IN_REFUSED"
    CARRIER_ROLE_REFUSED = "CARRIER_ROLE_REFUSED"
    CARRIER_RATE_LIMITED = "CARRIER_RATE_LIMITED"
    CARRIER_UNREACHABLE = "CARRIER_UNREACHABLE"
    CREDENTIAL_MISSING = "CREDENTIAL_MISSING"
    CREDENTIAL_UNREADABLE = "CREDENTIAL_UNREADABLE"
    CREDENTIAL_REFERENCE_BROKEN = "CREDENTIAL_REFERENCE_BROKEN"
    CREDENTIAL_STORE_UNREACHABLE = "CREDENTIAL_STORE_UNREACHABLE"
    WRITES_DISABLED = "WRITES_DISABLED"
    # Ourselves.
    WITHDRAWN = "WITHDRAWN"
    AMOP_UPDATE_FAILED = "AMOP_UPDATE_FAILED"
    RUN_ATTEMPTS_EXHAUSTED = "RUN_ATTEMPTS_EXHAUSTED"


@dataclass(frozen=True, slots=True)
class Reason:
    """What a reason means (`title`), whether sending the same again can help, and what a person does next."""

    title: str
    retry_helps: bool
    next_step: str


REASONS: Mapping[ReasonCode, Reason] = {
    ReasonCode.PROVIDER_UNKNOWN: Reason(
        "unknown service provider", False, "Use a name from `m2m provider list`, or add it with `m2m provider set`."
    ),
    ReasonCode.PROVIDER_UNSUPPORTED: Reason(
        "unsupported service provider", False, "Choose a provider whose integration type has a carrier adapter."
    ),
    ReasonCode.CHANGE_TYPE_UNSUPPORTED: Reason(
        "unsupported change type", False, "Send ChangeType 7, the carrier rate plan change."
    ),
    ReasonCode.RATE_PLAN_MISSING: Reason("no rate plan", False, "Name the carrier rate plan to move to."),
    ReasonCode.RATE_PLAN_UNKNOWN: Reason(
        "unknown rate plan", False, "Check the spelling, or load the provider's plans with `m2m plans import`."
    ),
    ReasonCode.COMMUNICATION_PLAN_UNKNOWN: Reason(
        "unknown communication plan", False, "Check the spelling, or load the provider's plans with `m2m plans import`."
    ),
    ReasonCode.EFFECTIVE_DATE_MALFORMED: Reason(
        "malformed effective date", False, "Write an ISO 8601 date, such as 2026-12-01."
    ),
    ReasonCode.EFFECTIVE_DATE_PAST: Reason(
        "effective date in the past", False, "Leave it out for now, or choose a day to come."
    ),
    ReasonCode.EFFECTIVE_DATE_TOO_FAR: Reason(
        "effective date too far ahead", False, "Choose a day within the carrier's horizon."
    ),
    ReasonCode.NO_DEVICES: Reason("no devices", False, "List at least one ICCID."),
    ReasonCode.TOO_MANY_DEVICES: Reason(
        "too many devices", False, "Split the list, or have the tenant's limit raised."
    ),
    ReasonCode.TOO_MANY_OPEN_CHANGES: Reason(
        "too many open bulk changes", True, "Wait until some have ended, or have the tenant's limit raised."
    ),
    ReasonCode.FIELD_INVALID: Reason("invalid field", False, "Correct the field as its message says."),
    ReasonCode.FILE_TOO_LARGE: Reason("file too large", False, "Split the file."),
    ReasonCode.FILE_NOT_UTF8: Reason("wrong encoding", False, "Save the file as UTF-8 (CSV UTF-8 in a spreadsheet)."),
    ReasonCode.FILE_HEADER_WRONG: Reason(
        "wrong header", False, "Name the columns in the first line of the file, as the message says."
    ),
    ReasonCode.FILE_MALFORMED: Reason(
        "malformed file", False, "Correct the line that is named and send the file again."
    ),
    ReasonCode.IDEMPOTENCY_CONFLICT: Reason(
        "idempotency key used for another request", False, "Use a new key for a new request."
    ),
    ReasonCode.ICCID_MALFORMED: Reason(
        "malformed ICCID", False, "Write the 18 to 22 digits of the ICCID, and nothing else."
    ),
    ReasonCode.ICCID_SPREADSHEET_DAMAGE: Reason(
        "ICCID damaged by a spreadsheet",
        False,
        "Format the column as text and paste the ICCIDs again from their source.",
    ),
    ReasonCode.DUPLICATE: Reason("duplicate line", False, "Nothing to do: the first line of the device counts."),
    ReasonCode.NOT_IN_INVENTORY: Reason(
        "not in the inventory",
        False,
        "Check the ICCID and provider, or load the device with `m2m devices import` or `sync`.",
    ),
    ReasonCode.OPEN_CHANGE: Reason(
        "device has an open change", True, "Wait until the other bulk change has ended, then send this device again."
    ),
    ReasonCode.ALREADY_ON_PLAN: Reason("already on the plan", False, "Nothing to do."),
    ReasonCode.DEVICE_ROW_INVALID: Reason(
        "stored device row is invalid", False, "Correct the device in the inventory, then send it again."
    ),
    ReasonCode.CARRIER_DEVICE_UNKNOWN: Reason(
        "unknown at the carrier", False, "Check the ICCID and the account: the SIM may have been moved or removed."
    ),
    ReasonCode.CARRIER_REFUSED: Reason("refused by the carrier", False, "See the carrier's code and message."),
    ReasonCode.ACCEPTED_NOT_APPLIED: Reason(
        "accepted but not applied", False, "Read the device's audit trail at the carrier before trying again."
    ),
    ReasonCode.PLAN_CONFLICT: Reason(
        "carrier shows a third plan", False, "Somebody else changed the device: decide which plan is meant."
    ),
    ReasonCode.ATTEMPTS_EXHAUSTED: Reason(
        "not applied after all attempts", True, "Send the device again when the carrier is steady."
    ),
    ReasonCode.OUTCOME_UNKNOWN: Reason(
        "outcome unknown", False, "Reconciliation reads the device back; do not send it again before."
    ),
    ReasonCode.SCHEDULED: Reason(
        "accepted for a later date",
        False,
        "Nothing to do: reconciliation confirms it once the date has come.",
    ),
    ReasonCode.CARRIER_RATE_PLAN_REFUSED: Reason(
        "carrier refuses the rate plan", False, "Check the plan's name at the carrier; it holds for every device."
    ),
    ReasonCode.CARRIER_COMMUNICATION_PLAN_REFUSED: Reason(
        "carrier refuses the communication plan",
        False,
        "Check the plan's name at the carrier; it holds for every device.",
    ),
    ReasonCode.CARRIER_REQUEST_REFUSED: Reason(
        "carrier refuses the form of the request",
        False,
        "Report it with the carrier's code: it holds for every device.",
    ),
    ReasonCode.CARRIER_SIGN_IN_REFUSED: Reason(
        "carrier refuses the sign-in", False, "Check user name, API key and the caller's IP range with the carrier."
    ),
    ReasonCode.CARRIER_ROLE_REFUSED: Reason(
        "API user's role has no access", False, "Have the carrier grant the role to the API user."
    ),
    ReasonCode.CARRIER_RATE_LIMITED: Reason(
        "carrier asks to slow down", True, "Nothing to do: the device waits its turn."
    ),
    ReasonCode.CARRIER_UNREACHABLE: Reason("carrier not reachable", True, "Try again when the carrier answers."),
    ReasonCode.CREDENTIAL_MISSING: Reason(
        "no carrier credential", False, "Store it with `m2m provider set NAME --username U --api-key-file F`."
    ),
    ReasonCode.CREDENTIAL_UNREADABLE: Reason(
        "carrier credential cannot be decrypted",
        False,
        "Restore the key in M2M_ENCRYPTION_KEYS, or store the credential again.",
    ),
    ReasonCode.CREDENTIAL_REFERENCE_BROKEN: Reason(
        "carrier credential is not where its reference says",
        False,
        "Correct the secret, its policy, or the reference: `m2m provider set NAME --username U --api-key-ref R`.",
    ),
    ReasonCode.CREDENTIAL_STORE_UNREACHABLE: Reason(
        "secret store not reachable", True, "Try again when AWS Secrets Manager answers."
    ),
    ReasonCode.WRITES_DISABLED: Reason(
        "writes are disabled for the provider", False, "Enable them with `m2m provider set NAME --writes`."
    ),
    ReasonCode.WITHDRAWN: Reason(
        "withdrawn before it was started", False, "Nothing to do; if it is wanted after all, make a new bulk change."
    ),
    ReasonCode.AMOP_UPDATE_FAILED: Reason(
        "changed at the carrier, AMOP not updated",
        True,
        "Reconciliation drives the update again; nothing is sent twice.",
    ),
    ReasonCode.RUN_ATTEMPTS_EXHAUSTED: Reason(
        "no run came to an end",
        True,
        "Read the failed runs in Dagster, mend what ended them, then `m2m retry ID`.",
    ),
}

ROW_FAULTS: frozenset[ReasonCode] = frozenset(
    {
        ReasonCode.ICCID_MALFORMED,
        ReasonCode.ICCID_SPREADSHEET_DAMAGE,
        ReasonCode.DUPLICATE,
        ReasonCode.DEVICE_ROW_INVALID,
    }
)
"""Faults of a row as it was written: no retry helps. Every other refusal is about a world that may have moved."""
