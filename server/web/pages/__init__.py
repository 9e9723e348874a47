"""The screens: what people see in a browser. They read the same stores as the API and send commands through the same door.

A module with a `router` is found by itself.
"""
