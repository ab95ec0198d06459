"""The Python implementation of the Bitcoin interface, over Bitcoin Core and python-bitcoinlib."""

PROTOCOL_VERSION = 2
"""The version of the JSON protocol between the Rust side and `btc_legacy.host`."""
