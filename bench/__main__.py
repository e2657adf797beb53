"""`python -m bench`: measures, prints ratios, and writes docs/performance.json, .svg and the tables of .md."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.servers import running_postgresql

from . import report
from .contenders import Contender
from .floors.contenders import Floor
from .ours import Ours
from .peers.django_oauth_toolkit import DjangoOAuthToolkit
from .peers.node import OIDCProvider
from .rounds import measure, places_for
from .scale import scale
from .servers import listening_port, running_redis
from .wsgi_servers import granian, gunicorn

OURS = Ours()
CONTENDERS: Sequence[Contender] = (
    OURS,
    Ours(granian, 2, "two threads"),
    Ours(gunicorn, 8, "gunicorn"),
    OIDCProvider(),
    DjangoOAuthToolkit(),
    DjangoOAuthToolkit(bearer=True),
    Floor("cornice"),
    Floor("pyramid"),
    Floor("wsgi"),
)


def main() -> None:
    """See `--help`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--processes", default="1,2", help="with commas")
    parser.add_argument("--only", default="", help="some of the contenders, with commas; then nothing is written")
    parser.add_argument("--no-scale", action="store_true", help="neither starts, flows nor a million codes")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: `make bench` installs it")
    chosen = [one for one in CONTENDERS if not given.only or one.name in given.only.split(",")]
    for one in chosen:
        if isinstance(one, OIDCProvider | DjangoOAuthToolkit):
            one.install()
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary, running_postgresql() as postgresql:
        folder = Path(temporary)
        with running_redis(folder, listening_port()) as redis_url:
            databases = {one.name: postgresql.create_database(f"bench{number}") for number, one in enumerate(chosen)}
            places = dict(places_for(chosen, redis_url, databases, folder, listening_port()))
            for one in chosen:
                one.prepare(places[one.name])
            processes = [int(count) for count in given.processes.split(",")]
            measured = measure(chosen, places, given.rounds, given.seconds, processes)
            scaled = None if given.no_scale or given.only else scale(OURS, places[OURS.name])
    command = "make bench" if len(sys.argv) == 1 else f"python -m bench {' '.join(sys.argv[1:])}"
    told = report.gathered(chosen, measured, scaled, command)
    print(report.table(told))
    if not given.only:
        report.write(told)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr or ''}")
