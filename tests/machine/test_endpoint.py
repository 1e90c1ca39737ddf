from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from stages.errors import GlossaError
from stages.machine import runtime
from stages.machine.access import Access, Proxy
from stages.machine.endpoint import Endpoint
from stages.params import parse

LOCAL = "http://127.0.0.1:8000/v1"


def read(**values: Any) -> Endpoint:
    return parse(Endpoint, values, "endpoints.lab", Path("runtime.yaml"))


def test_an_address_is_enough() -> None:
    endpoint = read(base_url=f"{LOCAL}/")
    assert (endpoint.base_url, endpoint.concurrency, endpoint.timeout) == (LOCAL, 64, 600)
    assert endpoint.api_key("lab") is None


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.8.8.8/v1", "http://[::1]:80/v1", "https://api.x.org/v1"]
)
def test_tls_may_be_left_out_on_this_machine_only(url: str) -> None:
    assert read(base_url=url).base_url == url


@pytest.mark.parametrize("url", ["http://api.x.org/v1", "http://10.0.0.1/v1", "http://localhost.x.org/v1"])
def test_elsewhere_it_has_to_be_allowed(url: str) -> None:
    with pytest.raises(GlossaError, match="has an address without TLS; use https, or set insecure: true"):
        read(base_url=url)
    assert read(base_url=url, insecure=True).base_url == url


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "endpoints.lab.base_url is missing"),
        ({"base_url": "api.x.org"}, "endpoints.lab.base_url should be an address such as"),
        ({"base_url": "https://x/v1?key=1"}, "should be an address such as https://host/v1, without ? and #"),
        ({"base_url": "https://[::1"}, "should be an address such as"),
        ({"base_url": LOCAL, "concurrency": 0}, "endpoints.lab.concurrency should be greater than or equal to 1"),
        ({"base_url": LOCAL, "api_key": "x"}, "has no key 'api_key'; did you mean api_key_env?"),
        ({"base_url": LOCAL, "budget": {"euros": 5}}, "endpoints.lab.budget has no key 'euros'"),
        ({"base_url": LOCAL, "prices": {"m": {"input": -1.0, "output": 1.0}}}, "prices.m.input should be greater than"),
    ],
)
def test_a_mistake_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(GlossaError) as caught:
        read(**values)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "https://me:canary@api.x.org/v1"},
        {"base_url": "https://canary@api.x.org/v1"},
        {"base_url": LOCAL, "api_key_env": "sk-canary"},
        {"base_url": LOCAL, "api_key": "sk-canary"},
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_without_being_shown(values: dict[str, Any]) -> None:
    with pytest.raises(GlossaError) as caught:
        read(**values)
    assert "canary" not in str(caught.value)
    assert "api_key_env" in str(caught.value)


def test_the_key_comes_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = read(base_url=LOCAL, api_key_env="LAB_KEY")
    monkeypatch.setenv("LAB_KEY", " secret\n")
    assert endpoint.api_key("lab") == "secret"
    monkeypatch.setenv("LAB_KEY", " ")
    with pytest.raises(
        GlossaError, match="key of the endpoint lab in the environment variable LAB_KEY, but it is not set"
    ):
        endpoint.api_key("lab")


def test_runtime_yaml_holds_endpoints(tmp_path: Path) -> None:
    path = tmp_path / "runtime.yaml"
    path.write_text(f"endpoints:\n  lab: {{base_url: {LOCAL}, timeout: 5, budget: {{dollars: 2}}}}\n")
    lab = runtime.load(path).endpoints["lab"]
    assert (lab.timeout, lab.budget.dollars, lab.budget.calls) == (5, 2, None)


def test_what_is_sent_along_is_filled_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "secret")
    monkeypatch.setenv("LAB_PROXY", "http://me:pass%40word@proxy.x.org:3128/")
    endpoint = read(
        base_url=LOCAL.replace("http:", "https:"),
        api_key_env="LAB_KEY",
        headers={"x-plain": "one $$5", "x-auth": "Basic ${LAB_KEY}=", "x-n": 3},
        query={"api-version": datetime.date(2024, 10, 21), "key": "$LAB_KEY"},
        proxy="$LAB_PROXY",
    )
    found = endpoint.filled("lab")
    assert found.headers == {
        "x-plain": "one $5",
        "x-auth": "Basic secret=",
        "x-n": "3",
        "Authorization": "Bearer secret",
    }
    assert found.query == {"api-version": "2024-10-21", "key": "secret"}
    assert found.proxy == Proxy("http://proxy.x.org:3128", "Basic bWU6cGFzc0B3b3Jk")
    assert {"secret", "pass%40word", "pass@word", "bWU6cGFzc0B3b3Jk"} < set(found.secrets)
    assert "secret" not in repr(endpoint)
    assert read(base_url=LOCAL).filled("lab") == Access({}, {}, None, ())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"headers": {"content-length": "1"}},
            "'content-length' is one that says how questions are sent; leave it out",
        ),
        ({"headers": {"Proxy-Authorization": "$X"}}, "is one that says how questions are sent"),
        ({"headers": {"a b": "1"}}, "'a b' is none; leave it out"),
        ({"headers": {"x": "$key"}}, "the header x of an endpoint should name an environment variable in capitals"),
        ({"headers": {"x": "5$"}}, "or spell a dollar as $$"),
        ({"headers": {"x": "${A B}"}}, "should name an environment variable in capitals"),
        ({"headers": {"x": True}}, "endpoints.lab.headers.x should be a valid string, found True"),
        ({"query": {"v": 2024.1}}, "endpoints.lab.query.v should be a valid string, found 2024.1"),
        ({"api_key_env": "K", "headers": {"authorization": "Basic $X"}}, "leave one of them out"),
        ({"proxy": "socks5://x:1"}, "endpoints.lab.proxy should be the address of an HTTP proxy, such as"),
        ({"proxy": "http://x:1/a?b"}, "endpoints.lab.proxy should be the address of an HTTP proxy, such as"),
        (
            {"proxy": "http://x:1"},
            "has an address without TLS, so its proxy sees all; use https, or set insecure: true",
        ),
        ({"base_url": "https://x/v1?api-version=1"}, "what stands behind a ? belongs into query"),
    ],
)
def test_a_mistake_in_what_is_sent_along_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(GlossaError) as caught:
        read(**{"base_url": LOCAL, **values})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("values", "instead"),
    [
        ({"headers": {"api-key": "canary"}}, "api-key: $LAB_KEY"),
        ({"headers": {"Authorization": "Bearer canary"}}, "Authorization: $LAB_KEY"),
        ({"headers": {"Ocp-Apim-Subscription-Key": "canary"}}, "$LAB_KEY"),
        ({"headers": {"x-gateway-token": "canary"}}, "$LAB_KEY"),
        ({"query": {"apikey": "canary"}}, "apikey: $LAB_KEY"),
        ({"proxy": "http://me:canary@proxy:1"}, "proxy: $LAB_PROXY"),
    ],
)
def test_a_secret_belongs_into_the_environment_and_is_not_shown(values: dict[str, Any], instead: str) -> None:
    with pytest.raises(GlossaError) as caught:
        read(**{"base_url": LOCAL, **values})
    assert "canary" not in str(caught.value)
    assert instead in str(caught.value)
