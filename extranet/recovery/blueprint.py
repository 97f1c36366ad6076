"""The blueprint that the pages behind links hang on."""

from flask import Blueprint

blueprint = Blueprint("recovery", __name__)
