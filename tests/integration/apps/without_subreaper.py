"""asgi-arbiter as it is on systems whose kernel does not give a process the orphans among its descendants."""

from asgi_arbiter.arbiter import forks
from asgi_arbiter.arbiter.cli import main

forks.adopt_orphans = lambda: False

if __name__ == "__main__":
    main()
