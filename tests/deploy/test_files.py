"""What deploy/ holds and cannot be run here: well formed, at one with the rest, and honest in its first line."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from oauthdevice.settings import Settings
from oauthdevice.views.legacy import MOUNTS, SSO_MOUNTS

from ..servers import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
UNVERIFIED = [*MANIFESTS, *UNITS, DEPLOY / "docker" / "compose.yaml", DEPLOY / "docker" / "Dockerfile"]
STOP_SECONDS = int(
    re.findall(r"^graceful_timeout = (\d+)$", (CHECKOUT / "production.ini").read_text(), re.MULTILINE)[0]
)
SERVER = "pserve /etc/oauthdevice/production.ini"
ADMIN = "oauthdevice-admin -c /etc/oauthdevice/production.ini"


class Unit(configparser.RawConfigParser):
    """A unit of systemd, in which an option may occur several times."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, delimiters="=", comment_prefixes=("#", ";"))
        self.optionxform = str  # type: ignore[assignment,method-assign]  # case counts
        self.read_string(path.read_text("utf-8"))
        self.lines = path.read_text("utf-8").splitlines()


def parsed(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def parsed_paths() -> list[dict[str, Any]]:
    """What the ingress lets in."""
    (rule,) = parsed("kubernetes/ingress.yaml")["spec"]["rules"]
    paths: list[dict[str, Any]] = rule["http"]["paths"]
    return paths


def pods() -> Iterator[dict[str, Any]]:
    """The pod of every workload."""
    yield parsed("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    yield parsed("kubernetes/upgrade.yaml")["spec"]["template"]["spec"]
    yield parsed("kubernetes/purge.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", UNVERIFIED, ids=lambda path: path.name)
def test_what_was_not_run_says_so_first(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# Unverified")


class TestSystemd:
    @pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
    def test_each_unit_is_well_formed(self, path: Path) -> None:
        kinds = {".service": "Service", ".timer": "Timer", ".socket": "Socket"}
        assert {"Unit", kinds[path.suffix]} <= set(Unit(path).sections())

    def test_they_start_what_is_documented(self) -> None:
        server, purge = (Unit(DEPLOY / "systemd" / f"{name}.service") for name in ("oauthdevice", "oauthdevice-purge"))
        assert server["Service"]["ExecStart"] == f"/opt/oauthdevice/bin/{SERVER}"
        assert purge["Service"]["ExecStart"] == f"/opt/oauthdevice/bin/{ADMIN} purge"
        webhooks = Unit(DEPLOY / "systemd" / "oauthdevice-webhooks.service")
        assert webhooks["Service"]["ExecStart"] == f"/opt/oauthdevice/bin/{ADMIN} webhooks deliver"

    def test_who_delivers_webhooks_has_what_it_signs_with_and_its_time_to_stop(self) -> None:
        unit = Unit(DEPLOY / "systemd" / "oauthdevice-webhooks.service")
        assert "LoadCredential=webhook_secret:/etc/oauthdevice/secrets/webhook_secret" in unit.lines
        assert "Environment=OAUTHDEVICE_WEBHOOK_SECRET_FILE=%d/webhook_secret" in unit.lines
        assert int(unit["Service"]["TimeoutStopSec"]) > 2 * Settings().webhook_timeout_seconds

    def test_the_server_has_its_time_to_stop(self) -> None:
        unit = Unit(DEPLOY / "systemd" / "oauthdevice.service")["Service"]
        assert int(unit["TimeoutStopSec"]) > STOP_SECONDS
        assert unit["KillMode"] == "mixed"

    @pytest.mark.parametrize("name", ["oauthdevice", "oauthdevice-purge", "oauthdevice-webhooks"])
    def test_each_has_its_secrets_as_files_and_may_do_little(self, name: str) -> None:
        unit = Unit(DEPLOY / "systemd" / f"{name}.service")
        for secret in ("secret", "database_url", "redis_url"):
            assert f"LoadCredential={secret}:/etc/oauthdevice/secrets/{secret}" in unit.lines
            assert f"Environment=OAUTHDEVICE_{secret.upper()}_FILE=%d/{secret}" in unit.lines
        for option in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
            assert unit["Service"][option] == "yes"
        assert unit["Service"]["ProtectSystem"] == "strict"

    def test_the_socket_is_that_of_the_settings(self) -> None:
        socket = Unit(DEPLOY / "systemd" / "oauthdevice.socket")["Socket"]["ListenStream"]
        assert f"\nbind = {socket}\n" in (CHECKOUT / "production.ini").read_text()


class TestDocker:
    def test_the_services_are_locked_down_and_have_time_to_stop(self) -> None:
        services = parsed("docker/compose.yaml")["services"]
        assert set(services) == {"oauthdevice", "upgrade", "purge", "database", "redis"}
        for name in ("oauthdevice", "upgrade", "purge"):
            assert services[name]["read_only"] is True
            assert services[name]["cap_drop"] == ["ALL"]
        assert int(services["oauthdevice"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
        assert " ".join(services["upgrade"]["command"]) == f"{ADMIN} upgrade"
        assert " ".join(services["purge"]["command"]) == f"{ADMIN} purge"

    def test_every_secret_that_is_used_is_declared(self) -> None:
        compose = parsed("docker/compose.yaml")
        used = {name for service in compose["services"].values() for name in service.get("secrets", ())}
        assert used == set(compose["secrets"])

    def test_the_image_is_not_root_and_starts_what_is_documented(self) -> None:
        lines = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8").splitlines()
        assert "USER 10001:10001" in lines
        assert f'CMD ["{SERVER.replace(" ", chr(34) + ", " + chr(34))}"]' in lines
        copied = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text("utf-8")
        for name in re.findall(r"^!(.+)$", copied, re.MULTILINE):
            assert (CHECKOUT / name).exists(), name

    def test_what_the_package_is_built_of_comes_into_the_image(self) -> None:
        setup = configparser.ConfigParser()
        setup.read(CHECKOUT / "setup.cfg", "utf-8")
        folders = re.findall(r"= (\w+)$", setup["options"]["package_dir"], re.MULTILINE)
        assert len(folders) > 3
        copied = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        files = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "requirements.lock")
        assert {f"!{name}" for name in (*folders, *files)} <= set(copied)


class TestKubernetes:
    def test_every_manifest_is_named_by_the_kustomization(self) -> None:
        named = set(parsed("kubernetes/kustomization.yaml")["resources"])
        assert named == {path.name for path in MANIFESTS} - {"kustomization.yaml", "secret.example.yaml"}
        for path in MANIFESTS:
            assert {"apiVersion", "kind"} <= set(parsed(f"kubernetes/{path.name}"))

    def test_every_pod_may_do_little(self) -> None:
        for pod in pods():
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["automountServiceAccountToken"] is False
            (container,) = pod["containers"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}

    def test_every_secret_is_in_the_example_and_empty_there(self) -> None:
        example = parsed("kubernetes/secret.example.yaml")["stringData"]
        assert set(example.values()) == {""}
        for pod in pods():
            paths = {one["value"] for one in pod["containers"][0]["env"]}
            assert paths == {f"/run/secrets/oauthdevice/{name}" for name in example}

    def test_the_probes_ask_the_right_ones_and_a_stop_has_its_time(self) -> None:
        pod = next(pods())
        (container,) = pod["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS + waits

    def test_the_ingress_leaves_out_what_is_for_those_inside(self) -> None:
        paths = {path["path"]: path["pathType"] for path in parsed_paths()}
        assert paths.pop("/") == "Exact"
        assert set(paths.values()) == {"Prefix"}
        pages = {"/device", "/devices", "/login", "/logout", "/passkeys", "/webauthn"}
        assert {*pages, "/static", "/openapi", "/.well-known"} == set(paths)

    def test_the_ingress_has_the_original_paths_to_be_switched_on(self) -> None:
        text = (DEPLOY / "kubernetes/ingress.yaml").read_text("utf-8")
        switched_on = yaml.safe_load(text.replace("# - {path", "- {path"))["spec"]["rules"][0]["http"]["paths"]
        prefixes = {path["path"] for path in switched_on} - {path["path"] for path in parsed_paths()}
        for path in (*MOUNTS, *SSO_MOUNTS):
            assert any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes), path

    def test_the_commands_are_those_that_are_documented(self) -> None:
        _, upgrade, purge = (pod["containers"][0].get("command", []) for pod in pods())
        assert (" ".join(upgrade), " ".join(purge)) == (f"{ADMIN} upgrade", f"{ADMIN} purge")
