"""The wallet: keys, coins and payments, as `docs/wallet.md` lays down for both implementations."""

from btc_legacy.wallet.wallet import Wallet

__all__ = ["Wallet"]
