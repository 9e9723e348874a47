"""The central service: ingest, watch, notify, history, live board."""
