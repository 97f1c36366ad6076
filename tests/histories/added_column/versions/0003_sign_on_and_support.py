"""The product's own third revision."""

from importlib import import_module

revision = "0003"
down_revision = "0002"
upgrade = import_module("extranet.migrations.versions.0003_sign_on_and_support").upgrade
