"""Runs the registry's migrations on the connection it is given."""

from tenants.migrating import run

run()
