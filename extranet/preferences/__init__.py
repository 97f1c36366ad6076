"""Preferences: everything a person can see and change about themselves, and the company's registration.

One file a section (profile, display, security, sessions, history, company), one form a card, Save per card.
"""
