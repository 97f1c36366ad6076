"""Addresses that programs look for: security contact, change of password, robots, health."""
