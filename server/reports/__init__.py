"""Query to plain data to document."""
