"""How good a password would be, while it is typed. The server judges again when it is sent: this only helps."""
