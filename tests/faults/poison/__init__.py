"""Poison: records that nobody can read, among commands, facts and prices that must not suffer for them."""
