"""Placeholder until the folder's owner writes it."""
