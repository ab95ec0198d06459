"""`BitcoinError` and the kinds of failure that both implementations share."""

from __future__ import annotations

from enum import Enum


class ErrorKind(str, Enum):
    """What a caller may want to treat differently; errors are compared by kind, never by text."""

    NOT_FOUND = "not_found"
    """The node does not have what was asked for."""
    INVALID_INPUT = "invalid_input"
    """The caller's input is malformed; asking again cannot help."""
    REJECTED = "rejected"
    """The node understood and refuses, with a reason."""
    UNAVAILABLE = "unavailable"
    """Nobody answers: connection refused or lost, or the node is warming up."""
    AUTH = "auth"
    """The credentials are wrong or missing. Retrying cannot help."""
    TIMEOUT = "timeout"
    """No answer within the time allowed; the outcome is unknown."""
    UNSUPPORTED = "unsupported"
    """This implementation does not offer the operation."""
    CONFIGURATION = "configuration"
    """The configuration is wrong or something it names is missing."""
    INVALID_RESPONSE = "invalid_response"
    """The node or a backend answered something that is not what the protocol says."""
    INTERNAL = "internal"
    """A defect of the implementation."""


class BitcoinError(Exception):
    """A failure with its kind and a message that says what to do. Never holds a secret.

    `context` are values at hand, each with its name, such as the amount that is missing.
    """

    def __init__(self, kind: ErrorKind | str, message: str, **context: object) -> None:
        super().__init__(message)
        self.kind = ErrorKind(kind)
        self.message = message
        self.context = {name: str(value) for name, value in context.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.value!r}, {self.message!r})"
