"""Mutants that alter an answer differ from the real one in exactly what their name says."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from btc_legacy import mutants
from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.mutants import blocks, failures, rates, reads
from btc_legacy.mutants.copies import copied, variant
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
        (reads.OffByOneSat, {".outputs[1].value_sat"}, {"[0].outputs[1].value_sat"}),
        (reads.DroppedWitness, {".inputs[1].witness"}, {"[0].inputs[0].witness"}),
        (reads.CoinbaseWitnessDropped, set(), {"[0].inputs[0].witness"}),
        (reads.SwappedOutputs, _OUTPUTS, {f"[0]{path}" for path in _OUTPUTS}),
        (reads.ReversedTxid, {".txid"}, {"[0].txid"}),
        (reads.TxidForWtxid, {".wtxid"}, {"[0].wtxid"}),
        (reads.SizeIsVsize, {".size"}, {"[0].size"}),
        (reads.NoDiscount, {".weight"}, {"[0].weight"}),
        (blocks.LastDropped, set(), {""}),
        (blocks.StaleTip, set(), set()),
        (failures.WrongErrorKind, set(), set()),
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
    with _with_answers(blocks.StaleTip, result(height)) as backend:
        assert backend.get_block_height() == seen


def test_the_highest_tip_stays_when_blocks_are_taken_back() -> None:
    with _with_answers(blocks.HighestEver, result(7), result(8), result(5)) as backend:
        assert [backend.get_block_height() for _ in range(3)] == [7, 8, 8]


def test_only_not_found_changes_its_kind() -> None:
    answers = [error(-5, "no"), error(-5, "no"), error(-28, "loading")]
    kinds = []
    with _with_answers(failures.WrongErrorKind, *answers) as backend:
        for call in (backend.get_transaction, backend.get_block, backend.get_block):
            with pytest.raises(BitcoinError) as caught:
                call(vectors.UNKNOWN)
            kinds.append(caught.value.kind)
    assert kinds == [ErrorKind.INVALID_INPUT, ErrorKind.INVALID_INPUT, ErrorKind.UNAVAILABLE]


def _fee(backend_class: type[LegacyBackend]) -> int:
    minima = {"bytes": 0, "mempoolminfee": 0.0000151, "minrelaytxfee": 0.0000151}
    with _with_answers(backend_class, result({}), result(minima)) as backend:
        return backend.estimate_fee(6)


@pytest.mark.parametrize(
    ("backend_class", "sat_per_vb"),
    [
        (LegacyBackend, 2),
        (rates.RoundedDown, 1),
        (rates.PerKilobyte, 1510),
        (rates.BelowMinimum, 1),
        (rates.OneMore, 3),
    ],
)
def test_fee_rates_are_wrong_as_named(backend_class: type[LegacyBackend], sat_per_vb: int) -> None:
    assert _fee(backend_class) == sat_per_vb


def test_every_mutant_says_in_one_line_what_it_does() -> None:
    found = 0
    for info in pkgutil.iter_modules(mutants.__path__):
        module = importlib.import_module(f"btc_legacy.mutants.{info.name}")
        for name, kind in vars(module).items():
            is_here = isinstance(kind, type) and kind.__module__ == module.__name__
            if is_here and issubclass(kind, LegacyBackend) and not name.startswith("_"):
                found += 1
                assert kind.__doc__, name
                assert "\n" not in kind.__doc__.strip() or name == "WithWallet", name
    assert found > 90


def _seen() -> str:
    return vectors.SEGWIT_TXID


class _Looks:
    def look(self) -> str:
        return _seen()


def test_a_copy_finds_other_names_and_the_original_does_not() -> None:
    other = variant(_Looks, _seen=lambda: "other")
    assert (other().look(), _Looks().look()) == ("other", vectors.SEGWIT_TXID)
    with pytest.raises(NameError, match="no misspelt"):
        copied(_seen, misspelt=1)
