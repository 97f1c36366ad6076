"""Runs the tenant database migrations on the connection it is given."""

from tenants.migrating import run

run()
