"""A real Envoy with the configuration that we ship (deploy/envoy), in front of real servers, and its clients."""
import http.client
import json
import pathlib
import ssl
import subprocess
import sysconfig

import grpc
import yaml

from client import Client
from server import until
from stubs import ROOT

PROGRAM = pathlib.Path(sysconfig.get_path("scripts")) / "envoy"
SHIPPED = ROOT / "deploy/envoy"


def certificate(directory, name="tls"):
    """NAME.key and NAME.crt for localhost, signed by itself."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.crt", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)


class Envoy:
    """Running when made, before servers at `addresses`, on free ports; stopped at the end of the `with` block.
    keys: whether the servers want keys, as the shipped file takes for granted."""

    def __init__(self, directory, *addresses, keys=True):
        self.directory = directory
        certificate(directory)
        for name in ("barista.pb", "tls.yaml"):
            (directory / name).write_bytes((SHIPPED / name).read_bytes())
        config = yaml.safe_load((SHIPPED / "envoy.yaml").read_text())
        # What differs from the shipped file: the ports, and whose they are; what its comment says of servers without keys.
        listener, cluster = config["static_resources"]["listeners"][0], config["static_resources"]["clusters"][0]
        del config["static_resources"]["listeners"][1]  # of the admin port, which has another one here
        for address in (config["admin"]["address"], listener["address"]):
            address["socket_address"].update(address="127.0.0.1", port_value=0)
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}
            for host, port in (address.split(":") for address in addresses)]}]
        if not keys:
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            host, = manager["route_config"]["virtual_hosts"]
            host["routes"] = [route for route in host["routes"] if not route["name"].startswith("no-key")]
        (directory / "envoy.yaml").write_text(yaml.safe_dump(config))
        self._log = open(directory / "envoy.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [PROGRAM, "-c", "envoy.yaml", "--concurrency", "2", "--use-dynamic-base-id", "--admin-address-path", "admin",
             "--log-level", "warning"], cwd=directory, stdout=self._log, stderr=self._log)
        try:
            self.admin = until(self._admin, what="Envoy's admin port")
            self.port = until(self._listener, what="Envoy's listener")
            until(lambda: self.healthy() == len(addresses), what="the servers' health in Envoy")
        except BaseException:
            self.process.kill()
            print(self.log())
            raise
        self.address = f"localhost:{self.port}"
        self.root = (directory / "tls.crt").read_bytes()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self._log.close()

    def log(self):
        return (self.directory / "envoy.log").read_text()

    def _admin(self):
        path = self.directory / "admin"
        return path.read_text() if path.exists() and path.read_text() else None

    def ask(self, path):
        host, port = self.admin.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def _listener(self):
        statuses = json.loads(self.ask("/listeners?format=json") or "{}").get("listener_statuses", [])
        return statuses[0]["local_address"]["socket_address"]["port_value"] if statuses else None

    def stat(self, name):
        """A counter or gauge; -1 where there is none yet."""
        text = self.ask(f"/stats?filter=^{name}$")
        return int(text.rsplit(":", 1)[1]) if text else -1

    def healthy(self):
        """Servers that Envoy sends calls to."""
        return self.stat("cluster.barista.membership_healthy")

    def client(self, metadata=()):
        return EdgeClient(self, metadata)

    def tls(self, *protocols):
        """A TLS context that trusts it and offers these protocols."""
        context = ssl.create_default_context(cafile=self.directory / "tls.crt")
        context.set_alpn_protocols(protocols)
        return context

    def post(self, path, body, content_type, **headers):
        """(status, headers, body) of one HTTP/1.1 request."""
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=60, context=self.tls("http/1.1"))
        try:
            connection.request("POST", path, body, {"content-type": content_type, **headers})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


class SessionKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends the session that a request names where Envoy looks for it."""

    def _intercept(self, go_on, details, request):
        name = getattr(request, "session", "") or getattr(request, "name", "")
        metadata = [*(details.metadata or ()), ("x-barista-session", name)] if name else details.metadata
        return go_on(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = _intercept


class EdgeClient(Client):
    """A Client that speaks TLS to Envoy and names its sessions there."""

    def __init__(self, envoy, metadata=()):
        super().__init__(envoy.address, metadata=metadata, interceptors=[SessionKey()],
                         credentials=grpc.ssl_channel_credentials(envoy.root))
