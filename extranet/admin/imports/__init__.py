"""Bringing in many people from a file: read, checked, shown, and only then created. No Flask."""
