"""Secrets that are kept elsewhere: where one is, and who reads it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

SCHEME = "aws-sm:"
"""AWS Secrets Manager."""

_NAME = re.compile(r"(?:arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:)?[\w/+=.@-]{1,512}", re.ASCII)


class InvalidSecretReferenceError(ValueError):
    """The text is no reference to a secret. The message says what one is, without repeating the text."""

    def __init__(self) -> None:
        super().__init__(
            f"the reference to a secret must be {SCHEME}NAME-OR-ARN, or {SCHEME}NAME-OR-ARN#KEY for one text of a JSON "
            "object, such as aws-sm:prod/att#api_key. Trying again does not help: correct it."
        )


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is in AWS Secrets Manager. No secret itself: it may be shown."""

    name: str  # or ARN
    key: str | None = None  # which text of the JSON object that the secret is; None: the secret is the text

    @classmethod
    def parse(cls, text: str) -> Self:
        """`aws-sm:NAME-OR-ARN[#KEY]`.

        Raises:
            InvalidSecretReferenceError: it is anything else.

        """
        name, sharp, key = text.strip().removeprefix(SCHEME).partition("#")
        if not text.strip().startswith(SCHEME) or not _NAME.fullmatch(name) or bool(sharp) != bool(key):
            raise InvalidSecretReferenceError
        return cls(name, key or None)

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}#{self.key}" if self.key else f"{SCHEME}{self.name}"


class SecretUnavailableError(Exception):
    """A secret cannot be had from where it is kept. The message says why and what to see to, and nothing of the secret.

    `retry_helps`: its keeper does not answer; otherwise the secret, the reference or a permission is to be corrected.
    """

    def __init__(self, message: str, *, retry_helps: bool) -> None:
        self.retry_helps = retry_helps
        super().__init__(message)


SecretReader = Callable[[SecretReference], str]
"""The secret in clear, read now; raises SecretUnavailableError."""
