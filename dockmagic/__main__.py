"""`python -m dockmagic`: the command line."""

from __future__ import annotations

import sys

from dockmagic.cli import main

sys.exit(main())
