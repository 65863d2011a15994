"""Tags, labels and variables of log entries, as dockerd 20.10 wrote them."""

from __future__ import annotations

import pytest

from dockmagic_runtime.supervisor.logs.tags import LogSubject, attributes, tag

SUBJECT = LogSubject(
    id="d879f2e18a5a6ce19b7a3dc551217670fcaced56f79e772b4cb3d592b200601e",
    name="n1",
    image="busybox",
    image_id="sha256:e098c76cbfed1d40f9b7ff2530f551e5938c66f9995796d1904fbc20e9ab8d56",
    command=("sh", "-c", "echo hi"),
    env=("FOO=1", "BAR=2", "EMPTY=", "NOTHING"),
    labels={"a": "b", "app.x": "1", "app.y": ""},
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.Name}}/{{.ID}}", "n1/d879f2e18a5a"),
        ("{{ .FullID }}", SUBJECT.id),
        (
            "{{.ImageName}}|{{.ImageID}}|{{.ImageFullID}}",
            f"busybox|sha256:e098c|{SUBJECT.image_id}",
        ),
        ("{{.DaemonName}}", "docker"),
        ("{{.Command}}", "sh -c echo hi"),
        ("{{.ContainerName | upper}}", "/N1"),
        ("{{.Name}}}}", "n1}}"),
    ],
)
def test_command_line_8_a_tag_has_the_containers_fields(template: str, expected: str) -> None:
    assert tag({"tag": template}, SUBJECT) == expected


def test_a_tag_has_a_default() -> None:
    assert tag({}, SUBJECT, "{{.ID}}") == "d879f2e18a5a"
    assert tag({"tag": "x"}, SUBJECT, "{{.ID}}") == "x"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"labels": "a,zz"}, {"a": "b"}),
        ({"labels-regex": "^app"}, {"app.x": "1", "app.y": ""}),
        ({"env": "FOO,NOTHING"}, {"FOO": "1"}),
        ({"env-regex": "^(BA|EM)"}, {"BAR": "2", "EMPTY": ""}),
        ({"labels": "a", "env": "FOO"}, {"FOO": "1", "a": "b"}),
    ],
)
def test_command_line_8_labels_and_variables_are_chosen(
    options: dict[str, str], expected: dict[str, str]
) -> None:
    chosen = attributes(options, SUBJECT)
    assert chosen == expected
    assert list(chosen) == sorted(chosen)
