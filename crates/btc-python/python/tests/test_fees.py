"""The fee rule: against a slow reference, over a scripted node, and through the host."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.fees import BLOCK_VBYTES, Waiting, compare_rates, mempool_rate
from tests import own_classes
from tests.rpc_server import Answer, ScriptedNode, announced, raw_result, result
from tests.test_host import ask, started

_ON_REGTEST = result({"chain": "regtest"})
_NO_ESTIMATE = result({"errors": ["Insufficient data or no feerate found"], "blocks": 0})
_TWO_BLOCKS = raw_result('{"bytes":2000000,"mempoolminfee":0.00001,"minrelaytxfee":0.000001}')

# Few different fees and sizes, so that rates are often the same or close.
_WAITING = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=40)


def _reference(waiting: list[Waiting], room_vbytes: int) -> int | None:
    """Of all rates, the highest at which what pays as much or more exceeds the room."""
    rates = [Fraction(fee_sat, vsize) for fee_sat, vsize in waiting]
    exceeding = [
        least
        for least in rates
        if sum(vsize for fee_sat, vsize in waiting if Fraction(fee_sat, vsize) >= least)
        > room_vbytes
    ]
    return math.ceil(max(exceeding)) if exceeding else None


@given(_WAITING, st.integers(0, 400))
def test_the_rate_is_the_highest_that_fills_the_room(
    waiting: list[Waiting], room_vbytes: int
) -> None:
    assert mempool_rate(waiting, room_vbytes) == _reference(waiting, room_vbytes)


def test_rates_too_close_for_floats_keep_their_order() -> None:
    # 400,000 sat/vB less 1 / 4,294,967,295 and less 1 / 4,294,967,294.
    high = (400_000 * 4_294_967_295 - 1, 4_294_967_295)
    low = (400_000 * 4_294_967_294 - 1, 4_294_967_294)
    assert high[0] / high[1] == low[0] / low[1]
    assert compare_rates(high, low) > 0 > compare_rates(low, high)
    assert compare_rates(low, low) == 0


def _explain(*answers: Answer, target: Any = 1) -> tuple[Any, ScriptedNode]:
    """What the node's answers lead to, or the error, and the node."""
    with ScriptedNode(_ON_REGTEST, *answers) as node:
        backend = LegacyBackend(Config(network="regtest", rpc_url=node.url, timeout_secs=5))
        try:
            return backend.explain_fee(target), node
        except BitcoinError as failure:
            return failure, node


def _kind(outcome: object) -> ErrorKind:
    assert isinstance(outcome, BitcoinError), outcome
    assert outcome.message[0].islower()
    return outcome.kind


def _estimate(feerate: str) -> Answer:
    return raw_result(f'{{"feerate":{feerate},"blocks":6}}')


def _info(total_vbytes: object, mempool_min: str, relay_min: str) -> Answer:
    return raw_result(
        f'{{"bytes":{total_vbytes},"mempoolminfee":{mempool_min},"minrelaytxfee":{relay_min}}}'
    )


def _mempool(*waiting: Waiting) -> Answer:
    entries = (
        f'"{index:064x}":{{"vsize":{vsize},"fees":{{"base":{fee // 10**8}.{fee % 10**8:08}}}}}'
        for index, (fee, vsize) in enumerate(waiting)
    )
    return raw_result("{" + ",".join(entries) + "}")


@pytest.mark.parametrize(
    ("feerate", "sat_per_vb"),
    [
        ("0.00001000", 1),
        ("0.00001001", 2),
        ("0.00000001", 1),
        ("0.00012345", 13),
        ("0.00029000", 29),
        ("0.000290000000000000000000000000000000", 29),
        ("1e-05", 1),
        ("1", 100_000),
        ("21000000", 2_100_000_000_000),
    ],
)
def test_the_nodes_estimate_is_rounded_up(feerate: str, sat_per_vb: int) -> None:
    outcome, node = _explain(_estimate(feerate), _TWO_BLOCKS, target=6)
    assert outcome == {
        "sat_per_vb": sat_per_vb,
        "source": "core",
        "floor_sat_per_vb": 1,
        "target_blocks": 6,
    }
    assert node.methods[1:] == ["estimatesmartfee", "getmempoolinfo"]
    assert node.requests[1]["params"] == [6, "economical"]


_NO_AMOUNTS = ["-0.00001", "1e999999999", "21000000.00000001", "0.000000001", "1e-999999999"]
_NO_AMOUNTS += ["0.00001" + "0" * 40 + "1", "NaN", "Infinity", '"0.1"', "true", "[]", "{}"]


@pytest.mark.parametrize("feerate", ["0", "0.00000000", *_NO_AMOUNTS])
def test_impossible_estimates_are_not_believed(feerate: str) -> None:
    outcome, _ = _explain(_estimate(feerate), _TWO_BLOCKS)
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize("amount", ["null", *_NO_AMOUNTS])
@pytest.mark.parametrize("estimate", [_NO_ESTIMATE, _estimate("0.00007")], ids=["none", "some"])
def test_impossible_minima_are_not_believed(estimate: Answer, amount: str) -> None:
    for info in (_info(0, amount, "0.00001"), _info(0, "0.00001", amount)):
        outcome, _ = _explain(estimate, info)
        assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize("total_vbytes", ["-1", "1.5", "null", '"1"', "true", "1e3", 2**64])
def test_impossible_sizes_of_a_mempool_are_not_believed(total_vbytes: object) -> None:
    outcome, _ = _explain(_NO_ESTIMATE, _info(total_vbytes, "0.00001", "0.00001"))
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize("answer", ["null", "7", "[]", '"text"'])
def test_answers_of_another_shape_are_not_believed(answer: str) -> None:
    for answers in (
        [raw_result(answer), _TWO_BLOCKS],
        [_NO_ESTIMATE, raw_result(answer)],
        [_NO_ESTIMATE, _TWO_BLOCKS, raw_result(answer)],
        [_NO_ESTIMATE, _TWO_BLOCKS, raw_result(f'{{"aa":{answer}}}')],
        [_NO_ESTIMATE, _TWO_BLOCKS, raw_result(f'{{"aa":{{"vsize":1,"fees":{answer}}}}}')],
    ):
        outcome, _ = _explain(*answers)
        assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize("vsize", ["0", "-1", "1.5", "4294967296", "null", '"1"', "true"])
def test_impossible_sizes_of_an_entry_are_not_believed(vsize: str) -> None:
    entry = raw_result(f'{{"aa":{{"vsize":{vsize},"fees":{{"base":0.1}}}}}}')
    outcome, _ = _explain(_NO_ESTIMATE, _TWO_BLOCKS, entry)
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize("fee", ["null", *_NO_AMOUNTS])
def test_impossible_fees_of_an_entry_are_not_believed(fee: str) -> None:
    entry = raw_result(f'{{"aa":{{"vsize":1,"fees":{{"base":{fee}}}}}}}')
    outcome, _ = _explain(_NO_ESTIMATE, _TWO_BLOCKS, entry)
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("mempool_min", "relay_min", "floor"),
    [
        ("0.00000000", "0.00000000", 1),
        ("0.00000100", "0.00000100", 1),
        ("0.00001000", "0.00005000", 5),
        ("0.00004001", "0.00001000", 5),
    ],
)
def test_the_floor_is_the_higher_minimum_rounded_up(
    mempool_min: str, relay_min: str, floor: int
) -> None:
    info = _info(0, mempool_min, relay_min)
    for estimate, sat_per_vb, source in (
        (_NO_ESTIMATE, floor, "minimum_relay"),
        (_estimate("null"), floor, "minimum_relay"),
        (_estimate("0.00001"), floor, "minimum_relay" if floor > 1 else "core"),
        (_estimate(f"0.{floor:05}"), floor, "core"),
        (_estimate(f"0.{floor + 1:05}"), floor + 1, "core"),
    ):
        outcome, _ = _explain(estimate, info)
        assert (outcome["sat_per_vb"], outcome["source"]) == (sat_per_vb, source)
        assert outcome["floor_sat_per_vb"] == floor


@pytest.mark.parametrize(
    ("waiting", "sat_per_vb", "source"),
    [
        ([(500_000, 600_000), (1_800_001, 600_000), (5_400_000, 600_000)], 4, "mempool"),
        ([(1_800_001, 600_000)], 1, "minimum_relay"),
        ([(9, 1), (8_000_000, BLOCK_VBYTES - 1)], 1, "minimum_relay"),
        ([(9, 1), (8_000_000, BLOCK_VBYTES)], 8, "mempool"),
        ([(0, BLOCK_VBYTES + 1)], 1, "minimum_relay"),
        ([], 1, "minimum_relay"),
    ],
)
def test_without_an_estimate_the_mempool_decides(
    waiting: list[Waiting], sat_per_vb: int, source: str
) -> None:
    outcome, node = _explain(_NO_ESTIMATE, _TWO_BLOCKS, _mempool(*waiting))
    assert (outcome["sat_per_vb"], outcome["source"]) == (sat_per_vb, source)
    assert node.requests[-1]["params"] == [True]


def test_a_mempool_that_fits_is_not_asked_for() -> None:
    for total_vbytes, target, is_asked in (
        (BLOCK_VBYTES, 1, False),
        (BLOCK_VBYTES + 1, 1, True),
        (255 * BLOCK_VBYTES, 255, False),
    ):
        info = _info(total_vbytes, "0.00001", "0.00001")
        outcome, node = _explain(_NO_ESTIMATE, info, _mempool(), target=target)
        assert outcome["source"] == "minimum_relay"
        assert ("getrawmempool" in node.methods) is is_asked


def test_a_mempool_too_long_to_read_is_an_error_that_says_so() -> None:
    outcome, _ = _explain(_NO_ESTIMATE, _TWO_BLOCKS, announced(300 << 20))
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE
    assert "268435456 bytes" in outcome.message


@pytest.mark.parametrize("target", [0, 256, -1, True, "6", 6.0])
def test_wrong_targets_do_not_reach_the_node(target: Any) -> None:
    outcome, node = _explain(target=target)
    assert _kind(outcome) is ErrorKind.INVALID_INPUT
    assert node.methods == ["getblockchaininfo"]


def test_the_plain_number_is_the_explained_one() -> None:
    answers = [_NO_ESTIMATE, _TWO_BLOCKS, _mempool((7_000_001, BLOCK_VBYTES + 1))]
    with ScriptedNode(_ON_REGTEST, *answers, *answers) as node:
        backend = LegacyBackend(Config(network="regtest", rpc_url=node.url, timeout_secs=5))
        assert backend.estimate_fee(1) == backend.explain_fee(1)["sat_per_vb"] == 7


_ESTIMATE = {"sat_per_vb": 3, "source": "mempool", "floor_sat_per_vb": 3, "target_blocks": 6}


@pytest.mark.parametrize("source", ["core", "mempool", "minimum_relay"])
def test_fee_estimates(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    whole = _ESTIMATE | {"source": source}
    monkeypatch.setattr(own_classes.Returning, "value", whole)
    assert ask(started("tests.own_classes:Returning"), "explain_fee", 6) == {"ok": whole}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (3, "result is int 3"),
        (None, "result"),
        ({}, "result.floor_sat_per_vb is missing"),
        (_ESTIMATE | {"sat_per_vb": 2}, "result.sat_per_vb is int 2, not an int from 3"),
        (_ESTIMATE | {"sat_per_vb": 3.5}, "result.sat_per_vb"),
        (_ESTIMATE | {"sat_per_vb": float("nan")}, "result.sat_per_vb"),
        (_ESTIMATE | {"sat_per_vb": 2**64}, "result.sat_per_vb"),
        (_ESTIMATE | {"floor_sat_per_vb": 0}, "result.floor_sat_per_vb"),
        (_ESTIMATE | {"source": "guess"}, "result.source"),
        (_ESTIMATE | {"target_blocks": 256}, "result.target_blocks"),
        (_ESTIMATE | {"more": 1}, "unknown field"),
    ],
)
def test_wrong_fee_estimates(monkeypatch: pytest.MonkeyPatch, value: Any, place: str) -> None:
    monkeypatch.setattr(own_classes.Returning, "value", value)
    error = ask(started("tests.own_classes:Returning"), "explain_fee", 6)["error"]
    assert error["kind"] == "invalid_response"
    assert place in error["message"]


def test_a_class_from_before_fees_were_explained_still_serves() -> None:
    host = started("btc_legacy.planted:Raises")
    assert ask(host, "estimate_fee", 6) == {"ok": 1}
    assert ask(host, "explain_fee", 6)["error"]["kind"] == "unsupported"


def test_parameters_are_judged_as_those_of_the_plain_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = started("tests.own_classes:Raising")
    monkeypatch.setattr(own_classes.Raising, "error", ValueError("no such target"))
    assert ask(host, "explain_fee", 0)["error"]["kind"] == "invalid_input"
    assert ask(host, "explain_fee", 1)["error"]["kind"] == "internal"
    assert "params[0]" in ask(host, "explain_fee", 256)["error"]["message"]
