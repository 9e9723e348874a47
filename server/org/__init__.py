"""Units, people, rights, audit."""
