"""The blueprint that all sections of Administration hang on, and the mark that only administrators pass."""

from flask import Blueprint

from extranet.models import Role
from extranet.request.access import requires

blueprint = Blueprint("admin", __name__, url_prefix="/admin")

for_admins = requires(Role.ADMIN)
