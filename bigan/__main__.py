"""`python -m bigan` is the `bigan` command."""

import sys

from bigan.cli import main

sys.exit(main())
