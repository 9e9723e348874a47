"""From the broker to one committed transaction: transport, acceptance, downlink."""
