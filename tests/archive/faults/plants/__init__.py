"""Planted bugs of the archive, a module each: `plant()` patches the product. `_table` says what finds them."""
