"""Every example runs as it is, with the command that its own head names."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_arbiter.config import load
from asgi_arbiter.config.cli import parse

from .server_process import EXAMPLES, SCRIPT, ServerProcess, fetch, run

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
REPOSITORY = EXAMPLES.parent
# The examples that say how they are run; the others (embedded.py, a configuration) have tests of their own.
COMMANDS = {
    path.name: match[1]
    for path in sorted(EXAMPLES.glob("*.py"))
    if (match := re.search(r"^    asgi-arbiter (.+)$", path.read_text(), re.MULTILINE))
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_runs_as_its_head_says(serve: Serve, name: str, tmp_path: Path) -> None:
    arguments = shlex.split(COMMANDS[name])
    server = serve(*arguments, "--bind", "127.0.0.1:0", cwd=REPOSITORY, env={"NOTES": str(tmp_path / "notes.txt")})
    assert server.get().status_code == 200


def test_hello_greets(serve: Serve) -> None:
    server = serve("hello:app", "--bind", "127.0.0.1:0", cwd=EXAMPLES)
    assert server.get().text == "Hello, world!\n"


def test_lifespan_opens_and_closes_every_worker(serve: Serve) -> None:
    server = serve("lifespan:app", "-w", "2", "--bind", "127.0.0.1:0", cwd=EXAMPLES)
    workers = server.workers()
    answer = server.get().json()
    assert answer["worker"] in workers and answer["age"] >= 0
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    for pid in workers:
        assert f"worker {pid} is open" in server.out
        assert f"worker {pid} is closed" in server.out


def test_the_readme_lists_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"`{path.name}`" in text, path.name


def test_gunicorns_settings_file_is_read_with_its_hooks(serve: Serve) -> None:
    server = serve("--app-dir", "examples", "-c", "examples/gunicorn_conf.py", "-b", "127.0.0.1:0", cwd=REPOSITORY)
    assert server.get().text == "Hello, world!\n"
    for pid in server.workers():
        server.wait_log(f"post_worker_init: worker {pid}")
    server.wait_log("when_ready: the workers serve")


def test_gunicorns_settings_file_moves(serve: Serve, tmp_path: Path) -> None:
    moved = run("migrate", "examples/gunicorn_conf.py", cwd=REPOSITORY)
    assert moved.code == 0 and moved.err == "", moved
    (tmp_path / "asgi-arbiter.toml").write_text(moved.out)
    server = serve("--app-dir", str(EXAMPLES), "-b", "127.0.0.1:0", cwd=tmp_path)
    assert server.get().text == "Hello, world!\n"


@pytest.mark.parametrize("name", ["site.toml", "arbiter.toml"])
def test_a_settings_file_serves(serve: Serve, name: str) -> None:
    server = serve(
        "hello:app", "--app-dir", "examples", "-c", f"examples/{name}", "-w2", "-b", "127.0.0.1:0", cwd=REPOSITORY
    )
    assert server.get().text == "Hello, world!\n"
    assert "WARNING" not in server.log


def test_https_with_a_throw_away_certificate(serve: Serve, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    server = serve(
        "--bind", "127.0.0.1:0", cwd=REPOSITORY, command=("sh", "examples/tls.sh"), env={"TLS_FOLDER": str(tmp_path), "PATH": path}
    )  # fmt: skip
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    answer = fetch(f"https://127.0.0.1:{server.port}/", verify=trusted)
    assert answer.text == "Hello, world!\n"
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0


# What runs elsewhere is read: the parts of it that a mistake would be in.


def instructions() -> list[tuple[str, str]]:
    text = (EXAMPLES / "Dockerfile").read_text().replace("\\\n", " ")
    return [
        (word, rest) for line in text.splitlines() if line and line[0] != "#" for word, _, rest in [line.partition(" ")]
    ]


def test_in_the_container_the_arbiter_is_process_1_and_gets_the_signal() -> None:
    last = dict(instructions())
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert not last["USER"].startswith(("root", "0"))
    words = [
        *json.loads(last["ENTRYPOINT"]),
        *json.loads(last["CMD"]),
    ]  # the exec form is JSON; a shell would take the signal
    assert words.pop(0) == "asgi-arbiter"
    config = load(parse(words).values, environment={}, directory="/").config
    assert config.bind == (f"0.0.0.0:{last['EXPOSE']}",)
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            assert (REPOSITORY / rest.split()[0]).exists(), rest


def test_the_manifests_give_the_service_the_time_that_it_takes_to_stop() -> None:
    yaml = pytest.importorskip("yaml")
    deployment, service = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (container,) = template["spec"]["containers"]
    config = load(parse(container["args"]).values, environment={}, directory="/").config
    takes = config.drain_delay + config.graceful_timeout + config.kill_timeout
    assert config.drain_delay >= 5 and "lifecycle" not in container
    assert takes < template["spec"]["terminationGracePeriodSeconds"] <= takes + 10
    (port,) = container["ports"]
    assert ("EXPOSE", str(port["containerPort"])) in instructions()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        (handler,) = container[probe].keys() & {"httpGet", "tcpSocket", "exec", "grpc"}
        assert container[probe][handler]["port"] == port["name"]
    assert template["spec"]["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_manifests_follow_the_schema_of_kubernetes() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="needs pip install kubernetes-validate")
    yaml = pytest.importorskip("yaml")
    for manifest in yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text()):
        validator.validate(manifest, validator.latest_version(), strict=True)
