"""Planted bugs, a module each: `plant()` patches the product in the worker that runs it. Nothing else reads them."""
