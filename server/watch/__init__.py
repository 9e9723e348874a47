"""The only place where an alarm changes."""
