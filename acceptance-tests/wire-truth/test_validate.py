"""The validator notices what is wrong: every rule, broken on purpose."""

import copy
import json
import unittest

from discovery import Api, document
from validate import Validation

APIS = [Api(document(name)) for name in ("compute", "secretmanager", "iam")]
JSON = {"Content-Type": "application/json; charset=UTF-8"}
LINKS = "https://www.googleapis.com/compute/v1/projects/p"
ZONE = "/compute/v1/projects/p/zones/us-central1-a"
LISTING = {"kind": "compute#diskList", "id": "x"}


def exchange(verb, target, body=None, *, status=200, answer=None):
    return {
        "request": {"method": verb, "target": target, "headers": JSON, "body": "" if body is None else json.dumps(body)},
        "response": {"status": status, "headers": JSON, "body": json.dumps(answer if answer is not None else operation())},
    }


def operation():
    return {"kind": "compute#operation", "id": "12", "name": "operation-1", "status": "DONE", "progress": 100}


def disk():
    return {
        "kind": "compute#disk",
        "id": "7",
        "name": "data",
        "creationTimestamp": "2026-01-02T03:04:05.678-08:00",
        "selfLink": f"{LINKS}/zones/us-central1-a/disks/data",
        "users": [f"{LINKS}/zones/us-central1-a/instances/web"],
        "sizeGb": "10",
        "status": "READY",
        "labels": {"a": "b"},
        "labelFingerprint": "42WmSpB8rSM=",
    }


def machine():
    return {
        "name": "web",
        "machineType": "zones/us-central1-a/machineTypes/e2-medium",
        "disks": [{"boot": True, "initializeParams": {"sourceImage": "projects/p/global/images/i", "diskSizeGb": "10"}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "metadata": {"items": [{"key": "user-data", "value": "x"}]},
    }


def refusal(**changes):
    error = {"code": 404, "message": "no", "errors": [{"message": "no", "domain": "global", "reason": "notFound"}]}
    return {"error": error | changes}


def wrong(it):
    return Validation(APIS).exchange(it)


class Requests(unittest.TestCase):
    def assert_wrong(self, it, expected):
        found = wrong(it)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def insert(self, change):
        body = machine()
        change(body)
        return exchange("POST", f"{ZONE}/instances", body)

    def test_what_is_right_passes(self):
        for it in (
            self.insert(lambda _: None),
            exchange("GET", f"{ZONE}/disks/data", answer=disk()),
            exchange("GET", f"{ZONE}/disks/data?alt=json&%24apiVersion=1", status=404, answer=refusal()),
            exchange("POST", f"{ZONE}/disks/data/resize", {"sizeGb": "20"}),
            exchange("POST", f"{ZONE}/operations/operation-1/wait", {}),
            exchange("GET", "/sandbox/v1/status", answer={"anything": 1}),
        ):
            self.assertEqual(wrong(it), [])

    def test_routes(self):
        self.assert_wrong(exchange("GET", f"{ZONE}/disk/data"), "no such method")
        self.assert_wrong(exchange("PUT", f"{ZONE}/disks/data"), "no such method (the path takes DELETE, GET, PATCH)")
        self.assert_wrong(exchange("GET", "/compute/v1/projects/p/zones/Us_1/disks", answer=LISTING), "parameter zone")

    def test_query_parameters(self):
        for query, expected in (
            ("surprise=1", "unknown query parameter surprise"),
            ("maxResults=many", "parameter maxResults"),
            ("maxResults=-1", "parameter maxResults"),
            ("includeAllScopes=1", "unknown query parameter includeAllScopes"),
            ("filter=a&filter=b", "given 2 times"),
        ):
            with self.subTest(query):
                self.assert_wrong(exchange("GET", f"{ZONE}/disks?{query}", answer=LISTING), expected)
        self.assert_wrong(exchange("POST", f"{ZONE}/instances/web/detachDisk"), "parameter deviceName is missing")

    def test_bodies(self):
        for change, expected in (
            (lambda it: it.update(surprise=1), "surprise"),
            (lambda it: it["disks"][0].update(surprise=1), "surprise"),
            (lambda it: it["disks"][0]["initializeParams"].update(diskSizeGb=10), "/disks/initializeParams/diskSizeGb"),
            (lambda it: it["disks"][0]["initializeParams"].update(diskSizeGb="ten"), "int64"),
            (lambda it: it["disks"][0].update(mode="BOTH"), "/disks/mode"),
            (lambda it: it.update(name="web\n"), "/name"),
            (lambda it: it.update(name="a b"), "/name"),
            (lambda it: it.pop("name"), "name"),
            (lambda it: it["metadata"]["items"][0].pop("value"), "value"),
            (lambda it: it.update(id="1"), "/id is set by the server only"),
        ):
            it = self.insert(change)
            with self.subTest(expected):
                self.assert_wrong(it, expected)

    def test_bodies_where_none_belongs_and_none_where_one_does(self):
        self.assert_wrong(exchange("DELETE", f"{ZONE}/disks/data", {"force": True}), "has a body")
        self.assert_wrong(exchange("POST", f"{ZONE}/disks/data/resize"), "not JSON")

    def test_a_wrong_request_may_be_refused_but_not_accepted(self):
        it = exchange("POST", f"{ZONE}/disks", {"name": "Bad_Name"}, status=400, answer=refusal(code=400))
        validation = Validation(APIS)
        self.assertEqual(validation.exchange(it), [])
        self.assertEqual(validation.rightly_refused, 1)
        self.assert_wrong(exchange("POST", f"{ZONE}/disks", {"name": "Bad_Name"}), "/name")

    def test_secret_manager(self):
        version = {"name": "projects/1/secrets/s/versions/1", "state": "ENABLED", "createTime": "2026-01-02T03:04:05.123Z"}
        add = "/v1/projects/p/secrets/s:addVersion"
        payload = {"payload": {"data": "aGk=", "dataCrc32c": "4120762818"}}
        self.assertEqual(wrong(exchange("POST", add, payload, answer=version)), [])
        self.assert_wrong(exchange("POST", add, {"payload": {"data": "h*"}}, answer=version), "byte")
        self.assert_wrong(exchange("POST", add, payload, answer=version | {"createTime": "yesterday"}), "google-datetime")
        self.assert_wrong(exchange("POST", "/v1/projects/p/secrets/s:burn", {}, answer={}), "no such method")


class Answers(unittest.TestCase):
    assert_wrong = Requests.assert_wrong

    def get(self, change):
        answer = disk()
        change(answer)
        return exchange("GET", f"{ZONE}/disks/data", answer=answer)

    def test_bodies(self):
        for change, expected in (
            (lambda it: it.pop("kind"), "kind"),
            (lambda it: it.update(kind="compute#disks"), "/kind"),
            (lambda it: it.update(surprise=None), "surprise"),
            (lambda it: it.update(sizeGb=10), "/sizeGb"),
            (lambda it: it.update(sizeGb="010"), "/sizeGb"),
            (lambda it: it.update(id="-7"), "/id"),
            (lambda it: it.update(id=str(2**64)), "/id"),
            (lambda it: it.update(status="GREAT"), "/status"),
            (lambda it: it.update(labels={"a": 1}), "/labels/a"),
            (lambda it: it.update(labelFingerprint="*"), "/labelFingerprint"),
            (lambda it: it.update(description=None), "/description"),
            (lambda it: it.update(creationTimestamp="now"), "/creationTimestamp"),
            (lambda it: it.update(users=[f"{LINKS}/zones/us-central1-a/machines/web"]), "leads nowhere"),
            (lambda it: it.update(selfLink=f"{LINKS}/zones/us-central1-b/disks/data"), "selfLink of"),
        ):
            it = self.get(change)
            with self.subTest(expected):
                self.assert_wrong(it, expected)

    def test_kinds_of_what_lists_hold(self):
        listing = {"kind": "compute#diskList", "id": "x", "items": [disk(), disk()]}
        self.assertEqual(wrong(exchange("GET", f"{ZONE}/disks", answer=listing)), [])
        broken = copy.deepcopy(listing)
        del broken["items"][1]["kind"]
        self.assert_wrong(exchange("GET", f"{ZONE}/disks", answer=broken), "/items")

    def test_refusals(self):
        get = f"{ZONE}/disks/data"
        self.assert_wrong(exchange("GET", get, status=404, answer=refusal(code=400)), "/error/code")
        self.assert_wrong(exchange("GET", get, status=404, answer=refusal(errors=[])), "/error/errors")
        self.assert_wrong(exchange("GET", get, status=404, answer=refusal(status="GONE")), "/error/status")
        self.assert_wrong(exchange("GET", get, status=404, answer={}), "error")

    def test_what_is_no_json(self):
        it = exchange("GET", f"{ZONE}/disks/data", answer=disk())
        it["response"] |= {"headers": {"content-type": "text/html"}, "body": "<html>"}
        found = wrong(it)
        self.assertEqual(len(found), 2, found)
        self.assertIn("content type text/html", found[0])
        self.assertIn("not JSON", found[1])


class Batches(unittest.TestCase):
    def batch(self, replies):
        def head(identity, prefix=""):
            return f"Content-Type: application/http\nContent-ID: <{prefix}{identity}>\n\n"

        requests = "".join(
            f"--b\n{head(it)}GET {ZONE}/disks/data HTTP/1.1\nAccept: application/json\n\n\n" for it in ("data+0", "data+1")
        )
        answers = "".join(
            f"--b\r\n{head(it, 'response-')}HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}\r\n"
            for it, body in replies.items()
        )
        headers = {"Content-Type": "multipart/mixed; boundary=b"}
        return {
            "request": {"method": "POST", "target": "/batch/compute/v1", "headers": headers, "body": requests + "--b--\n"},
            "response": {"status": 200, "headers": headers, "body": answers + "--b--\r\n"},
        }

    def test_each_call_is_validated(self):
        validation = Validation(APIS)
        found = validation.exchange(self.batch({"data+1": disk(), "data+0": disk() | {"sizeGb": 1}}))
        self.assertEqual(validation.methods["compute.disks.get"], 2)
        self.assertEqual(len(found), 1, found)
        self.assertIn("/sizeGb", found[0])

    def test_a_call_without_a_reply_is_noticed(self):
        self.assertIn("no reply", wrong(self.batch({"data+0": disk()}))[0])


if __name__ == "__main__":
    unittest.main()
