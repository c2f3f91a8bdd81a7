"""``python -m asgi_arbiter`` and the console script ``asgi-arbiter``."""

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    if sys.platform == "win32":
        sys.exit("asgi-arbiter needs a POSIX system such as Linux or macOS; on Windows, run it inside WSL.")
    from asgi_arbiter.arbiter import early

    early.listen()  # before anything that takes time
    gc.disable()  # what a start makes stays, so there is nothing to collect; on again when all is imported
    from asgi_arbiter.arbiter.cli import main as command

    command()


if __name__ == "__main__":
    main()
