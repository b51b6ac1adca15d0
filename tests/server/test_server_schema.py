"""The OpenAPI description against the server that it describes (schemathesis)."""

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from test_server import running

OPERATIONS = [
    ("POST", "/v1/photos"), ("POST", "/v1/crops"), ("POST", "/v1/clips"), ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job}"), ("GET", "/v1/jobs/{job}/events"), ("GET", "/v1/jobs/{job}/results/{name}"),
    ("DELETE", "/v1/jobs/{job}"), ("GET", "/v1/models"), ("GET", "/v1/about"), ("GET", "/healthz"),
    ("GET", "/metrics"), ("POST", "/v1/session"),
]  # fmt: skip


@pytest.fixture(scope="module")
def address():
    with running() as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def described(address):
    schemathesis = pytest.importorskip("schemathesis")  # here, since it takes a second in who collects it
    return schemathesis.openapi.from_url(f"{address}/v1/openapi.json")


@pytest.fixture(scope="module")
def checks(described):
    """Whatever is sent, the answer is as described: no bug, a known status, its type and its shape."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return (
        not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
        checks.response_schema_conformance,
    )  # fmt: skip


def test_every_operation_is_tried(address):
    paths = httpx.get(f"{address}/v1/openapi.json", trust_env=False).json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(
        OPERATIONS
    )


@pytest.mark.slow  # what answers hold is checked as they are made: by their models, which describe them
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_described(described, checks, address, method, path):
    @settings(
        max_examples=300, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=described[path][method].as_strategy())
    def run(case):
        case.call_and_validate(base_url=address, checks=checks)

    run()
