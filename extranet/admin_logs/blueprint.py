"""The blueprint of both log pages."""

from flask import Blueprint

blueprint = Blueprint("logs", __name__, url_prefix="/admin")
