"""The command `archivewatch-sim`: simulators that speak the real protocols.

A sub-command's module is imported only when it is asked for. It offers `add_arguments(parser)` and `main(args) -> exit code`.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Command:
    """Where a sub-command lives; `prefix` is put before the names of its two functions."""

    module: str
    summary: str
    prefix: str = ""


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "plant": Command("simulators.single", "print what happens in a simulated room", "plant_"),
        "weather": Command("simulators.weather", "print the weather of a city"),
        "modbus": Command("simulators.single", "Modbus devices of one room (TCP, RTU over TCP, serial)", "modbus_"),
        "mqtt": Command("simulators.single", "Zigbee sensors of one room on an MQTT broker", "mqtt_"),
        "camera": Command("simulators.single", "the camera of one room", "camera_"),
        "world": Command("simulators.world", "rooms, buses, sensors, cameras and lines of a file in one process"),
        "scenario": Command("simulators.scenario", "play a scenario in a running world"),
        "sms": Command("simulators.sms_gateway", "an SMS gateway that speaks the Twilio Messages API"),
        "oidc": Command("simulators.oidc_provider", "an OpenID Connect provider that signs one person in"),
        "broker": Command("simulators.broker", "an MQTT broker for tests and demos"),
        "province": Command("simulators.province", "write units, rooms and people of a province"),
        "history": Command("simulators.history", "write the past of many rooms"),
        "fleet": Command("simulators.fleet", "many gateways that send Sparkplug, for load"),
        "ledger": Command("simulators.ledger", "compare what was sent with what was stored"),
    }
)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "usage: archivewatch-sim COMMAND [options]\n\ncommands:\n" + "\n".join(lines) + "\n\narchivewatch-sim COMMAND --help tells more."


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code. Raises SystemExit for --help and wrong options."""
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    if name not in COMMANDS:
        print(_overview() if not name else f"unknown command {name!r}\n\n{_overview()}", file=sys.stderr)
        return 2
    command = COMMANDS[name]
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(prog=f"archivewatch-sim {name}", description=command.summary)
    getattr(module, f"{command.prefix}arguments" if command.prefix else "add_arguments")(parser)
    code: int = getattr(module, f"{command.prefix}main")(parser.parse_args(arguments[1:]))
    return code


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
