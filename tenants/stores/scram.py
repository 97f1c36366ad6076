"""What PostgreSQL keeps of a password (RFC 5802, SCRAM-SHA-256), computed here: in clear it would stand in its log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

# Iterations slow down guessing, and 32 random bytes are not guessed. The usual 4,096 cost each side 2 ms a connection,
# half of what connecting takes.
_ITERATIONS = 1


def scram_verifier(password: str) -> str:
    """Return the verifier of a random password, as it stands in CREATE ROLE ... PASSWORD."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
