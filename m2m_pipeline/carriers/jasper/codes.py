"""Every error code of the Jasper REST API that is publicly known, and what follows from it.

Cisco documents the form of an error, `{"errorMessage", "errorCode"}`, but publishes no list of codes. Each
row therefore names who does: GXF, the enum JasperError of the GXF Open Smart Grid Platform (Apache-2.0); CU,
a public client for China Unicom's Jasper with its full table; AE, the API Evangelist profile of Rogers; 3P,
other clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from m2m_pipeline.domain.outcome import Scope
from m2m_pipeline.domain.reasons import ReasonCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """The carrier did nothing; why, and for whom that holds."""

    reason: ReasonCode
    scope: Scope


class Open(Enum):
    """The code refuses nothing for good."""

    THROTTLED = auto()  # turned away at the gate: nothing was done, come back later
    OUTCOME_UNKNOWN = auto()  # it failed on the way: the change may have been made


@dataclass(frozen=True, slots=True)
class JasperError:
    """One code: what it says, and what we conclude."""

    meaning: str
    verdict: Refusal | Open


SIGN_IN = Refusal(ReasonCode.CARRIER_SIGN_IN_REFUSED, Scope.ACCOUNT)
ROLE = Refusal(ReasonCode.CARRIER_ROLE_REFUSED, Scope.ACCOUNT)
WRONG_API = Refusal(ReasonCode.CARRIER_REQUEST_REFUSED, Scope.ACCOUNT)
RATE_PLAN = Refusal(ReasonCode.CARRIER_RATE_PLAN_REFUSED, Scope.REQUEST)
COMMUNICATION_PLAN = Refusal(ReasonCode.CARRIER_COMMUNICATION_PLAN_REFUSED, Scope.REQUEST)
# The same fields go out for every device of a bulk change, so what is wrong with one body is wrong with all.
FORM = Refusal(ReasonCode.CARRIER_REQUEST_REFUSED, Scope.REQUEST)
UNKNOWN_DEVICE = Refusal(ReasonCode.CARRIER_DEVICE_UNKNOWN, Scope.DEVICE)
# Also for codes about what we never send (texts, usage, custom fields): surprising, and no reason to stop the
# others.
THIS_DEVICE = Refusal(ReasonCode.CARRIER_REFUSED, Scope.DEVICE)

ERRORS: Mapping[str, JasperError] = {
    "10000001": JasperError("credentials invalid, or caller's IP not allowed", SIGN_IN),  # 401: GXF, AE
    "10000002": JasperError("account id missing", FORM),  # CU
    "10000003": JasperError("date or time missing", FORM),  # 400: CU, 3P
    "10000004": JasperError("account id invalid", FORM),  # CU
    "10000005": JasperError("SIM status invalid", FORM),  # CU
    "10000006": JasperError("page size invalid", FORM),  # CU
    "10000007": JasperError("page number invalid", FORM),  # CU
    "10000008": JasperError("role may not edit operator custom fields", THIS_DEVICE),  # CU
    "10000009": JasperError("role may not edit account custom fields", THIS_DEVICE),  # CU
    "10000010": JasperError("role may not edit customer custom fields", THIS_DEVICE),  # CU
    "10000011": JasperError("required field missing", FORM),  # CU
    "10000012": JasperError("date format invalid", FORM),  # CU
    "10000013": JasperError("rate plan invalid", RATE_PLAN),  # CU
    "10000014": JasperError("communication plan invalid", COMMUNICATION_PLAN),  # CU
    "10000015": JasperError("customer invalid", FORM),  # CU
    "10000016": JasperError("overage limit override invalid", FORM),  # CU
    "10000017": JasperError("SMS encoding invalid", THIS_DEVICE),  # 400: GXF
    "10000018": JasperError("SMS data coding invalid", THIS_DEVICE),  # 400: GXF
    "10000019": JasperError("SMS validity period invalid", THIS_DEVICE),  # 400: GXF
    "10000020": JasperError("SMS text too long", THIS_DEVICE),  # 400: GXF
    "10000021": JasperError("ICCID invalid", UNKNOWN_DEVICE),  # CU
    "10000022": JasperError("from date missing", THIS_DEVICE),  # CU
    "10000023": JasperError("JSON not well formed", FORM),  # 400: GXF
    "10000024": JasperError("API version invalid", WRONG_API),  # 400: GXF; the version is in every path
    "10000025": JasperError("device id not found", THIS_DEVICE),  # CU
    "10000026": JasperError("modem id not found", THIS_DEVICE),  # CU
    "10000027": JasperError("to date before from date", THIS_DEVICE),  # CU
    "10000028": JasperError("unrecognised parameter", FORM),  # 400: GXF; one unknown key fails the whole PUT
    "10000029": JasperError("SIM may not return to a pre-activation status", THIS_DEVICE),  # CU, 3P
    "10000030": JasperError("role has no access to this function", ROLE),  # 400: GXF
    "10000031": JasperError("zone invalid", THIS_DEVICE),  # 400: GXF, CU
    "10000032": JasperError("cycle start date too old", THIS_DEVICE),  # 400: GXF, CU
    "10000049": JasperError("more than 365 days of history", THIS_DEVICE),  # 400: GXF, CU
    "10030000": JasperError("SIM is already active", THIS_DEVICE),  # status changes only: 3P
    "20000001": JasperError("ICCID not found, or of another account", UNKNOWN_DEVICE),  # 404: GXF, CU
    "20000002": JasperError("SMS id not found", THIS_DEVICE),  # CU
    "30000001": JasperError("unknown server error", Open.OUTCOME_UNKNOWN),  # 500: GXF
    "30000002": JasperError("could not submit to the SMS centre", Open.OUTCOME_UNKNOWN),  # 500: GXF
    "40000029": JasperError("rate limit exceeded", Open.THROTTLED),  # HTTP status not known: CU, 3P
}
