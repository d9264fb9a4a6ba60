"""Commands that people are told to type: written once as templates, and told with what they are about."""

import re
import shlex
from collections.abc import Mapping

DEFAULT_TENANT = "default"
"""The tenant that the command line means where none is named."""

Words = Mapping[str, str | None]
"""What stands in a template for a placeholder: `ID`, `NAME` (a provider), `N` (a destination), `TENANT`.

A tenant of None means the operators of the platform.
"""

_TENANT = " --tenant TENANT"
_PLACEHOLDER = re.compile(rf"{_TENANT}\b|\b(?:ID|NAME|N)\b")
_COMMAND = re.compile(r"`(m2m [^`]+)`")


def command(template: str, words: Words) -> str:
    """The command as it is typed in a shell; a placeholder of which nothing is known stays."""
    return _PLACEHOLDER.sub(lambda found: _put(found[0], words), template)


def sentence(text: str, words: Words) -> str:
    """The text with each command in it, between backticks, as it is typed."""
    return _COMMAND.sub(lambda found: f"`{command(found[1], words)}`", text)


def _put(placeholder: str, words: Words) -> str:
    if placeholder == _TENANT and "TENANT" in words:
        return _option(words["TENANT"])
    word = words.get(placeholder)
    return placeholder if word is None else shlex.quote(word)


def _option(tenant: str | None) -> str:
    if tenant is None:
        return " --operators"
    return "" if tenant == DEFAULT_TENANT else f" --tenant {shlex.quote(tenant)}"
