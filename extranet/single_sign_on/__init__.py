"""Single sign-on: people prove who they are at their company's own identity provider (OpenID Connect)."""
