"""The application for servers that import one, such as granian: OAUTHDEVICE_INI names its ini file.

`pserve` and gunicorn read the ini file themselves and do not need this.
"""

import os

from pyramid.paster import get_app, setup_logging

from .values import SettingsError

_INI = os.environ.get("OAUTHDEVICE_INI", "")
if not _INI:
    raise SettingsError("OAUTHDEVICE_INI", "must name the ini file, in the environment")
setup_logging(_INI)
application = get_app(_INI)
