"""Every version that is downloaded or built, in one place.

Change a pin here and what was made from the old one is made anew: pins enter the recipe hash that
each image carries as a label.
"""

from __future__ import annotations

KUBERNETES = "1.34.11"
"""Kubernetes of the node image. Stay below 1.35: from there a kubelet refuses cgroup v1."""

KIND = "0.33.0"
"""kind, built from its Go module ``sigs.k8s.io/kind``."""

KIND_NODE_DIGEST = "sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
"""The official ``kindest/node`` of :data:`KUBERNETES` that kind :data:`KIND` lists."""

LOAD_BALANCER = "envoyproxy/envoy:v1.36.2"
"""The image that kind :data:`KIND` starts before several control planes: its code names the tag."""

BMV2 = "p4lang/behavioral-model:latest"
"""The published BMv2. Its releases have no tags of their own: ``latest`` follows them."""

COREDNS = "1.12.4"
"""CoreDNS: the first 1.12 that shares the Kubernetes client of :data:`KUBERNETES`; pinned by the
recipe's go.mod too."""

COREDNS_IMAGE = "v1.12.1"
"""The tag kubeadm gives CoreDNS's image."""

ETCD = "3.6.5"
"""etcd: the one that kubeadm :data:`KUBERNETES` expects; pinned by the recipe's go.mod too."""

ETCD_IMAGE = "3.6.5-0"
"""The tag kubeadm gives etcd's image."""

PAUSE = "3.10.1"
"""The tag kubeadm gives the pause image."""

KATHARA_PLUGIN = "kathara/katharanp"
"""Kathara's managed network plugin made of Linux bridges; its tag is the architecture."""

DEBIAN = "trixie"
"""The Debian release that images, and an engine that is missing, are taken from."""

DEBIAN_IMAGE = "debian:trixie-slim"
"""The published image of :data:`DEBIAN` that official device images start from."""

GO_MINIMUM = (1, 25)
"""The Go that Kubernetes :data:`KUBERNETES` asks for in its go.mod."""

GO_DEBIAN = "1.24"
"""The Go of Debian :data:`DEBIAN`, for machines without one."""

GO_TOOLCHAIN = "1.25.0"
"""What an older Go (1.21 or newer) fetches as a module to build with."""

ENGINE_PACKAGES = ("docker.io", "containerd", "docker-cli")
"""Docker Engine, from :data:`DEBIAN`: older engines cannot run ``--privileged`` containers where
the capability bounding set lacks CAP_SYS_RESOURCE."""

CAPTURE_PACKAGE = "libpcap0.8"
"""The package of libpcap, by the name that every Debian release knows."""

ENGINE_SUPPORT = ("runc", "tini", "iptables", "ca-certificates", CAPTURE_PACKAGE)
"""What the engine and captures need beside it, from the machine's own release."""

INOTIFY_INSTANCES = 8192
"""``fs.inotify.max_user_instances``: the usual 128 ends at about 8 nodes."""

INOTIFY_WATCHES = 1048576
"""``fs.inotify.max_user_watches``."""
