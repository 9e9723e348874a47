"""The pure alarm core that both server and edge run: no clock, logging, SQL, HTTP or asyncio."""
