"""Schemas of the facts that the kernel itself states in every domain; their classes are in `eventlog.message`."""
