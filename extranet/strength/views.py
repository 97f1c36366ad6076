"""The answer that the meter beside a new password shows. Nothing of what was typed is stored, logged or sent back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import Blueprint, jsonify, request
from werkzeug.wrappers import Response

from extranet.accounts import invitations, recovery
from extranet.errors import InvitationRefused, LinkRefused, NotFound
from extranet.models import User
from extranet.request.access import public
from extranet.request.current import current
from extranet.request.state import NO_SECRET, Kind
from extranet.strength.operations import judge

blueprint = Blueprint("strength", __name__)


@blueprint.post("/password/strength")
@public
def measure() -> Response:
    """Judge a password for whoever is choosing one: signed in, invited, or with a link to a new one."""
    strength = judge(current.db, _whose(), request.form.get("password", ""), current.cookie.secret)
    return jsonify(score=strength.score, sentence=strength.sentence)


def _whose() -> User:
    link = current.cookie.link
    choosing: tuple[tuple[bool, Callable[[], User]], ...] = (
        (link != NO_SECRET, partial(recovery.find_resetting, current.db, link)),
        (current.is_signed_in, lambda: current.db.get_one(User, current.user.id)),
        (current.cookie.kind is Kind.INVITATION, _invited),
    )
    for may_be, find in choosing:
        if may_be:
            try:
                return find()
            except (InvitationRefused, LinkRefused):
                continue
    raise NotFound("Nobody chooses a password here.")


def _invited() -> User:
    return invitations.find_invited(current.db, invitations.token_text(current.cookie.secret))
