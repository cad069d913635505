"""moto with what somebody needs who runs its instances: the cloud in one answer as soon as it has changed, the secrets that
an instance may read, and a place for what the health checks of load balancers find.

    GET  /machines?seen=MARK                      the cloud, unless it stays what MARK stands for (204 then)
    GET  /machines/secret?machine=KEY&name=NAME   a secret, if its policy names the role of the machine's instance
    POST /machines/power-off?machine=KEY          a machine switches itself off, which stops its instance
    POST /machines/health                         {"group": ARN, "instance": ID, "healthy": true or false}

moto's targets are healthy at once, and gone once they are deregistered; here they are what is found, and drain.  Public
addresses are of loopback.  The name of a load balancer is such an address, too, written in a way in which C's resolvers read
it and nobody else takes it for an address: 0x7f.0x5.0xff.0x1.  A network load balancer may be in a single zone.
"""

import base64
import itertools
import json
import time
import urllib.parse
from threading import Condition

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.ec2.models import ec2_backends, elastic_network_interfaces
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.elbv2.models import AvailabilityZone, ELBv2Backend, FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup, elbv2_backends
from moto.secretsmanager import secretsmanager_backends

REGION = "us-west-2"
# How long a question waits for a change, in seconds.
PATIENCE = 0.5
REASONS = {
    "healthy": (None, None),
    "initial": ("Elb.InitialHealthChecking", "Initial health checks in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "unused": ("Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
}


class Machines:
    def __init__(self, moto, block, speed):
        self.moto = moto
        self.changed = Condition()
        install(block, speed)

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
        with self.changed:
            if path == "/machines":
                status, body = self.cloud(query.get("seen"))
            elif path == "/machines/secret":
                status, body = secret(query["machine"], query["name"])
            else:
                status, body = "204 No Content", b""
                try:
                    if path == "/machines/power-off":
                        ec2 = ec2_backends[ACCOUNT][REGION]
                        ec2.stop_instances([it.id for it in of_key(ec2, query["machine"])])
                    elif path == "/machines/health":
                        find(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
                    else:
                        return self.moto(environ, start_response)
                finally:
                    self.changed.notify_all()
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]

    def cloud(self, seen):
        until = time.monotonic() + PATIENCE
        while True:
            body = json.dumps(cloud())
            mark = str(hash(body))
            if mark != seen:
                return "200 OK", json.dumps({"mark": mark, "cloud": body}).encode()
            if not self.changed.wait(until - time.monotonic()):
                return "204 No Content", b""


def cloud():
    ec2, balancing = ec2_backends[ACCOUNT][REGION], elbv2_backends[ACCOUNT][REGION]
    groups = [group for of_network in ec2.groups.values() for group in of_network.values()]
    return {
        "machines": [machine(it) for it in instances(ec2)],
        "rules": [permitted for group in groups for permitted in rules(group)],
        "balancers": [it for balancer in balancing.load_balancers.values() for it in listeners(balancer, balancing, ec2)],
    }


def instances(ec2):
    """Those that are there: EC2 shows for a while which are gone."""
    for reservation in ec2.reservations.values():
        for instance in reservation.instances:
            if instance.state not in ("shutting-down", "terminated"):
                yield instance


def name(instance):
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    return tags.get("multizone-name", instance.id)


def machine(instance):
    kind = INSTANCE_TYPES[instance.instance_type]
    return {
        "id": instance.id,
        "name": name(instance),
        "zone": instance.placement.availability_zone,
        "network": instance.vpc_id,
        "address": instance.private_ip,
        "external_address": instance.public_ip,
        "groups": sorted(group.id for group in instance.nics[0].group_set),
        "cpus": kind["VCpuInfo"]["DefaultVCpus"],
        "memory_mib": kind["MemoryInfo"]["SizeInMiB"],
        "user_data": instance.user_data.decode() if instance.user_data else "",
        "running": instance.state == "running",
    }


def of_key(ec2, key):
    """The instances that are the machine ZONE/NAME."""
    return [it for it in instances(ec2) if f"{it.placement.availability_zone}/{name(it)}" == key]


def find(found):
    """Keeps what a health check has found."""
    group = elbv2_backends[ACCOUNT][REGION].target_groups.get(found["group"])
    target = group and group.targets.get(found["instance"])
    if target:
        target["found"] = "healthy" if found["healthy"] else "unhealthy"


def rules(group):
    for rule in group.ingress_rules:
        if rule.ip_protocol in ("tcp", "-1") and (rule.cidr_ipv4 or rule.source_group):
            yield {
                "network": group.vpc_id,
                "target": group.id,
                "range": rule.cidr_ipv4,
                "source": rule.source_group.get("GroupId"),
                "ports": [rule.from_port, rule.to_port] if rule.ip_protocol == "tcp" else None,
            }


def listeners(balancer, balancing, ec2):
    for listener in balancer.listeners.values():
        group = balancing.target_groups.get(listener.default_actions[0].data.get("TargetGroupArn"))
        if group is None:
            continue
        yield {
            "address": ".".join(str(int(part, 16)) for part in balancer.dns_name.split(".")),
            "port": listener.port,
            "group": group.arn,
            "checked_from": str(balancer.subnets[0].cidr.broadcast_address - 1),
            "check": {
                "protocol": group.health_check_protocol,
                "port": None if group.health_check_port == "traffic-port" else int(group.health_check_port),
                "path": group.health_check_path,
                "interval": int(group.health_check_interval_seconds),
                "timeout": int(group.health_check_timeout_seconds),
                "healthy": int(group.healthy_threshold_count),
                "unhealthy": int(group.unhealthy_threshold_count),
            },
            "targets": [
                {"instance": it.instance_id, "port": int(it.port), "state": it.status}
                for it in balancing.describe_target_health(group.arn, [])
            ],
        }


def secret(key, wanted):
    """What a machine may read: the policy of the secret names the role of its instance."""
    ec2 = ec2_backends[ACCOUNT][REGION]
    profiles = (ec2.iam_instance_profile_associations.get(it.id) for it in of_key(ec2, key))
    roles = {role.arn for it in profiles if it for role in it.iam_instance_profile.roles}
    found = secretsmanager_backends[ACCOUNT][REGION].secrets.get(wanted)
    if found is None or found.is_deleted():
        return "404 Not Found", f"secret {wanted}".encode()
    for statement in json.loads(found.policy or "{}").get("Statement", []):
        principals = statement.get("Principal", {}).get("AWS", [])
        actions = statement.get("Action", [])
        if (
            statement["Effect"] == "Allow"
            and roles & set([principals] if isinstance(principals, str) else principals)
            and "secretsmanager:GetSecretValue" in ([actions] if isinstance(actions, str) else actions)
        ):
            content = found.versions[found.default_version_id]["secret_binary"]
            return "200 OK", base64.b64decode(content)
    return "403 Forbidden", f"{key} with {sorted(roles)} may not read {wanted}".encode()


def install(block, speed):
    """Gives moto loopback addresses of the block, and targets that are what is found of them."""
    public, balanced = itertools.count(1), itertools.count(1)
    elastic_network_interfaces.random_public_ip = lambda: f"127.{block}.240.{next(public)}"
    init, register, deregister = FakeLoadBalancer.__init__, FakeTargetGroup.register, FakeTargetGroup.deregister
    health_for, describe = FakeTargetGroup.health_for, ELBv2Backend.describe_target_health
    set_subnets = ELBv2Backend.set_subnets

    def named(self, *arguments, **values):
        values["dns_name"] = f"0x7f.{block:#x}.0xff.{next(balanced):#x}"
        init(self, *arguments, **values)

    def spanned(self, arn, subnets, mappings):
        balancer = self.load_balancers.get(arn)
        if balancer is None or balancer.type != "network" or len(subnets) != 1:
            return set_subnets(self, arn, subnets, mappings)
        balancer.subnets = [self.ec2_backend.get_subnet(subnets[0])]
        return [AvailabilityZone(balancer.subnets[0])]

    def registered(self, targets):
        before = dict(self.targets)
        register(self, targets)
        for target, known in before.items():
            self.targets[target].update(found=known.get("found", "initial"))

    def deregistered(self, targets):
        deregister(self, targets)
        delay = int(self.attributes["deregistration_delay.timeout_seconds"]) / speed
        for target in targets:
            self.deregistered_targets[target["Id"]]["until"] = time.monotonic() + delay

    def health(self, target, ec2):
        status = health_for(self, target, ec2)
        if status.status == "healthy":
            balancers = elbv2_backends[ACCOUNT][REGION].load_balancers
            subnets = [subnet for arn in self.load_balancer_arns if arn in balancers for subnet in balancers[arn].subnets]
            zone = ec2.get_instance_by_id(target["Id"]).placement.availability_zone
            in_use = any(subnet.availability_zone == zone for subnet in subnets)
            status.status = self.targets[target["Id"]].get("found", "initial") if in_use else "unused"
            status.reason, status.description = REASONS[status.status]
        return status

    def described(self, arn, targets):
        found = describe(self, arn, targets)
        group = self.target_groups[arn]
        for target, left in group.deregistered_targets.items():
            if not targets and time.monotonic() < left["until"]:
                draining = FakeHealthStatus(target, left["Port"], group.health_check_port, "draining", *REASONS["draining"])
                found.append(draining)
        return found

    FakeLoadBalancer.__init__, ELBv2Backend.set_subnets = named, spanned
    FakeTargetGroup.register, FakeTargetGroup.deregister = registered, deregistered
    FakeTargetGroup.health_for, ELBv2Backend.describe_target_health = health, described
