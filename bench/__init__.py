"""The product beside its peers, in numbers that anyone can get again: `make bench`."""
