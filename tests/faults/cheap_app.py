"""The application with passwords that are hashed for tests: what it is asked here is not how long that takes."""

from __future__ import annotations

from extranet.app import create_app
from tenants.settings import read_settings
from tests.platform import CHEAPEST

application = create_app(read_settings(), CHEAPEST)
