"""One YAML file per device model; no Python but this line."""
