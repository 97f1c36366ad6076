"""Every address there is: closed, unless it stands in a list here."""

from __future__ import annotations

import pytest
from werkzeug.routing import Rule

from extranet.models import Role
from tests.platform import Platform, user_id

PLATFORM = {"static", "well_known.healthz", "well_known.readyz"}
PUBLIC = PLATFORM | {
    "accounts.accept_invitation",
    "accounts.invitation",
    "accounts.login",
    "accounts.logout",
    "accounts.open_invitation",
    "accounts.sign_in_now",
    "factors.passkey_options",
    "factors.second_step_options",
    "factors.second_step_page",
    "factors.sign_in_by_passkey",
    "factors.take_second_step",
    "factors.take_second_step_by_passkey",
    "recovery.ask_reset",
    "recovery.confirm",
    "recovery.confirm_now",
    "recovery.forgotten",
    "recovery.open_confirmation",
    "recovery.open_report",
    "recovery.open_reset",
    "recovery.open_undo",
    "recovery.report",
    "recovery.report_now",
    "recovery.reset",
    "recovery.reset_now",
    "recovery.sent",
    "recovery.undo",
    "recovery.undo_now",
    "single_sign_on.accept",
    "single_sign_on.answer",
    "single_sign_on.start",
    # The company's logo stands on the sign-in page; the address names no file.
    "branding.logo",
    "strength.measure",
    # A link for support; what it opens wants a grant, and a visit is asked about each time.
    "support.enter",
    "support.enter_now",
    "support.leave",
    "support.open_link",
    "well_known.change_password",
    "well_known.robots",
    "well_known.security_txt",
}
ADMIN_SENSITIVE = {
    "admin.approve_factor_reset",
    "admin.ask_factor_reset",
    "admin.ask_to_remove_single_sign_on",
    "admin.change_role",
    "admin.change_username",
    "admin.confirm_import",
    "admin.correct_address",
    "admin.deactivate",
    "admin.export_people",
    "admin.invitations",
    "admin.invite",
    "admin.policy",
    "admin.reactivate",
    "admin.remove_single_sign_on",
    "admin.save_policy",
    "admin.save_single_sign_on",
    "admin.single_sign_on",
    "admin.start_password_reset",
    "admin.try_single_sign_on",
    "admin.turn_off_single_sign_on",
    "admin.turn_on_single_sign_on",
    "admin.unlink_person",
    "logs.activity_csv",
    "logs.security_log_csv",
    "support.allow",
}
ADMIN = ADMIN_SENSITIVE | {
    "admin.ask_to_deactivate",
    "admin.change_logo",
    "admin.discard_import",
    "admin.example_csv",
    "admin.index",
    "admin.left_out_csv",
    "admin.look",
    "admin.people",
    "admin.person",
    "admin.remove_logo",
    "admin.resend_invitation",
    "admin.revoke_invitation",
    "admin.save_look",
    "admin.show_import",
    "admin.sign_out_person",
    "admin.unlock",
    "admin.upload_import",
    "admin.usage",
    "admin.withdraw_factor_reset",
    "logs.activity",
    "logs.investigate",
    "logs.read_notice",
    "logs.security_log",
    "support.decline",
    "support.revoke",
    "support.show",
}
ROLES = {"preferences.change_company": {Role.ADMIN}, **{name: {Role.ADMIN} for name in ADMIN}}
OPEN_WHILE_PASSWORD_EXPIRED = {
    "confirmation.confirm",
    "confirmation.confirm_by_passkey",
    "confirmation.passkey_options",
    "confirmation.show",
    "people.avatar",
    "preferences.change_password",
    "preferences.security",
    "single_sign_on.confirm",
}
FACTORS = {
    "preferences.add_app",
    "preferences.add_passkey",
    "preferences.app",
    "preferences.new_passkey",
    "preferences.passkey_options",
    "preferences.remove_app",
    "preferences.remove_passkey",
    "preferences.rename_passkey",
    "preferences.renew_codes",
}
OPEN_WHILE_FACTOR_MISSING = {
    "preferences.add_app",
    "preferences.add_passkey",
    "preferences.app",
    "preferences.download_codes",
    "preferences.new_passkey",
    "preferences.passkey_options",
}
SENSITIVE = (
    ADMIN_SENSITIVE
    | FACTORS
    | {
        "preferences.cancel_email",
        "preferences.change_browser_mail",
        "preferences.change_email",
        "preferences.email",
        "preferences.end_login",
        "preferences.end_other_logins",
        "preferences.forget_browser",
        "preferences.history_csv",
        "preferences.unlink_sign_on",
        "single_sign_on.link",
    }
)
CLOSED = (
    ADMIN
    | FACTORS
    | {
        "confirmation.confirm",
        "confirmation.confirm_by_passkey",
        "confirmation.passkey_options",
        "confirmation.show",
        "people.avatar",
        "preferences.cancel_email",
        "preferences.change_avatar",
        "preferences.change_browser_mail",
        "preferences.change_company",
        "preferences.change_display",
        "preferences.change_email",
        "preferences.change_password",
        "preferences.change_profile",
        "preferences.company",
        "preferences.display",
        "preferences.email",
        "preferences.download_codes",
        "preferences.end_login",
        "preferences.end_other_logins",
        "preferences.forget_browser",
        "preferences.history",
        "preferences.history_csv",
        "preferences.index",
        "preferences.profile",
        "preferences.remove_avatar",
        "preferences.rename_browser",
        "preferences.report_stranger",
        "preferences.security",
        "preferences.sessions",
        "preferences.unlink_sign_on",
        "single_sign_on.confirm",
        "single_sign_on.link",
        "today.show",
    }
)
VALUES = {
    "grant_id": "9" * 32,
    "passkey_id": "x",
    "token": "x",
    "user_id": user_id("anna"),
    "login_id": "x",
    "browser_id": "x",
    "filename": "tokens.css",
}


def rules(platform: Platform) -> list[Rule]:
    return sorted(platform.app.url_map.iter_rules(), key=lambda rule: rule.endpoint)


def path_of(platform: Platform, rule: Rule) -> str:
    adapter = platform.app.url_map.bind("acme.localhost")
    method = next(iter(rule.methods or {"GET"}))
    return adapter.build(rule.endpoint, {name: VALUES[name] for name in rule.arguments}, method=method)


def test_every_view_is_in_exactly_one_list(platform: Platform) -> None:
    assert {rule.endpoint for rule in rules(platform)} == set(platform.app.view_functions) == PUBLIC | CLOSED
    assert not PUBLIC & CLOSED


@pytest.mark.parametrize(
    ("mark", "listed"),
    [
        ("is_public", PUBLIC),
        ("is_platform", PLATFORM),
        ("is_open_while_password_expired", OPEN_WHILE_PASSWORD_EXPIRED),
        ("is_open_while_factor_missing", OPEN_WHILE_FACTOR_MISSING),
        ("is_sensitive", SENSITIVE),
    ],
)
def test_the_marks_are_those_of_the_lists(platform: Platform, mark: str, listed: set[str]) -> None:
    assert {name for name, view in platform.app.view_functions.items() if getattr(view, mark, False)} == listed


def test_the_roles_are_those_of_the_table(platform: Platform) -> None:
    views = platform.app.view_functions.items()
    assert {name: set(view.roles) for name, view in views if hasattr(view, "roles")} == ROLES


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_stranger_gets_nothing_from_a_closed_one(platform: Platform, slug: str) -> None:
    browser = platform.browser(slug)
    token = browser.token()
    for rule in rules(platform):
        if rule.endpoint in PUBLIC:
            continue
        path = path_of(platform, rule)
        if "GET" in (rule.methods or ()):
            asked = browser.get(path)
            assert (asked.status_code, asked.headers["Location"]) == (303, f"/login?next={path}"), rule.endpoint
            assert browser._open("HEAD", path).status_code == 303
        else:
            assert browser.post(path, token=token).status_code == 401, rule.endpoint


def test_a_form_from_elsewhere_is_refused_by_every_one_that_takes_forms(platform: Platform) -> None:
    browser = platform.signed_in()
    for rule in rules(platform):
        if "POST" in (rule.methods or ()):
            path = path_of(platform, rule)
            sibling = {"Origin": "http://globex.localhost:8000", "Sec-Fetch-Site": "same-site"}
            assert browser.post(path, token=browser.token(), headers=sibling).status_code == 403, rule.endpoint
    assert browser.get("/").status_code == 200


def test_each_takes_get_or_post_and_nothing_else(platform: Platform) -> None:
    browser = platform.signed_in()
    for rule in rules(platform):
        assert rule.methods in ({"GET", "HEAD"}, {"POST"}), rule.endpoint
        for method in ("OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND"):
            response = browser._open(method, path_of(platform, rule))
            assert response.status_code == 405, (method, rule.endpoint)
            assert method not in response.headers["Allow"]
