"""The product's history, and one revision that adds a column."""
