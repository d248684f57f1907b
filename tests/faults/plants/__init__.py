"""Planted bugs, a module each: `plant()` patches the product in its worker. `_table` says what finds them."""
