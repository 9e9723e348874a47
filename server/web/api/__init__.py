"""The HTTP interface for programs, `/api/v1`: each module holds the routes of one noun; a module with a `router` is found by itself."""
