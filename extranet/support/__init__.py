"""Support access: the operator asks, the company grants, every page is on record. Nobody gets in otherwise."""
