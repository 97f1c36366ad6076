"""Confirming that it is still you, before something that must not be done by whoever finds a browser open."""
