"""Preferences > Profile: name, card, picture, previous versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import make_response, redirect, request, url_for
from sqlalchemy import select
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from extranet.accounts.new_addresses import awaited_address
from extranet.errors import Invalid
from extranet.models import Profile, ProfileVersion, User
from extranet.preferences import choices, operations
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import AvatarForm, ProfileForm
from extranet.preferences.pictures import LARGEST_BYTES, make_picture, too_large
from extranet.preferences.versions import Version, unpack
from extranet.request import errors, login, pages
from extranet.request.body import accepts_upload
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event
from extranet.security_log.origin import printable

# A picture of the largest size, with room for the multipart frame around it.
_UPLOAD_LIMIT = LARGEST_BYTES + 64 * 1024
_SHOWN_VERSIONS = 20


@blueprint.get("/profile")
def profile() -> Response:
    """Show the profile."""
    return _page(ProfileForm.of(_stored()), AvatarForm())


@blueprint.post("/profile")
def change_profile() -> Response:
    """Save the profile."""
    form = ProfileForm(request.form)
    if not form.validate():
        return _page(form, AvatarForm(), 422)
    if form.is_overtaken_by(_stored()):
        return _page(form, AvatarForm(), 409)
    operations.change_profile(current.db, current.user.id, form.values)
    change_session(notice=pages.SAVED)
    return redirect(url_for("preferences.profile"), 303)


@blueprint.post("/profile/picture")
@accepts_upload(_UPLOAD_LIMIT)
def change_avatar() -> Response:
    """Store a new picture."""
    upload = request.files.get("avatar")
    try:
        picture = make_picture(upload.read(LARGEST_BYTES + 1) if upload else b"")
    except Invalid as refused:
        return _refuse_picture(refused.message, upload.filename or "" if upload else "")
    stored = current.files.store(picture)
    replaced = operations.change_avatar(current.db, current.user.id, stored)
    current.db.commit()
    # Only once the new one is safe: a crash in between leaves a file too many, never a picture too few.
    _remove_file(replaced)
    change_session(notice=pages.PICTURE_CHANGED)
    return redirect(url_for("preferences.profile"), 303)


@blueprint.post("/profile/picture/remove")
def remove_avatar() -> Response:
    """Go back to initials."""
    replaced = operations.change_avatar(current.db, current.user.id, "")
    current.db.commit()
    _remove_file(replaced)
    change_session(notice=pages.PICTURE_REMOVED)
    return redirect(url_for("preferences.profile"), 303)


@blueprint.errorhandler(RequestEntityTooLarge)
def picture_too_large(error: RequestEntityTooLarge) -> Response:
    """Answer an oversized upload by its field, not by a page of its own."""
    if request.endpoint == "preferences.change_avatar" and login.recognise():
        return _refuse_picture(too_large(), "", 413)
    return errors.answer_http(error)


def _refuse_picture(message: str, filename: str, status: int = 422) -> Response:
    current.db.rollback()
    note(Event.UPLOAD_REFUSED, details={"file": printable(filename, 100)})
    avatar_form = AvatarForm()
    avatar_form.reject("avatar", message)
    return _page(ProfileForm.of(_stored()), avatar_form, status)


def _stored() -> dict[str, Any]:
    user, record = current.db.get_one(User, current.user.id), current.db.get_one(Profile, current.user.id)
    owner = dict.fromkeys(operations.NAME_FIELDS, user)
    return {name: getattr(owner.get(name, record), name) for name in ProfileForm().values}


def _remove_file(name: str) -> None:
    if name:
        current.files.remove(name)


def _page(form: ProfileForm, avatar_form: AvatarForm, status: int = 200) -> Response:
    awaited = awaited_address(current.db, current.user.id)
    html = pages.render(
        "preferences/profile.html",
        form=form,
        avatar_form=avatar_form,
        versions=_versions(form),
        awaited=awaited.detail if awaited else "",
    )
    return make_response(html, status)


def _versions(form: ProfileForm) -> list[Version]:
    mine = select(ProfileVersion, User.first_name, User.last_name).join(User, User.id == ProfileVersion.changed_by)
    newest = (
        mine.where(ProfileVersion.user_id == current.user.id).order_by(ProfileVersion.at.desc()).limit(_SHOWN_VERSIONS)
    )
    labels = {field.name: field.label.text for field in form}
    return [
        Version(version.at, f"{first_name} {last_name}", unpack(version.changes, labels, _shown()))
        for version, first_name, last_name in current.db.execute(newest)
    ]


def _shown() -> Mapping[str, Mapping[str, Any]]:
    visibilities = dict.fromkeys(
        ("phone_visibility", "mobile_visibility", "address_visibility", "interests_visibility"), choices.VISIBILITIES
    )
    return {
        "sector": choices.SECTORS,
        "country": choices.countries(),
        "contact_channel": choices.CHANNELS,
        **visibilities,
    }
