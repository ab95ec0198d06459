"""What Bitcoin Core's error codes mean in the interface's kinds."""

from __future__ import annotations

import re

from btc_legacy.errors import ErrorKind

_KINDS = {
    -5: ErrorKind.NOT_FOUND,
    -8: ErrorKind.INVALID_INPUT,
    -22: ErrorKind.INVALID_INPUT,
    -25: ErrorKind.REJECTED,
    -26: ErrorKind.REJECTED,
    -27: ErrorKind.REJECTED,
    -28: ErrorKind.UNAVAILABLE,
    -32601: ErrorKind.UNSUPPORTED,
}

MISC_ERROR = -1
INTERNAL_ERROR = -32603

# python-bitcoinlib makes up this code when the body is not JSON; the HTTP status is in its text.
NOT_JSON = -342
_HTTP_STATUS = re.compile(r"non-JSON HTTP response with '(\d{3})\b")

# Seen with code -1 in `getblock`: all say that the header is known and the block is not stored.
_BLOCK_MISSING = re.compile(
    r"pruned data|block not available|block not found on disk", re.IGNORECASE
)

MAX_REASON_CHARS = 500


def explain(code: object, reason: object) -> tuple[ErrorKind, str]:
    """Turns an error object of Core, or one made up by python-bitcoinlib, into kind and message."""
    text = str(reason)[:MAX_REASON_CHARS]
    if code == NOT_JSON and (status := _HTTP_STATUS.search(text)):
        return explain_http(int(status[1]))
    if code == MISC_ERROR and _BLOCK_MISSING.search(text):
        return (
            ErrorKind.NOT_FOUND,
            f"the node does not store this block ({text}): ask a node that runs without -prune",
        )
    kind = _KINDS.get(code) if isinstance(code, int) else None
    if kind is None:
        return ErrorKind.INVALID_RESPONSE, f"the node answered with error {code}: {text}"
    if kind is ErrorKind.UNAVAILABLE:
        return kind, f"the node is warming up, try again later: {text}"
    if kind is ErrorKind.REJECTED:
        return kind, f"the node rejected the transaction: {text}"
    return kind, f"the node answered: {text}"


def explain_http(status: int) -> tuple[ErrorKind, str]:
    """Turns the HTTP status of an answer without a JSON body into kind and message."""
    if status == 401:
        return (
            ErrorKind.AUTH,
            "the node refused the credentials (http 401): check rpc_user and rpc_password "
            "(BITCOIN_RPC_USER, BITCOIN_RPC_PASSWORD) or rpc_cookie_file "
            "(BITCOIN_RPC_COOKIE_FILE)",
        )
    if status == 403:
        return (
            ErrorKind.AUTH,
            "the node forbids the call (http 403): check rpcallowip and rpcwhitelist in "
            "the node's bitcoin.conf",
        )
    if status == 503:
        return ErrorKind.UNAVAILABLE, "the node is too busy (http 503): try again later"
    return (
        ErrorKind.INVALID_RESPONSE,
        f"the answer is not json-rpc (http {status}): check that rpc_url (BITCOIN_RPC_URL) "
        "is the node's rpc port",
    )
