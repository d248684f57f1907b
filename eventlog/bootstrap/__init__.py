"""Brings an empty cluster to where the archive says that another one was: every record at the offset that it had.

`refill` writes one partition, `schemas` has the registry give each schema the id that values name, `whole` is all of it
in the order in which it can be interrupted and done again.
"""
