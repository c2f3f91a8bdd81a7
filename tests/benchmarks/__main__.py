"""``python -m tests.benchmarks`` from the root of the repository."""

from __future__ import annotations

import sys

from tests.benchmarks.cli import main

sys.exit(main())
