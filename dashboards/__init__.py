"""Templates and static files of the screens; no Python but this line."""
