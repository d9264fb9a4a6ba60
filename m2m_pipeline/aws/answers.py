"""What AWS's answers and silences have in common, whichever service it is. Their words stay out of our messages."""

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_DENIED = {401, 403}
# Services with a JSON protocol say so with HTTP 400.
_DENIED_CODES = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
_TRY_AGAIN = {429, 500, 502, 503, 504}


def code_of(error: ClientError) -> str:
    """The error's code, '' where the answer has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def denies(error: ClientError) -> bool:
    """Whether AWS does not let us in."""
    return _status(error) in _DENIED or code_of(error) in _DENIED_CODES


def passes(error: ClientError) -> bool:
    """Whether the trouble is AWS's, and the same call may succeed later."""
    return _status(error) in _TRY_AGAIN or "Throttl" in code_of(error)


def _status(error: ClientError) -> int | None:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
