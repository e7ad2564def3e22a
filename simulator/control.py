"""The test's side of the simulator: /_control/... reads what happened and decides what happens next."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from simulator.http import Request, Response, Router, Routes
from simulator.log import shown
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendor import Vendor
    from simulator.world import World

routes = Routes()


class Control:
    def __init__(self, world: World) -> None:
        self.world = world
        self._router = Router((routes,))

    async def answer(self, prefix: str, request: Request) -> Response:
        if prefix in ("", "_control") and request.path in ("/", ""):
            return Response(index(self, request))
        found = self._router.find(request.method, request.path) if prefix == "_control" else None
        if found is None:
            return Response({"error": f"No {request.method} /{prefix}{request.path}. Look at /_control."}, 404)
        route, request.params = found
        try:
            answer = route.handler(self, request)
            if isawaitable(answer):
                answer = await answer
        except KeyError as error:
            return Response({"error": f"Unknown: {error}"}, 404)
        except (TypeError, ValueError) as error:
            return Response({"error": str(error)}, 400)
        return answer if isinstance(answer, Response) else Response(answer)

    def vendor(self, request: Request) -> Vendor[Any]:
        return self.world.vendors[request.params["vendor"]]


def _body(request: Request) -> dict[str, Any]:
    return request.json if isinstance(request.json, dict) else {}


def index(control: Control, _request: Request) -> dict[str, Any]:
    world = control.world
    return {
        "seed": world.seed,
        "scale": world.scale.name,
        "now": world.clock.now(),
        "driven": world.clock.driven,
        "vendors": {
            slug: {
                "base_url": f"{world.base_url}/{slug}",
                "accounts": [{"id": a.id, "name": a.name, "big": a.big} for a in vendor.accounts.values()],
                "actions": sorted(vendor.actions),
                "limits": [rule.name for rule in vendor.limits.rules.values()],
            }
            for slug, vendor in world.vendors.items()
        },
        "control": sorted(f"{route.method} /_control{route.path}" for route in routes.table),
    }


@routes.get("/counters")
def counters(control: Control, _request: Request) -> dict[str, Any]:
    return control.world.counters()


@routes.post("/grow")
def grow(control: Control, request: Request) -> dict[str, Any]:
    return {"done": control.world.grow(int(_body(request).get("events", 1)))}


# --- requests received


@routes.get("/requests")
def requests(control: Control, request: Request) -> dict[str, Any]:
    query = request.query
    entries = control.world.log.entries(
        vendor=query.get("vendor"), since=int(query.get("since", 0)), account=query.get("account")
    )
    cut = entries[-int(query.get("limit", 1000)) :]
    return {"requests": [shown(entry, control.world.vendors[entry.vendor].redact_path) for entry in cut]}


@routes.add("DELETE", "/requests")
def forget_requests(control: Control, _request: Request) -> dict[str, Any]:
    control.world.log.clear()
    return {"ok": True}


# --- faults and time


@routes.get("/faults")
def faults(control: Control, _request: Request) -> dict[str, Any]:
    return {"faults": control.world.faults.listed()}


@routes.post("/faults")
def add_fault(control: Control, request: Request) -> dict[str, Any]:
    """{"kind": "error", "vendor": "slack", "endpoint": "*history", "count": 2, "status": 502}"""
    fault = control.world.faults.add(**_body(request))
    return {"id": fault.id}


@routes.add("DELETE", "/faults")
def clear_faults(control: Control, request: Request) -> dict[str, Any]:
    return {"removed": control.world.faults.clear(**request.query)}


@routes.add("DELETE", "/faults/{id}")
def remove_fault(control: Control, request: Request) -> dict[str, Any]:
    return {"removed": control.world.faults.remove(int(request.params["id"]))}


@routes.add("GET POST", "/clock")
def clock(control: Control, request: Request) -> dict[str, Any]:
    """{"advance": seconds}, {"set": epoch seconds} or {"run": true}"""
    body, world_clock = _body(request), control.world.clock
    if "advance" in body:
        world_clock.advance(float(body["advance"]))
    if "set" in body:
        world_clock.set(float(body["set"]))
    if body.get("run"):
        world_clock.run()
    return {"now": world_clock.now(), "driven": world_clock.driven}


# --- one vendor


@routes.get("/{vendor}/accounts")
def accounts(control: Control, request: Request) -> dict[str, Any]:
    vendor = control.vendor(request)
    return {
        "accounts": [
            {"id": a.id, "name": a.name, "big": a.big, "feeds": {name: len(f) for name, f in vendor.feeds(a).items()}}
            for a in vendor.accounts.values()
        ]
    }


@routes.post("/{vendor}/connect")
def connect(control: Control, request: Request) -> dict[str, Any]:
    """Tokens for an account, as after consent. {"account": id, "scopes": [...], "app": client id}, all optional."""
    vendor, body = control.vendor(request), _body(request)
    app = vendor.auth.apps[body["app"]] if "app" in body else None
    return vendor.connect(body.get("account"), app=app, scopes=body.get("scopes")).as_json()


@routes.post("/{vendor}/consent")
def next_consent(control: Control, request: Request) -> dict[str, Any]:
    """What the person at the next authorize page does: {"account": id}, {"deny": true}, {"scopes": [...]}"""
    control.vendor(request).next_consent = _body(request)
    return {"ok": True}


@routes.get("/{vendor}/truth")
def truth(control: Control, request: Request) -> dict[str, Any]:
    return control.vendor(request).truth(request.query.get("account"))


@routes.post("/{vendor}/grow")
def grow_vendor(control: Control, request: Request) -> dict[str, Any]:
    vendor, body = control.vendor(request), _body(request)
    account = vendor.account(body.get("account"))
    return {"done": [vendor.grow(account) for _ in range(int(body.get("events", 1)))]}


@routes.post("/{vendor}/do/{action}")
async def act(control: Control, request: Request) -> dict[str, Any]:
    vendor, body = control.vendor(request), _body(request)
    account = vendor.account(body.pop("account", None))
    result = vendor.actions[request.params["action"]](account, **body)
    return {"result": await result if isawaitable(result) else result}


@routes.post("/{vendor}/revoke")
def revoke(control: Control, request: Request) -> dict[str, Any]:
    vendor, body = control.vendor(request), _body(request)
    return {"grants": vendor.revoke(body.get("account"), body.get("reason", "user"))}


@routes.post("/{vendor}/expire")
def expire(control: Control, request: Request) -> dict[str, Any]:
    """Let tokens run out now. {"account": id, "kinds": ["access"]}"""
    vendor, body = control.vendor(request), _body(request)
    kinds = tuple(body.get("kinds", ("access",)))
    return {"tokens": vendor.auth.expire_account(vendor.account(body.get("account")), vendor.now(), kinds=kinds)}


@routes.post("/{vendor}/scopes")
def change_scopes(control: Control, request: Request) -> dict[str, Any]:
    """Take scopes from an account's grants, or give some. {"account": id, "remove": [...], "add": [...]}"""
    vendor, body = control.vendor(request), _body(request)
    account = vendor.account(body.get("account"))
    for grant in vendor.auth.grants:
        if grant.account is account:
            grant.scopes = grant.scopes - set(body.get("remove", ())) | set(body.get("add", ()))
    return {"ok": True}


@routes.get("/{vendor}/limits")
def limits(control: Control, request: Request) -> dict[str, Any]:
    limiter = control.vendor(request).limits
    return {"enabled": limiter.enabled, "meters": [meter.state() for meter in limiter.meters.values()]}


@routes.post("/{vendor}/limits")
def change_limits(control: Control, request: Request) -> dict[str, Any]:
    """{"enabled": false}, {"rule": "tier3", "max": 5, "period": 10}, {"reset": true}"""
    limiter, body = control.vendor(request).limits, _body(request)
    if "enabled" in body:
        limiter.enabled = bool(body.pop("enabled"))
    if body.pop("reset", False):
        limiter.reset()
    if "rule" in body:
        limiter.change(body.pop("rule"), **body)
    return {"enabled": limiter.enabled}


# --- webhooks


@routes.get("/{vendor}/webhooks")
def webhooks(control: Control, request: Request) -> dict[str, Any]:
    hooks = control.vendor(request).hooks
    targets = [
        {"url": t.url, "account": t.account.id if t.account else None, "active": t.active} for t in hooks.targets
    ]
    return {"targets": targets, "deliveries": hooks.listed()}


@routes.post("/{vendor}/webhooks")
async def add_webhook(control: Control, request: Request) -> dict[str, Any]:
    """Register a receiver as a developer portal would. {"url", "account", "secret", "topics", "handshake": true}"""
    vendor, body = control.vendor(request), _body(request)
    account = vendor.account(body["account"]) if body.get("account") else None
    target = Target(
        body["url"], account, body.get("secret", ""), frozenset(body.get("topics", ())), extra=body.get("extra", {})
    )
    if body.get("handshake", True):
        return {"ok": await vendor.hooks.subscribe(target)}
    vendor.hooks.add(target)
    return {"ok": True}


@routes.post("/{vendor}/webhooks/drain")
async def drain(control: Control, request: Request) -> dict[str, Any]:
    hooks = control.vendor(request).hooks
    await hooks.drain()
    return {"deliveries": hooks.listed()}
