"""kubectl's surroundings, with a program that tells what it was given."""

import pytest
import yaml

from pytest_kinda.errors import CommandError
from pytest_kinda.testbed.kubectl import Kubectl

CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
}


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


def telling(tmp_path, script):
    path = tmp_path / "kubectl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return lambda: str(path)


def test_it_runs_on_the_testbeds_kubeconfig_and_namespace(tmp_path, kubeconfig):
    space = ["default"]
    kubectl = Kubectl(
        kubeconfig, lambda reads: space[0], telling(tmp_path, 'cat "$KUBECONFIG"; echo "# $*"')
    )
    assert yaml.safe_load(kubectl("get", "pods").stdout) == CONFIG
    space[0] = "other"
    result = kubectl("get", "pods")
    assert result.lines[-1] == "# get pods"
    (context,) = yaml.safe_load(result.stdout)["contexts"]
    assert context["context"] == {"cluster": "c", "user": "u", "namespace": "other"}
    assert (tmp_path / "kubeconfig-other").stat().st_mode & 0o777 == 0o600
    assert kubectl.environment()["KUBECACHEDIR"] == str(tmp_path / "kubectl-cache")


def test_json_and_failures(tmp_path, kubeconfig):
    kubectl = Kubectl(kubeconfig, program=telling(tmp_path, """echo "[\\"$*\\"]" """))
    assert kubectl("get", "nodes", json=True) == ["get nodes -o json"]
    kubectl = Kubectl(kubeconfig, program=telling(tmp_path, "echo refused >&2; exit 1"))
    with pytest.raises(CommandError, match="refused"):
        kubectl("get", "nodes")
    assert kubectl("get", "nodes", check=False).rc == 1
