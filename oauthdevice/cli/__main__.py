"""`python -m oauthdevice.cli`."""

import sys

from . import main

sys.exit(main())
