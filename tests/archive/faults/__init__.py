"""Faults over the archive: kills at named points and an object store that misbehaves, what must hold after each.

`python -m tests.archive.faults` is the campaign. Every operation and every check runs in a process of its own, forked
from one that has opened no client; `work` is what is done, `checks` what must hold, `plants` are bugs to be found.
"""
