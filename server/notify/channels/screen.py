"""The duty screen as a channel: the message stands in the list of messages and in the live stream of the board; nothing has to be sent anywhere.

It exists so that what a screen was asked to show is on the record with an instant, like everything that was sent.
"""

from server.notify.channels import Abilities, ChannelSettings, Message, OneWay, Receipt


class Screen(OneWay):
    """The channel."""

    abilities = Abilities(lookup=True, receipts=False, way="group")

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, message: Message) -> Receipt:
        """On the screen with the commit of this receipt."""
        return Receipt(f"{self.name}-{message.id}", "delivered")

    def lookup(self, message: Message) -> Receipt | None:
        """Showing it again is showing it."""
        return self.send(message)


def make(settings: ChannelSettings) -> Screen:
    """From the settings."""
    return Screen(settings.name or "screen")
