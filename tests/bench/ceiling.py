"""The ceiling: the same page for one tenant, the way a good Flask tutorial writes it. One database, no isolation.

The same: gunicorn's settings and workers; the tables, rows and columns; Flask's routing; the page's structure, words
and size, made by Jinja with a layout, macros and ``url_for``; a CSRF token in the form; who may see it is checked.

Not here: finding the tenant, a database per tenant, keys per tenant and sealed cookies (Flask's signed one instead),
translations, dates in the reader's own language and zone, logins that end on the server, security headers, a log line.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from flask import Flask, abort, redirect, render_template, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from sqlalchemy import create_engine, select
from sqlalchemy.orm import scoped_session, sessionmaker
from werkzeug.wrappers import Response

from extranet.accounts.browsers import describe_browser
from extranet.models import Company, Login, Profile, User


class Account(UserMixin):  # type: ignore[misc]
    """What Flask-Login wants to know about a user."""

    def __init__(self, user: User) -> None:
        self.user = user

    def get_id(self) -> str:
        return self.user.id


def make_app(environ: Mapping[str, str] = os.environ) -> Flask:
    """Return the application over one SQLite file."""
    app = Flask(__name__)
    app.secret_key = environ["CEILING_SECRET_KEY"]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    engine = create_engine(f"sqlite:///{environ['CEILING_DATABASE']}")
    db = scoped_session(sessionmaker(engine))
    login_manager = LoginManager(app)

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        db.remove()

    @login_manager.user_loader
    def load_user(user_id: str) -> Account | None:
        user = db.get(User, user_id)
        return Account(user) if user else None

    @app.post("/login")
    def login() -> Response:
        """Let anybody in: signing in is not what is measured here."""
        user = db.scalars(select(User).where(User.username == request.form["username"])).one_or_none()
        if user is None:
            abort(403)
        session["csrf_token"] = secrets.token_urlsafe(32)
        login_user(Account(user))
        return redirect(url_for("today"))

    @app.get("/")
    @login_required
    def today() -> str:
        user = current_user.user
        profile, company, last_login = db.execute(
            select(Profile, Company, Login)
            .select_from(Profile)
            .join(Company, Company.id == 1)
            .join(Login, Login.user_id == Profile.user_id)
            .where(Profile.user_id == user.id)
            .order_by(Login.started_at.desc())
            .offset(1)
            .limit(1)
        ).one()
        wanted = {
            "Picture": user.avatar,
            "Job title": profile.position,
            "Department": profile.department,
            "Phone": profile.phone or profile.mobile,
        }
        return render_template(
            "today.html",
            me=user,
            company=company,
            now=datetime.now(UTC),
            last_login=last_login,
            browser=describe_browser(last_login.user_agent),
            missing=[label for label, given in wanted.items() if not given],
            csrf_token=session["csrf_token"],
        )

    for path in ("profile", "display", "security", "sessions", "history", "company"):
        app.add_url_rule(f"/preferences/{path}", path, lambda: "")
    app.add_url_rule("/logout", "logout", lambda: "", methods=["POST"])
    return app


def signed_in_cookies(app: Flask, host: str, usernames: list[str], user_agent: str) -> list[str]:
    """Return the Cookie header of each of these people, as their browser would send it."""
    headers = []
    for username in usernames:
        client = app.test_client()
        client.post(
            "/login", base_url=f"http://{host}", data={"username": username}, headers={"User-Agent": user_agent}
        )
        cookie = client.get_cookie("session", domain=host.partition(":")[0])
        assert cookie is not None
        headers.append(f"session={cookie.value}")
    return headers
