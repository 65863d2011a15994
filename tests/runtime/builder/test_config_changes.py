"""`--change` of commit and import."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic_runtime.builder.plan.config_changes import apply_changes
from dockmagic_runtime.errors import InvalidInput


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (['CMD ["a", "b"]'], {"Cmd": ["a", "b"]}),
        (["CMD a b"], {"Cmd": ["/bin/sh", "-c", "a b"]}),
        (['entrypoint ["a"]'], {"Entrypoint": ["a"]}),
        (["ENV A=1", "ENV B=$A-x C=${A}y"], {"Env": ["A=1", "B=1-x", "C=1y"]}),
        (["EXPOSE 80 90/udp"], {"ExposedPorts": {"80/tcp": {}, "90/udp": {}}}),
        (["LABEL a=b", "LABEL c='d e'"], {"Labels": {"a": "b", "c": "d e"}}),
        (["USER me:us"], {"User": "me:us"}),
        (["VOLUME /a /b"], {"Volumes": {"/a": {}, "/b": {}}}),
        (["WORKDIR /a", "WORKDIR b"], {"WorkingDir": "/a/b"}),
        (["STOPSIGNAL SIGINT"], {"StopSignal": "SIGINT"}),
        (["ONBUILD RUN make"], {"OnBuild": ["RUN make"]}),
        (
            ["HEALTHCHECK --retries=2 CMD true"],
            {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Retries": 2}},
        ),
    ],
)
def test_changes(changes: list[str], expected: dict[str, Any]) -> None:
    assert apply_changes({}, changes) == expected


def test_an_entry_point_sets_an_inherited_command_aside() -> None:
    assert apply_changes({"Cmd": ["old"]}, ['ENTRYPOINT ["x"]']) == {"Entrypoint": ["x"]}
    both = apply_changes({"Cmd": ["old"]}, ['CMD ["new"]', 'ENTRYPOINT ["x"]'])
    assert both == {"Cmd": ["new"], "Entrypoint": ["x"]}


@pytest.mark.parametrize(
    "change", ["RUN make", "COPY a b", "ADD a b", "FROM x", "ARG x", "nonsense", "", "SHELL ['a']"]
)
def test_what_is_more_than_config_is_refused(change: str) -> None:
    word = change.split()[0].lower() if change else ""
    with pytest.raises(InvalidInput, match=f"{word} is not a valid change command"):
        apply_changes({}, [change])


@pytest.mark.parametrize("change", ["EXPOSE x", "ENV", "STOPSIGNAL nope", "WORKDIR"])
def test_what_is_malformed_is_refused(change: str) -> None:
    with pytest.raises(InvalidInput):
        apply_changes({}, [change])
