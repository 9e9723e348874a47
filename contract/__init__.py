"""What edge, server and simulators must agree on. Imports nothing of ours; no clock, no I/O but packaged files."""
