"""Templates of the front door."""
