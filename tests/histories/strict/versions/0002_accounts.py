"""The product's own second revision."""

from importlib import import_module

revision = "0002"
down_revision = "0001"
upgrade = import_module("extranet.migrations.versions.0002_accounts").upgrade
