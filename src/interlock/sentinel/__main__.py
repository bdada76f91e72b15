"""`python -m interlock.sentinel`."""

import sys

from interlock.sentinel.process import main

sys.exit(main(sys.argv[1:]))
