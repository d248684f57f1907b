"""Runs contestants in turn on one stack, and says what came of it."""
