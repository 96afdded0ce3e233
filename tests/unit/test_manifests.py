import pytest

from pytest_kinda.errors import ClusterError
from pytest_kinda.testbed.manifests import read_manifests, replace_names

NAMES = {"w1": "w1", "w1.ip": "10.9.0.1", "edge-1": "edge-1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodeName: {w1}", "nodeName: w1"),
        ("ping {w1.ip}", "ping 10.9.0.1"),
        ("{edge-1}", "edge-1"),
        ("echo ${w1}", "echo ${w1}"),
        ("{{w1}}", "{{w1}}"),
        ("{other} {}", "{other} {}"),
    ],
)
def test_names_are_replaced_and_nothing_else(text, expected):
    assert replace_names(text, NAMES) == expected


def test_a_file_is_read_and_never_written(tmp_path):
    path = tmp_path / "pod.yaml"
    text = (
        "apiVersion: v1\nkind: Pod\nspec: {nodeName: {w1}}\n---\n"
        "---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service}\n"
    )
    path.write_text(text)
    for manifest in (path, str(path), text):
        pod, service = read_manifests(manifest, NAMES)
        assert pod["spec"]["nodeName"] == "w1"
        assert service["kind"] == "Service"
    assert path.read_text() == text


def test_data_is_copied_with_names_put_in():
    given = {"apiVersion": "v1", "kind": "Pod", "spec": {"args": ["{w1.ip}", 3, None]}}
    (found,) = read_manifests(given, NAMES)
    assert found["spec"]["args"] == ["10.9.0.1", 3, None]
    assert given["spec"]["args"][0] == "{w1.ip}"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("nowhere.yaml", "No such file"),
        ("a: [\nb", "no YAML"),
        ("- just\n- a list\n", "expected an object with apiVersion and kind"),
        ("---\n---\n", "holds no object"),
    ],
)
def test_what_is_no_manifest_is_explained(manifest, words):
    with pytest.raises(ClusterError, match=words):
        read_manifests(manifest, {})
