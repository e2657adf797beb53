"""Every requirement, document by document."""

from . import polling, rfc6749, rfc7009, rfc7662, rfc8414, rfc8628, rfc9449, rfc10027

CHAPTERS = {
    "Authorization Server Metadata": rfc8414.chapter,
    "Device Authorization Grant": rfc8628.chapter,
    "Device Authorization Grant: polling": polling.chapter,
    "Token endpoint": rfc6749.chapter,
    "Token Revocation": rfc7009.chapter,
    "Token Introspection": rfc7662.chapter,
    "Proof of Possession": rfc9449.chapter,
    "Cross-device flows and their pages": rfc10027.chapter,
}
REQUIREMENTS = [requirement for chapter in CHAPTERS.values() for requirement in chapter.requirements]
