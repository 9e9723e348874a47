"""x."""


def main() -> None: ...
