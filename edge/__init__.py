"""The agent on a gateway in an archive building."""
