"""An address as a QR code made of characters."""

import io
import shutil

MARGIN = 2
# What else of the sign-in has to be seen with it: page, code, an empty line on each side, the browser, the wait
# (docs/cli-walk.txt). One more, and the code of an address of 53 letters would not fit into 24 lines.
LINES_BESIDE = 6


def qr_code(address: str, *, always: bool) -> str | None:
    """The code as lines of text; None where it does not fit into the terminal, unless it is wanted `always`."""
    import segno

    code = segno.make_qr(address, error="l")
    width, height = code.symbol_size(border=MARGIN)
    room = shutil.get_terminal_size()
    if not always and (width > room.columns or height // 2 + 1 + LINES_BESIDE > room.lines):
        return None
    drawn = io.StringIO()
    # Two dots a character. Light is drawn: terminals are dark, and phones read the other way round as well.
    code.terminal(drawn, border=MARGIN, compact=True)
    return drawn.getvalue().rstrip("\n")
