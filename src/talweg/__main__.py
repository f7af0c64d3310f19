"""`python -m talweg` is the same as `talweg`."""

import sys

from talweg.cli import main

if __name__ == "__main__":
    sys.exit(main())
