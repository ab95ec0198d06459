"""Copies of functions and classes that find other names than the originals do.

A fault deep in the implementation is a copy of the few functions on the way to it; the originals
stay as they are, for whoever uses them at the same time.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar, TypeVar, cast

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.wallet import Wallet

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class")


def copied(function: _Function, **names: object) -> _Function:
    """A copy of a function that finds these names in place of its module's."""
    original = cast(FunctionType, function)
    if unknown := [
        name for name in names if name not in original.__globals__ and not hasattr(builtins, name)
    ]:
        raise NameError(f"{original.__module__} has no {unknown[0]}: name what the copy looks up")
    copy = FunctionType(
        original.__code__,
        {**original.__globals__, **names},
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
    copy.__kwdefaults__ = original.__kwdefaults__
    return cast(_Function, copy)


def variant(kind: type[_Class], **names: object) -> type[_Class]:
    """A subclass whose methods are such copies; those that a decorator wraps stay as they are."""
    methods = {
        name: copied(member, **names)
        for name, member in vars(kind).items()
        if isinstance(member, FunctionType) and not hasattr(member, "__wrapped__")
    }
    return type(kind.__name__, (kind,), methods)


class WithWallet(LegacyBackend):
    """A backend with another class of wallet."""

    wallet_class: ClassVar[type[Wallet]] = Wallet

    def __init__(self, config: Config) -> None:
        """As the original."""
        copied(LegacyBackend.__init__, Wallet=self.wallet_class)(self, config)
