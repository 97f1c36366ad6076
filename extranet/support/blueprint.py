"""The blueprint of support access: administrators answer under /admin, the staff comes in elsewhere."""

from flask import Blueprint

blueprint = Blueprint("support", __name__)
