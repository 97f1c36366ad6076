"""The blueprint that all sections of Preferences hang on."""

from flask import Blueprint

blueprint = Blueprint("preferences", __name__, url_prefix="/preferences")
