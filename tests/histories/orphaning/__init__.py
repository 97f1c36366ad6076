"""The product's history, and one revision that leaves rows behind that refer to nobody."""
