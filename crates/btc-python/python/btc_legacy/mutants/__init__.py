"""Faulty copies of the implementation, each with one subtle fault that shadow mode must catch.

`PYTHON_BACKEND=btc_legacy.mutants.reads:OffByOneSat` puts one behind the interface;
`docs/mutants.md` lists all of them with the place where each must be caught. They are for tests.
"""
