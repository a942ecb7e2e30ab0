"""The five methods over HTTP with JSON, as curl would ask: every byte of the request is ours."""

import gzip
import json
import threading
import time

import pytest

from showcase import until

UNKNOWN = "01arz3ndektsv4rrffq69g5fav"
FIELD = "google.rpc.BadRequest"


def held_name(held) -> str:
    return f"/v1/{held.name}"


def test_an_operation_is_what_grpc_shows(rest, showcase, parent):
    started = showcase.start("Echo", {"greeting": "hello"}, parent=parent)
    answer = rest.get(f"/v1/{started.name}")
    assert answer.status == 200
    operation = answer.json
    assert operation["name"] == started.name
    assert operation["done"] is True
    assert operation["response"] == {
        "@type": "type.googleapis.com/google.protobuf.Struct",
        "value": {"greeting": "hello"},
    }
    assert operation["metadata"]["value"]["state"] == "SUCCEEDED"
    assert set(operation) == {"name", "metadata", "done", "response"}
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_what_has_not_ended_has_neither_result(rest, held):
    operation = rest.get(held_name(held)).json
    assert set(operation) == {"name", "metadata"}


def test_a_failure_is_an_answer(rest, showcase):
    # google.rpc.ErrorInfo { reason: "WHY" }, and a type that nobody knows.
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "value": "CgNXSFk="},
        {"@type": "type.googleapis.com/acme.v1.Nobody", "value": "AAAA"},
    ]
    started = showcase.start("Fail", {"code": 9, "message": "not now", "details": details})
    answer = rest.get(f"/v1/{started.name}")
    assert answer.status == 200
    assert answer.json["error"] == {
        "code": 9,
        "message": "not now",
        # A reader that is strict would refuse all of it for the other.
        "details": [{"@type": details[0]["@type"], "reason": "WHY"}],
    }
    assert "response" not in answer.json


@pytest.mark.parametrize("version", ["v1", "v2", "v17", "v1alpha", "v1beta1", "v2alpha12"])
def test_any_version_is_the_same(rest, held, version):
    assert rest.get(f"/{version}/{held.name}").json["name"] == held.name


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/things",
        "/operations/x",
        "/V1/operations/x",
        "/v1gamma/operations/x",
        "/v1/operations%2Fx",
        "//",
        "/favicon.ico",
        "/v1/operations/x/../../../etc/passwd:nothing",
        f"/v1/operations/{UNKNOWN}",
        f"/v1/operations/{UNKNOWN}:nothing",
        "/v1/projects/p/operations/not-an-id",
        "/v1/operations/",
        "/v1/operations/%C3%A9%E4%B8%AD",
    ],
)
def test_what_is_not_there_is_404_in_json(rest, path):
    for method in ("GET", "POST") if path.startswith("/v1/things") else ("GET",):
        answer = rest(method, path)
        assert (answer.status, answer.error["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"/v1/operations/{UNKNOWN}", {"GET", "DELETE"}),
        ("/v1/operations", {"GET"}),
        (f"/v1/operations/{UNKNOWN}:cancel", {"POST"}),
        (f"/v1/operations/{UNKNOWN}:wait", {"GET", "POST"}),
    ],
)
def test_other_methods_are_told_which_there_are(rest, path, allowed):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"} - allowed:
        answer = rest(method, path, body=b"")
        assert answer.status == 405, method
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert answer.body == b"" if method == "HEAD" else answer.error["status"] == "UNIMPLEMENTED"


def test_escapes_are_resolved_but_for_slashes(rest, held):
    escaped = "".join(c if c == "/" else f"%{ord(c):02x}" for c in held.name)
    assert rest.get(f"/v1/{escaped}").json["name"] == held.name
    assert rest.get(f"/v1/{held.name.replace('/', '%2F')}").status == 404
    for broken in ("%", "%4", "%zz", "%ff"):
        answer = rest.get(f"/v1/operations/{broken}")
        assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")


def test_an_oversized_name_is_refused_and_not_echoed(rest):
    for name in ("operations/" + "x" * 4096, "x/" * 3000 + "operations/x"):
        answer = rest.get(f"/v1/{name}")
        assert answer.error["status"] == "INVALID_ARGUMENT"
        assert len(answer.body) < 2048


def test_odd_content_types_and_empty_bodies_are_taken(rest, showcase, held):
    odd = [
        {"content_type": "application/json", "content_length": "0"},
        {"content_type": "text/plain"},
        {"content_type": "application/json; charset=latin-1"},
        {"content_type": "application/octet-stream", "body": b"{}"},
        {"content_type": "application/json", "body": b" {} \r\n"},
        {},
    ]
    for headers in odd:
        assert rest.get(held_name(held), **headers).status == 200
        assert rest("POST", f"{held_name(held)}:cancel", **headers).json == {}
        assert rest("POST", f"{held_name(held)}:wait?timeout=0s", **headers).status == 200
        name = showcase.start("Echo").name
        assert rest("DELETE", f"/v1/{name}", **headers).json == {}


def test_a_wrong_body_is_refused_and_changes_nothing(rest, held):
    for body in (b"x", b"[]", b'{"nme": 1}', b'{"name": 1}', b'{"name": "other"}', b"\xff", b"{"):
        for verb in ("cancel", "wait"):
            answer = rest(
                "POST", f"{held_name(held)}:{verb}", body=body, content_type="application/json"
            )
            assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT"), body
        for method in ("GET", "DELETE"):
            answer = rest(method, held_name(held), body=body, content_type="application/json")
            assert answer.status == 400, body
    answer = rest("POST", f"{held_name(held)}:cancel", body=b'{"a":1}', content_type="text/plain")
    assert answer.status == 400
    metadata = rest.get(held_name(held)).json["metadata"]["value"]
    assert "cancelRequested" not in metadata


def test_a_body_may_be_compressed(rest, held):
    body = gzip.compress(json.dumps({"name": held.name, "timeout": "0s"}).encode())
    path, kind = f"{held_name(held)}:wait", "application/json"
    answer = rest("POST", path, body=body, content_type=kind, content_encoding="gzip")
    assert answer.json["name"] == held.name
    answer = rest("POST", path, body=b"x", content_type=kind, content_encoding="gzip")
    assert answer.status == 400
    answer = rest("POST", path, body=b"x", content_type=kind, content_encoding="br")
    assert (answer.status, answer.error["status"]) == (415, "INVALID_ARGUMENT")


def test_a_body_has_a_limit(rest, held):
    path = f"{held_name(held)}:cancel"
    answer = rest("POST", path, content_length=str(64 << 20), content_type="application/json")
    assert (answer.status, answer.error["status"]) == (413, "RESOURCE_EXHAUSTED")


def test_unknown_parameters_are_refused_by_name(rest, held, parent):
    for target, name in [
        (f"{held_name(held)}?color=red", "color"),
        (f"{held_name(held)}?pageSize=1", "pageSize"),
        (f"/v1/{parent}/operations?timeout=1s", "timeout"),
        (f"/v1/{parent}/operations?page_sizes=1", "page_sizes"),
        (f"{held_name(held)}:wait?filter=x", "filter"),
    ]:
        answer = rest.get(target)
        assert answer.error["status"] == "INVALID_ARGUMENT"
        violations = answer.detail(FIELD)["fieldViolations"]
        assert [violation["field"] for violation in violations] == [name]


@pytest.mark.parametrize(
    "query",
    [
        "alt=json",
        "$alt=json;enum-encoding=int",
        "%24alt=json%3Benum-encoding%3Dint",
        "prettyPrint=false",
        "$prettyPrint=true",
        "$.xgafv=1",
        "$.xgafv=2",
        "key=k&access_token=t&oauth_token=o&quotaUser=q&uploadType=u&upload_protocol=p&callback=c",
    ],
)
def test_system_parameters_are_taken(rest, held, query):
    assert rest.get(f"{held_name(held)}?{query}").json["name"] == held.name


def test_a_json_answer_is_indented_unless_told_otherwise(rest, showcase, parent):
    name = showcase.start("Echo", {"n": [1]}, parent=parent).name
    for target in (f"/v1/{name}", f"/v1/{parent}/operations", f"/v1/operations/{UNKNOWN}"):
        pretty, compact = rest.get(target), rest.get(f"{target}?prettyPrint=false")
        assert pretty.json == compact.json
        assert pretty.body == json.dumps(pretty.json, indent=2, ensure_ascii=False).encode()
        packed = json.dumps(compact.json, separators=(",", ":"), ensure_ascii=False)
        assert compact.body == packed.encode()


def test_fields_are_chosen(rest, showcase, parent):
    name = showcase.start("Echo", {"n": 1}, parent=parent).name
    listed = f"/v1/{parent}/operations"
    assert rest.get(f"/v1/{name}?fields=name,done").json == {"name": name, "done": True}
    assert rest.get(f"/v1/{name}", x_goog_fieldmask="done").json == {"done": True}
    assert rest.get(f"/v1/{name}?fields=response/value/n").json == {"response": {"value": {"n": 1}}}
    assert rest.get(f"{listed}?fields=operations(name)").json == {"operations": [{"name": name}]}
    assert rest.get(f"{listed}?fields=nextPageToken").json == {}
    assert rest.get(f"/v1/{name}?fields=a(").status == 400


def test_pages_are_complete_under_either_spelling(rest, showcase, parent):
    names = [showcase.start("Echo", {"n": n}, parent=parent).name for n in range(5)][::-1]
    for size, token in [("pageSize", "pageToken"), ("page_size", "page_token")]:
        found, following = [], ""
        for _ in range(3):
            page = rest.get(f"/v1/{parent}/operations?{size}=2&{token}={following}").json
            found += [operation["name"] for operation in page["operations"]]
            following = page.get("nextPageToken", "")
        assert (found, following) == (names, "")
    both = rest.get(f"/v1/{parent}/operations?pageSize=2&page_size=3")
    assert both.status == 400


def test_lists_are_filtered(rest, showcase, parent, held):
    done = showcase.start("Echo", parent=parent).name
    listed = f"/v1/{parent}/operations?returnPartialSuccess=true&filter="
    for query, expected in [("done%3Dtrue", done), ("done+%3D+false", held.name)]:
        operations = rest.get(listed + query).json["operations"]
        assert [operation["name"] for operation in operations] == [expected]


def test_an_empty_list_is_an_empty_object(rest, parent):
    assert rest.get(f"/v1/{parent}/operations").json == {}


def test_list_parameters_are_checked(rest, parent):
    for query, status in [
        ("pageSize=-1", "INVALID_ARGUMENT"),
        ("pageSize=x", "INVALID_ARGUMENT"),
        ("pageSize=99999999999", "INVALID_ARGUMENT"),
        ("pageToken=x", "INVALID_ARGUMENT"),
        ("filter=color%3Dred", "INVALID_ARGUMENT"),
        ("returnPartialSuccess=maybe", "INVALID_ARGUMENT"),
    ]:
        assert rest.get(f"/v1/{parent}/operations?{query}").error["status"] == status, query


def test_the_root_is_listed_by_every_form(rest, showcase):
    name = showcase.start("Echo", {}).name
    for path in ("/v1/operations", "/v1/operations/operations", "/v3beta/operations"):
        newest = [operation["name"] for operation in rest.get(path).json["operations"]]
        assert name in newest


def test_a_query_too_long_for_a_url_comes_as_a_form(rest, parent, held):
    form = {"content_type": "application/x-www-form-urlencoded", "x_http_method_override": "GET"}
    path = f"/v1/{parent}/operations"
    answer = rest("POST", path, body=b"pageSize=1&alt=json&fields=operations(name)", **form)
    assert answer.json == {"operations": [{"name": held.name}]}
    answer = rest("POST", path, body=b"color=red&%24.xgafv=1", **form)
    assert answer.status == 400 and "errors" in answer.error
    answer = rest("POST", held_name(held), x_http_method_override="GET", body=b"")
    assert answer.json["name"] == held.name
    assert rest("GET", held_name(held), x_http_method_override="DELETE").status == 400
    assert rest("POST", held_name(held), x_http_method_override="BREW", body=b"").status == 400


def test_changes_say_how_durable_they_are_and_reads_do_not(rest, held):
    assert "opgate-durability" not in rest.get(held_name(held)).headers
    cancelled = rest("POST", f"{held_name(held)}:cancel", body=b"")
    assert cancelled.headers["opgate-durability"] == "fsync"
    until(lambda: rest.get(held_name(held)).json, lambda operation: operation.get("done", False))
    deleted = rest("DELETE", held_name(held))
    assert deleted.headers["opgate-durability"] == "fsync"
    assert rest.get(held_name(held)).status == 404


def test_a_cancelled_operation_has_code_1(rest, held):
    assert rest("POST", f"{held_name(held)}:cancel", body=b"{}").json == {}
    ended = until(lambda: rest.get(held_name(held)).json, lambda operation: operation.get("done"))
    assert ended["error"]["code"] == 1
    assert rest("POST", f"{held_name(held)}:cancel", body=b"{}").json == {}


@pytest.mark.parametrize("how", ["query", "body", "header"])
def test_a_wait_ends_at_the_time_that_is_given(rest, held, how):
    path = f"{held_name(held)}:wait"
    began = time.monotonic()
    if how == "query":
        answer = rest("POST", f"{path}?timeout=0.2s", body=b"")
    elif how == "body":
        answer = rest("POST", path, body=b'{"timeout": "0.2s"}', content_type="application/json")
    else:
        answer = rest.get(path, x_server_timeout="0.3")
    took = time.monotonic() - began
    assert answer.status == 200
    assert "done" not in answer.json
    assert 0.15 <= took < 10


def test_a_wait_is_answered_at_the_end_of_the_operation(rest, held):
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(rest.get(f"{held_name(held)}:wait?timeout=20s"))
    )
    waiting.start()
    assert rest("POST", f"{held_name(held)}:cancel", body=b"").status == 200
    waiting.join(timeout=20)
    assert answers[0].json["done"] is True


def test_bad_times_are_refused(rest, held):
    for query in ("timeout=5", "timeout=-1s", "timeout=x", "timeout=1e3s"):
        assert rest.get(f"{held_name(held)}:wait?{query}").status == 400, query
    assert rest.get(held_name(held), x_server_timeout="1").status == 200
    assert rest.get(f"{held_name(held)}:wait", x_server_timeout="soon").status == 400


def test_long_answers_are_compressed_for_those_who_take_it(rest, showcase, parent):
    name = showcase.start("Echo", {"text": "x" * 5000}, parent=parent).name
    for target in (f"/v1/{name}", f"/v1/{parent}/operations", f"/v1/{name}?fields=response"):
        plain = rest.get(target)
        assert "content-encoding" not in plain.headers
        packed = rest.get(target, accept_encoding="gzip, deflate")
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) < len(plain.body) / 4
        assert gzip.decompress(packed.body) == plain.body
        assert "content-encoding" not in rest.get(target, accept_encoding="gzip;q=0").headers
    short = rest.get(f"/v1/{name}?fields=name", accept_encoding="gzip")
    assert "content-encoding" not in short.headers


def test_requests_are_counted(rest, scrape, held):
    rest.get(held_name(held))
    rest.get("/nothing/here")
    rest.get(f"{held_name(held)}?color=red")
    _, samples = scrape()
    for method, code in [("get", "OK"), ("other", "NOT_FOUND"), ("get", "INVALID_ARGUMENT")]:
        name = f'opgate_requests_total{{protocol="http",method="{method}",code="{code}"}}'
        assert samples[name] >= 1, [name for name in samples if 'protocol="http"' in name][:3]
    assert samples['opgate_requests_in_flight{protocol="http"}'] == 0
