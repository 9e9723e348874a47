"""The relational store: tables, sessions, one query module per noun."""
