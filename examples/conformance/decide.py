"""Decides a device authorization at the pages of oauthdevice, as a person does: for `oauthdevice-conformance`.

    export OAUTHDEVICE_EMAIL=demo@example.com OAUTHDEVICE_PASSWORD=…
    oauthdevice-conformance http://localhost:6543 --client-id difyctl \
        --approve-with "python examples/conformance/decide.py approve" \
        --deny-with "python examples/conformance/decide.py deny"

Called with a decision, a user code and the verification URI. Another server has other pages to go through.
"""

import os
import re
import sys
from urllib.parse import urljoin

import httpx


def post(browser: httpx.Client, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
    """Send the form of a page that goes to this address, with what it hides and with these fields."""
    for form in re.findall(r"<form\b.*?</form>", page.text, re.DOTALL):
        target = re.search(r'action="([^"]*)"', form)
        if target and target[1].endswith(action):
            hidden = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form))
            return browser.post(urljoin(str(page.url), target[1]), data={**hidden, **fields})
    sys.exit(f"no form for {action} on the page {page.url}")


def main(decision: str, user_code: str, verification_uri: str) -> None:
    email, password = os.environ["OAUTHDEVICE_EMAIL"], os.environ["OAUTHDEVICE_PASSWORD"]
    with httpx.Client(follow_redirects=True) as browser:
        page = post(browser, browser.get(verification_uri), "/device", user_code=user_code)
        if page.url.path.endswith("/login"):
            page = post(browser, page, "/login", email=email, password=password)
        post(browser, page, "/device/consent", decision=decision).raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:4])
