"""The WSGI entry point: settings from the environment, one application, nothing else."""

from extranet.app import create_app
from tenants.settings import read_settings

application = create_app(read_settings())
