"""Programs are set by their environment; their command line knows only ``--help``."""

import argparse


def take_no_arguments(program: str, duty: str, argv: list[str] | None) -> None:
    """Answer ``--help`` and refuse anything else on the command line."""
    parser = argparse.ArgumentParser(prog=program, description=duty, epilog="Settings come from the environment.")
    parser.parse_args(argv)
