"""Pages, API, server-sent events, sign-in."""
