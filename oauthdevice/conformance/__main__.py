"""`python -m oauthdevice.conformance`."""

import sys

from . import main

sys.exit(main())
