"""How Administration names what is stored as a code."""

from __future__ import annotations

from extranet.i18n import lazy
from extranet.models import Role, UserState

ROLES = {
    Role.ADMIN.value: lazy("Administrator"),
    Role.MANAGER.value: lazy("Manager"),
    Role.MEMBER.value: lazy("Member"),
    Role.GUEST.value: lazy("Guest"),
}
STATES = {
    UserState.ACTIVE.value: lazy("Active"),
    UserState.INVITED.value: lazy("Invited"),
    UserState.DISABLED.value: lazy("Deactivated"),
}
