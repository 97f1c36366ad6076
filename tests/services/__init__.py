"""The servers the product stands on, real ones, which tests start for themselves and throw away."""
