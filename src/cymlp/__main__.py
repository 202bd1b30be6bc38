"""The command line: ``python -m cymlp demo`` and ``python -m cymlp info``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

# What a shell reports for a program that Ctrl-C ended.
_INTERRUPTED = 130


def _count(text: str) -> int:
    return _integer(text, 1)


def _seed(text: str) -> int:
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    # The scikit-learn functions take seeds of 32 bits.
    if not least <= number < 2**32:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text!r}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cymlp", description="Multilayer perceptrons on the CPU."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="learn to read real handwritten digits",
        description="Trains a network on three quarters of scikit-learn's 1,797 real "
        "handwritten digits, tests it on the rest, prints the accuracy, the confusion table and "
        "the speed, and saves pictures of the loss and of some digits. Takes about a second.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--epochs", type=_count, default=60, help="passes over the training digits")
    demo.add_argument("--seed", type=_seed, default=0, help="for the split, start and order")
    demo.add_argument(
        "--threads", type=_count, default=argparse.SUPPRESS,
        help="number of threads (default: chosen by the package)",
    )
    demo.add_argument("--dtype", choices=["float32", "float64"], default="float32",
                      help="precision of the network")
    demo.add_argument("--output", metavar="DIR", default="cymlp-demo",
                      help="folder for the pictures, made if needed")
    commands.add_parser(
        "info",
        help="print version, instruction-set level, OpenMP and threads",
        description="Prints the configuration of this installation on this machine.",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the result is the program's exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line's words; by default those of the program.

    Returns
    -------
    int
        0; 1 where a file could not be written; 2 for wrong arguments or a missing package;
        130 after Ctrl-C.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    try:
        return _info() if command == "info" else _demo(parser, options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED


def _info() -> int:
    import cymlp

    cymlp.show_config()
    return 0


def _demo(parser: argparse.ArgumentParser, options: dict) -> int:
    import cymlp

    from . import demo

    if "threads" in options:
        try:
            cymlp.set_num_threads(options.pop("threads"))
        except ValueError as error:
            parser.error(f"argument --threads: {error}")
    try:
        demo.run(**options)
    except demo.MissingPackage as error:
        print(f"cymlp: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cymlp: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
