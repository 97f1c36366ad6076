"""Second factors: an authenticator app, passkeys, recovery codes, and the step of signing in that asks for one."""
