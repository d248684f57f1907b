"""Contests, one module each: every `CONTEST` in here is found by the name of its module."""
