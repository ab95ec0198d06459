"""Each planted backend differs from the real one in exactly what its name says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from btc_legacy import planted
from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from tests import vectors
from tests.rpc_server import Answer, ScriptedNode, error, result

_ON_REGTEST = result({"chain": "regtest"})
_TX = result({"hex": vectors.SEGWIT_TX})


@contextmanager
def _with_answers(backend_class: type[LegacyBackend], *answers: Answer) -> Iterator[LegacyBackend]:
    with ScriptedNode(_ON_REGTEST, *answers) as node:
        yield backend_class(Config(network="regtest", rpc_url=node.url))


def _differences(left: Any, right: Any, path: str = "") -> set[str]:
    if isinstance(left, dict):
        return {
            found for key in left for found in _differences(left[key], right[key], f"{path}.{key}")
        }
    if isinstance(left, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return {found for i, (a, b) in pairs for found in _differences(a, b, f"{path}[{i}]")}
    return set() if left == right else {path}


def _transaction(backend_class: type[LegacyBackend]) -> Any:
    with _with_answers(backend_class, _TX) as backend:
        return backend.get_transaction(vectors.SEGWIT_TXID)


def _block(backend_class: type[LegacyBackend]) -> Any:
    with _with_answers(backend_class, result(vectors.REGTEST_BLOCK)) as backend:
        return backend.get_block(vectors.REGTEST_HASH)


_OUTPUTS = {
    f".outputs[{index}].{field}" for index in (0, 1) for field in ("value_sat", "script_pubkey")
}


@pytest.mark.parametrize(
    ("backend_class", "in_transaction", "in_block"),
    [
        (planted.OffByOneSat, {".outputs[1].value_sat"}, {"[0].outputs[1].value_sat"}),
        (planted.DroppedWitness, {".inputs[1].witness"}, {"[0].inputs[0].witness"}),
        (planted.SwappedOutputs, _OUTPUTS, {f"[0]{path}" for path in _OUTPUTS}),
        (planted.ReversedTxid, {".txid"}, {"[0].txid"}),
        (planted.StaleTip, set(), set()),
        (planted.WrongErrorKind, set(), set()),
    ],
)
def test_transactions_differ_in_one_place(
    backend_class: type[LegacyBackend], in_transaction: set[str], in_block: set[str]
) -> None:
    true_transaction, true_block = _transaction(LegacyBackend), _block(LegacyBackend)
    assert _differences(true_transaction, _transaction(backend_class)) == in_transaction
    assert _differences(true_block, _block(backend_class)) == in_block


@pytest.mark.parametrize(("height", "seen"), [(7, 6), (0, 0)])
def test_a_stale_tip_lags_one_block_behind(height: int, seen: int) -> None:
    with _with_answers(planted.StaleTip, result(height)) as backend:
        assert backend.get_block_height() == seen


def test_only_not_found_changes_its_kind() -> None:
    answers = [error(-5, "no"), error(-5, "no"), error(-28, "loading")]
    kinds = []
    with _with_answers(planted.WrongErrorKind, *answers) as backend:
        for call in (backend.get_transaction, backend.get_block, backend.get_block):
            with pytest.raises(BitcoinError) as caught:
                call(vectors.UNKNOWN)
            kinds.append(caught.value.kind)
    assert kinds == [ErrorKind.INVALID_INPUT, ErrorKind.INVALID_INPUT, ErrorKind.UNAVAILABLE]
