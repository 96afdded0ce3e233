"""The cluster that a test holds: pods, manifests, jobs, services, waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import ClusterError
from pytest_kinda.testbed import workloads
from pytest_kinda.testbed.api import Api
from pytest_kinda.testbed.kubectl import Kubectl
from pytest_kinda.testbed.manifests import Manifest, read_manifests
from pytest_kinda.testbed.nodes import NodeHandle
from pytest_kinda.testbed.pods import PodHandle
from pytest_kinda.testbed.portforward import PortForward
from pytest_kinda.testbed.processes import Process
from pytest_kinda.testbed.resources import Resource, resource
from pytest_kinda.testbed.states import Condition, Object, conditions
from pytest_kinda.testbed.waiting import wait_for_object

_NAMESPACES = resource("namespace")
NAMESPACE_LABEL = "pytest-kinda/testbed"
"""What namespaces made for tests bear, with the value ``yes``."""
# In either of kube-proxy's modes; a service without endpoints is in neither of the two. What
# follows the address keeps fd00::1 from being found in fd00::1:2.
_KNOWS = (
    "{ iptables-save -t nat; ip6tables-save -t nat; nft list map ip kube-proxy service-ips; "
    "nft list map ip6 kube-proxy service-ips; } 2>/dev/null "
    '| grep -qwF -e "$1/32" -e "$1/128" -e "$1 ."'
)


class Cluster:
    """The Kubernetes cluster of a testbed. Example::

    server = kinda.cluster.run_pod("server", node="w2", command=["iperf3", "-s"])
    kinda.cluster.wait_for("deployment/web", "Available", timeout=60)
    """

    def __init__(
        self,
        api: Api,
        kubectl: Kubectl,
        node: Callable[[str], NodeHandle],
        names: Mapping[str, str],
        image: Callable[[], str],
        *,
        nodes: Sequence[NodeHandle] = (),
        load: Callable[[str, Sequence[str]], None] | None = None,
        remember: Callable[[Process], None] | None = None,
        show: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.api = api
        self.kubectl = kubectl
        self.node = node
        self._names = dict(names)
        self._image = image
        self._nodes = tuple(nodes)
        self._load = load
        self._remember = remember
        self._show = show
        self._namespace = "default"
        self._pending = ""
        self.simulated: frozenset[str] = frozenset()
        """The names of its simulated nodes, which are only objects."""

    @property
    def client(self) -> Any:
        """A configured ``kubernetes.client.ApiClient``."""
        return self.api.client

    # Namespaces

    @property
    def namespace(self) -> str:
        """The namespace that calls without ``namespace=`` act in.

        Within a test it is the test's own, made when it is first asked for.
        """
        return self.current_namespace()

    def current_namespace(self, *, make: bool = True) -> str:
        """``namespace``; with ``make=False`` one that nothing has needed yet is not made."""
        if self._pending and make:
            self.create_namespace(self._pending)
            self._namespace, self._pending = self._pending, ""
        return self._pending or self._namespace

    def begin_namespace(self, name: str) -> None:
        """From now on use this namespace; it is made when something first needs it."""
        self._pending, self._namespace = name, "default"

    def end_namespace(self) -> str:
        """Go back to ``default`` and begin to delete the other, in the background.

        The name of what is being deleted, empty where nothing was made.
        """
        name, self._namespace, self._pending = self._namespace, "default", ""
        if name == "default":
            return ""
        self.delete_namespace(name)
        return name

    def create_namespace(self, name: str) -> str:
        """Make a namespace and wait until pods may start in it. Raises ClusterError."""
        body = {"metadata": {"name": name, "labels": {NAMESPACE_LABEL: "yes"}}}
        try:
            self.api.request("POST", _NAMESPACES.path(), body=body)
        except ClusterError as error:
            if error.status != 409:
                raise
        wait_for_object(
            self.api,
            resource("serviceaccount"),
            name,
            "default",
            "exists",
            timeout=30.0,
            show=lambda text: None,
        )
        return name

    def delete_namespace(self, name: str, *, wait: bool = False, timeout: float = 60.0) -> None:
        """Delete a namespace with all in it; one that is gone already is no error."""
        self._delete(_NAMESPACES, "", name, wait=wait, timeout=timeout)

    # Pods and workloads

    def run_pod(
        self,
        name: str,
        *,
        node: str | None = None,
        image: str | None = None,
        command: Sequence[str] = ("sleep", "infinity"),
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        ports: Sequence[int] = (),
        host_network: bool = False,
        privileged: bool = False,
        namespace: str | None = None,
        requests: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
        wait: bool = True,
        timeout: float = 60.0,
    ) -> PodHandle:
        """Start a pod of one container and wait until it is Ready.

        Without ``image`` it is the tools image, which every node has (shell, ping, curl, iperf3).
        With ``ports`` (TCP) it is Ready when the first of them accepts connections. ``requests``
        are resources as Kubernetes writes them (``{"cpu": "500m"}``). ``spec`` is merged into the
        pod's, for all that has no argument here. ``timeout`` in seconds. Raises ClusterError,
        WaitTimeoutError with the pod's last state, UnknownNameError for the node.
        """
        if node is not None:
            self.node(node)
        body = workloads.pod(
            name,
            image or self._image(),
            node=node,
            command=command,
            args=args,
            env=env or {},
            labels=labels or {},
            ports=ports,
            host_network=host_network,
            privileged=privileged,
            spec=spec or {},
            requests=requests or {},
            annotations=annotations or {},
        )
        space = namespace or self.namespace
        self._create(resource("pod"), space, body)
        handle = self.pod(name, namespace=space)
        return handle.wait_for("Ready", timeout=timeout) if wait else handle

    def pod(self, name: str, *, namespace: str | None = None, container: str = "") -> PodHandle:
        """A pod by name; nothing is asked of the cluster yet."""
        return PodHandle(self, namespace or self.namespace, name, container, self._remember)

    def pods(self, selector: str = "", *, namespace: str | None = None) -> tuple[PodHandle, ...]:
        """The pods that a label selector fits, by name."""
        space = namespace or self.namespace
        listed = self.api.get(resource("pod").path(space), {"labelSelector": selector})
        names = sorted(one["metadata"]["name"] for one in listed["items"])
        return tuple(self.pod(name, namespace=space) for name in names)

    def run_job(
        self,
        name: str,
        *,
        command: Sequence[str],
        node: str | None = None,
        image: str | None = None,
        env: Mapping[str, str] | None = None,
        completions: int = 1,
        parallelism: int = 1,
        namespace: str | None = None,
        timeout: float = 120.0,
    ) -> tuple[str, ...]:
        """Run a job to its end: the logs of its pods, by name.

        Pods are not tried again. ``timeout`` in seconds. Raises ClusterError with the logs when
        it fails, WaitTimeoutError.
        """
        if node is not None:
            self.node(node)
        space = namespace or self.namespace
        body = workloads.job(
            name,
            image or self._image(),
            node=node,
            command=command,
            env=env or {},
            completions=completions,
            parallelism=parallelism,
        )
        self._create(resource("job"), space, body)
        try:
            self.wait_for(f"job/{name}", "Complete", namespace=space, timeout=timeout)
        except ClusterError as error:
            logs = "\n".join(pod.logs() for pod in self.pods(f"job-name={name}", namespace=space))
            raise ClusterError(f"{error.message}\n{logs.rstrip()}") from error
        return tuple(pod.logs() for pod in self.pods(f"job-name={name}", namespace=space))

    def deploy(
        self,
        name: str,
        *,
        replicas: int = 1,
        image: str | None = None,
        command: Sequence[str] = ("sleep", "infinity"),
        env: Mapping[str, str] | None = None,
        ports: Sequence[int] = (),
        spread: bool = False,
        namespace: str | None = None,
        spec: Mapping[str, Any] | None = None,
        timeout: float = 120.0,
    ) -> tuple[PodHandle, ...]:
        """Make a deployment, wait until its pods are Ready, and give them.

        ``spread`` puts each pod on another node. ``timeout`` in seconds. Raises ClusterError,
        WaitTimeoutError.
        """
        space = namespace or self.namespace
        body = workloads.deployment(
            name,
            image or self._image(),
            replicas=replicas,
            command=command,
            env=env or {},
            ports=ports,
            spread=spread,
            spec=spec or {},
        )
        self._create(resource("deployment"), space, body)
        self.wait_for(f"deployment/{name}", "Ready", namespace=space, timeout=timeout)
        return self.pods(f"app={name}", namespace=space)

    def expose(
        self,
        name: str,
        *,
        port: int,
        target_port: int | None = None,
        protocol: str = "TCP",
        selector: Mapping[str, str] | None = None,
        kind: str = "ClusterIP",
        ip_family_policy: str = "PreferDualStack",
        namespace: str | None = None,
        timeout: float = 30.0,
    ) -> Object:
        """Make a service and wait until every node forwards to it; the service as JSON.

        Without ``selector`` it is for pods labelled ``app=NAME``, which ``run_pod`` and ``deploy``
        label so. ``kind`` is ``ClusterIP``, ``NodePort`` or ``None`` (headless). In a dual-stack
        cluster it has an address of each family unless ``ip_family_policy`` is ``SingleStack``.
        Raises ClusterError, WaitTimeoutError. Example::

            kinda.cluster.expose("web", port=80, target_port=8080)["spec"]["clusterIP"]
        """
        space = namespace or self.namespace
        body = workloads.service(
            name,
            port,
            target_port or port,
            protocol,
            selector or {"app": name},
            kind,
            ip_family_policy,
        )
        made = self._create(resource("service"), space, body)
        self.wait_for_service(name, namespace=space, timeout=timeout)
        return made

    def wait_for_service(
        self, name: str, *, namespace: str | None = None, timeout: float = 30.0
    ) -> Object:
        """Wait until a service has an endpoint and every node forwards to it.

        A service exists before it works: each node's kube-proxy hears of it in its own time.
        ``timeout`` in seconds. Raises WaitTimeoutError, ClusterError.
        """
        space = namespace or self.namespace
        found: Object = self.api.get(resource("service").path(space, name))
        wait_for_object(
            self.api,
            resource("endpoints"),
            space,
            name,
            workloads.has_endpoint,
            timeout=timeout,
            show=lambda text: None,
        )
        first = str(found["spec"].get("clusterIP", "None"))
        for address in found["spec"].get("clusterIPs") or (first,):
            if address != "None":
                self._await_proxies(str(address), name, timeout)
        return found

    def _await_proxies(self, address: str, name: str, timeout: float) -> None:
        """Wait until kube-proxy has put a service's address into every node's rules."""

        def look() -> str:
            with ThreadPoolExecutor(min(8, len(self._nodes))) as pool:
                known = pool.map(
                    lambda node: node.shell(_KNOWS, address, check=False).ok, self._nodes
                )
            missing = [node.name for node, well in zip(self._nodes, known, strict=True) if not well]
            return f"kube-proxy has not yet told {', '.join(missing)}" if missing else ""

        if self._nodes:
            wait_until(look, f"service {name}", limit=timeout)

    # Objects of any kind

    def apply(self, manifest: Manifest, *, namespace: str | None = None) -> tuple[Object, ...]:
        """``kubectl apply`` of a file, YAML text, dict or several; the objects as they are then.

        ``{w1}`` in it becomes the node's name and ``{w1.ip}`` its address, in memory only. Raises
        ClusterError, and CommandError with kubectl's words.
        """
        items = read_manifests(manifest, self._names)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        space = ("-n", namespace) if namespace else ()
        answer = self.kubectl("apply", *space, "-f", "-", json=True, stdin=text)
        return tuple(answer["items"] if answer.get("kind") == "List" else [answer])

    def get(self, what: str, *, namespace: str | None = None) -> Any:
        """``kind/name``, or a list by ``kind``, as JSON. Raises ClusterError."""
        found, name = self._parse(what)
        space = (namespace or self.namespace) if found.namespaced else ""
        return self.api.get(found.path(space, name))

    def delete(
        self,
        what: str | Manifest,
        *,
        namespace: str | None = None,
        wait: bool = True,
        timeout: float = 60.0,
    ) -> None:
        """Delete ``kind/name``, or what a manifest holds; what is gone already is no error."""
        if isinstance(what, str) and "\n" not in what and what.count("/") == 1 and " " not in what:
            try:
                found, name = self._parse(what)
            except ClusterError:
                pass  # a path of a file, or a kind that only kubectl knows
            else:
                space = (namespace or self.namespace) if found.namespaced else ""
                self._delete(found, space, name, wait=wait, timeout=timeout)
                return
        items = read_manifests(what, self._names)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        space_flag = ("-n", namespace) if namespace else ()
        self.kubectl(
            "delete",
            *space_flag,
            "--ignore-not-found",
            f"--wait={str(wait).lower()}",
            "-f",
            "-",
            stdin=text,
            timeout=timeout,
        )

    def wait_for(
        self,
        what: str,
        condition: Condition = "Ready",
        *,
        namespace: str | None = None,
        timeout: float = 60.0,
    ) -> Object:
        """Wait until ``kind/name`` has a condition; the object as it is then.

        ``condition``: a condition's type, a phase, ``exists``, ``deleted``, or a function of the
        object. Each new state is shown once. ``timeout`` in seconds. Raises WaitTimeoutError with
        the last state and events, ClusterError at once when it can never come true.
        """
        found, name = self._parse(what)
        if not name:
            raise ClusterError(f"{what!r} names no object; expected KIND/NAME, such as pod/web")
        space = (namespace or self.namespace) if found.namespaced else ""
        return wait_for_object(
            self.api, found, space, name, condition, timeout=timeout, show=self._show
        )

    def logs(self, pod: str, *, namespace: str | None = None, container: str = "") -> str:
        """What a pod has printed."""
        return self.pod(pod, namespace=namespace, container=container).logs()

    def events(self, *, namespace: str | None = None) -> tuple[Object, ...]:
        """The events of a namespace, the oldest first."""
        listed = self.api.get(resource("event").path(namespace or self.namespace))
        return tuple(
            sorted(listed["items"], key=lambda one: str(one["metadata"]["creationTimestamp"]))
        )

    def port_forward(
        self, what: str, port: int, *, namespace: str | None = None, timeout: float = 20.0
    ) -> PortForward:
        """A local port that leads to a pod or service; a context manager. Example::

        with kinda.cluster.port_forward("svc/web", 80) as forward:
            urllib.request.urlopen(forward.url)
        """
        return PortForward(self.kubectl, what, port, namespace or self.namespace, timeout)

    def load_image(self, image: str, *, nodes: Iterable[str] | None = None) -> None:
        """Put an image of the Docker Engine into the cluster's nodes, or into those named.

        Pods that use it need no registry then. Raises HostError where the Engine has no such
        image, UnknownNameError.
        """
        names = [self.node(name).name for name in nodes or (one.name for one in self._nodes)]
        if self._load is None:
            raise ClusterError("images cannot be loaded into the nodes of this cluster")
        self._load(image, names)

    def nodes_ready(self) -> dict[str, bool]:
        """Whether each node is Ready, by declared name."""
        listed = self.api.get(resource("node").path())
        return {
            one["metadata"]["name"]: conditions(one).get("Ready") == "True"
            for one in listed["items"]
        }

    def error(self, text: str) -> ClusterError:
        """A ClusterError with this text."""
        return ClusterError(text)

    def _parse(self, what: str) -> tuple[Resource, str]:
        kind, _, name = what.partition("/")
        return resource(kind), name

    def _create(self, kind: Resource, namespace: str, body: Mapping[str, Any]) -> Object:
        """Make an object; a namespace whose service account is being made is waited for."""
        retrying = Retrying(
            retry=retry_if_exception(_not_yet),
            stop=stop_after_delay(15.0),
            wait=wait_fixed(0.1),
            reraise=True,
        )
        made: Object = retrying(self.api.request, "POST", kind.path(namespace), body=body)
        return made

    def _delete(
        self, kind: Resource, namespace: str, name: str, *, wait: bool, timeout: float
    ) -> None:
        try:
            self.api.request(
                "DELETE", kind.path(namespace, name), body={"propagationPolicy": "Background"}
            )
        except ClusterError as error:
            if error.status != 404:
                raise
            return
        if wait:
            wait_for_object(
                self.api,
                kind,
                namespace,
                name,
                "deleted",
                timeout=timeout,
                show=lambda text: None,
            )


def _not_yet(error: BaseException) -> bool:
    return (
        isinstance(error, ClusterError)
        and error.status == 403
        and "serviceaccount" in error.message
    )
