"""The product's own first revision."""

from importlib import import_module

revision = "0001"
down_revision = None
upgrade = import_module("extranet.migrations.versions.0001_tenant").upgrade
