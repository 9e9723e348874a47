"""Tells people: claims outbox rows, asks duty who and how, sends through a channel."""
